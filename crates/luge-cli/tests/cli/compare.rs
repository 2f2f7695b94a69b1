//! `luge compare`: several methods side by side.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Luge, compare, keys, model, reference_prompt, run};

/// Too many for columns. The first three are in the reference, and the others
/// come to the same.
const METHODS: [&str; 5] = ["greedy", "dola", "sled", "sled(evolution-rate=2)", "greedy+sled"];

/// Texts that are the same on every machine: see the reference's README.
const FLAGS: &str = "-n 12 -ctk f32 -ctv f32 -fa off --prompt-ids";

fn llama(methods: &[&str]) -> Luge {
    let compare = compare(model("llama")).flags(FLAGS).arg(reference_prompt("llama"));
    compare.arg("--methods").arg(methods.join(","))
}

/// Output without the one thing that is never twice the same: the speed at the
/// end of a line.
fn without_speed(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix("/s").and_then(|line| line.rsplit_once(", ")) {
        Some((line, _speed)) => format!("{line}, …/s\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn each_answer_is_what_run_gives_with_that_method() {
    let object = llama(&METHODS).flags("--temp 1 --seed 7").json();
    assert_eq!(keys(&object), ["model", "prompt_ids", "results", "seed"]);
    assert_eq!(object["seed"], 7);
    let results = object["results"].as_array().unwrap();
    assert_eq!(results.len(), METHODS.len());
    for (method, result) in METHODS.iter().zip(results) {
        let run = run(model("llama")).flags(FLAGS).arg(reference_prompt("llama"));
        let alone = run.flags("--temp 1 --seed 7 --method").arg(method).json();
        let same = ["method", "completion_ids", "text", "finish_reason", "exits", "changed"];
        for key in same {
            assert_eq!(result[key], alone[key], "{method}: {key}");
        }
    }
}

#[test]
fn a_flag_counts_for_every_method_that_has_it() {
    let object = llama(&["greedy", "sled", "sled(layers=3)", "dola"]).flags("--layers 1").json();
    let layers = |answer: usize| object["results"][answer]["method"]["stages"][0]["layers"].clone();
    assert_eq!([layers(1), layers(2), layers(3)], [json!([1]), json!([3]), json!([1])]);
    assert_eq!(layers(0), Value::Null);
}

#[test]
fn a_few_answers_stand_side_by_side() {
    let methods = ["greedy", "dola", "sled"];
    let table = llama(&methods).stdout();
    assert!(table.lines().all(|line| line.chars().count() == 100), "{table}");
    let [names, texts, summaries] = rows(&table);
    assert_eq!(names, methods);
    for (method, text) in methods.iter().zip(texts) {
        let object = llama(&[method]).json();
        let words = object["results"][0]["text"].as_str().unwrap().split_whitespace();
        assert_eq!(text.replace(['‹', '›'], ""), words.collect::<String>(), "{method}");
    }
    assert!(summaries.iter().all(|summary| summary.starts_with("12tokens,")), "{summaries:?}");
}

/// The cells of a table's three rows, without blanks: how a cell's text is
/// broken into lines depends on how wide the others are.
fn rows(table: &str) -> [Vec<String>; 3] {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix('│')?.strip_suffix('│'));
    let mut cells = lines.by_ref().map(|line| -> Vec<String> {
        let cells = line.split('┆').map(|cell| cell.split_whitespace().collect());
        cells.collect()
    });
    let names = cells.next().unwrap();
    let mut texts: Vec<Vec<String>> = cells.collect();
    let summaries = texts.pop().unwrap();
    let columns = (0..names.len())
        .map(|column| texts.iter().map(|line| line[column].as_str()).collect::<String>());
    let texts = columns.collect();
    [names, texts, summaries]
}

#[test]
fn many_answers_stand_one_below_the_other() {
    assert_snapshot!(without_speed(&llama(&METHODS).stdout()));
}

#[test]
fn answers_are_marked_as_run_marks_them() {
    let stacked = llama(&METHODS).stdout();
    for method in METHODS {
        let run = run(model("llama")).flags(FLAGS).arg(reference_prompt("llama"));
        let alone = run.flags("--show-changes --method").arg(method).outcome().stdout;
        assert!(stacked.contains(&format!("{method}\n{}", alone.trim_matches('\n'))), "{method}");
    }
}
