//! Where a task's data come from: a file, a folder, Hugging Face.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Folder, capitals, written};
use crate::hub::TestHub;
use crate::support::{Luge, luge};

const TRUTHFUL: &str = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n\
    Adversarial,Places,What is the capital of France?,Paris,Paris; It is Paris,Rome; Madrid,none\n";

#[test]
fn data_are_found_in_a_file_or_a_folder() {
    let folder = Folder::new();
    let file = folder.file("TruthfulQA.csv", TRUTHFUL);
    let here = folder.path("");
    let eval = |out: &str, tasks: &str| folder.eval(out).flags(tasks).flags("--methods greedy");
    eval("file", "truthfulqa-mc").arg("--data").arg(&file).stdout();
    eval("folder", "truthfulqa-mc").arg("--data").arg(&here).stdout();
    let named = format!("truthfulqa-mc={}", file.display());
    eval("named", "truthfulqa-mc atlas --limit 1").arg("--data").arg(named).stdout();
    let of = |out: &str| folder.results(out)["tasks"][0].clone();
    assert_eq!(of("file"), of("folder"));
    assert_eq!(of("file"), of("named"));
    assert_eq!(of("file")["documents"], 1);

    // Under names that people have as well.
    let row = "[{\"qid\": \"1\", \"question\": \"Is Paris in France?\", \"answer\": true}]";
    folder.file("strategyqa_dev.json", row);
    let primer = folder.file("primer.txt", "");
    let strategy = eval("strategy", "strategyqa -n 4").arg("--data").arg(&here);
    strategy.arg("--primer").arg(primer).stdout();
    assert_eq!(of("strategy")["documents"], 1);
}

#[test]
fn data_that_are_not_there_are_told() {
    let folder = Folder::new();
    let (definition, data) = capitals(&folder);
    let own = written(&folder);
    let fails = |tasks: &str, data: &str, code: i32| {
        folder.eval("out").flags(tasks).arg("--data").arg(data).failure(code)
    };
    let here = folder.path("").display().to_string();
    let message = fails("truthfulqa-mc", &here, 1);
    assert!(message.contains("TruthfulQA.csv") && message.contains("--data"), "{message}");
    assert!(fails("truthfulqa-mc", "nothing.csv", 1).contains("cannot read 'nothing.csv'"));
    let csv = data.display().to_string();
    let message = fails("truthfulqa-mc factor-news", &csv, 2);
    assert!(message.contains("--data truthfulqa-mc=PATH"), "{message}");
    // What does nothing is a mistake.
    let message = fails(&own.display().to_string(), &here, 2);
    assert!(message.contains("does nothing"), "{message}");
    let message = fails("atlas", &format!("gsm8k={csv}"), 2);
    assert!(message.contains("for a task that is not asked"), "{message}");
    let message = fails(&own.display().to_string(), &format!("{}={csv}", own.display()), 2);
    assert!(message.contains("does nothing"), "{message}");

    let message = folder.eval("out").flags("factor-wiki").failure(2);
    assert!(message.contains("--data") && message.contains("wiki_factor.csv"), "{message}");
    let message = folder.eval("out").arg(definition).failure(2);
    assert!(message.contains("the data of capitals are not at hand"), "{message}");
    let message = folder.eval("out").flags("atlas atlas").failure(2);
    assert!(message.contains("the task atlas is named twice"), "{message}");
    let message = folder.eval("out").flags("atlas --primer nothing.txt").failure(1);
    assert!(message.contains("nothing.txt"), "{message}");
}

/// A hub with the data of TriviaQA, of which one row has no question.
pub struct Trivia {
    pub server: TestHub,
    pub home: TempDir,
}

const REPO: &str = "datasets/mandarjoshi/trivia_qa";
const FILE: &str = "rc.nocontext/validation-00000-of-00001.parquet";

impl Trivia {
    pub fn new() -> Self {
        let trivia = Trivia { server: TestHub::start(), home: tempfile::tempdir().unwrap() };
        let data = "../luge-eval/tests/data/zstd.parquet";
        let data = fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(data)).unwrap();
        trivia.server.repo(REPO, &[(FILE, &data)]);
        trivia
    }

    pub fn with(&self, luge: Luge) -> Luge {
        luge.home(self.home.path()).env("HF_ENDPOINT", self.server.endpoint())
    }

    fn eval(&self) -> Luge {
        let out = self.home.path().join("out");
        self.with(luge("eval -q -m atlas triviaqa --methods greedy,dola").arg("--out").arg(out))
    }
}

#[test]
fn a_dataset_is_fetched_if_that_was_said_and_then_is_there() {
    let trivia = Trivia::new();
    let message = trivia.eval().failure(2);
    assert!(message.contains("give --yes") && message.contains("--data"), "{message}");
    let message = trivia.eval().flags("--offline").failure(1);
    assert!(message.contains("luge is offline"), "{message}");
    assert!(trivia.server.requests().is_empty());

    let text = trivia.eval().flags("--yes").stdout();
    assert!(text.contains("TriviaQA, closed book; 2 documents"), "{text}");
    assert!(text.contains("1 row could not be asked; it is in no number"), "{text}");
    let requests = trivia.server.requests().len();
    assert_eq!(trivia.eval().stdout().replace(' ', ""), text.replace(' ', ""));
    trivia.eval().flags("--offline").stdout();
    assert_eq!(trivia.server.requests().len(), requests);
}

#[test]
fn a_dataset_may_be_named_as_data() {
    let trivia = Trivia::new();
    let name = format!("{REPO}/{FILE}");
    let missing = format!("{REPO}/none.parquet");
    let message = trivia.eval().arg("--data").arg(missing).flags("--yes").failure(1);
    assert!(message.contains("none.parquet"), "{message}");
    let out = trivia.home.path().join("trivia");
    let named = luge("eval -q -m atlas triviaqa --methods greedy --yes").arg("--out").arg(out);
    let text = trivia.with(named.arg("--data").arg(name)).stdout();
    assert!(text.contains("2 documents"), "{text}");
}
