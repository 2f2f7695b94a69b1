//! `luge tune`: chosen on one half, tested on the other.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{Luge, Outcome, bare_luge, luge};

/// Settings few enough for a test: six of SLED.
const FEW: &str = "--grid evolution-rate=0.5,2,5 --grid evolution-scale=5,10 --layers all \
                   --exit-norm raw";

fn tune(task: &str, out: &Path) -> Luge {
    luge("tune").flags("-m atlas").arg(task).arg("--out").arg(out)
}

/// What it prints and writes for the first questions of the built-in model.
fn done(out: &Path, flags: &str) -> (Outcome, Value) {
    let outcome = tune("atlas", out).flags("--limit 24").flags(flags).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    let results = fs::read_to_string(out.join("results.json")).unwrap();
    (outcome, serde_json::from_str(&results).unwrap())
}

fn names(results: &Value) -> Vec<&str> {
    let methods = results["setup"]["methods"].as_array().unwrap();
    methods.iter().map(|method| method["name"].as_str().unwrap()).collect()
}

/// The rows of a log, without its first line.
fn rows(log: &Path) -> Vec<u64> {
    let text = fs::read_to_string(log).unwrap();
    let records = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["index"].as_u64().unwrap()).collect()
}

/// A flag would say which value stays.
#[test]
fn the_command_of_a_search_leaves_open_what_is_only_a_setting() {
    let folder = tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "evolution-rate = 5\n").unwrap();
    let out = folder.path().join("out");
    let (_, results) = done(&out, &format!("{FEW} --config {}", config.display()));
    let command = results["setup"]["command"].as_str().unwrap();
    assert!(command.starts_with("LUGE_EVOLUTION_RATE=5 luge tune "), "{command}");
    assert!(!command.contains("--evolution-rate"), "{command}");
}

#[test]
fn a_setting_is_chosen_on_one_half_and_tested_on_the_other() {
    let folder = tempdir().unwrap();
    let (outcome, results) = done(folder.path(), FEW);

    let mut all = rows(&folder.path().join("tuning.jsonl"));
    let tuning_rows = all.len();
    assert!(tuning_rows > 0 && tuning_rows < 24);
    all.extend(rows(&folder.path().join("held-out.jsonl")));
    all.sort_unstable();
    assert_eq!(all, (0..24).collect::<Vec<_>>());

    let task = &results["setup"]["tasks"][0];
    assert_eq!((&task["limit"], &task["half"]["half"]), (&24.into(), &"held-out".into()));
    assert_eq!(task["half"]["rows"], results["tasks"][0]["documents"]);
    let tuning = &results["tuning"];
    assert_eq!((&tuning["settings"], &tuning["documents"]), (&6.into(), &tuning_rows.into()));
    let means: Vec<f64> = tuning["best"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tried| tried["mean"].as_f64().unwrap())
        .collect();
    assert_eq!(means.len(), 5);
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");
    // The usual setting is in the grid, and is not better than the best.
    assert!(tuning["usual"].as_f64().unwrap() <= means[0]);

    for text in ["held-out half", "6 settings tried", "greedy", "[models.\"atlas\"]"] {
        assert!(outcome.stdout.contains(text), "{text}: {outcome:#?}");
    }
    for file in ["report.html", "report.md"] {
        let report = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(report.contains("Tuning sled: 6 settings tried"), "{file}");
    }
}

/// The scores of a setting alone are those that it had among the others.
#[test]
fn the_tuned_setting_scores_as_luge_eval_has_it() {
    let folder = tempdir().unwrap();
    let (_, results) = done(folder.path(), "--grid evolution-rate=5,7 --layers high --no-controls");
    assert_eq!(names(&results), ["greedy", "sled", "tuned"]);
    let text = results["setup"]["methods"][2]["text"].as_str().unwrap();
    assert!(text.contains("layers=6..11:2"), "{text}");
    assert!(text.contains("evolution-rate=5") || text.contains("evolution-rate=7"), "{text}");

    let out = folder.path().join("eval");
    let eval =
        luge("eval").flags("-m atlas atlas --limit 24 --no-controls --format json --methods");
    let eval = eval.arg(text).arg("--out").arg(&out).outcome();
    assert!(eval.status.success(), "{eval:#?}");
    let scores = |log: &Path| -> Vec<(u64, Vec<Value>)> {
        let text = fs::read_to_string(log).unwrap();
        let records = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
        let last = |record: &Value| {
            let candidates = record["outcome"]["choice"]["candidates"].as_array().unwrap();
            let scores = candidates.iter().map(|own| own["scores"].as_array().unwrap());
            scores.map(|scores| scores.last().unwrap()["logprob"].clone()).collect()
        };
        records.map(|record| (record["index"].as_u64().unwrap(), last(&record))).collect()
    };
    let alone = scores(&out.join("documents.jsonl"));
    let held_out = scores(&folder.path().join("held-out.jsonl"));
    for (index, own) in &held_out {
        let (_, other) = alone.iter().find(|(known, _)| known == index).unwrap();
        for (a, b) in own.iter().zip(other) {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "document {index}: {a} is not {b}");
        }
    }
    assert!(!held_out.is_empty());
}

