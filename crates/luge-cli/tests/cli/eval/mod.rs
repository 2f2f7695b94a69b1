//! `luge eval`, as people use it, on the model that is built in.

mod questions;
mod real;
mod resume;
mod shards;
mod sources;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Luge, luge};

/// A folder of a test's own, with files of questions.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content; returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// `luge eval` on the built-in model, which says nothing of how far it is, into a
    /// folder of this name.
    pub fn eval(&self, out: &str) -> Luge {
        luge("eval -q -m atlas").arg("--out").arg(self.path(out))
    }

    pub fn text(&self, out: &str, name: &str) -> String {
        let path = self.path(out).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn results(&self, out: &str) -> Value {
        serde_json::from_str(&self.text(out, "results.json")).unwrap()
    }

    /// The reports of a run, each with its name, without what time it was and took.
    pub fn reports(&self, out: &str) -> Vec<(&'static str, String)> {
        let results = self.text(out, "results.json");
        let times = self.results(out)["times"].clone();
        let (before, _) = results.split_once("\"times\"").unwrap();
        let markdown = self.text(out, "report.md");
        let lines = markdown.lines().filter(|line| !line.contains(", finished "));
        let markdown: Vec<&str> = lines.collect();
        assert_eq!(markdown.len() + 1, self.text(out, "report.md").lines().count());
        // The page has the results as they are, in one line.
        let page = self.text(out, "report.html");
        let times = format!("\"times\":{times}");
        assert!(page.contains(&times), "{times}");
        let page = page.replace(&times, "");
        vec![
            ("results.json", before.to_owned()),
            ("report.md", markdown.join("\n")),
            ("report.html", page),
        ]
    }

    /// That two runs have come to the same, byte by byte, but for times.
    pub fn assert_same(&self, one: &str, other: &str) {
        for ((name, one), (_, other)) in self.reports(one).into_iter().zip(self.reports(other)) {
            if let Some((one, other)) = one.lines().zip(other.lines()).find(|(a, b)| a != b) {
                let at = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
                let part = |line: &str| {
                    let bytes = &line.as_bytes()[at.saturating_sub(60)..];
                    String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()
                };
                panic!("{name}: {:?} and {:?}", part(one), part(other));
            }
            assert_eq!(one.len(), other.len(), "{name}");
        }
    }

    /// Whole lines of a log behind its first.
    pub fn documents(&self, out: &str, log: &str) -> usize {
        let bytes = fs::read(self.path(out).join(log)).unwrap_or_default();
        bytes.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1)
    }
}

/// The lines of a task's problems in results.json: `own.csv, row 2 (line 3): has …`.
pub fn problems(results: &Value, task: usize) -> Vec<String> {
    let problems = results["tasks"][task]["problems"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    problems.iter().map(|own| text(&own["place"]) + ": " + &text(&own["what"])).collect()
}

/// Questions with choices and examples in front: a definition, and its data.
pub fn capitals(folder: &Folder) -> (PathBuf, PathBuf) {
    let definition = r#"
name = "capitals"
title = "Capitals"
about = "Which city is a country's capital?"
kind = "choice"

[fields]
question = "question"
category = "continent"
right = "right"
wrong = { column = "wrong", split = ";" }

[prompt]
description = "Answer with the name of a city."
question = "Q: {question}\nA:"
answer = " {answer}"

[[prompt.shots]]
question = "What is the capital of Egypt?"
answer = "Cairo"

[[prompt.shots]]
question = "What is the capital of Peru?"
answer = "Lima"

[judge]
metrics = ["acc", "acc_norm", "mc1", "mc2", "mc3"]
"#;
    let countries = [
        ("France", "Paris", "Lyon;Rome", "Europe"),
        ("Italy", "Rome", "Milan;Paris;Madrid", "Europe"),
        ("Japan", "Tokyo", "Kyoto;Beijing", "Asia"),
        ("Spain", "Madrid", "Barcelona;Lisbon", "Europe"),
        ("China", "Beijing", "Shanghai;Tokyo", "Asia"),
        ("Norway", "Oslo", "Bergen;Stockholm", "Europe"),
        ("Turkey", "Ankara", "Istanbul;Athens", "Asia"),
        ("Australia", "Canberra", "Sydney;Melbourne", "Oceania"),
        ("Canada", "Ottawa", "Toronto;Montreal", "America"),
        ("Brazil", "Brasilia", "Rio de Janeiro;Lima", "America"),
        ("Kenya", "Nairobi", "Mombasa;Cairo", "Africa"),
        ("Poland", "Warsaw", "Krakow;Berlin", "Europe"),
    ];
    let mut rows = "question,right,wrong,continent\n".to_owned();
    for (country, right, wrong, continent) in countries {
        rows += &format!("What is the capital of {country}?,{right},{wrong},{continent}\n");
    }
    // One that cannot be asked is in every run.
    rows += "What is the capital of Atlantis?,,Poseidonis,\n";
    (folder.file("capitals.toml", definition), folder.file("capitals.csv", rows))
}

/// Questions with written answers, and no examples.
pub fn written(folder: &Folder) -> PathBuf {
    let rows = [
        ("What is the capital of France?", "Paris"),
        ("What is the capital of Japan?", "Tokyo"),
        ("What is the chemical symbol of gold?", "Au"),
        ("Which planet is the largest?", "Jupiter"),
        ("Who wrote Hamlet?", "William Shakespeare"),
        ("What is the capital of Australia?", "Canberra"),
    ];
    let row = |(question, answer)| serde_json::json!({ "question": question, "answer": answer });
    let rows: Vec<String> = rows.map(|own| row(own).to_string()).into();
    folder.file("written.jsonl", rows.join("\n"))
}

/// What the log of a part is called.
pub fn log_name(shard: &str) -> String {
    format!("documents-{}.jsonl", shard.replace('/', "-of-"))
}

/// The files of the benchmarks, if they are beside the checkout; otherwise says so.
pub fn real() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no ../shared/data with the files of the benchmarks");
    None
}
