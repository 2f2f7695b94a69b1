//! Models of Hugging Face: fetched, used by name, and removed, from a hub of the tests'
//! own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::hub::{Fault, TestHub, checksum, wait_until};
use crate::support::{Luge, PROMPT, bare_luge, collect, luge, model, run, wait};

pub const REPO: &str = "org/tiny-GGUF";
const NAME: &str = "org/tiny-GGUF:Q8_0";

/// A hub with the models of the parity set, and a home of its own.
pub struct Setting {
    pub server: TestHub,
    pub home: TempDir,
}

impl Setting {
    pub fn new() -> Self {
        let setting = Setting { server: TestHub::start(), home: tempfile::tempdir().unwrap() };
        let [llama, gpt2] = ["llama", "gpt2"].map(|name| fs::read(model(name)).unwrap());
        let files: [(&str, &[u8]); 3] =
            [("README.md", b"# tiny"), ("tiny-Q8_0.gguf", &llama), ("tiny-F16.gguf", &gpt2)];
        setting.server.repo(REPO, &files);
        setting
    }

    /// A command with this hub and home.
    pub fn with(&self, luge: Luge) -> Luge {
        luge.home(self.home.path()).env("HF_ENDPOINT", self.server.endpoint())
    }

    pub fn luge(&self, flags: &str) -> Luge {
        self.with(bare_luge().flags(flags))
    }

    fn run(&self, flags: &str) -> Luge {
        self.with(luge("run").flags("-n 8 -p").arg(PROMPT).flags(flags))
    }

    pub fn cache(&self) -> PathBuf {
        self.home.path().join("Library/Caches/huggingface/hub")
    }

    fn repo_folder(&self) -> PathBuf {
        self.cache().join("models--org--tiny-GGUF")
    }

    /// What there is of the model while it is fetched.
    fn part(&self) -> PathBuf {
        let content = fs::read(model("llama")).unwrap();
        self.repo_folder().join("blobs").join(format!("{}.luge-part", checksum(&content)))
    }

    /// Starts to pull, and waits until this much of the model has come.
    fn pulling(&self, bytes: usize) -> Child {
        self.server.fault("GET /org/tiny-GGUF/tiny-Q8_0", Fault::Halt(bytes));
        let child = self.luge("pull").arg(NAME).spawn();
        self.server.wait_for_halt();
        let part = self.part();
        let is_there = || fs::metadata(&part).is_ok_and(|part| part.len() == bytes as u64);
        wait_until("the beginning of the model", is_there);
        child
    }
}

/// What the model in Q8_0 says: it is the same file.
fn answer() -> String {
    run(model("llama")).flags("-n 8").arg(PROMPT).stdout()
}

#[test]
fn a_model_is_pulled_and_then_used_by_its_name() {
    let setting = Setting::new();
    let outcome = setting.luge("pull").arg(NAME).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(
        outcome.stderr,
        "luge: fetching tiny-Q8_0.gguf (137 kB)\nluge: tiny-Q8_0.gguf is there, 137 kB\n"
    );
    let path = Path::new(outcome.stdout.trim_end());
    assert_eq!(fs::read(path).unwrap(), fs::read(model("llama")).unwrap());
    assert!(path.starts_with(setting.repo_folder()));

    // From here on without the hub, however it is written.
    let requests = setting.server.requests().len();
    let names = [NAME, REPO, "hf:org/tiny-GGUF:q8_0", "org/tiny-GGUF/tiny-Q8_0.gguf"];
    for name in names {
        assert_eq!(setting.run("-m").flags(name).stdout(), answer(), "{name}");
    }
    assert_eq!(setting.run("--offline -m").flags(NAME).stdout(), answer());
    assert_eq!(setting.run("--format json -m").flags(NAME).stdout().matches(NAME).count(), 1);
    assert_eq!(setting.server.requests().len(), requests);
    // Pulled again, it is looked for anew, and not fetched.
    let again = setting.luge("pull").arg(NAME).outcome();
    assert_eq!((again.stdout, again.stderr.as_str()), (outcome.stdout, ""));
}

