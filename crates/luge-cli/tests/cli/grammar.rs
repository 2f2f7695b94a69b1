//! Text that keeps to a grammar: flags, files, and what is wrong with them.

use serde_json::{Value, json};

use crate::gguf;
use crate::support::{Luge, PROMPT, compare, lens, model, run};

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
    "required": ["n", "ok"],
    "additionalProperties": false
}"#;

fn llama() -> Luge {
    run(model("llama")).arg(PROMPT)
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[track_caller]
fn check(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(value["n"].as_u64().is_some_and(|n| n < 100), "{text}");
    assert!(value["ok"].is_boolean(), "{text}");
    assert_eq!(value.as_object().unwrap().len(), 2, "{text}");
}

#[test]
fn a_schema_is_a_file_or_the_schema_itself() {
    let file = gguf::file(SCHEMA.as_bytes());
    let with_mark = gguf::file(format!("\u{feff}{SCHEMA}").as_bytes());
    let text = llama().arg("--json-schema").arg(SCHEMA).text();
    check(&text);
    for flag in ["--json-schema", "--json-schema-file", "-j", "-jf"] {
        assert_eq!(llama().arg(flag).arg(file.path()).text(), text, "{flag}");
    }
    assert_eq!(llama().arg("-j").arg(with_mark.path()).text(), text);
}

#[test]
fn a_grammar_is_a_file_or_the_grammar_itself() {
    let grammar = "start: \"yes\" | \"no\"\n";
    let file = gguf::file(grammar.as_bytes());
    let text = llama().arg("--grammar").arg(grammar.trim()).text();
    assert!(["yes", "no"].contains(&&*text), "{text}");
    for flag in ["--grammar", "--grammar-file"] {
        assert_eq!(llama().arg(flag).arg(file.path()).text(), text, "{flag}");
    }
    assert_eq!(llama().arg("--regex").arg("yes|no").text(), text);
    // What looks like a grammar is an expression where one is asked for.
    assert_eq!(llama().arg("--regex").arg("start: a").text(), "start: a");
}

#[test]
fn json_says_that_the_text_is_whole_or_cut() {
    let object = llama().arg("-j").arg(SCHEMA).json();
    check(object["text"].as_str().unwrap());
    assert_eq!(object["finish_reason"], "eos");
    let object = llama().arg("-j").arg(SCHEMA).flags("-n 3").json();
    assert_eq!(object["finish_reason"], "length");
    let object = llama().flags("--regex [a-z]{9} --ignore-eos").json();
    assert_eq!(object["finish_reason"], "eos");
    assert_eq!(object["text"].as_str().unwrap().len(), 9);
}

#[test]
fn the_text_does_not_depend_on_which_exits_are_computed() {
    for sampling in ["", "--temp 0.9 --seed 4"] {
        let with = |exits: &str| {
            let run = llama().arg("-j").arg(SCHEMA).flags(sampling).flags("--exits").arg(exits);
            run.json()
        };
        let (auto, always) = (with("auto"), with("always"));
        for key in ["completion_ids", "changed", "finish_reason"] {
            assert_eq!(auto[key], always[key], "{sampling}: {key}");
        }
        assert_eq!(always["exits"]["skipped"], json!(0));
        assert!(auto["exits"]["skipped"].as_u64() > Some(0));
    }
}

#[test]
fn every_compared_method_keeps_to_it() {
    let methods = "greedy,dola,sled,ensemble,sled+dola";
    let compare = || compare(model("llama")).arg("--methods").arg(methods).arg("-j").arg(SCHEMA);
    let object = compare().arg(PROMPT).json();
    let results = object["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    for result in results {
        check(result["text"].as_str().unwrap());
    }
    let table = compare().arg(PROMPT).stdout();
    assert_eq!(table.matches("complete").count(), 5, "{table}");
    // And to prompts that are typed.
    let lines = compare().flags("-i --format json").stdin(" w5\n w9\n").stdout();
    assert_eq!(lines.lines().count(), 2);
    for line in lines.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        check(object["results"][4]["text"].as_str().unwrap());
    }
}

