//! Runs that were killed, and what becomes of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use super::{Folder, capitals, written};
use crate::support::{Luge, bare_luge, collect, luge, wait};

const LOG: &str = "documents.jsonl";

const METHODS: &str = "greedy,dola,sled,ensemble";

/// A run of both kinds of tasks under several methods.
struct Setting {
    folder: Folder,
    definition: PathBuf,
    data: PathBuf,
    written: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let folder = Folder::new();
        let (definition, data) = capitals(&folder);
        let written = written(&folder);
        Setting { folder, definition, data, written }
    }

    fn run(&self, out: &str, flags: &str) -> Luge {
        let named = format!("{}={}", self.definition.display(), self.data.display());
        let eval = self.folder.eval(out).arg(&self.definition).arg(&self.written);
        let eval = eval.arg("--data").arg(named).flags(flags);
        if flags.contains("--methods") { eval } else { eval.flags("--methods").flags(METHODS) }
    }

    /// Starts a run, and waits until its log has so many documents.
    fn started(&self, out: &str, flags: &str, documents: usize) -> Child {
        let mut child = self.run(out, flags).spawn();
        while self.folder.documents(out, LOG) < documents && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        child
    }
}

/// Numbers that are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Sends a signal by its name. The process may have come to its end already.
fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {} 2>/dev/null || true", child.id());
    assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success());
}

/// Kills a run at so many random moments, and goes on with it each time; at its end it must
/// have come to what an unbroken one has.
fn killed(flags: &str, moments: usize, seed: u64) {
    let setting = Setting::new();
    assert!(setting.run("whole", flags).outcome().status.success());
    let documents = setting.folder.documents("whole", LOG);
    assert_eq!(documents, 13 + 6);
    let mut random = Random(seed);
    let (mut broken, mut started) = (0, 0);
    while broken < moments {
        started += 1;
        assert!(started <= 50 * moments, "only {broken} of {started} runs were killed at work");
        let at = setting.folder.documents("broken", LOG) + random.below(4) as usize;
        let delay = Duration::from_micros(random.below(30_000));
        let name = ["KILL", "INT"][random.below(2) as usize];
        // Shown where the test fails.
        eprintln!("{name} {delay:?} behind document {at}");
        let mut child = setting.started("broken", flags, at);
        thread::sleep(delay);
        signal(&child, name);
        let stderr = collect(child.stderr.take().unwrap());
        let status = wait(&mut child).unwrap();
        let stderr = String::from_utf8(stderr.join().unwrap()).unwrap();
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{stderr}");
        if status.success() {
            // It was faster: the next one begins anew.
            setting.folder.assert_same("broken", "whole");
            fs::remove_dir_all(setting.folder.path("broken")).unwrap();
        } else {
            broken += 1;
        }
    }
    assert!(setting.run("broken", flags).outcome().status.success());
    setting.folder.assert_same("broken", "whole");
}

#[test]
fn a_run_killed_at_ten_random_moments_comes_to_the_same() {
    killed("", 10, 20_261_122);
}

#[test]
fn so_does_one_that_scores_as_the_public_scripts() {
    killed("--scoring reference --methods greedy,sled+dola,sled", 4, 7);
}

#[test]
fn a_finished_run_is_not_run_again() {
    let setting = Setting::new();
    setting.run("out", "--limit 2").stdout();
    let log = fs::read(setting.folder.path("out").join(LOG)).unwrap();
    let first = setting.folder.reports("out");
    setting.run("out", "--limit 2").stdout();
    assert_eq!(fs::read(setting.folder.path("out").join(LOG)).unwrap(), log);
    assert_eq!(setting.folder.reports("out"), first);
}