#[test]
fn a_model_is_fetched_at_its_first_use_if_that_was_said() {
    let setting = Setting::new();
    let outcome = setting.run("--yes -m").flags(NAME).outcome();
    assert_eq!(outcome.stdout, answer());
    assert!(outcome.stderr.contains("fetching tiny-Q8_0.gguf (137 kB)"), "{outcome:#?}");
}

#[test]
fn without_a_terminal_no_one_is_asked_and_nothing_fetched() {
    let setting = Setting::new();
    for command in ["run -m", "compare -m", "score -m", "lens -m", "bench -m", "show"] {
        let texts = match command {
            "score -m" => "a b",
            "bench -m" | "show" => "",
            _ => "a",
        };
        let message = setting.luge(command).arg(NAME).flags(texts).failure(2);
        assert!(message.contains("luge pull org/tiny-GGUF:Q8_0") && message.contains("--yes"));
    }
    assert!(setting.server.requests().is_empty());
}

#[test]
fn offline_nothing_is_asked_of_the_network() {
    let setting = Setting::new();
    let by_flag = setting.run("--offline -m").flags(NAME);
    let by_variable = setting.run("-m").flags(NAME).env("HF_HUB_OFFLINE", "1");
    let pull = || setting.luge("pull").arg(NAME);
    let pulls = [
        pull().env("HF_HUB_OFFLINE", "1"),
        pull().env("LUGE_OFFLINE", "1"),
        pull().flags("--offline"),
    ];
    for luge in [by_flag, by_variable].into_iter().chain(pulls) {
        assert!(luge.failure(1).contains("not on this machine, and luge is offline"));
    }
    assert!(setting.server.requests().is_empty());
    setting.luge("pull").arg(NAME).outcome();
    let pull = setting.luge("pull").arg(NAME).env("HF_HUB_OFFLINE", "1").stdout();
    assert!(pull.ends_with("tiny-Q8_0.gguf\n"));
}

#[test]
fn two_processes_fetch_a_model_once() {
    let setting = Setting::new();
    let mut first = setting.pulling(50_000);
    let mut second = setting.luge("pull").arg(NAME).spawn();
    let said = {
        use std::io::BufRead;
        let mut lines = std::io::BufReader::new(second.stderr.take().unwrap()).lines();
        lines.next().unwrap().unwrap()
    };
    assert_eq!(said, "luge: another process is fetching tiny-Q8_0.gguf: waiting for it");
    setting.server.release();
    let paths = [&mut first, &mut second].map(|child| {
        let stdout = collect(child.stdout.take().unwrap());
        assert!(wait(child).unwrap().success());
        String::from_utf8(stdout.join().unwrap()).unwrap()
    });
    assert_eq!(paths[0], paths[1]);
    assert_eq!(setting.server.ranges().len(), 1);
    assert_eq!(setting.run("-m").flags(NAME).stdout(), answer());
}

#[test]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    let setting = Setting::new();
    let mut child = setting.pulling(70_000);
    child.kill().unwrap();
    child.wait().unwrap();
    let outcome = setting.luge("pull").arg(NAME).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(outcome.stderr.contains("(137 kB, of which 70.0 kB are there)"), "{outcome:#?}");
    let ranges = ["bytes=0-", "bytes=70000-"].map(|range| Some(range.to_owned()));
    assert_eq!(setting.server.ranges(), ranges);
    assert_eq!(setting.run("-m").flags(NAME).stdout(), answer());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_came() {
    let setting = Setting::new();
    let mut child = setting.pulling(70_000);
    let kill = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
    assert!(kill.unwrap().success());
    let stderr = collect(child.stderr.take().unwrap());
    assert_eq!(wait(&mut child).unwrap().code(), Some(130));
    let said = String::from_utf8(stderr.join().unwrap()).unwrap();
    assert!(
        said.ends_with("luge: what came is kept: the same command goes on from there\n"),
        "{said}"
    );
    assert_eq!(fs::metadata(setting.part()).unwrap().len(), 70_000);
}

