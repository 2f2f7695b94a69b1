//! `luge bench`: what methods cost. How long anything takes is not tested: that is
//! another number each time.

use std::fs;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{Luge, PROMPT, bench, keys, model, run};

/// The layers of the model, all of which SLED reads.
const LAYERS: u64 = 4;

fn llama(flags: &str) -> Luge {
    bench(model("llama")).flags(flags)
}

/// A folder with a file in it, and the file.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn with_prompts(flags: &str, file: &Path) -> Luge {
    llama(flags).arg("--prompts").arg(file)
}

fn methods(object: &Value) -> &Vec<Value> {
    object["methods"].as_array().unwrap()
}

fn names(object: &Value) -> Vec<&str> {
    methods(object).iter().map(|method| method["method"]["name"].as_str().unwrap()).collect()
}

fn rounds(method: &Value) -> &Vec<Value> {
    method["rounds"].as_array().unwrap()
}

/// A count of every round together.
fn sum(method: &Value, pointer: &str) -> u64 {
    rounds(method).iter().map(|round| round.pointer(pointer).unwrap().as_u64().unwrap()).sum()
}

#[test]
fn json_is_one_object_with_the_documented_keys() {
    let object = llama("-r 2 -n 3 --temp 1 --seed 7").json();
    let wanted = [
        "exits",
        "methods",
        "model",
        "prompts",
        "rounds",
        "seed",
        "temperature",
        "threads",
        "tokens",
    ];
    assert_eq!(keys(&object), wanted);
    assert_eq!(object["exits"], "auto");
    assert_eq!(object["temperature"], 1.0);
    assert_eq!(object["prompts"], Value::Null);
    assert_eq!(
        object["model"],
        json!({"name": model("llama"), "architecture": "llama", "layers": LAYERS, "vocab": 169})
    );
    let numbers = ["threads", "rounds", "tokens", "seed"].map(|key| object[key].clone());
    assert_eq!(numbers, [1, 2, 3, 7].map(Value::from));
    for method in methods(&object) {
        assert_eq!(
            keys(method),
            [
                "changed_tokens",
                "decode_ms_per_token",
                "exit_memory",
                "exits",
                "extra_peak_memory",
                "method",
                "peak_memory",
                "prompt_tokens_per_second",
                "ratio_to_greedy",
                "rounds",
                "tokens",
                "tokens_per_second"
            ]
        );
        for round in rounds(method) {
            assert_eq!(
                keys(round),
                [
                    "changed_tokens",
                    "decode_ms_per_token",
                    "exits",
                    "peak_memory",
                    "prompt_tokens",
                    "prompt_tokens_per_second",
                    "ratio_to_greedy",
                    "tokens"
                ]
            );
        }
    }
    // As run has it.
    let run = run(model("llama")).flags("-n 1 --method dola").arg(PROMPT).json();
    assert_eq!(methods(&object)[1]["method"], run["method"]);
}

#[test]
fn the_numbers_of_a_method_agree_with_each_other() {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    let object = llama("-r 3 -n 5 --methods greedy,dola,sled,ensemble").json();
    let greedy = &methods(&object)[0];
    for method in methods(&object) {
        assert_eq!(rounds(method).len(), 3);
        for count in ["/tokens", "/changed_tokens", "/exits/evaluated", "/exits/skipped"] {
            assert_eq!(method.pointer(count).unwrap(), sum(method, count), "{count}");
        }
        assert_eq!(method["tokens"], 3 * 5);
        let time = number(&method["decode_ms_per_token"]);
        let mut times: Vec<f64> =
            rounds(method).iter().map(|round| number(&round["decode_ms_per_token"])).collect();
        times.sort_by(f64::total_cmp);
        assert_eq!(time, times[1], "the median");
        let product = number(&method["tokens_per_second"]) * time;
        assert!((product - 1000.0).abs() < 1.0, "{product}");

        let ratio = ["min", "median", "max"].map(|key| number(&method["ratio_to_greedy"][key]));
        let mut ratios: Vec<f64> =
            rounds(method).iter().map(|round| number(&round["ratio_to_greedy"])).collect();
        ratios.sort_by(f64::total_cmp);
        assert_eq!(&ratio[..], &ratios);
        for (own, greedy) in rounds(method).iter().zip(rounds(greedy)) {
            let times = [own, greedy].map(|round| number(&round["decode_ms_per_token"]));
            let off = number(&own["ratio_to_greedy"]) / (times[0] / times[1]) - 1.0;
            assert!(off.abs() < 1e-2, "{own} {greedy}");
        }
    }
    assert_eq!(greedy["ratio_to_greedy"], json!({"median": 1.0, "min": 1.0, "max": 1.0}));
}

