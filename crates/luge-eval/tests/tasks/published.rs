//! The benchmarks as they are published.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use luge_eval::{Ask, Document, Documents, Task};

/// A file of the benchmarks as they are published, where they lie beside the workspace.
fn published(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no {}", path.display());
    None
}

/// How many rows there are, what is wrong with which, and the beginnings of the first
/// question and the last.
fn excerpt(documents: &Documents) -> String {
    let good: Vec<&Document> = documents.rows.iter().flatten().collect();
    let mut text = format!("{} rows, {} questions\n", documents.rows.len(), good.len());
    for problem in documents.rows.iter().filter_map(|row| row.as_ref().err()) {
        writeln!(text, "{} {}", problem.place, problem.what).unwrap();
    }
    for document in [good.first(), good.last()].into_iter().flatten() {
        let short = |text: &str| {
            let start: String = text.chars().take(30).collect();
            let end: Vec<char> = text.chars().rev().take(12).collect();
            format!("{start:?}..{:?}", end.into_iter().rev().collect::<String>())
        };
        writeln!(text, "{} {:?} {}", document.id, document.category, short(&document.question))
            .unwrap();
        match &document.ask {
            Ask::Choice(candidates) => {
                let right = candidates.iter().filter(|candidate| candidate.right).count();
                let wrong = candidates.len() - right;
                writeln!(text, "  {right} right, {wrong} wrong").unwrap();
                for candidate in candidates.iter().filter(|candidate| candidate.best) {
                    writeln!(text, "  {}", short(&candidate.continuation)).unwrap();
                }
            }
            Ask::Answer(answers) => {
                for answer in answers {
                    writeln!(text, "  {}", short(answer)).unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn the_published_files_are_read() {
    for (task, file) in [
        ("truthfulqa-mc", "TruthfulQA.csv"),
        ("factor-news", "news_factor.csv"),
        ("factor-expert", "expert_factor.csv"),
        ("gsm8k", "gsm8k_test.jsonl"),
        ("strategyqa", "strategyqa_train.json"),
        ("strategyqa", "strategyqa_dev.json"),
    ] {
        let Some(path) = published(file) else { continue };
        let task = Task::builtin(task).unwrap();
        let documents = task.documents(&path, false).unwrap();
        insta::assert_snapshot!(file, excerpt(&documents));
        // None of our examples is a question of the benchmark.
        for shot in &task.header(None).shots {
            let is_asked = documents.rows.iter().flatten().any(|row| row.question == shot.question);
            assert!(!is_asked, "{}", shot.question);
        }
    }
}

#[test]
fn the_published_files_are_read_as_the_public_scripts_do() {
    if let Some(path) = published("TruthfulQA.csv") {
        let documents = Task::builtin("truthfulqa-mc").unwrap().documents(&path, true).unwrap();
        assert_eq!(documents.rows.iter().flatten().count(), 817);
        let padded = documents.rows.iter().flatten().filter(|row| row.question.contains(" \nA:"));
        assert_eq!(padded.count(), 1);
    }
    if let Some(path) = published("news_factor.csv") {
        let task = Task::builtin("factor-news").unwrap();
        // How many questions end in a blank, in a line break, and how many continuations
        // begin with a blank.
        let ends = |reference: bool| {
            let documents = task.documents(&path, reference).unwrap();
            let count = |of: fn(&Document) -> bool| {
                documents.rows.iter().flatten().filter(|row| of(row)).count()
            };
            let begins = |row: &Document| match &row.ask {
                Ask::Choice(candidates) => {
                    candidates.iter().all(|c| c.continuation.starts_with(' '))
                }
                Ask::Answer(_) => false,
            };
            (
                count(|row| row.question.ends_with(' ')),
                count(|row| row.question.ends_with('\n')),
                count(begins),
            )
        };
        assert_eq!(ends(false), (0, 906, 130));
        assert_eq!(ends(true), (130, 906, 1036));
    }
}