#[test]
fn several_models_are_pulled_and_one_that_is_not_there_stops_none() {
    let setting = Setting::new();
    let names = "org/none org/tiny-GGUF:F16 org/tiny-GGUF:Q8_0";
    let outcome = setting.luge("pull").flags(names).outcome();
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:#?}");
    assert!(outcome.stderr.contains("luge: error: there is no repository 'org/none'"));
}

#[test]
fn trouble_is_told_while_it_passes() {
    let setting = Setting::new();
    let wait = Fault::Status(429, vec![("retry-after", "0".to_owned())]);
    setting.server.fault("GET /api", wait).fault("GET /org/tiny-GGUF/tiny", Fault::Cut(9000));
    let outcome = setting.luge("pull").arg(NAME).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    let said: Vec<&str> = outcome.stderr.lines().collect();
    assert!(said[0].ends_with("refuses more requests for now; once more in 0.0 s"), "{said:?}");
    assert!(
        said[2].contains("the connection to 127.0.0.1:") && said[2].ends_with("in 0.5 s"),
        "{said:?}"
    );
}

#[test]
fn what_cannot_be_had_is_told_in_a_sentence() {
    let setting = Setting::new();
    let refused = |name: &str, code: i32| setting.luge("pull").arg(name).failure(code);
    assert!(refused("org/tiny-GGUF:Q4_K_M", 1).ends_with("there are Q8_0, F16"));
    assert!(refused("org/tiny-GGUF@v2", 1).contains("no revision 'v2'"));
    assert!(refused("https://example.com/a.gguf", 2).contains("huggingface.co"));
    assert!(refused("atlas", 2).contains("built in"));
    let file = model("llama");
    assert!(refused(file.to_str().unwrap(), 2).contains("is a file"));
    assert!(refused("ollama:x", 2).contains("ollama pull x"));
    let dead = setting.luge("pull").arg(NAME).env("HF_ENDPOINT", "http://127.0.0.1:9");
    assert!(dead.failure(1).contains("cannot reach 127.0.0.1:9"));
}

#[test]
fn a_model_is_removed_and_what_it_freed_is_told() {
    let setting = Setting::new();
    setting.luge("pull").flags("org/tiny-GGUF:F16 org/tiny-GGUF:Q8_0").outcome();
    let refused = |flags: &str, code: i32| setting.luge("rm").flags(flags).failure(code);
    assert!(refused("org/tiny-GGUF --yes", 2).contains("org/tiny-GGUF:F16, org/tiny-GGUF:Q8_0"));
    assert!(refused("org/tiny-GGUF:F16", 2).contains("give --yes"));
    assert!(refused("org/other --yes", 1).contains("not in the cache"));
    let outcome = setting.luge("rm --yes org/tiny-GGUF:F16").outcome();
    assert_eq!(outcome.stderr, "luge: org/tiny-GGUF:F16 is removed: it frees 140 kB\n");
    assert_eq!(setting.run("-m").flags(REPO).stdout(), answer());
    let outcome = setting.luge("rm --yes").arg(REPO).outcome();
    assert_eq!(outcome.stderr, "luge: org/tiny-GGUF:Q8_0 is removed: it frees 137 kB\n");
    assert!(!setting.repo_folder().exists());
}

#[test]
fn only_models_of_the_cache_are_removed() {
    let setting = Setting::new();
    let refused = |name: &str| setting.luge("rm --yes").arg(name).failure(2);
    assert!(refused("ollama:llama3.2").contains("ollama rm llama3.2"));
    assert!(refused(model("llama").to_str().unwrap()).contains("a file of yours"));
    assert!(refused("atlas").contains("built in"));
    let missing = setting.luge("rm --yes none.gguf").failure(1);
    assert_eq!(missing, "there is no model file 'none.gguf'");
}
