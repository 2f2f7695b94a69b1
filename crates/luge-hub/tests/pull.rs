//! Fetching models from a hub that does what it is told to.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use luge_hub::{Error, Event, Hub, HubName, Name, Progress, Settings};
use support::{Access, COMMIT, Fault, TestHub, checksum, wait_until};
use tempfile::TempDir;

const REPO: &str = "org/tiny-GGUF";

/// A hub with a home of its own.
struct Setting {
    server: TestHub,
    home: TempDir,
    token: Option<String>,
}

/// What happened, in words.
#[derive(Default)]
struct Heard(Vec<String>);

impl Progress for Heard {
    fn event(&mut self, event: Event<'_>) {
        self.0.push(match event {
            Event::Begin { file, size, done } => format!("begin {file} at {done} of {size}"),
            Event::End { file, .. } => format!("end {file}"),
            Event::Present { file } => format!("present {file}"),
            Event::Waiting { file } => format!("waiting for {file}"),
            Event::Retry { error, wait } => format!("retry in {} ms: {error}", wait.as_millis()),
            _ => return,
        });
    }
}

/// Bytes that are the same nowhere.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(byte).collect()
}

fn name(text: &str) -> HubName {
    match Name::parse(text.as_ref(), &BTreeMap::new()) {
        Ok(Name::Hub(name)) => name,
        other => panic!("{other:?}"),
    }
}

impl Setting {
    fn new() -> Self {
        Setting { server: TestHub::start(), home: tempfile::tempdir().unwrap(), token: None }
    }

    /// With a repository of two quantisations, one of them split.
    fn with_repo() -> (Self, Vec<u8>) {
        let setting = Setting::new();
        let q8 = content(8, 300_000);
        let files: [(&str, &[u8]); 5] = [
            ("README.md", b"# tiny"),
            ("tiny-Q8_0.gguf", &q8),
            ("tiny-F16-00001-of-00002.gguf", b"first"),
            ("tiny-F16-00002-of-00002.gguf", b"second"),
            ("mmproj-tiny-Q8_0.gguf", b"eyes"),
        ];
        setting.server.repo(REPO, &files);
        (setting, q8)
    }

    fn settings(&self) -> Settings {
        Settings {
            cache: self.home.path().join("hub"),
            endpoint: self.server.endpoint().to_owned(),
            token: self.token.clone(),
            offline: false,
            ollama: Vec::new(),
            retry: Duration::from_millis(1),
        }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.settings())
    }

    fn pull(&self, text: &str) -> Result<(PathBuf, Vec<String>), Error> {
        let (hub, name, stop) = (self.hub(), name(text), AtomicBool::new(false));
        let mut heard = Heard::default();
        let plan = hub.plan(&name, &mut heard, &stop)?;
        Ok((hub.fetch(&plan, &mut heard, &stop)?, heard.0))
    }

    fn refused(&self, text: &str) -> String {
        self.pull(text).unwrap_err().to_string()
    }

    fn repo_folder(&self) -> PathBuf {
        self.home.path().join("hub/models--org--tiny-GGUF")
    }

    fn part(&self, content: &[u8]) -> PathBuf {
        self.repo_folder().join("blobs").join(format!("{}.luge-part", checksum(content)))
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_comes_into_the_cache_that_others_share() {
    let (setting, q8) = Setting::with_repo();
    let (path, heard) = setting.pull(&format!("{REPO}:q8_0")).unwrap();
    assert_eq!(heard, ["begin tiny-Q8_0.gguf at 0 of 300000", "end tiny-Q8_0.gguf"]);
    let repo = setting.repo_folder();
    assert_eq!(path, repo.join("snapshots").join(COMMIT).join("tiny-Q8_0.gguf"));
    assert_eq!(fs::read(&path).unwrap(), q8);
    // As huggingface_hub has it: the link is relative, so that the cache can be moved.
    let link = fs::read_link(&path).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(checksum(&q8)));
    assert_eq!(names_in(&repo.join("blobs")), [checksum(&q8)]);
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);

    let found = setting.hub().find(&name(REPO)).unwrap().unwrap();
    assert_eq!(found.path(), path);
    // Again: nothing is fetched twice.
    let (_, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(heard, ["present tiny-Q8_0.gguf"]);
    assert_eq!(setting.server.ranges().len(), 1);
}