#[test]
fn the_lens_looks_at_text_that_keeps_to_it() {
    let lens = |regex: &str| lens(model("llama")).arg("--regex").arg(regex).arg(PROMPT);
    for (regex, text, ends) in [("q#", "q#", false), ("q(#|)", "q", true)] {
        let end = if ends { "-l 2+1000" } else { "" };
        let object = lens(regex).flags("-n 8").flags(end).json();
        assert_eq!(object["completion"]["text"], text);
        // The prompt's positions, those of generated tokens that were looked behind, and,
        // where the model ended the text, the last.
        let positions = object["positions"].as_array().unwrap();
        assert_eq!(positions.len(), 3 - 1 + text.len() + usize::from(ends), "{object}");
        let last = positions.last().unwrap();
        assert_eq!(last["next"].is_null(), ends, "{last}");
    }
    // Without any generated text there is nothing that could keep to it.
    says(&lens("a").failure(2), &["grammar", "-n"]);
}

#[test]
fn one_grammar_at_a_time() {
    for flags in ["-j a --grammar b", "-j a --regex b", "--grammar a --regex b"] {
        says(&llama().flags(flags).failure(2), &["cannot be used with"]);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    says(&llama().flags("-j missing.json").failure(1), &["missing.json", "No such file"]);
    says(
        &llama().flags("--grammar missing.lark").failure(1),
        &["missing.lark", "No such file", "start:"],
    );
    let fails = |flag: &str, bytes: &[u8], parts: &[&str]| {
        let file = gguf::file(bytes);
        let message = llama().arg(flag).arg(file.path()).failure(1);
        says(&message, &[file.path().to_str().unwrap()]);
        says(&message, parts);
    };
    fails("-j", b"", &["it is not JSON"]);
    fails("-j", b"{\"type\":\n \"object\",}", &["it is not JSON", "line 2"]);
    fails("-j", b"\xff\xfe{", &["UTF-8"]);
    fails("-j", b"false", &["no JSON satisfies it"]);
    fails("-j", b"{\"type\": \"array\", \"uniqueItems\": true}", &["keywords", "uniqueItems"]);
    fails("--grammar", b"start: \"a\"\nA: )", &["line 2, column 4"]);
    fails("--grammar", b"root ::= \"a\"\n", &["GBNF", "Lark"]);
}

#[test]
fn a_grammar_on_the_command_line_that_cannot_be_used_is_refused() {
    says(&llama().arg("-j").arg("{\"type\": }").failure(2), &["JSON schema", "not JSON"]);
    says(&llama().arg("--grammar").arg("root ::= \"a\"").failure(2), &["GBNF"]);
    says(&llama().arg("--grammar").arg("start: )").failure(2), &["line 1, column 8"]);
    says(&llama().flags("--regex [").failure(2), &["regular expression", "unclosed"]);
    says(&llama().arg("--grammar").arg("start: <|nope|>").failure(2), &["<|nope|>"]);
    // All but the last without a model.
    says(&run("missing.gguf").flags("--regex [ x").failure(2), &["unclosed"]);
}

#[test]
fn text_that_cannot_go_on_says_so() {
    let outcome = llama().arg("--regex").arg("ab日").outcome();
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(outcome.stdout, "ab\n");
    says(&outcome.stderr, &["luge: error: the text cannot go on as the grammar wants"]);
}

#[cfg(feature = "atlas")]
#[test]
fn the_model_that_is_built_in_answers_in_json() {
    let schema = r#"{"type": "object", "properties": {"capital": {"type": "string",
        "pattern": "^[A-Z][a-z]+$", "maxLength": 12}}, "required": ["capital"],
        "additionalProperties": false}"#;
    let answer = run("atlas").arg("-j").arg(schema).arg("The capital of France is Paris.").text();
    let value: Value = serde_json::from_str(&answer).unwrap();
    assert!(value["capital"].is_string(), "{answer}");
}
