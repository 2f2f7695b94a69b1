//! Logs that are as they should be, and those that are not this run's.

use std::fs;

use luge_eval::results::{Role, Scoring, Setup};
use luge_eval::{Log, Shard};
use serde_json::json;
use tempfile::tempdir;

use super::{record, records, refused, reopened, setup, write};

#[test]
fn what_was_written_is_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("new/folder/documents.jsonl");
    let setup = setup(3, 2);
    let all = records(&setup, Shard::WHOLE);
    write(&path, &setup, Shard::WHOLE, &all[..2]);
    write(&path, &setup, Shard::WHOLE, &all[2..]);
    assert_eq!(reopened(&path, &setup), (all, Vec::new()));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 6);
}

#[test]
fn a_name_makes_no_other_run() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let mut setup = setup(2, 2);
    write(&path, &setup, Shard::WHOLE, &[record("one", 0)]);
    setup.model.name = "/elsewhere/m.gguf".to_owned();
    setup.tasks[1].data = "copy.csv".to_owned();
    assert_eq!(reopened(&path, &setup).0, [record("one", 0)]);
}

#[test]
fn another_run_is_told_by_what_differs_first() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let first = setup(2, 2);
    write(&path, &first, Shard::WHOLE, &[]);
    let before = fs::read(&path).unwrap();
    type Change = fn(&mut Setup);
    // From what is named last to what is named first: all changes before are made, too.
    let changes: [(Change, &str); 14] = [
        (|it| it.luge = "0.2.0".into(), "its version of luge is 0.1.0, not 0.2.0"),
        (|it| it.engine = json!({ "context": 4096, "chat": true }), "its chat is false, not true"),
        (
            |it| it.engine = json!({ "context": 4096, "chat": false, "kv": "q8" }),
            "its kv is not set, not \"q8\"",
        ),
        (|it| it.seed = 2, "its seed is 1, not 2"),
        (|it| it.scoring = Scoring::Reference, "its scoring is normalised, not reference"),
        (|it| it.methods[1].role = Role::Control, "its method sled has another role"),
        (
            |it| it.methods[1].text = "sled(layers=1)".into(),
            "its method sled is sled(), not sled(layers=1)",
        ),
        (|it| it.methods[1].name = "dola".into(), "its methods are greedy, sled, not greedy, dola"),
        (|it| it.tasks[1].limit = 1, "its limit for the task two is 2, not 1"),
        (
            |it| it.tasks[1].data_sha256 = "0".into(),
            "the data of its task two are another file than two.csv",
        ),
        (
            |it| it.tasks[1].definition_sha256 = "0".into(),
            "the definition of its task two is another",
        ),
        (|it| drop(it.tasks.pop()), "its tasks are one, two, not one"),
        (|it| it.model.sha256 = "0".into(), "its model is another file than m.gguf is now"),
        (|it| it.model.name = "n.gguf".into(), "its model is m.gguf, not n.gguf"),
    ];
    let mut other = first.clone();
    for (change, difference) in changes {
        change(&mut other);
        let message = refused(&path, &other, Shard::WHOLE);
        assert!(
            message.contains("another run") && message.contains(&format!("({difference})")),
            "{message}"
        );
    }
    let message = refused(&path, &first, "1/2".parse().unwrap());
    assert!(message.contains("it is part 1/1, not 1/2"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_log_is_left_alone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    for text in ["notes", "notes\n", "{\"a\":1}\n{\"b\":2}\n", "\n", "{"] {
        fs::write(&path, text).unwrap();
        // A `{` alone may be the beginning of a log.
        match text {
            "{" => assert_eq!(reopened(&path, &setup(1, 1)).0, []),
            _ => {
                let message = refused(&path, &setup(1, 1), Shard::WHOLE);
                assert!(message.contains("is no log of luge eval"), "{message}");
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused(&path, &setup(1, 1), Shard::WHOLE).contains("cannot write the log"));
}

/// As in a version to come.
#[test]
fn a_first_line_that_says_other_things_is_told_by_its_version() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let content = "{\"setup\":{\"luge\":\"9.9.9\"}";
    let line = format!("{content},\"crc32\":{}}}\n", crc32fast::hash(content.as_bytes()));
    fs::write(&path, line).unwrap();
    let message = refused(&path, &setup(1, 1), Shard::WHOLE);
    assert!(message.contains("the log of luge 9.9.9"), "{message}");
}

#[test]
fn documents_of_others_and_second_times_do_not_count() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents-2-of-2.jsonl");
    let setup = setup(4, 4);
    let part: Shard = "2/2".parse().unwrap();
    let mut again = record("one", 1);
    again.seconds = 99.0;
    let written = [
        record("one", 1),
        again,
        // Of the other part, of no task, and beyond the limit.
        record("one", 2),
        record("three", 1),
        record("two", 5),
        record("two", 1),
    ];
    write(&path, &setup, part, &written);
    let (log, there) = Log::open(&path, &setup, part).unwrap();
    assert_eq!(there, [record("one", 1), record("two", 1)]);
    let notes: Vec<String> = log.notes().iter().map(ToString::to_string).collect();
    let shown = path.display();
    let wanted = [
        format!(
            "lines 4, 5, 6 of '{shown}' are of documents that are not in this part of the run, \
             and do not count"
        ),
        format!("line 3 of '{shown}' is of documents that earlier lines have, and does not count"),
    ];
    assert_eq!(notes, wanted);
}