#[test]
fn a_split_model_comes_with_all_its_parts() {
    let (setting, _) = Setting::with_repo();
    let (path, heard) = setting.pull(&format!("{REPO}/tiny-F16-00002-of-00002.gguf")).unwrap();
    assert!(path.ends_with("tiny-F16-00001-of-00002.gguf"));
    assert_eq!(fs::read(path.with_file_name("tiny-F16-00002-of-00002.gguf")).unwrap(), b"second");
    assert_eq!(heard.len(), 4, "{heard:?}");
    // With a part lost it is not there any more.
    fs::remove_file(&path).unwrap();
    assert_eq!(setting.hub().find(&name(&format!("{REPO}:F16"))).unwrap(), None);
}

#[test]
fn a_split_model_without_all_parts_is_refused() {
    let setting = Setting::new();
    setting.server.repo(REPO, &[("a-00001-of-00003.gguf", b"1"), ("a-00003-of-00003.gguf", b"3")]);
    let message = setting.refused(REPO);
    assert!(message.contains("has 2 of 3 parts in its repository"), "{message}");
}

#[test]
fn folders_and_blanks_in_names() {
    let setting = Setting::new();
    setting.server.repo(REPO, &[("Q4 0/my model.gguf", b"x")]);
    let (path, _) = setting.pull(REPO).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
    assert!(fs::read_link(path).unwrap().starts_with("../../../blobs"));
}

#[test]
fn a_cut_connection_is_gone_on_from_where_it_was_cut() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(250_000));
    let (path, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
    let ranges = ["bytes=0-", "bytes=100000-", "bytes=100000-", "bytes=250000-"];
    assert_eq!(setting.server.ranges(), ranges.map(|range| Some(range.to_owned())));
    assert_eq!(heard.iter().filter(|what| what.starts_with("retry")).count(), 3, "{heard:?}");
}

/// An address of the storage is good for some time only.
#[test]
fn an_address_that_is_too_old_costs_nothing_of_what_came() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Status(403, Vec::new()));
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
    assert_eq!(setting.server.ranges()[2].as_deref(), Some("bytes=100000-"));
}

#[test]
fn a_part_of_another_file_is_begun_anew() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Status(416, Vec::new()));
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
    assert_eq!(setting.server.ranges()[2].as_deref(), Some("bytes=0-"));
}

#[test]
fn a_repository_that_has_moved_is_followed() {
    let (setting, q8) = Setting::with_repo();
    let to = |path: &str| Fault::Redirect(format!("/{path}"));
    setting.server.fault("/api/models/org/old", to("api/models/org/tiny-GGUF/revision/main"));
    let path = format!("{REPO}/resolve/{COMMIT}/tiny-Q8_0.gguf");
    // What the old place says of the file counts less than what the new one does.
    let old = [("location", format!("/{path}")), ("x-linked-size", "1".to_owned())];
    setting.server.fault("HEAD /org/old/resolve", Fault::Status(307, old.to_vec()));
    setting.server.fault("GET /org/old/resolve", to(&path));
    let (path, _) = setting.pull("org/old:Q8_0").unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
}

