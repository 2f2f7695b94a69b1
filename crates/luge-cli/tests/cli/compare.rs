//! `luge compare`: several methods side by side.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Luge, PROMPT, compare, keys, model, reference_prompt, run, score};

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
fn exits_count_for_every_answer() {
    let methods = ["greedy", "sled(evolution-rate=1e-9)", "sled", "dola(layers=all)"];
    let exits = |flag: &str| {
        let object = llama(&methods).flags("--exits").flags(flag).json();
        [0, 1, 2, 3].map(|answer: usize| {
            let exits = &object["results"][answer]["exits"];
            (exits["evaluated"].as_u64().unwrap(), exits["skipped"].as_u64().unwrap())
        })
    };
    assert_eq!(exits("always"), [(0, 0), (48, 0), (48, 0), (48, 0)]);
    let [greedy, still, sled, dola] = exits("auto");
    assert_eq!([greedy, still, dola], [(0, 0), (0, 48), (48, 0)]);
    assert_eq!(sled.0 + sled.1, 48);
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

/// The opinions that go with a comparison.
fn layers(luge: Luge) -> Value {
    luge.flags("--show-layers").json()["layers"].take()
}

#[test]
fn layers_are_shown_where_the_answers_part() {
    let object = llama(&["greedy", "dola", "sled"]).flags("--show-layers").json();
    let ids = |answer: usize| object["results"][answer]["completion_ids"].as_array().unwrap();
    let parting = (0..12).find(|&token| (1..3).any(|a| ids(a)[token] != ids(0)[token])).unwrap();
    let shown = &object["layers"];
    assert_eq!(shown["token"], parting);
    assert_eq!(shown["parts"], true);
    assert_eq!(shown["exit_norm"], "raw");
    // The embedding, three blocks, and the end.
    let opinions = shown["layers"].as_array().unwrap();
    let numbers: Vec<_> = opinions.iter().map(|opinion| opinion["layer"].as_u64()).collect();
    assert_eq!(numbers, (0..opinions.len() as u64).map(Some).collect::<Vec<_>>());
    for opinion in opinions {
        let top = opinion["top"].as_array().unwrap();
        let probs: Vec<_> = top.iter().map(|token| token["prob"].as_f64().unwrap()).collect();
        assert_eq!(probs.len(), 5);
        assert!(probs.is_sorted_by(|a, b| a >= b) && probs[0] <= 1.0, "{probs:?}");
    }
    // What the final layer says is what greedy chose; every choice is pinned.
    let last = opinions.last().unwrap();
    assert_eq!(last["top"][0]["id"], ids(0)[parting]);
    let pinned = last["pinned"].as_array().unwrap();
    for key in ["id", "text", "prob"] {
        assert_eq!(pinned[0][key], last["top"][0][key]);
    }
    assert_eq!(pinned[0]["rank"], 1);
    for answer in 0..3 {
        assert!(pinned.iter().any(|token| token["id"] == ids(answer)[parting]), "{answer}");
    }
}

#[test]
fn layers_of_answers_that_agree_are_shown_where_the_final_layer_is_least_sure() {
    let shown = layers(llama(&["greedy", "sled(evolution-rate=0)"]));
    assert_eq!(shown["parts"], false);
    // The probability of each token, from score.
    let prompt = reference_prompt("llama");
    let answer = llama(&["greedy"]).json()["results"][0]["completion_ids"].take();
    let score = score(model("llama")).flags("-ctk f32 -ctv f32 -fa off --method greedy");
    let ids: Vec<String> = answer.as_array().unwrap().iter().map(Value::to_string).collect();
    let score = score.arg("--prompt-ids").arg(prompt).arg("--continuation-ids").arg(ids.join(","));
    let tokens = score.json()["tokens"].take();
    let probs = tokens.as_array().unwrap().iter().map(|t| t["logprob"].as_f64().unwrap().exp());
    let (least, prob) = probs.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(shown["token"], least);
    let pinned = &shown["layers"].as_array().unwrap().last().unwrap()["pinned"][0];
    assert!((pinned["prob"].as_f64().unwrap() - prob).abs() < 1e-5, "{pinned} is not {prob}");
}

#[test]
fn layers_are_read_as_the_methods_read_them() {
    let shown = layers(llama(&["greedy", "sled"]).flags("--exit-norm final"));
    assert_eq!(shown["exit_norm"], "final");
    // With greedy alone there is no one to follow.
    assert_eq!(layers(llama(&["greedy"]))["exit_norm"], "raw");
}

#[test]
fn layers_follow_the_answers_as_a_table() {
    let text = llama(&["greedy", "dola"]).flags("--show-layers").stdout();
    // The table above it ends with speeds.
    assert_snapshot!(text.split_once("┘\n").unwrap().1);
}

#[test]
fn an_empty_answer_has_no_layers() {
    let object = compare(model("llama")).flags("--show-layers -n 0").arg(PROMPT);
    assert_eq!(object.json()["layers"], Value::Null);
}

#[test]
fn a_model_whose_exits_cannot_be_read_is_refused_with_its_layers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/architectures/gemma3n.gguf");
    let compare = compare(path).flags("--show-layers -n 2 --methods greedy --prompt-ids 5,6");
    let outcome = compare.outcome();
    assert_eq!(outcome.status.code(), Some(1), "{outcome:#?}");
    assert_eq!(outcome.stdout, "", "nothing is generated first");
    assert!(outcome.stderr.contains("gemma3n"), "{outcome:#?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
}

#[test]
fn more_prompts_are_read_a_line_each() {
    let answers = |luge: Luge| -> Vec<Value> {
        let text = luge.flags("-n 3 --methods greedy,sled --format json").stdout();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let ids = |objects: &[Value]| -> Vec<Value> {
        objects.iter().map(|object| object["results"][1]["completion_ids"].clone()).collect()
    };
    let alone = |prompt: &str| answers(compare(model("llama")).arg(prompt)).remove(0);
    let wanted = ids(&[alone(PROMPT), alone(" w9 w2"), alone(" w4")]);
    // With the first one given, or none; empty lines are passed over.
    let given = compare(model("llama")).flags("-i").arg(PROMPT).stdin(" w9 w2\n\n w4");
    assert_eq!(ids(&answers(given)), wanted);
    let read = compare(model("llama")).flags("-i").stdin(" w9 w2\r\n w4\n");
    assert_eq!(ids(&answers(read)), wanted[1..]);
}

#[test]
fn a_prompt_that_cannot_be_answered_is_not_the_last() {
    let long = format!("{}\n", " w1".repeat(40));
    for (prompts, error) in
        [(long.as_bytes(), "error: the prompt"), (b" w\xff\n", "error: this prompt is not UTF-8")]
    {
        let compare = compare(model("llama")).flags("-i -n 2 -c 32 --methods greedy");
        let outcome = compare.stdin_bytes(&[prompts, b" w4\n"].concat()).outcome();
        assert!(outcome.stderr.contains(error), "{outcome:#?}");
        assert!(outcome.stdout.contains("2 tokens"), "{outcome:#?}");
        // No one has seen it: the exit code tells.
        assert!(!outcome.status.success(), "{outcome:#?}");
    }
    // The first one is no other.
    let first = compare(model("llama")).flags("-i -n 2 -c 32 --methods greedy").arg(long);
    let outcome = first.stdin(" w4\n").outcome();
    assert!(outcome.stdout.contains("2 tokens"), "{outcome:#?}");
}