#[test]
fn a_torn_line_is_cut_off_and_told() {
    let setting = Setting::new();
    setting.run("whole", "--limit 3").stdout();
    setting.run("torn", "--limit 3").stdout();
    let path = setting.folder.path("torn").join(LOG);
    let log = fs::read(&path).unwrap();
    fs::write(&path, &log[..log.len() - 40]).unwrap();
    let named = format!("{}={}", setting.definition.display(), setting.data.display());
    let eval = luge("eval -m atlas").arg("--out").arg(setting.folder.path("torn"));
    let eval = eval.arg(&setting.definition).arg(&setting.written).arg("--data").arg(named);
    let outcome = eval.flags("--limit 3 --methods").flags(METHODS).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(outcome.stderr.contains("cut off in the middle"), "{outcome:#?}");
    assert!(outcome.stderr.contains("6 documents, 5 of them done before"), "{outcome:#?}");
    setting.folder.assert_same("torn", "whole");
}

#[test]
fn ctrl_c_says_how_to_go_on() {
    let setting = Setting::new();
    let mut child = setting.started("out", "--methods greedy,ensemble,dola,sled,sled+dola", 1);
    signal(&child, "INT");
    let stderr = collect(child.stderr.take().unwrap());
    assert_eq!(wait(&mut child).unwrap().code(), Some(130));
    // What went wrong is said with -q too: nothing did.
    assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
    assert!(!setting.folder.path("out").join("results.json").exists());
}

#[test]
fn another_run_and_another_process_are_refused() {
    let setting = Setting::new();
    setting.run("out", "--limit 1").stdout();
    for (flags, difference) in [
        ("--limit 2", "limit"),
        ("--limit 1 --scoring reference", "scoring"),
        ("--limit 1 --seed 3", "seed"),
        ("--limit 1 --methods greedy", "method"),
        ("--limit 1 -c 256", "ctx_size"),
    ] {
        let message = setting.run("out", flags).failure(2);
        assert!(message.contains("is the log of another run ("), "{message}");
        assert!(message.contains(difference) && message.contains("--out"), "{message}");
    }
    let log = fs::File::open(setting.folder.path("out").join(LOG)).unwrap();
    log.lock().unwrap();
    let message = setting.run("out", "--limit 1").failure(1);
    assert!(message.contains("another luge is writing"), "{message}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let setting = Setting::new();
    let message = setting.run("capitals.csv", "--limit 1").failure(1);
    assert!(message.contains("cannot make the folder") && message.contains("--out"), "{message}");
    let folder = setting.folder.path("capitals.csv");
    assert!(message.contains(&*folder.to_string_lossy()), "{message}");
}

#[test]
fn a_full_disk_is_told_and_the_run_goes_on_later() {
    let setting = Setting::new();
    setting.run("whole", "").stdout();
    // So much in a file, in blocks of 512 bytes or 1024, and no signal at its end.
    let limited = setting.run("out", "").in_shell("trap '' XFSZ; ulimit -f 16 && exec \"$@\"");
    let message = limited.failure(1);
    assert!(message.contains("cannot write the log"), "{message}");
    let documents = setting.folder.documents("out", LOG);
    assert!((1..19).contains(&documents), "{documents}");
    setting.run("out", "").stdout();
    setting.folder.assert_same("out", "whole");
}

/// Without `--out` the folder is named for what is run.
#[test]
fn each_run_has_a_folder_of_its_own() {
    let setting = Setting::new();
    let run = |flags: &str| {
        let luge = bare_luge().flags("eval -m atlas atlas").flags(flags);
        let cd = format!("cd '{}' && exec \"$@\"", setting.folder.path("").display());
        let outcome = luge.in_shell(&cd).outcome();
        assert!(outcome.status.success(), "{outcome:#?}");
        outcome.stderr
    };
    let folders = || -> Vec<String> {
        let entries = fs::read_dir(setting.folder.path("luge-eval")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert!(!run("--limit 2 --methods greedy").contains("done before"));
    assert!(run("--limit 2 --methods greedy").contains("2 of them done before"));
    // What changes no result makes no other run.
    assert!(run("--limit 2 --methods greedy --threads 2").contains("2 of them done before"));
    assert_eq!(folders().len(), 1);
    assert!(folders()[0].starts_with("atlas-atlas-"), "{:?}", folders());
    assert!(!run("--limit 3 --methods greedy").contains("done before"));
    assert!(!run("--limit 2 --methods greedy,dola").contains("done before"));
    assert_eq!(folders().len(), 3);
}
