//! Runs in parts.

use std::fs;

use super::{Folder, capitals, log_name, written};
use crate::support::{Luge, bare_luge};

struct Setting {
    folder: Folder,
    tasks: [std::path::PathBuf; 2],
}

impl Setting {
    fn new() -> Self {
        let folder = Folder::new();
        // Capitals without a definition: columns that are known by their names.
        let (_, data) = capitals(&folder);
        let text = fs::read_to_string(data).unwrap();
        let choices =
            folder.file("choices.csv", text.replacen("right,wrong", "correct,incorrect", 1));
        let tasks = [choices, written(&folder)];
        Setting { folder, tasks }
    }

    fn run(&self, out: &str, flags: &str) -> Luge {
        self.folder.eval(out).arg(&self.tasks[0]).arg(&self.tasks[1]).flags(flags)
    }

    fn merge(&self, paths: &[&str]) -> Luge {
        let merge = bare_luge().flags("eval merge");
        paths.iter().fold(merge, |merge, path| merge.arg(self.folder.path(path)))
    }
}

#[test]
fn three_parts_merged_are_one_run() {
    let setting = Setting::new();
    let whole = setting.run("whole", "").json();
    // In any order, and one of them broken: its last document torn off.
    for shard in ["3/3", "1/3"] {
        assert_eq!(setting.run("parts", "--shard").flags(shard).stdout(), "");
    }
    let broken = setting.folder.path("parts").join(log_name("3/3"));
    let log = fs::read(&broken).unwrap();
    fs::write(&broken, &log[..log.len() - 3]).unwrap();
    setting.run("parts", "--shard 2/3").stdout();
    assert!(!setting.folder.path("parts").join("results.json").exists());

    let message = setting.merge(&["parts"]).outcome().stderr;
    assert!(message.contains("documents are missing (1 of 6 of part 3/3)"), "{message}");
    setting.run("parts", "--shard 3/3").stdout();
    let printed = setting.merge(&["parts"]).json();
    setting.folder.assert_same("parts", "whole");
    // What is printed is what is in the file.
    assert_eq!(printed, setting.folder.results("parts"));
    assert_eq!(whole, setting.folder.results("whole"));
}

#[test]
fn parts_may_be_in_folders_of_their_own() {
    let setting = Setting::new();
    for shard in ["1/2", "2/2"] {
        setting.run(&shard.replace('/', "-"), "--limit 3 --shard").flags(shard).stdout();
    }
    setting.run("whole", "--limit 3").stdout();
    // The second as a log.
    let log = format!("2-2/{}", log_name("2/2"));
    let out = setting.folder.path("merged");
    setting.merge(&["1-2", &log]).arg("--out").arg(&out).stdout();
    setting.folder.assert_same("merged", "whole");
    // And again, over what is there.
    let text = setting.merge(&["1-2", &log]).arg("--out").arg(&out).stdout();
    assert!(text.contains("choices.csv; 3 documents"), "{text}");
}

#[test]
fn a_part_without_a_document_is_one_too() {
    let setting = Setting::new();
    for shard in ["1/3", "2/3", "3/3"] {
        setting.run("parts", "--limit 2 --shard").flags(shard).stdout();
    }
    setting.run("whole", "--limit 2").stdout();
    setting.merge(&["parts"]).stdout();
    setting.folder.assert_same("parts", "whole");
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let setting = Setting::new();
    setting.run("one", "--limit 2 --shard 1/2").stdout();
    setting.run("other", "--limit 2 --shard 2/2 --seed 9").stdout();
    let message = setting.merge(&["one", "other"]).failure(1);
    assert!(
        message.contains("are not parts of one run (") && message.contains("seed"),
        "{message}"
    );
    let message = setting.merge(&["nothing"]).failure(1);
    assert!(message.contains("nothing"), "{message}");
    let message = setting.merge(&["choices.csv"]).failure(1);
    assert!(message.contains("is no log of luge eval"), "{message}");
    assert!(bare_luge().flags("eval merge").failure(2).contains("<DIR>"));
    for (shard, what) in [("0/3", "the first is 1/3"), ("4/3", "only 3"), ("2", "2/8")] {
        let message = setting.run("wrong", "--shard").flags(shard).failure(2);
        assert!(message.contains(what), "{message}");
    }
}