#[test]
fn every_exit_is_either_computed_or_skipped() {
    let list = "greedy,sled,sled(layers=1,3),dola(layers=all),sled(evolution-rate=1e-9)";
    let exits = |flags: &str| -> Vec<(u64, u64)> {
        let bench = llama("-r 2 -n 6").flags(flags).arg("--methods").arg(list);
        let object = bench.json();
        let count = |method: &Value, key: &str| method["exits"][key].as_u64().unwrap();
        let exits = |method: &Value| (count(method, "evaluated"), count(method, "skipped"));
        methods(&object).iter().map(exits).collect()
    };
    let all = 2 * 6 * LAYERS;
    let always = exits("--exits always");
    assert_eq!(always, [(0, 0), (all, 0), (all / 2, 0), (all, 0), (all, 0)]);
    let auto = exits("");
    for (auto, always) in auto.iter().zip(always) {
        assert_eq!(auto.0 + auto.1, always.0);
    }
    assert_eq!([auto[3], auto[4]], [(all, 0), (0, all)]);
}

#[test]
fn memory_is_the_peak_and_what_it_is_above_greedys() {
    let object = llama("-r 1 -n 3").json();
    let greedy = methods(&object)[0]["peak_memory"].as_i64();
    for method in methods(&object) {
        // Not every system tells.
        assert_eq!(method["peak_memory"].is_null(), greedy.is_none());
        let extra = greedy.map(|greedy| method["peak_memory"].as_i64().unwrap() - greedy);
        assert_eq!(method["extra_peak_memory"], json!(extra));
    }
    let exits: Vec<_> = methods(&object).iter().map(|method| &method["exit_memory"]).collect();
    assert_eq!(*exits[0], 0);
    assert!(exits[1].as_u64() > Some(0) && exits[2].as_u64() > Some(0), "{exits:?}");
    if cfg!(target_os = "linux") && fs::write("/proc/self/clear_refs", "5").is_ok() {
        assert!(greedy > Some(1_000_000), "{greedy:?}");
    }
}

#[test]
fn greedy_is_always_measured_and_once() {
    let listed = |list: &str| {
        let object = llama("-r 1 -n 2 --methods").arg(list).json();
        names(&object).join(" ")
    };
    assert_eq!(listed("sled"), "greedy sled");
    assert_eq!(listed("sled, greedy"), "sled greedy");
    assert_eq!(listed("greedy"), "greedy");
    assert_eq!(listed("dola,sled+dola"), "greedy dola sled+dola");
}

#[test]
fn a_flag_counts_for_every_method_that_has_it() {
    let object = llama("-r 1 -n 2 --methods sled,dola --layers 2").json();
    let layers: Vec<_> =
        methods(&object).iter().map(|method| &method["method"]["stages"][0]["layers"]).collect();
    assert_eq!(layers, [&Value::Null, &json!([2]), &json!([2])]);
}

