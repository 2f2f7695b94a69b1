//! Processes that are killed, that come second, and that have no room. They are this test
//! program once more, at [`child`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use luge_eval::{Log, Shard};
use tempfile::tempdir;

use super::{records, refused, reopened, setup, write};

/// Names the log to a child.
const PATH: &str = "LUGE_EVAL_TEST_LOG";

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

const DOCUMENTS: usize = 300;

/// What a child does: asks what is missing, and waits in between, as a model would. It
/// ends with the error that it meets.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    let path = PathBuf::from(std::env::var_os(PATH).expect("the tests name the log"));
    let setup = setup(DOCUMENTS, 0);
    let (mut log, there) = Log::open(&path, &setup, Shard::WHOLE).unwrap();
    for record in &records(&setup, Shard::WHOLE)[there.len()..] {
        if let Err(error) = log.append(record) {
            fs::write(path.with_extension("error"), error.to_string()).unwrap();
            return;
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// A command line that comes to [`child`], behind what a shell is to do first.
fn start(path: &Path, first: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{first} exec \"$0\" --ignored --exact process::child")])
        .arg(std::env::current_exe().unwrap())
        .env(PATH, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never");
        thread::sleep(Duration::from_millis(1));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

#[test]
fn killed_again_and_again_a_run_comes_to_the_same_log() {
    let folder = tempdir().unwrap();
    let [path, unbroken] = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    let setup = setup(DOCUMENTS, 0);
    let all = records(&setup, Shard::WHOLE);
    write(&unbroken, &setup, Shard::WHOLE, &all);
    let mut kills = 0;
    while reopened(&path, &setup).0.len() < all.len() {
        let before = length(&path);
        let mut child = start(&path, "");
        // Later each time, so that it is at something else.
        let most = before + 997 * (kills + 1);
        wait_until(|| length(&path) > most || child_is_over(&path, length(&unbroken)));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 5, "{kills}");
    assert!(fs::read(&path).unwrap() == fs::read(&unbroken).unwrap());
}

fn child_is_over(path: &Path, end: u64) -> bool {
    length(path) == end
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let setup = setup(DOCUMENTS, 0);
    let mut child = start(&path, "");
    wait_until(|| length(&path) > 0);
    let message = refused(&path, &setup, Shard::WHOLE);
    assert!(message.contains("another luge is writing"), "{message}");
    assert!(child.wait().unwrap().success());
    assert_eq!(reopened(&path, &setup), (records(&setup, Shard::WHOLE), Vec::new()));
}

/// A limit to the size of files is met as a full disk is: in the middle of a line.
#[test]
fn where_there_is_no_room_what_is_there_stays() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("documents.jsonl");
    let setup = setup(DOCUMENTS, 0);
    let mut child = start(&path, "trap '' XFSZ; ulimit -f 20;");
    assert!(child.wait().unwrap().success());
    let message = fs::read_to_string(path.with_extension("error")).unwrap();
    assert!(message.contains("cannot write the log"), "{message}");
    assert!(message.contains("the same command goes on from there"), "{message}");
    let (there, notes) = reopened(&path, &setup);
    assert!(!there.is_empty() && there.len() < DOCUMENTS, "{}", there.len());
    assert_eq!(notes, [] as [&str; 0]);
}
