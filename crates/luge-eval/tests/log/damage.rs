//! Logs that something has happened to.

use std::fs;
use std::sync::OnceLock;

use luge_eval::record::Record;
use luge_eval::results::Setup;
use luge_eval::{Log, Shard};
use proptest::prelude::*;
use tempfile::tempdir;

use super::{records, reopened, setup, write};

/// A run with all its records, and its log.
fn whole() -> &'static (Setup, Vec<Record>, Vec<u8>) {
    static WHOLE: OnceLock<(Setup, Vec<Record>, Vec<u8>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempdir().unwrap();
        let path = folder.path().join("documents.jsonl");
        let setup = setup(3, 1);
        let all = records(&setup, Shard::WHOLE);
        write(&path, &setup, Shard::WHOLE, &all);
        (setup, all, fs::read(&path).unwrap())
    })
}

/// Cut at any byte, a log holds its first records, and goes on to the same bytes.
#[test]
fn every_beginning_of_a_log_is_gone_on_from() {
    let (setup, all, bytes) = whole();
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    for end in 0..=bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        let (mut log, there) = Log::open(&path, setup, Shard::WHOLE).unwrap();
        assert_eq!(there, all[..there.len()], "cut at {end}");
        let is_torn = end > 0 && bytes[end - 1] != b'\n';
        let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        assert_eq!(log.notes().len(), usize::from(is_torn && end > first), "cut at {end}");
        all[there.len()..].iter().for_each(|record| log.append(record).unwrap());
        drop(log);
        assert!(fs::read(&path).unwrap() == *bytes, "cut at {end}");
    }
}

#[test]
fn a_damaged_line_is_named_and_its_document_asked_again() {
    let (setup, all, bytes) = whole();
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let at = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0 + 5;
    let mut damaged = bytes.clone();
    damaged[at] = 0;
    fs::write(&path, &damaged).unwrap();
    let (mut log, there) = Log::open(&path, setup, Shard::WHOLE).unwrap();
    assert_eq!(there, [&all[..2], &all[3..]].concat());
    let shown = path.display();
    assert_eq!(
        log.notes()[0].to_string(),
        format!("line 4 of '{shown}' is damaged, and does not count")
    );
    log.append(&all[2]).unwrap();
    drop(log);
    assert_eq!(reopened(&path, setup).0, [&all[..2], &all[3..], &all[2..3]].concat());
}

/// What a file system may leave behind a power cut.
#[test]
fn zeros_at_the_end_are_cut_off() {
    let (setup, all, bytes) = whole();
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    fs::write(&path, [&bytes[..], &[0; 4096]].concat()).unwrap();
    let (there, notes) = reopened(&path, setup);
    assert_eq!(&there, all);
    assert!(notes[0].contains("cut off in the middle"), "{notes:?}");
    assert_eq!(&fs::read(&path).unwrap(), bytes);
}

proptest! {
    /// Whatever byte changes, no record is read that was not written.
    #[test]
    fn a_changed_byte_invents_nothing(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (setup, all, bytes) = whole();
        let folder = tempdir().unwrap();
        let path = folder.path().join("documents.jsonl");
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        fs::write(&path, &changed).unwrap();
        if let Ok((log, there)) = Log::open(&path, setup, Shard::WHOLE) {
            // At most two lines share the byte: one of them may be its end.
            prop_assert!(there.len() + 2 >= all.len());
            prop_assert!(there.iter().all(|record| all.contains(record)));
            prop_assert!(!log.notes().is_empty());
        } else {
            // Then it is the first line, and nothing has been touched.
            prop_assert_eq!(fs::read(&path).unwrap(), changed);
        }
    }

    /// Nor where blocks of others lie in the file.
    #[test]
    fn foreign_bytes_invent_nothing(
        at in any::<prop::sample::Index>(),
        block in prop::collection::vec(any::<u8>(), 0..300),
        gone in 0usize..300,
    ) {
        let (setup, all, bytes) = whole();
        let folder = tempdir().unwrap();
        let path = folder.path().join("documents.jsonl");
        let at = at.index(bytes.len());
        let mut changed = bytes.clone();
        changed.splice(at..(at + gone).min(bytes.len()), block);
        fs::write(&path, &changed).unwrap();
        if let Ok((_, there)) = Log::open(&path, setup, Shard::WHOLE) {
            prop_assert!(there.iter().all(|record| all.contains(record)));
        }
    }
}
