//! `luge run`: prompts in, text and JSON out.

use std::path::Path;

use serde_json::{Value, json};

use crate::gguf;
use crate::gguf::{Gguf, Value as GgufValue};
use crate::support::{MODELS, PROMPT, ids, keys, model, run, score};

#[test]
fn a_prompt_is_the_same_from_everywhere() {
    let llama = model("llama");
    let run = || run(&llama).flags("-n 12");
    let text = run().arg(PROMPT).text();
    assert!(!text.is_empty());

    let file = gguf::file(PROMPT.as_bytes());
    assert_eq!(run().arg("-p").arg(PROMPT).text(), text);
    assert_eq!(run().arg("--file").arg(file.path()).text(), text);
    assert_eq!(run().arg("-").stdin(PROMPT).text(), text);
    assert_eq!(run().stdin(PROMPT).text(), text);
    assert_eq!(run().flags("--prompt-ids 8,20,6").text(), text);
}

#[test]
fn a_last_line_break_of_a_file_or_a_pipe_is_no_part_of_the_prompt() {
    let ids =
        |stdin: &str| run(model("llama")).flags("-n 1").stdin(stdin).json()["prompt_ids"].take();
    assert_eq!(ids(" w5\n"), json!([8]));
    assert_eq!(ids(" w5\r\n"), json!([8]));
    assert_eq!(ids(" w5\n\n"), json!([8, 159]));
}

#[test]
fn a_text_and_its_ids_are_the_same_prompt() {
    for (name, wanted) in [("llama", [8, 20]), ("gpt2", [8, 20]), ("gemma2", [264, 276])] {
        let by_text = run(model(name)).flags("-n 4").arg(" w5 w17").json();
        assert_eq!(by_text["prompt_ids"], json!(wanted));
        let list = wanted.map(|id| id.to_string()).join(",");
        let by_ids = run(model(name)).flags("-n 4 --prompt-ids").arg(list).json();
        assert_eq!(by_ids["completion_ids"], by_text["completion_ids"], "{name}");
    }
}

#[test]
fn json_is_one_object_with_the_documented_keys() {
    let object = run(model("llama")).flags("-n 4 --layers 0,2").arg(PROMPT).json();
    assert_eq!(
        keys(&object),
        [
            "changed",
            "completion_ids",
            "exits",
            "finish_reason",
            "method",
            "model",
            "prompt_ids",
            "seed",
            "text",
            "timings",
        ]
    );
    assert_eq!(object["model"], json!(model("llama")));
    assert_eq!(keys(&object["timings"]), ["decode_ms", "prompt_ms", "tokens_per_second"]);
    assert!(object["timings"].as_object().unwrap().values().all(|time| time.as_f64() >= Some(0.0)));
    assert_eq!(
        object["method"],
        json!({
            "name": "sled",
            "exit_norm": "raw",
            "exit_softcap": true,
            "stages": [{
                "name": "sled",
                "evolution_rate": 2.0,
                "evolution_scale": 10,
                "evolution_steps": 1,
                "evolution_temperature": 1.0,
                "evolution_lower_bound": -1000.0,
                "layers": [0, 2],
            }],
        })
    );
}

#[test]
fn json_agrees_with_the_plain_text_and_with_itself() {
    for name in MODELS {
        for method in ["greedy", "sled", "dola", "ensemble", "sled+dola"] {
            let run = || run(model(name)).flags("-n 12 --method").arg(method).arg(PROMPT);
            let object = run().json();
            let tokens = ids(&object["completion_ids"]).len() as u64;
            assert_eq!(object["text"], json!(run().text()), "{name}, {method}");
            assert_eq!(object["method"]["name"], json!(method));
            assert!(ids(&object["changed"]).iter().all(|&position| position < tokens));
            assert!(ids(&object["changed"]).is_sorted());
            match object["finish_reason"].as_str().unwrap() {
                "length" => assert_eq!(tokens, 12, "{name}, {method}"),
                other => assert_eq!(other, "eos", "{name}, {method}"),
            }
        }
    }
}

#[test]
fn exits_are_counted_and_greedy_needs_none() {
    let exits = |method: &str| {
        let run = run(model("llama")).flags("-n 12 --ignore-eos --exits always --method");
        run.arg(method).arg(PROMPT).json()["exits"].take()
    };
    assert_eq!(exits("greedy"), json!({"evaluated": 0, "skipped": 0}));
    assert_eq!(exits("sled"), json!({"evaluated": 4 * 12, "skipped": 0}));
    assert_eq!(exits("sled(layers=1..3)"), json!({"evaluated": 2 * 12, "skipped": 0}));
}

