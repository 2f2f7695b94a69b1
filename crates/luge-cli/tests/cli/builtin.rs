//! The model that is built in, whatever it is: nothing here depends on what it
//! says.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::tempdir;

use crate::support::{Luge, bare_luge, collect, luge, model, wait};

/// One token of any model.
const FLAGS: &str = "-n 1 --ignore-eos --prompt-ids 1,2";

/// Commands that leave the choice of the model to `luge`.
fn commands() -> [Luge; 3] {
    [
        luge("run").flags(FLAGS),
        luge("score").flags("--prompt-ids 1,2 --continuation-ids 3"),
        luge("compare").flags(FLAGS).flags("--methods greedy,sled"),
    ]
}

fn greedy() -> Luge {
    luge("run").flags("-m atlas --method greedy").flags(FLAGS)
}

/// Where the model is unpacked to.
fn cache(home: &Path) -> PathBuf {
    home.join("Library/Caches/luge")
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The model that is built in.
fn original() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/atlas/atlas.gguf")).unwrap()
}

/// The one file in the cache, if it is the model.
#[track_caller]
fn cached(home: &Path) -> PathBuf {
    let files = listing(&cache(home));
    let [file] = &files[..] else { panic!("not one file: {files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    let checksum = name.strip_prefix("atlas-").and_then(|name| name.strip_suffix(".gguf"));
    let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(checksum.is_some_and(is_digest), "{name}");
    assert!(fs::read(file).unwrap() == original());
    file.clone()
}

#[test]
fn without_a_model_the_built_in_one_is_used_and_named() {
    for command in commands() {
        let outcome = command.flags("--format json").outcome();
        assert!(outcome.status.success(), "{outcome:#?}");
        let said =
            "luge: no model given, using the built-in atlas (choose one with -m model.gguf)\n";
        assert_eq!(outcome.stderr, said);
        let object: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(object["model"], json!("atlas"));
    }
}

#[test]
fn the_built_in_model_is_asked_for_by_name_without_a_word() {
    for command in commands() {
        assert_eq!(command.flags("-m atlas").json()["model"], json!("atlas"));
    }
}

#[test]
fn a_file_of_that_name_has_a_path() {
    let folder = tempdir().unwrap();
    fs::copy(model("llama"), folder.path().join("atlas")).unwrap();
    let script = format!("cd '{}' && exec \"$@\"", folder.path().display());
    for (name, wanted) in [("./atlas", "./atlas"), ("atlas", "atlas")] {
        let home = tempdir().unwrap();
        let run = luge("run").flags(FLAGS).flags("-m").arg(name).flags("--format json");
        let stdout = run.home(home.path()).in_shell(&script).stdout();
        let object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(object["model"], json!(wanted));
        assert_eq!(cache(home.path()).exists(), name == "atlas");
    }
}

#[test]
fn a_mistake_is_found_before_the_model_is_unpacked() {
    let home = tempdir().unwrap();
    bare_luge().flags("run --method sledd a").home(home.path()).failure(2);
    assert!(listing(home.path()).is_empty());
}

#[test]
fn several_processes_at_once_share_one_file() {
    let home = tempdir().unwrap();
    // The second time, the file is there, and damaged.
    for _ in 0..2 {
        let children: Vec<_> = (0..8).map(|_| greedy().home(home.path()).spawn()).collect();
        for mut child in children {
            let stdout = collect(child.stdout.take().unwrap());
            let stderr = collect(child.stderr.take().unwrap());
            assert!(wait(&mut child).expect("the program ends").success());
            assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
            assert!(!stdout.join().unwrap().is_empty());
        }
        let file = cached(home.path());
        let mut bytes = original();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file, bytes).unwrap();
    }
    greedy().home(home.path()).stdout();
    cached(home.path());
}

#[test]
fn without_a_cache_a_temporary_file_is_used_and_deleted() {
    let home = tempdir().unwrap();
    let temporary = tempdir().unwrap();
    fs::write(home.path().join("Library"), "a file").unwrap();
    for flags in ["", "--no-mmap", "--method sled"] {
        let run = luge("run").flags("-m atlas").flags(FLAGS).flags(flags);
        run.home(home.path()).env("TMPDIR", temporary.path()).stdout();
        assert!(listing(temporary.path()).is_empty());
    }
    // Who asks what takes so long is told.
    let run = greedy().flags("-v").home(home.path()).env("TMPDIR", temporary.path());
    assert!(run.outcome().stderr.contains("temporary file"));
}

#[test]
fn without_any_place_there_is_one_line_and_nothing_is_left() {
    let home = tempdir().unwrap();
    let temporary = tempdir().unwrap();
    // No file may grow beyond a few kilobytes: as good as a full disk.
    let full = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let run = || greedy().home(home.path()).env("TMPDIR", temporary.path()).in_shell(full);
    let message = run().failure(1);
    for part in ["cannot unpack the built-in model", "/luge/atlas-", "File too large", "TMPDIR"] {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert!(listing(&cache(home.path())).is_empty());
    assert!(listing(temporary.path()).is_empty());

    // What is there already needs no room.
    greedy().home(home.path()).stdout();
    run().stdout();
    cached(home.path());
}