#[test]
fn the_prompts_of_a_file_are_continued_as_run_does() {
    let prompts = [PROMPT, " w9 \"w2\" w7", " w4"];
    let lines = prompts.map(|prompt| format!("{}\n", json!({"id": 1, "prompt": prompt})));
    let files = [
        file("prompts.txt", prompts.join("\r\n") + "\n\n"),
        file("prompts.jsonl", lines.join("\n")),
    ];
    let alone = prompts.map(|prompt| {
        run(model("llama")).flags("-n 8 --ignore-eos --method sled").arg(prompt).json()
    });
    for (_folder, path) in &files {
        // The first comes round again.
        let object = with_prompts("-r 4 -n 8 --ignore-eos --methods greedy,sled", path).json();
        for (round, prompt) in rounds(&methods(&object)[1]).iter().zip([0, 1, 2, 0]) {
            let alone = &alone[prompt];
            assert_eq!(round["prompt_tokens"], alone["prompt_ids"].as_array().unwrap().len());
            assert_eq!(round["changed_tokens"], alone["changed"].as_array().unwrap().len());
            assert_eq!(round["tokens"], 8);
            assert_eq!(round["exits"], alone["exits"]);
        }
    }
}

#[test]
fn a_long_file_gives_prompts_from_all_over_it() {
    let lines: Vec<_> = (1..=9).map(|words| " w1".repeat(words)).collect();
    let (_folder, path) = file("prompts.txt", lines.join("\n"));
    let object = with_prompts("-r 3 -n 2 --methods greedy", &path).json();
    let lengths: Vec<_> =
        rounds(&methods(&object)[0]).iter().map(|round| round["prompt_tokens"].as_u64()).collect();
    assert_eq!(lengths, [1, 4, 7].map(Some));
}

#[test]
fn random_prompts_have_the_wanted_length_and_their_texts_do_not_end() {
    // The token that ends a text is what the model would choose.
    let object = llama("-r 2 -n 3 -p 50 --methods greedy,sled -l 2+1000").json();
    for method in methods(&object) {
        assert_eq!(method["tokens"], 2 * 3);
        assert!(rounds(method).iter().all(|round| round["prompt_tokens"] == 50));
    }
}

#[test]
fn a_text_that_ends_at_once_has_no_time_per_token() {
    let (_folder, path) = file("prompts.txt", PROMPT);
    // The one position there is has exits too.
    let ended = with_prompts("-r 2 -n 3 -l 2+1000", &path);
    for (luge, tokens, positions) in [(ended, 0, 2), (llama("-r 2 -n 1"), 2, 2)] {
        let outcome = luge.flags("--methods sled --format json").outcome();
        assert!(outcome.status.success(), "{outcome:#?}");
        assert_eq!(
            outcome.stderr,
            "luge: there is no time per token of greedy, sled: no text went beyond its first token \
             (see -n, -c and --ignore-eos)\n"
        );
        let object: Value = serde_json::from_str(&outcome.stdout).unwrap();
        for method in methods(&object) {
            for key in ["decode_ms_per_token", "tokens_per_second", "ratio_to_greedy"] {
                assert_eq!(method[key], Value::Null, "{key}");
            }
            assert_eq!(method["tokens"], tokens);
        }
        let exits = &methods(&object)[1]["exits"];
        let exits = ["evaluated", "skipped"].map(|key| exits[key].as_u64().unwrap());
        assert_eq!(exits.iter().sum::<u64>(), positions * LAYERS);
    }
    let table = llama("-r 1 -n 1").outcome().stdout;
    let table = without_numbers(&table);
    assert!(table.contains("\ndecode, ms/token – – –\n"), "{table}");
}

/// Output without what is never twice the same: the table's numbers, and the width
/// that they give to their columns.
fn without_numbers(text: &str) -> String {
    let (title, table) = text.split_once('\n').unwrap();
    let word = |word: &str| {
        let numbers = word.split(|c: char| c.is_ascii_digit() || c == '.');
        // Digits one after the other have nothing between them.
        let rest: Vec<_> = numbers.filter(|rest| !rest.is_empty()).collect();
        match word.contains(|c: char| c.is_ascii_digit()) {
            true if rest.is_empty() => "N".to_owned(),
            true => rest.join("N"),
            false => word.to_owned(),
        }
    };
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(word).collect();
        let line = words.join(" ");
        // Sizes differ in their units too.
        let label = ["peak memory", "memory for exits"].iter().find(|&&l| line.starts_with(l));
        label.map_or(line.clone(), |label| format!("{label} …")) + "\n"
    };
    format!("{title}\n{}", table.lines().map(line).collect::<String>())
}