#[test]
fn a_connection_that_is_always_cut_leaves_a_part_for_the_next_time() {
    let (setting, q8) = Setting::with_repo();
    for _ in 0..5 {
        setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(123_456));
    }
    let message = setting.refused(&format!("{REPO}:Q8_0"));
    assert!(message.contains("cut off at 123 kB of 300 kB"), "{message}");
    assert_eq!(fs::read(setting.part(&q8)).unwrap(), q8[..123_456]);
    // The next time, by another process for all it knows.
    let (path, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(heard[0], "begin tiny-Q8_0.gguf at 123456 of 300000");
    assert_eq!(fs::read(path).unwrap(), q8);
    assert!(!setting.part(&q8).exists());
}

#[test]
fn a_part_that_is_whole_needs_no_request() {
    let (setting, q8) = Setting::with_repo();
    fs::create_dir_all(setting.part(&q8).parent().unwrap()).unwrap();
    fs::write(setting.part(&q8), &q8).unwrap();
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
    assert!(setting.server.ranges().is_empty());
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::NoRange);
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
}

/// Such as the page of a proxy, or a mirror that is not up to date.
#[test]
fn an_answer_of_another_size_costs_nothing_of_what_came() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Status(200, Vec::new()));
    let message = setting.refused(&format!("{REPO}:Q8_0"));
    assert!(message.contains("a file of another size"), "{message}");
    assert_eq!(fs::read(setting.part(&q8)).unwrap(), q8[..100_000]);
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(fs::read(path).unwrap(), q8);
}

/// A server that brings the same again and again would have it fetched for ever.
#[test]
fn what_comes_a_second_time_is_no_progress() {
    let (setting, _) = Setting::with_repo();
    for _ in 0..20 {
        setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(100_000));
        setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Status(416, Vec::new()));
    }
    assert!(setting.refused(&format!("{REPO}:Q8_0")).contains("cut off"));
    assert!(setting.server.ranges().len() <= 6);
}

#[test]
fn what_came_is_checked_and_removed_if_it_is_damaged() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Damage);
    let message = setting.refused(&format!("{REPO}:Q8_0"));
    assert!(
        message.contains("damaged on its way") && message.contains(&checksum(&q8)),
        "{message}"
    );
    assert!(names_in(&setting.repo_folder().join("blobs")).is_empty());
    assert_eq!(setting.hub().find(&name(REPO)).unwrap(), None);
    assert_eq!(fs::read(setting.pull(REPO).unwrap().0).unwrap(), q8);
}

/// The beginning of the part is checked too: it is whatever lies there.
#[test]
fn a_damaged_part_does_not_become_a_model() {
    let (setting, q8) = Setting::with_repo();
    fs::create_dir_all(setting.part(&q8).parent().unwrap()).unwrap();
    fs::write(setting.part(&q8), vec![7; 1000]).unwrap();
    assert!(setting.refused(&format!("{REPO}:Q8_0")).contains("damaged"));
    // One that is too long is begun anew at once.
    fs::write(setting.part(&q8), vec![7; 400_000]).unwrap();
    assert_eq!(fs::read(setting.pull(REPO).unwrap().0).unwrap(), q8);
}

