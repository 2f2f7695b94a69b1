//! `luge lens`: what every layer says, as a table, in depth, as data and in files.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Luge, MODELS, PROMPT, keys, lens, list, model, reference, run};

/// Numbers that are the same on every machine: see the reference's README.
const FLAGS: &str = "-c 128 -ctk f32 -ctv f32 -fa off --prompt-ids";

/// A prompt of the reference through the lens.
fn seen(name: &str) -> Luge {
    lens(model(name)).flags(FLAGS).arg(list(&reference(name)["prompts"][0]["ids"]))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn numbers(value: &Value) -> Vec<f64> {
    array(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn each_layers_best_tokens_are_the_references() {
    for name in MODELS {
        let reference = reference(name);
        let tolerance = reference["tolerance"]["f32_kv"].as_f64().unwrap();
        let details = &reference["prompts"][0]["details"];
        for (norm, key) in [("raw", "plain"), ("final", "normed")] {
            let object = seen(name).flags("--exit-norm").arg(norm).json();
            assert_eq!(object["exit_norm"], norm);
            let wanted = array(&details["top5"][key]);
            assert_eq!(array(&object["layers"]).len(), wanted.len());
            for (layer, wanted) in array(&object["layers"]).iter().zip(wanted) {
                let place = format!("{name}, {norm}, layer {}", layer["layer"]);
                let last = array(&layer["positions"]).last().unwrap();
                assert_eq!(last["position"], details["position"], "{place}");
                let top = array(&last["top"]);
                assert_eq!(top.len(), 5, "{place}");
                for (own, (id, prob)) in
                    top.iter().zip(array(&wanted["ids"]).iter().zip(numbers(&wanted["probs"])))
                {
                    assert_eq!(own["id"], *id, "{place}");
                    let off = (own["prob"].as_f64().unwrap() / prob).ln().abs();
                    assert!(off <= 2.0 * tolerance, "{place}: {own} is not {prob}");
                }
            }
        }
    }
}

#[test]
fn the_object_has_everything_for_each_position() {
    let object = seen("llama").flags("-n 4 --top 3 --pin-ids 3,9").json();
    let wanted = [
        "completion",
        "contrasts",
        "exit_norm",
        "layers",
        "method",
        "model",
        "pinned",
        "positions",
        "prompt_ids",
        "seed",
        "settling_depth",
        "votes",
    ];
    assert_eq!(keys(&object), wanted);
    let positions = array(&object["positions"]);
    let prompt = array(&object["prompt_ids"]);
    let generated = array(&object["completion"]["completion_ids"]);
    // Behind the last token nothing has been computed.
    assert_eq!(positions.len(), prompt.len() + generated.len() - 1);
    assert_eq!(array(&object["settling_depth"]).len(), positions.len());
    let text: Vec<_> = prompt.iter().chain(generated).collect();
    for (number, position) in positions.iter().enumerate() {
        assert_eq!(position["position"], number);
        assert_eq!(position["id"], *text[number]);
        assert_eq!(position["next"]["id"], *text[number + 1]);
        assert_eq!(position["generated"], number + 1 >= prompt.len());
        assert_eq!(position["changed"], position["before"]["id"] != position["after"]["id"]);
        let votes = &object["votes"][number];
        assert_eq!(votes["position"], number);
        let layers = array(&votes["layers"]).iter();
        let all: f64 = layers.flat_map(|layer| numbers(&layer["shares"])).sum();
        assert!((all - 1.0).abs() < 1e-9, "{all}");
    }
    for (number, layer) in array(&object["layers"]).iter().enumerate() {
        assert_eq!(layer["layer"], number);
        let opinions = array(&layer["positions"]);
        assert_eq!(opinions.len(), positions.len());
        for (position, opinion) in opinions.iter().enumerate() {
            assert_eq!(opinion["position"], position);
            assert_eq!(array(&opinion["top"]).len(), 3);
            assert_eq!(opinion["pinned"][1]["id"], 9);
            assert!(opinion["pinned"][1]["rank"].as_u64().unwrap() >= 1);
            assert!(opinion["entropy"].as_f64().unwrap() > 0.0);
        }
    }
    // The final layer is no further from itself.
    assert_eq!(object["layers"][4]["positions"][0]["jsd_to_final"], 0.0);
}

#[test]
fn a_text_is_generated_as_run_generates_it() {
    for flags in ["--method sled", "--method dola", "--method greedy --temp 1 --seed 3"] {
        let prompt = list(&reference("llama")["prompts"][0]["ids"]);
        let alone = run(model("llama")).flags(FLAGS).arg(prompt).flags("-n 12").flags(flags).json();
        let object = seen("llama").flags("-n 12").flags(flags).json();
        for key in ["completion_ids", "text", "finish_reason", "changed"] {
            assert_eq!(object["completion"][key], alone[key], "{flags}: {key}");
        }
        let prompt = array(&object["prompt_ids"]).len();
        let changed = array(&object["positions"])
            .iter()
            .filter(|position| position["generated"] == true && position["changed"] == true)
            .map(|position| position["position"].as_u64().unwrap() as usize + 1 - prompt);
        let wanted = array(&alone["changed"]).iter().map(|token| token.as_u64().unwrap() as usize);
        assert_eq!(changed.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "{flags}");
    }
}

#[test]
fn csv_has_a_row_for_each_token_of_a_layer() {
    let flags = "--top 2 --pin-ids 7 --method dola";
    let text = seen("llama").flags(flags).flags("--format csv").stdout();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let heads = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let object = seen("llama").flags(flags).json();
    let positions = array(&object["positions"]).len();
    assert_eq!(rows.len(), positions * 5 * 3);
    let cell = |row: &csv::StringRecord, head: &str| {
        row[heads.iter().position(|own| own == head).unwrap()].to_owned()
    };
    let mut rows = rows.iter();
    for position in 0..positions {
        for layer in 0..5 {
            let opinion = &object["layers"][layer]["positions"][position];
            let tops = array(&opinion["top"]).iter().chain(array(&opinion["pinned"]));
            for (number, token) in tops.enumerate() {
                let row = rows.next().unwrap();
                assert_eq!(cell(row, "position"), position.to_string());
                assert_eq!(cell(row, "layer"), layer.to_string());
                assert_eq!(cell(row, "kind"), if number < 2 { "top" } else { "pinned" });
                assert_eq!(cell(row, "id"), token["id"].to_string());
                let same = |head, wanted: &Value| {
                    let (own, wanted) = (cell(row, head), wanted.as_f64().unwrap());
                    // The last digit may get lost on the way through JSON.
                    assert!(
                        (own.parse::<f64>().unwrap() - wanted).abs() <= 1e-14,
                        "{own} {wanted}"
                    );
                };
                same("prob", &token["prob"]);
                same("jsd_to_final", &opinion["jsd_to_final"]);
                let contrast = object["contrasts"][position]["layer"] == layer;
                assert_eq!(cell(row, "contrasted"), contrast.to_string());
            }
        }
    }
}

#[test]
fn layers_are_a_choice_of_rows_and_the_methods_where_it_has_none_of_its_own() {
    let object = |flags: &str| seen("llama").flags(flags).json();
    let rows = |object: &Value| -> Vec<Value> {
        array(&object["layers"]).iter().map(|layer| layer["layer"].clone()).collect()
    };
    let all = object("");
    let some = object("--layers 1,3");
    assert_eq!(rows(&some), [1, 3, 4]);
    assert_eq!(some["layers"][0], all["layers"][1]);
    assert_eq!(some["layers"][2], all["layers"][4]);
    assert_eq!(array(&some["votes"][0]["layers"]).len(), 2);
    // The method keeps its own.
    let own = object("--layers 2 --method sled(layers=0..4)");
    assert_eq!(rows(&own), [2, 4]);
    assert_eq!(own["votes"], all["votes"]);
    // Ordinary decoding reads none, but the lens does.
    let greedy = object("--layers 2 --exit-norm final --method greedy");
    assert_eq!(rows(&greedy), [2, 4]);
    assert_eq!(greedy["exit_norm"], "final");
    assert_eq!(object("--exit-norm final")["layers"][2], greedy["layers"][0]);
}

#[test]
fn one_position_is_a_part_of_all() {
    let all = seen("llama").json();
    let count = array(&all["positions"]).len();
    for (position, index) in [("0", 0), ("2", 2), ("-1", count - 1)] {
        let one = seen("llama").flags("--position").arg(position).json();
        assert_eq!(array(&one["positions"]).len(), 1, "{position}");
        assert_eq!(one["positions"][0], all["positions"][index], "{position}");
        assert_eq!(one["layers"][1]["positions"][0], all["layers"][1]["positions"][index]);
    }
}

#[test]
fn the_table_has_layers_and_positions() {
    assert_snapshot!(seen("llama").flags("-n 6 --pin-ids 85 --method dola").stdout());
}

#[test]
fn a_position_in_depth_has_a_row_a_layer() {
    assert_snapshot!(seen("llama").flags("--position -1 --pin-ids 85,3").stdout());
}

#[test]
fn colours_stand_for_probabilities() {
    let colored = seen("llama").flags("--color always").stdout();
    assert!(colored.contains("\u{1b}[48;5;") && !colored.contains("‹"), "{colored}");
    let plain = seen("llama").stdout();
    assert!(!plain.contains('\u{1b}') && plain.contains('%'), "{plain}");
}

#[test]
fn files_are_written_in_place_of_the_table() {
    let folder = tempdir().unwrap();
    let [html, svg] = ["lens.html", "lens.svg"].map(|name| folder.path().join(name));
    let written = |luge: Luge| luge.arg("--html").arg(&html).arg("--svg").arg(&svg);
    assert_eq!(written(seen("llama")).stdout(), "");
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("</html>"), "{page}");
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("</svg>"), "{picture}");
    // The picture of one position is another.
    let object = written(seen("llama")).flags("--position 2 --method greedy").json();
    assert_eq!(array(&object["positions"]).len(), 1);
    assert_ne!(fs::read_to_string(&svg).unwrap(), picture);
    // The page has all of them, and opens there.
    assert!(fs::read_to_string(&html).unwrap().contains("\"open\":2"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left there");
}

#[test]
fn a_file_that_cannot_be_written_is_named_before_the_work() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("no/such/page.html");
    for flag in ["--html", "--svg"] {
        let message = lens("no-model.gguf").arg(PROMPT).arg(flag).arg(&missing).failure(1);
        assert!(message.contains("page.html") && message.contains("cannot write"), "{message}");
        assert!(!message.contains(".luge-"), "{message}");
        let message = lens("no-model.gguf").arg(PROMPT).arg(flag).arg(folder.path()).failure(1);
        assert!(message.contains("cannot write"), "{message}");
    }
    // What was there stays until there is something to take its place.
    let page = folder.path().join("page.html");
    fs::write(&page, "before").unwrap();
    seen("llama").flags("--position 99 --html").arg(&page).failure(2);
    assert_eq!(fs::read_to_string(&page).unwrap(), "before");
}

#[test]
fn what_is_asked_for_and_not_there_is_named() {
    let fails = |flags: &[&str], code: i32, parts: &[&str]| {
        let luge = flags.iter().fold(seen("llama"), |luge, flag| luge.arg(flag));
        let message = luge.failure(code);
        for part in parts {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    };
    fails(&["--position", "99"], 2, &["99", "positions"]);
    fails(&["--position", "128", "-n", "-1"], 2, &["128", "0 to 127"]);
    fails(&["--html", "a.html", "--svg", "a.html"], 2, &["same file"]);
    fails(&["--position", "-99"], 2, &["-99", "positions 0 to 5"]);
    fails(&["--position", "first"], 2, &["--position"]);
    fails(&["--pin", " w17 w3"], 2, &["\" w17 w3\"", "\" w17\"", "\" w3\""]);
    fails(&["--pin", ""], 2, &["\"\""]);
    fails(&["--pin-ids", "3,169"], 2, &["169", "0 to 168"]);
    fails(&["--pin-ids", "three"], 2, &["three"]);
    fails(&["--top", "0"], 2, &["--top"]);
    fails(&["--layers", "9"], 2, &["layers 0 to 3"]);
    fails(&["--exit-norm", "half"], 2, &["raw or final"]);
    fails(&["--format", "xml"], 2, &["csv"]);
    fails(&["--method", "greedy", "--evolution-rate", "1"], 2, &["evolution-rate"]);
    fails(&["--exits", "always"], 2, &["--exits"]);
    let long = lens(model("llama")).flags("-c 32").arg(" w1".repeat(40));
    assert!(long.failure(1).contains("context of 32"));
    assert!(lens(model("llama")).flags("--prompt-ids").arg("").failure(2).contains("no id"));
    // This model puts nothing in front of a text.
    let empty = lens(model("gpt2")).arg("").flags("--position 0").failure(2);
    assert!(empty.contains("the prompt is empty"), "{empty}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/architectures/gemma3n.gguf");
    assert!(lens(path).flags("--prompt-ids 5,6").failure(1).contains("gemma3n"));
}

#[test]
fn a_pinned_token_is_found_by_its_text() {
    let pinned =
        |flag: &str, value: &str| seen("llama").arg(flag).arg(value).json()["pinned"].take();
    let by_text = pinned("--pin", " w17");
    assert_eq!(by_text[0]["text"], " w17");
    assert_eq!(pinned("--pin-ids", &by_text[0]["id"].to_string()), by_text);
    // Control tokens have a name.
    assert_eq!(pinned("--pin", "</s>")[0]["text"], "</s>");
}

/// The most memory that a program has had when it begins to print, in kilobytes.
#[cfg(all(target_os = "linux", feature = "atlas"))]
fn peak_memory(luge: Luge) -> u64 {
    use std::io::Read;
    let mut child = luge.flags("--format json --html /dev/null").spawn();
    let mut stdout = child.stdout.take().unwrap();
    // It prints when all is computed, and then waits for its reader.
    stdout.read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(all(target_os = "linux", feature = "atlas"))]
#[test]
fn a_long_text_takes_no_more_memory_than_what_is_shown_of_it() {
    let of = |tokens: usize| {
        let ids: Vec<String> = (0..tokens).map(|i| (5 + i * 37 % 4000).to_string()).collect();
        peak_memory(lens("atlas").flags("-c 512 --prompt-ids").arg(ids.join(",")))
    };
    let (few, many) = (of(64), of(500));
    // At 436 positions more, 13 layers of 5 candidates are 3 MB, the paths of some 20
    // tokens 1, and the page 4. The exits of as many positions would be 86 MB.
    assert!(many < few + 24 * 1024, "{few} kB, then {many} kB");
}

#[test]
fn stages_that_vote_together_are_told_as_one() {
    let method = "sled(layers=0,1)+sled(layers=3)";
    let object = seen("llama").arg("--method").arg(method).flags("-n 4").json();
    let votes = array(&object["votes"]);
    assert_eq!(votes.len(), array(&object["positions"]).len());
    for votes in votes {
        let layers = array(&votes["layers"]).iter();
        let layers: Vec<_> = layers.map(|layer| layer["layer"].as_u64().unwrap()).collect();
        assert_eq!(layers, [0, 1, 3]);
    }
}

#[test]
fn votes_count_only_where_they_are_in_the_result() {
    let margins = |method: &str| -> Vec<f64> {
        // So strong that it changes choices.
        let luge = seen("llama").arg("--method").arg(method).flags("-n 12");
        let object = luge.json();
        let changed = array(&object["positions"]).iter().filter(|own| own["changed"] == true);
        changed
            .map(|own| {
                let carried = array(&own["carried"]).iter().map(|own| own["votes"].as_f64());
                let most = carried.map(Option::unwrap).fold(0.0, f64::max);
                own["margins"]["votes"].as_f64().unwrap().abs().max(most)
            })
            .collect()
    };
    let told = |method: &str| {
        let margins = margins(method);
        assert!(!margins.is_empty(), "{method} changes nothing");
        margins.iter().any(|votes| *votes > 0.0)
    };
    assert!(told("sled(evolution-rate=5)"));
    assert!(told("sled(evolution-rate=5)+dola"));
    // These put other logits in the place of SLED's.
    assert!(!told("sled(evolution-rate=5)+ensemble"));
    assert!(!told("sled(evolution-rate=5)+dola(mature-layer=3)"));
}