#[test]
fn a_table_has_a_column_a_method() {
    assert_snapshot!(without_numbers(&llama("-r 2 -n 4").stdout()));
    let (_folder, path) = file("prompts.txt", PROMPT);
    let table = with_prompts("-r 1 -n 4", &path).stdout();
    assert!(!table.contains("random"), "{table}");
}

#[cfg(feature = "atlas")]
#[test]
fn without_a_model_the_built_in_one_is_measured() {
    use crate::support::luge;

    let outcome = luge("bench").flags("-r 1 -n 2 --methods sled --format json").outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(outcome.stderr.contains("built-in atlas"), "{outcome:#?}");
    let object: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(object["model"]["name"], "atlas");
    let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/questions.jsonl");
    let object =
        luge("bench").flags("-m atlas -r 2 -n 2 --methods sled --prompts").arg(prompts).json();
    assert_eq!(names(&object), ["greedy", "sled"]);
}

/// That the message holds all of these.
#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn a_file_without_prompts_is_named() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing.txt");
    says(&with_prompts("", &missing).failure(1), &["missing.txt", "No such file"]);
    with_prompts("", folder.path()).failure(1);
    for name in ["empty.txt", "empty.jsonl"] {
        for content in ["", "\n \r\n"] {
            let (_folder, path) = file(name, content);
            says(&with_prompts("", &path).failure(1), &[name, "holds none"]);
        }
    }
}

#[test]
fn a_line_that_is_no_prompt_is_named() {
    let good = r#"{"prompt": " w5"}"#;
    for wrong in ["{\"prompt\": \" w5\"", " w5", "{\"text\": \" w5\"}", "{\"prompt\": 5}", "[1]"] {
        let (_folder, path) = file("prompts.jsonl", format!("{good}\n\n{wrong}\n{good}\n"));
        says(&with_prompts("", &path).failure(1), &["prompts.jsonl", "line 3", "\"prompt\""]);
    }
    let (_folder, path) = file("prompts.txt", b" w5\n w\xff\n");
    says(&with_prompts("", &path).failure(1), &["prompts.txt", "line 2", "UTF-8"]);
    let (_folder, path) = file("prompts.jsonl", format!("{good}\n{{\"prompt\": \"\"}}"));
    says(&with_prompts("", &path).failure(1), &["prompts.jsonl", "line 2", "empty"]);
}

#[test]
fn a_prompt_longer_than_the_context_is_refused() {
    let (_folder, path) = file("prompts.txt", " w5\n w5 w5 w5 w5 w5\n");
    says(
        &with_prompts("-c 4 -n 2", &path).failure(1),
        &["line 2 of", "prompts.txt", "5 tokens", "context of 4"],
    );
    says(&llama("-c 16").failure(1), &["prompt of 32 tokens", "context of 16"]);
}

#[test]
fn a_request_at_fault_is_refused() {
    let wrong = [
        ("-n 0", "-n 0"),
        ("-r 0", "--rounds"),
        ("-p 0", "--n-prompt"),
        ("-p text", "--n-prompt"),
        ("-p 5 --prompts x", "--prompts"),
        ("--methods sled,greddy", "'greedy'"),
        ("--methods sled,", "name is missing"),
        ("--methods dola --evolution-rate 1", "does nothing for dola"),
        ("--methods sled --layers 4", "layers 0 to 3"),
        ("--method sled", "'--methods'"),
        ("prompt", "'prompt'"),
    ];
    for (flags, said) in wrong {
        says(&llama(flags).failure(2), &[said]);
    }
}

#[test]
fn a_model_whose_exits_cannot_be_read_is_refused_before_anything_is_measured() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/architectures/gemma3n.gguf");
    says(&bench(path).failure(1), &["gemma3n"]);
    let object = bench(path).flags("-r 1 -n 2 --methods greedy").json();
    assert_eq!(methods(&object)[0]["tokens"], 2);
}