#[test]
fn a_hub_that_is_busy_is_asked_again() {
    let (setting, _) = Setting::with_repo();
    let status = |status| Fault::Status(status, Vec::new());
    setting.server.fault("GET /api", status(500));
    setting.server.fault("HEAD", status(503));
    setting.server.fault("HEAD", Fault::Status(429, vec![("retry-after", "0".to_owned())]));
    setting.server.fault("GET /org/tiny-GGUF/resolve", status(502));
    // An address of the storage that is too old: the hub makes another.
    setting.server.fault("GET /org/tiny-GGUF/tiny", status(403));
    let (_, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(heard.iter().filter(|what| what.starts_with("retry")).count(), 5, "{heard:?}");
}

#[test]
fn how_long_to_wait_is_the_hubs_to_say() {
    let (setting, _) = Setting::with_repo();
    setting.server.fault("GET /api", Fault::Status(429, vec![("retry-after", "1".to_owned())]));
    let (_, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert!(heard[0].starts_with("retry in 1000 ms"), "{heard:?}");
    setting.server.fault("GET /api", Fault::Status(429, vec![("retry-after", "3600".to_owned())]));
    let message = setting.refused(REPO);
    assert!(message.contains("wait 3600 seconds") && message.contains("HF_TOKEN"), "{message}");
}

#[test]
fn a_hub_that_stays_broken_says_so() {
    let (setting, _) = Setting::with_repo();
    for _ in 0..5 {
        setting.server.fault("GET /api", Fault::Status(500, Vec::new()));
    }
    assert!(setting.refused(REPO).contains("error 500 (internal error)"));
    for answer in [Fault::Status(200, Vec::new()), Fault::Redirect("file:///etc/passwd".to_owned())]
    {
        setting.server.fault("GET /api", answer);
        assert!(setting.refused(REPO).contains("HF_ENDPOINT"));
    }
    let asked = setting.server.requests().len();
    setting.server.fault("GET /api", Fault::Endless);
    assert!(setting.refused(REPO).contains("larger than"));
    assert_eq!(setting.server.requests().len(), asked + 1);
}

#[test]
fn the_token_opens_the_hub_and_never_leaves_it() {
    let (mut setting, _) = Setting::with_repo();
    setting.server.repo_for("org/gated-GGUF", Access::Gated("hf_good"), &[("a-Q4_0.gguf", b"x")]);
    let message = setting.refused("org/gated-GGUF");
    assert!(message.contains("HF_TOKEN") && message.contains("/org/gated-GGUF if"), "{message}");
    setting.token = Some("hf_other".to_owned());
    let message = setting.refused("org/gated-GGUF");
    assert!(message.contains("not open to your token"), "{message}");
    setting.token = Some("hf_good".to_owned());
    setting.pull("org/gated-GGUF").unwrap();

    let requests = setting.server.requests();
    let (storage, hub): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.is_storage);
    assert!(!storage.is_empty() && storage.iter().all(|request| request.token.is_none()));
    assert!(hub.iter().any(|request| request.token.as_deref() == Some("Bearer hf_good")));
}

#[test]
fn a_token_that_is_none_is_told_so() {
    let (mut setting, _) = Setting::with_repo();
    setting.token = Some("hf_old".to_owned());
    let code = ("x-error-code", "RepoNotFound".to_owned());
    let said = ("x-error-message", "Invalid credentials in Authorization header".to_owned());
    for headers in [Vec::new(), vec![code, said]] {
        setting.server.fault("GET /api", Fault::Status(401, headers));
        assert!(setting.refused(REPO).contains("is not valid"));
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let (mut setting, _) = Setting::with_repo();
    setting.server.repo("org/original", &[("model.safetensors", b"x")]);
    let said = [
        ("org/none", "no repository 'org/none'", "if it is private, set HF_TOKEN"),
        ("org/original", "no GGUF model", "original-GGUF"),
        ("org/tiny-GGUF@v9", "no revision 'v9'", "leave it out"),
        ("org/tiny-GGUF:Q4_K_M", "quantisation 'Q4_K_M'", "there are Q8_0, F16"),
        ("org/tiny-GGUF/tiny-Q80.gguf", "file 'tiny-Q80.gguf'", "tiny-Q8_0.gguf"),
    ];
    for (name, what, hint) in said {
        let message = setting.refused(name);
        assert!(message.contains(what) && message.contains(hint), "{message}");
    }
    setting.token = Some("hf_good".to_owned());
    assert!(setting.refused("org/none").contains("your HF_TOKEN may not see it"));
}

#[test]
fn a_revision_is_kept_apart_from_main() {
    let (setting, _) = Setting::with_repo();
    let (path, _) = setting.pull(&format!("{REPO}@{COMMIT}:Q8_0")).unwrap();
    // A commit needs no reference.
    assert!(!setting.repo_folder().join("refs").exists());
    let short = name(&format!("{REPO}@{}", &COMMIT[..7]));
    assert_eq!(setting.hub().find(&short).unwrap().unwrap().path(), path);
    assert_eq!(setting.hub().find(&name(&format!("{REPO}@v2"))).unwrap(), None);
    // Without a revision whatever is there will do.
    assert_eq!(setting.hub().find(&name(REPO)).unwrap().unwrap().path(), path);
}

#[test]
fn there_must_be_room() {
    let (setting, _) = Setting::with_repo();
    setting.server.fault("HEAD", Fault::Size(1 << 60));
    let message = setting.refused(&format!("{REPO}:Q8_0"));
    assert!(message.contains("no room") && message.contains("1153 PB"), "{message}");
    assert!(!setting.part(&content(8, 300_000)).exists());
    assert!(setting.server.ranges().is_empty());
}

#[test]
fn no_hub_at_all() {
    let setting = Setting::new();
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub::new(Settings { endpoint: format!("http://{free}"), ..setting.settings() });
    let error = hub.plan(&name(REPO), &mut (), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(
        error.contains(&format!("cannot reach {free}")) && error.contains("network"),
        "{error}"
    );
    // No name can be this long: no one is asked for it. A password is for no one's eyes.
    let hub = |endpoint: String| Hub::new(Settings { endpoint, ..setting.settings() });
    let refused = |endpoint: String| {
        let mut heard = Heard::default();
        let error = hub(endpoint).plan(&name(REPO), &mut heard, &AtomicBool::new(false));
        assert!(heard.0.is_empty(), "{:?}", heard.0);
        error.unwrap_err().to_string()
    };
    let long = "a".repeat(64);
    let error = refused(format!("http://me:secret@{long}"));
    assert!(error.starts_with(&format!("cannot reach {long} (no such host")), "{error}");
    assert!(refused("http://".to_owned()).contains("HF_ENDPOINT is 'http://'"));
}

#[test]
fn offline_only_what_is_there_is_there() {
    let (setting, _) = Setting::with_repo();
    let offline = || Hub::new(Settings { offline: true, ..setting.settings() });
    let refused = |text: &str| {
        let error = offline().plan(&name(text), &mut (), &AtomicBool::new(false));
        error.unwrap_err().to_string()
    };
    assert!(refused(REPO).contains("not on this machine, and luge is offline"));
    setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert!(refused(&format!("{REPO}:F16")).ends_with("; there is org/tiny-GGUF:Q8_0"));
    assert!(offline().find(&name(REPO)).unwrap().is_some());
}

#[test]
fn whoever_stops_keeps_what_came() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Halt(200_000));
    let stop = AtomicBool::new(false);
    let hub = setting.hub();
    let plan = hub.plan(&name(&format!("{REPO}:Q8_0")), &mut (), &stop).unwrap();
    let result = thread::scope(|scope| {
        let fetch = scope.spawn(|| hub.fetch(&plan, &mut (), &stop));
        let part = setting.part(&q8);
        wait_until("200000 bytes", || fs::metadata(&part).is_ok_and(|part| part.len() == 200_000));
        stop.store(true, Ordering::Relaxed);
        setting.server.release();
        fetch.join().unwrap()
    });
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    assert_eq!(fs::read(setting.part(&q8)).unwrap(), q8[..200_000]);
}

#[test]
fn a_file_is_fetched_once_however_many_want_it() {
    let (setting, q8) = Setting::with_repo();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Halt(100_000));
    let pull = || setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(pull);
        setting.server.wait_for_halt();
        let second = scope.spawn(pull);
        // The second has asked for the file's checksum, and cannot get the lock.
        let heads =
            || setting.server.requests().iter().filter(|asked| asked.method == "HEAD").count();
        wait_until("two requests", || heads() == 2);
        setting.server.release();
        for (path, _) in [first.join().unwrap(), second.join().unwrap()] {
            assert_eq!(fs::read(path).unwrap(), q8);
        }
    });
    assert_eq!(setting.server.ranges().len(), 1);
}

