//! Parts of a run, put together.

use std::fs;
use std::path::Path;

use luge_eval::record::{Outcome, Record};
use luge_eval::results::{Scoring, Setup};
use luge_eval::{Log, Shard, merge};
use tempfile::tempdir;

use super::{record, records, setup, write};

/// Writes some parts of a run into a folder.
fn write_parts(folder: &Path, setup: &Setup, numbers: &[usize], of: usize) {
    for &number in numbers {
        let shard = Shard::new(number, of).unwrap();
        write(&folder.join(shard.file_name()), setup, shard, &records(setup, shard));
    }
}

fn refused(paths: &[&Path]) -> String {
    merge(paths).unwrap_err().to_string()
}

#[test]
fn parts_make_the_whole_wherever_they_lie() {
    let [one, two] = [tempdir().unwrap(), tempdir().unwrap()];
    let setup = setup(7, 2);
    let whole = records(&setup, Shard::WHOLE);
    write_parts(one.path(), &setup, &[1, 2], 3);
    write_parts(two.path(), &setup, &[3], 3);
    let merged = merge(&[two.path(), one.path()]).unwrap();
    assert_eq!(
        (merged.setup, merged.records, merged.notes),
        (setup.clone(), whole.clone(), vec![])
    );
    // By file, and one of them twice.
    let file = two.path().join("documents-3-of-3.jsonl");
    assert_eq!(merge(&[one.path(), &file, &file, two.path()]).unwrap().records, whole);
    // What is merged can be written as the log of one run.
    let path = one.path().join("documents.jsonl");
    write(&path, &setup, Shard::WHOLE, &whole);
    assert_eq!(merge(&[&path]).unwrap().records, whole);
    // Beside its parts it is passed over: they are what is asked for.
    assert!(refused(&[one.path()]).contains("2 of 2 of part 3/3"));
}

#[test]
fn a_folder_with_a_whole_run_is_that_run() {
    let folder = tempdir().unwrap();
    let setup = setup(2, 1);
    let whole = records(&setup, Shard::WHOLE);
    write(&folder.path().join("documents.jsonl"), &setup, Shard::WHOLE, &whole[..2]);
    let message = refused(&[folder.path()]);
    assert!(message.starts_with("1 of the run's 3 documents are missing"), "{message}");
    write(&folder.path().join("documents.jsonl"), &setup, Shard::WHOLE, &whole[2..]);
    assert_eq!(merge(&[folder.path()]).unwrap().records, whole);
}

#[test]
fn what_is_missing_is_named_by_part() {
    let folder = tempdir().unwrap();
    let setup = setup(10, 4);
    write_parts(folder.path(), &setup, &[1, 4], 4);
    let shard: Shard = "2/4".parse().unwrap();
    let some = records(&setup, shard);
    let path = folder.path().join(shard.file_name());
    write(&path, &setup, shard, &some[..2]);
    // Torn, and left as it is: merging changes nothing.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"{\"task\":");
    fs::write(&path, &bytes).unwrap();
    // A part that ended before it began.
    fs::write(folder.path().join("documents-3-of-4.jsonl"), "").unwrap();
    let message = refused(&[folder.path()]);
    assert_eq!(
        message,
        "documents are missing (2 of 4 of part 2/4, 3 of 3 of part 3/4): run each of these \
         parts once more, with --shard"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    write(&path, &setup, shard, &some[2..]);
    write_parts(folder.path(), &setup, &[3], 4);
    assert_eq!(merge(&[folder.path()]).unwrap().records.len(), 14);
}

#[test]
fn many_missing_parts_are_a_short_sentence() {
    let folder = tempdir().unwrap();
    write_parts(folder.path(), &setup(500, 0), &[7], 100);
    let message = refused(&[folder.path()]);
    assert!(message.contains("5 of 5 of part 1/100, 5"), "{message}");
    assert!(message.contains(", and some of 91 other parts)"), "{message}");
}

/// Parts without a document need not have been run.
#[test]
fn there_may_be_more_parts_than_documents() {
    let folder = tempdir().unwrap();
    let setup = setup(2, 1);
    write_parts(folder.path(), &setup, &[1, 2], 5);
    assert_eq!(merge(&[folder.path()]).unwrap().records, records(&setup, Shard::WHOLE));
}

#[test]
fn parts_of_different_runs_are_refused() {
    let folder = tempdir().unwrap();
    let first = setup(4, 0);
    write_parts(folder.path(), &first, &[1], 2);
    let other = Setup { scoring: Scoring::Reference, ..first.clone() };
    write_parts(folder.path(), &other, &[2], 2);
    let message = refused(&[folder.path()]);
    assert!(message.contains("(its scoring is reference, not normalised)"), "{message}");
    fs::remove_file(folder.path().join("documents-2-of-2.jsonl")).unwrap();
    write_parts(folder.path(), &first, &[2], 4);
    let message = refused(&[folder.path()]);
    assert!(message.contains("(one has 2 parts, the other 4)"), "{message}");
}

#[test]
fn an_overlap_must_agree() {
    let [one, two] = [tempdir().unwrap(), tempdir().unwrap()];
    let setup = setup(4, 2);
    write_parts(one.path(), &setup, &[1, 2], 2);
    let shard: Shard = "1/2".parse().unwrap();
    let path = two.path().join(shard.file_name());
    // It took another time: that is no disagreement.
    write(&path, &setup, shard, &[Record { seconds: 77.0, ..record("one", 2) }]);
    let merged = merge(&[one.path(), two.path()]).unwrap();
    assert_eq!(merged.records, records(&setup, Shard::WHOLE));
    let outcome = Outcome::Problem { place: "x".to_owned(), what: "y".to_owned() };
    write(&path, &setup, shard, &[Record { outcome, ..record("two", 0) }]);
    let message = refused(&[one.path(), two.path()]);
    assert!(message.contains("disagree on 'two 0' of the task two"), "{message}");
}

#[test]
fn nothing_and_what_is_no_log_cannot_be_merged() {
    let folder = tempdir().unwrap();
    assert!(refused(&[folder.path()]).contains("there is no log of luge eval in"));
    assert!(refused(&[]).contains("there is no log of luge eval"));
    assert!(refused(&[&folder.path().join("gone")]).contains("cannot read the log"));
    fs::write(folder.path().join("documents.jsonl"), "mine\n").unwrap();
    assert!(refused(&[folder.path()]).contains("is no log of luge eval"));
    fs::write(folder.path().join("documents.jsonl"), "").unwrap();
    assert!(refused(&[folder.path()]).contains("there is no log of luge eval in"));
}

#[test]
fn a_part_at_work_is_waited_for() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let (log, _) = Log::open(&path, &setup(1, 0), Shard::WHOLE).unwrap();
    assert!(refused(&[folder.path()]).contains("another luge is writing"));
    drop(log);
    assert!(refused(&[folder.path()]).contains("documents are missing"));
}