#[test]
fn the_profile_is_a_configuration_that_luge_reads() {
    let folder = tempdir().unwrap();
    done(folder.path(), &format!("{FEW} --evolution-steps 3"));
    let profile = folder.path().join("profile.toml");
    let text = fs::read_to_string(&profile).unwrap();
    assert!(text.starts_with("# sled tuned for atlas on "), "{text}");
    assert!(text.contains("held out, with 95% intervals: greedy "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");

    let config =
        bare_luge().arg("--config").arg(&profile).flags("config --format json run -m atlas");
    let config: Value = serde_json::from_str(&config.stdout()).unwrap();
    let settings = config["settings"].as_array().unwrap();
    let value = |name: &str| {
        let setting = settings.iter().find(|setting| setting["name"] == name).unwrap();
        assert_eq!(setting["table"], "models.\"atlas\"", "{setting}");
        setting["value"].as_str().unwrap().to_owned()
    };
    assert_eq!([value("method"), value("layers"), value("exit-norm")], ["sled", "all", "raw"]);
    assert_eq!(value("evolution-steps"), "3");
    let results = fs::read_to_string(folder.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    let chosen = results["tuning"]["best"][0]["setting"].to_string();
    for name in ["evolution-rate", "evolution-scale"] {
        assert!(chosen.contains(&format!("\"{name}={}\"", value(name))), "{chosen}");
    }
}

/// As after Ctrl-C or a crash: the logs lack their last lines.
#[test]
fn it_goes_on_from_its_logs() {
    let folder = tempdir().unwrap();
    let (_, whole) = done(folder.path(), FEW);
    for log in ["tuning.jsonl", "held-out.jsonl"] {
        let path = folder.path().join(log);
        let text = fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> = text.lines().take(4).collect();
        fs::write(&path, kept.join("\n") + "\n{\"task\":").unwrap();
        let (outcome, again) = done(folder.path(), FEW);
        assert!(outcome.stderr.contains("3 of them done before"), "{outcome:#?}");
        let same = |results: &Value| {
            let mut results = results.clone();
            results["times"] = Value::Null;
            results["tuning"]["seconds"] = Value::Null;
            results
        };
        assert_eq!(same(&again), same(&whole));
    }
    // Another search in the same folder is refused.
    let other = tune("atlas", folder.path()).flags("--limit 24 --method dola").outcome();
    assert_eq!(other.status.code(), Some(2), "{other:#?}");
    assert!(other.stderr.contains("the log of another run"), "{other:#?}");
}

#[test]
fn dola_and_the_ensemble_are_tuned_too_and_the_usual_setting_may_be_the_best() {
    let folder = tempdir().unwrap();
    let dola = folder.path().join("dola");
    let (_, results) = done(&dola, "--method dola --grid relative-top=0,0.1 --layers high");
    // Two values and two norms.
    assert_eq!(results["tuning"]["settings"], 4);
    let ensemble = folder.path().join("ensemble");
    let (outcome, results) =
        done(&ensemble, "--method ensemble --layers -1 --ensemble-weights uniform --exit-norm raw");
    // Nothing is left to search: the usual one is all there is.
    assert_eq!(names(&results), ["greedy", "ensemble"]);
    assert!(outcome.stdout.contains("the setting that ensemble usually has"), "{outcome:#?}");
    assert!(results["tuning"]["versus_usual"].is_null());
}

#[test]
fn written_answers_are_tuned_for_by_generation() {
    let folder = tempdir().unwrap();
    let flags = "--limit 10 -n 8 --grid evolution-rate=1,4 --layers all --exit-norm raw \
                 --evolution-scale 10 --format json";
    let outcome = tune("atlas-open", folder.path()).flags(flags).outcome();
    let results: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(results["tuning"]["settings"], 2);
    assert_eq!(results["tuning"]["metric"], results["tasks"][0]["metrics"][0]["name"]);
}

#[test]
fn settings_that_the_model_cannot_have_are_left_out_aloud() {
    let folder = tempdir().unwrap();
    let (outcome, results) = done(
        folder.path(),
        "--grid layers=all;99 --exit-norm raw --grid evolution-rate=1 \
                             --evolution-scale 10",
    );
    assert_eq!(results["tuning"]["settings"], 1);
    assert!(outcome.stderr.contains("1 setting of the grid left out"), "{outcome:#?}");
    assert!(outcome.stderr.contains("layer 99 is out of range"), "{outcome:#?}");
}

/// What a command line is refused for.
#[track_caller]
fn refused(flags: &str, reason: &str) {
    let folder: TempDir = tempdir().unwrap();
    let message = tune("atlas", folder.path()).flags(flags).failure(2);
    assert!(message.contains(reason), "{message}");
    // Nothing was begun.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    refused("--method greedy", "sled, dola or ensemble");
    refused("--method sled+dola", "sled, dola or ensemble");
    refused("--grid evolution-rate", "has no '='");
    refused("--grid relative-top=1", "sled has no parameter 'relative-top'");
    refused("--grid evolution-rate=1 --evolution-rate 2", "as a flag");
    refused("--grid evolution-rate=1 --grid evolution-rate=2", "a second time");
    refused("--grid evolution-rate=1,fast", "a number of at least 0");
    refused("--relative-top 0.1", "does nothing for sled");
    refused("--limit 1", "has no questions, of 1 row in all");
    let many: Vec<String> = (1..60).map(|rate| rate.to_string()).collect();
    refused(&format!("--grid evolution-rate={}", many.join(",")), "1000 are the most");
}