/// Another process has fetched it, and removed it again.
#[test]
fn a_repository_may_be_removed_while_one_waits_for_it() {
    struct Waiting(fs::File, PathBuf, usize);
    impl Progress for Waiting {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Waiting { .. } = event {
                // There is a folder only if someone has made it.
                let _ = fs::remove_dir_all(&self.1);
                self.0.unlock().unwrap();
                self.2 += 1;
            }
        }
    }
    let (setting, q8) = Setting::with_repo();
    let locks = setting.home.path().join("hub/.locks/models--org--tiny-GGUF");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{}.lock", checksum(&q8)))).unwrap();
    lock.lock().unwrap();
    let mut waiting = Waiting(lock, setting.repo_folder(), 0);
    let (hub, stop) = (setting.hub(), AtomicBool::new(false));
    let plan = hub.plan(&name(&format!("{REPO}:Q8_0")), &mut (), &stop).unwrap();
    let path = hub.fetch(&plan, &mut waiting, &stop).unwrap();
    assert_eq!((fs::read(path).unwrap(), waiting.2), (q8, 1));
}

#[test]
fn a_newer_state_shares_what_has_not_changed() {
    let (setting, q8) = Setting::with_repo();
    setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    let newer = "fedcba9876543210fedcba9876543210fedcba98";
    let files: [(&str, &[u8]); 2] = [("tiny-Q8_0.gguf", &q8), ("tiny-Q4_0.gguf", b"new")];
    setting.server.repo_at(REPO, newer, Access::Open, &files);
    let (path, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(heard, ["present tiny-Q8_0.gguf"]);
    assert!(path.to_str().unwrap().contains(newer));
    // Two snapshots, one content: one model.
    assert_eq!(setting.hub().cached().len(), 1);

    // Removing it from one snapshot frees nothing, then removing it from the other all.
    let remove = |text: &str| setting.hub().removal(&name(text)).unwrap();
    let first = remove(&format!("{REPO}@{newer}"));
    assert_eq!((first.bytes(), first.shared), (0, 300_000));
    first.remove().unwrap();
    let second = remove(REPO);
    assert_eq!((second.bytes(), second.shared), (300_000, 0));
    second.remove().unwrap();
    assert!(!setting.repo_folder().exists());
}

/// One row of the list goes at once, whatever the repository's state was at each pull.
#[test]
fn a_model_is_removed_from_every_snapshot_that_has_it() {
    let (setting, q8) = Setting::with_repo();
    setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    let newer = "fedcba9876543210fedcba9876543210fedcba98";
    let copy = "other/name.gguf";
    let files: [(&str, &[u8]); 2] = [("tiny-Q8_0.gguf", &q8), (copy, &q8)];
    setting.server.repo_at(REPO, newer, Access::Open, &files);
    setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    let removal = setting.hub().removal(&name(&format!("{REPO}:Q8_0"))).unwrap();
    assert_eq!((removal.bytes(), removal.shared), (300_000, 0));
    // Under another name it is another model.
    setting.pull(&format!("{REPO}/{copy}")).unwrap();
    let removal = setting.hub().removal(&name(&format!("{REPO}:Q8_0"))).unwrap();
    assert_eq!((removal.bytes(), removal.shared), (0, 300_000));
    removal.remove().unwrap();
    assert_eq!(names_in(&setting.repo_folder().join("snapshots")), [newer]);
    assert_eq!(setting.hub().removal(&name(REPO)).unwrap().remove().unwrap(), 300_000);
    assert!(!setting.repo_folder().exists());
}

#[cfg(unix)]
#[test]
fn nothing_is_removed_that_is_not_the_caches() {
    use std::os::unix::fs::symlink;

    let (setting, q8) = Setting::with_repo();
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    // A blob on another disk, a file of someone's own linked in, and others around.
    let blob = setting.repo_folder().join("blobs").join(checksum(&q8));
    let (moved, own) = (setting.home.path().join("moved"), setting.home.path().join("own.gguf"));
    fs::rename(&blob, &moved).unwrap();
    symlink(&moved, &blob).unwrap();
    fs::write(&own, "mine").unwrap();
    symlink(&own, path.with_file_name("own-Q4_0.gguf")).unwrap();
    let deep = path.parent().unwrap().join("a/b/c/d/e/f");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("g"), "deep").unwrap();
    fs::write(setting.repo_folder().join("notes"), "mine").unwrap();

    for tag in ["Q4_0", "Q8_0"] {
        let removal = setting.hub().removal(&name(&format!("{REPO}:{tag}"))).unwrap();
        assert!(removal.bytes() < 1000);
        removal.remove().unwrap();
    }
    assert!(!path.exists() && fs::symlink_metadata(blob).is_err());
    assert_eq!(fs::read(moved).unwrap(), q8);
    assert_eq!(fs::read(own).unwrap(), b"mine");
    assert_eq!(fs::read(deep.join("g")).unwrap(), b"deep");
    assert!(setting.repo_folder().join("notes").exists());
}

