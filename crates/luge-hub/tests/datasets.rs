//! Files of datasets, from a hub that does what it is told to: what is theirs alone. The
//! rest they share with models, and `pull.rs` has it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use luge_hub::{DatasetFile, Error, Hub, HubName, Name, Settings};
use support::{Access, COMMIT, Fault, TestHub, checksum, git_checksum};
use tempfile::TempDir;

const REPO: &str = "datasets/org/questions";
const PARQUET: &str = "org/questions/main/test 1.parquet";
const CSV: &str = "datasets/org/questions/data.csv";

/// A hub with a home of its own, and a dataset in it.
struct Setting {
    server: TestHub,
    home: TempDir,
    token: Option<String>,
    offline: bool,
}

impl Setting {
    fn new() -> Self {
        let (server, home) = (TestHub::start(), tempfile::tempdir().unwrap());
        let large = large();
        let files: [(&str, &[u8]); 4] = [
            ("README.md", b"# questions"),
            ("data.csv", b"question,answer\nWhy?,Because\n"),
            ("main/test 1.parquet", &large),
            ("model.gguf", b"a file that only looks like a model"),
        ];
        server.repo(REPO, &files);
        Setting { server, home, token: None, offline: false }
    }

    fn hub(&self) -> Hub {
        Hub::new(Settings {
            cache: self.home.path().join("hub"),
            endpoint: self.server.endpoint().to_owned(),
            token: self.token.clone(),
            offline: self.offline,
            ollama: Vec::new(),
            retry: Duration::from_millis(1),
        })
    }

    fn fetch(&self, text: &str) -> Result<PathBuf, Error> {
        let (hub, stop) = (self.hub(), AtomicBool::new(false));
        let plan = hub.plan_dataset(&name(text), &mut (), &stop)?;
        hub.fetch(&plan, &mut (), &stop)
    }

    fn refused(&self, text: &str) -> String {
        self.fetch(text).unwrap_err().to_string()
    }

    fn find(&self, text: &str) -> Option<PathBuf> {
        self.hub().find_dataset(&name(text))
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("hub/datasets--org--questions")
    }
}

fn name(text: &str) -> DatasetFile {
    DatasetFile::parse(text).unwrap()
}