#[test]
fn exits_are_computed_where_they_matter_and_the_text_is_the_same() {
    for name in MODELS {
        for flags in ["", "--temp 0.8 --seed 3", "--repeat-penalty 1.3"] {
            let with = |exits: &str| {
                // So small a step is often too small to change the token.
                let run = run(model(name)).flags("-n 24 --ignore-eos --evolution-rate 0.1");
                run.flags(flags).flags(exits).arg(PROMPT).json()
            };
            let (always, auto) = (with("--exits always"), with("--exits auto"));
            for key in ["completion_ids", "text", "changed", "finish_reason"] {
                assert_eq!(auto[key], always[key], "{name} {flags}: {key}");
            }
            assert_eq!(with("")["exits"], auto["exits"]);
            let count = |object: &Value, key: &str| object["exits"][key].as_u64().unwrap();
            assert_eq!(count(&always, "skipped"), 0);
            assert!(count(&auto, "skipped") > 0, "{name} {flags}");
            assert_eq!(
                count(&auto, "skipped") + count(&auto, "evaluated"),
                count(&always, "evaluated")
            );
        }
    }
}

#[test]
fn the_log_says_how_many_exits_were_computed() {
    let run = run(model("llama")).flags("-n 12 --ignore-eos -v").arg(PROMPT);
    let outcome = run.flags("--exits always").outcome();
    assert!(outcome.stderr.contains("48 exits evaluated, 0 skipped"), "{}", outcome.stderr);
}

#[test]
fn greedy_changes_nothing() {
    let object = run(model("llama")).flags("-n 12 --method greedy").arg(PROMPT).json();
    assert_eq!(object["changed"], json!([]));
}

/// A character whose tokens are forced, each once and in order: every next one
/// gets a smaller bias, and none comes again for its penalty.
fn forced(name: &str, tokens: &[u32]) -> crate::support::Luge {
    let mut run = run(model(name)).flags("--presence-penalty 90000").arg(PROMPT);
    for (token, step) in tokens.iter().zip(1..) {
        run = run.arg("-l").arg(format!("{token}+{}", 90000 - 9000 * step));
    }
    run
}

#[test]
fn a_character_split_across_tokens_comes_out_whole() {
    let characters: [(&str, &str, &[u32]); 6] = [
        ("llama", "é", &[160, 161]),
        ("llama", "€", &[162, 163, 164]),
        ("llama", "😀", &[165, 166, 167, 168]),
        ("gpt2", "😀", &[165, 166, 167, 168]),
        ("gemma2", "é", &[198, 172]),
        ("gemma2", "😀", &[243, 162, 155, 131]),
    ];
    for (name, character, tokens) in characters {
        for method in ["greedy", "sled"] {
            let run = || forced(name, tokens).flags("--method").arg(method);
            let all = tokens.len().to_string();
            assert_eq!(run().arg("-n").arg(&all).text(), character, "{name}, {method}");
            let object = run().arg("-n").arg(&all).json();
            assert_eq!(object["completion_ids"], json!(tokens), "{name}, {method}");
            assert_eq!(object["text"], json!(character), "{name}, {method}");
        }
    }
}

#[test]
fn a_character_cut_off_by_the_end_is_replaced() {
    assert_eq!(forced("llama", &[162, 163, 164]).flags("-n 2").text(), "\u{fffd}");
}

#[test]
fn control_characters_of_the_model_are_not_dropped_on_the_way_to_a_pipe() {
    let escape = 3 + 0x1B;
    assert_eq!(forced("gemma2", &[escape]).flags("-n 1").text(), "\u{1b}");
}

#[test]
fn nothing_is_decoded_behind_an_end_token_that_the_tokenizer_adds() {
    let mut gguf = Gguf::parity("gemma2");
    let file = gguf.set("tokenizer.ggml.add_eos_token", GgufValue::bool(true)).file();
    let object = run(file.path()).flags("-n 1").arg(PROMPT).json();
    assert_eq!(
        object["prompt_ids"],
        run(model("gemma2")).flags("-n 1").arg(PROMPT).json()["prompt_ids"]
    );
    let pair =
        |model: &Path| score(model).arg(PROMPT).arg(" w7").json()["continuation_ids"].clone();
    assert_eq!(pair(file.path()), pair(&model("gemma2")));
}