/// Drives without links, and Windows for most.
#[test]
fn where_there_are_no_links_a_model_is_not_fetched_again() {
    let (setting, q8) = Setting::with_repo();
    let (path, _) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    let blob = setting.repo_folder().join("blobs").join(checksum(&q8));
    fs::remove_file(&path).unwrap();
    fs::rename(&blob, &path).unwrap();
    let (again, heard) = setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(heard, ["present tiny-Q8_0.gguf"]);
    assert_eq!(fs::read(again).unwrap(), q8);
    assert_eq!(setting.hub().removal(&name(REPO)).unwrap().remove().unwrap(), 300_000);
    assert!(!setting.repo_folder().exists());
}

#[test]
fn removing_asks_for_one_model_and_takes_what_was_left_of_downloads() {
    let (setting, q8) = Setting::with_repo();
    setting.pull(&format!("{REPO}:Q8_0")).unwrap();
    setting.pull(&format!("{REPO}:F16")).unwrap();
    let refused = |text: &str| setting.hub().removal(&name(text)).unwrap_err().to_string();
    assert!(refused(REPO).contains("name one of org/tiny-GGUF:F16, org/tiny-GGUF:Q8_0"));
    assert!(refused(&format!("{REPO}:Q4_0")).contains("not in the cache"));
    setting.hub().removal(&name(&format!("{REPO}:F16"))).unwrap().remove().unwrap();
    assert_eq!(names_in(&setting.repo_folder().join("blobs")), [checksum(&q8)]);
    fs::write(setting.repo_folder().join("blobs/abc.luge-part"), b"part").unwrap();
    let last = setting.hub().removal(&name(REPO)).unwrap();
    assert_eq!(last.bytes(), 300_004);
    last.remove().unwrap();
    assert!(!setting.repo_folder().exists());
}

#[test]
fn what_an_interrupted_download_left_can_be_removed() {
    let (setting, _) = Setting::with_repo();
    for _ in 0..5 {
        setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Cut(1000));
    }
    setting.refused(&format!("{REPO}:Q8_0"));
    // Not while it is being fetched.
    let locks = setting.home.path().join("hub/.locks/models--org--tiny-GGUF");
    let lock = fs::File::open(locks.join(&names_in(&locks)[0])).unwrap();
    lock.lock().unwrap();
    assert!(matches!(setting.hub().removal(&name(REPO)), Err(Error::NotCached { .. })));
    lock.unlock().unwrap();
    let rest = setting.hub().removal(&name(REPO)).unwrap();
    assert!(rest.is_rest);
    assert_eq!(rest.remove().unwrap(), 1000);
    assert!(!setting.repo_folder().exists());
}