fn large() -> Vec<u8> {
    (0..200_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_file_comes_into_the_cache_where_others_look_for_it() {
    let setting = Setting::new();
    assert_eq!(setting.find(PARQUET), None);
    let path = setting.fetch(PARQUET).unwrap();
    // As huggingface_hub has it.
    let folder = setting.folder();
    assert_eq!(path, folder.join("snapshots").join(COMMIT).join("main/test 1.parquet"));
    let blob = Path::new("../../../blobs").join(checksum(&large()));
    assert_eq!(fs::read_link(&path).unwrap(), blob);
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert!(setting.home.path().join("hub/.locks/datasets--org--questions").is_dir());
    assert_eq!(fs::read(&path).unwrap(), large());
    assert_eq!(setting.find(PARQUET), Some(path.clone()));
    // At this commit, too, and then nothing is asked for.
    assert_eq!(setting.find(&format!("org/questions@{COMMIT}/main/test 1.parquet")), Some(path));
    assert_eq!(setting.find("org/questions@other/main/test 1.parquet"), None);
    // Only what was asked for has come.
    assert_eq!(setting.find(CSV), None);
}

/// git itself keeps them, under a checksum of its own, and the hub sends them itself.
#[test]
fn small_files_are_checked_too() {
    let setting = Setting::new();
    let content = b"question,answer\nWhy?,Because\n";
    setting.server.fault("GET /datasets/org/questions/resolve", Fault::Damage);
    assert!(setting.refused(CSV).contains("damaged on its way"));
    let path = setting.fetch(CSV).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(fs::read_link(path).unwrap(), Path::new("../../blobs").join(git_checksum(content)));
}

#[test]
fn what_others_have_stored_is_found() {
    let setting = Setting::new();
    let snapshot = setting.folder().join("snapshots").join(COMMIT);
    fs::create_dir_all(snapshot.join("main")).unwrap();
    fs::write(snapshot.join("main/test 1.parquet"), "theirs").unwrap();
    assert_eq!(setting.find(PARQUET), Some(snapshot.join("main/test 1.parquet")));
    assert!(setting.server.requests().is_empty());
}

#[test]
fn a_cut_connection_is_gone_on_from_where_it_was_cut() {
    let setting = Setting::new();
    setting.server.fault("GET /datasets/org/questions/main", Fault::Cut(70_000));
    let path = setting.fetch(PARQUET).unwrap();
    assert_eq!(fs::read(path).unwrap(), large());
    assert_eq!(setting.server.ranges()[1].as_deref(), Some("bytes=70000-"));
    // And where the hub itself sends it.
    setting.server.fault("GET /datasets/org/questions/resolve", Fault::Cut(9));
    let path = setting.fetch(CSV).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"question,answer\nWhy?,Because\n");
}

#[test]
fn a_plan_knows_what_is_there() {
    let setting = Setting::new();
    let (hub, stop) = (setting.hub(), AtomicBool::new(false));
    let plan = |text: &str| hub.plan_dataset(&name(text), &mut (), &stop).unwrap();
    assert_eq!(plan(CSV).chosen, CSV);
    assert_eq!((plan(PARQUET).size(), plan(PARQUET).missing()), (200_000, 200_000));
    assert_eq!((plan(CSV).size(), plan(CSV).missing()), (29, 29));
    for text in [PARQUET, CSV] {
        setting.fetch(text).unwrap();
        assert_eq!(plan(text).missing(), 0);
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let mut setting = Setting::new();
    let message = setting.refused("org/questions/main/test.parquet");
    assert!(
        message.contains("'datasets/org/questions' has no file 'main/test.parquet'")
            && message.contains("main/test 1.parquet"),
        "{message}"
    );
    let message = setting.refused("org/nothing/a.csv");
    assert!(message.contains("there is no repository 'datasets/org/nothing'"), "{message}");
    let message = setting.refused("org/questions@v9/data.csv");
    assert!(message.contains("'datasets/org/questions' has no revision 'v9'"), "{message}");
    setting.fetch(CSV).unwrap();
    setting.offline = true;
    let before = setting.server.requests().len();
    let message = setting.refused(PARQUET);
    assert!(
        message.contains("luge is offline") && message.contains("there is data.csv"),
        "{message}"
    );
    assert!(setting.find(CSV).is_some());
    assert_eq!(setting.server.requests().len(), before);
}

#[test]
fn a_gate_is_told_with_the_datasets_page() {
    let mut setting = Setting::new();
    setting.server.repo_for(REPO, Access::Gated("hf_right"), &[("data.csv", b"a")]);
    let message = setting.refused(CSV);
    let page = format!("{}/datasets/org/questions", setting.server.endpoint());
    assert!(message.contains(&page) && message.contains("HF_TOKEN"), "{message}");
    setting.token = Some("hf_right".to_owned());
    setting.fetch(CSV).unwrap();
}

/// A dataset and a model may have one name, and what is in a dataset is no model.
#[test]
fn datasets_and_models_are_kept_apart() {
    let setting = Setting::new();
    let file = setting.fetch("org/questions/model.gguf").unwrap();
    let hub = setting.hub();
    let model = match Name::parse("org/questions".as_ref(), &Default::default()) {
        Ok(Name::Hub(name)) => name,
        other => panic!("{other:?}"),
    };
    let is_none = |name: &HubName| hub.find(name).unwrap().is_none();
    assert!(hub.cached().is_empty() && is_none(&model));
    assert!(matches!(hub.removal(&model), Err(Error::NotCached { .. })));
    // With a model of that name beside it.
    setting.server.repo("org/questions", &[("m-Q4_0.gguf", b"model")]);
    let stop = AtomicBool::new(false);
    let path = hub.fetch(&hub.plan(&model, &mut (), &stop).unwrap(), &mut (), &stop).unwrap();
    let names: Vec<String> = hub.cached().iter().map(|model| model.name.to_string()).collect();
    assert_eq!(names, ["org/questions:Q4_0"]);
    hub.removal(&model).unwrap().remove().unwrap();
    assert!(!path.exists() && file.exists());
    assert_eq!(setting.find("org/questions/model.gguf"), Some(file));
}
