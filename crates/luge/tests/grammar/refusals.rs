//! Grammars that cannot be used: one sentence each, without a model.

use luge::Error;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::properties::config;
use super::*;

#[track_caller]
fn says(grammar: Result<Grammar, Error>, parts: &[&str]) {
    let error = grammar.expect_err("it cannot be used");
    assert!(error.is_usage());
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    let is_plain = !message.contains(['\n', '\u{1b}']) && message.chars().count() < 300;
    assert!(is_plain && !message.contains("panic"), "{message:?}");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused() {
    let schema = Grammar::json_schema;
    says(schema(""), &["JSON schema", "it is not JSON", "line 1"]);
    says(schema("{\n\"type\": }"), &["it is not JSON", "line 2"]);
    says(schema("[1]"), &["an object or boolean"]);
    says(schema("false"), &["no JSON satisfies it"]);
    says(schema(r#"{"type": "integer", "minimum": 5, "maximum": 3}"#), &["no JSON satisfies it"]);
    says(schema(r#"{"allOf": [{"const": 1}, {"const": 2}]}"#), &["no JSON satisfies it"]);
    says(schema(r##"{"$ref": "#"}"##), &["no text keeps to it"]);
    says(schema(r#"{"not": {"type": "string"}, "type": "string"}"#), &["keywords", "not"]);
    says(schema(r#"{"type": "array", "uniqueItems": true}"#), &["keywords", "uniqueItems"]);
    says(schema(r#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#), &["oneOf", "anyOf"]);
    says(schema(r#"{"type": "strin"}"#), &["strin"]);
    says(schema(r##"{"$ref": "#/$defs/a"}"##), &["$defs/a"]);
    says(schema(r#"{"$ref": "http://example.org/a.json"}"#), &["http://example.org/a.json"]);
    says(schema(r#"{"$ref": "other.json"}"#), &["'other.json'", "not in it"]);
    says(schema(r#"{"type": "\u001b[31mred"}"#), &["\u{fffd}[31mred"]);
    says(schema(r#"{"pattern": "["}"#), &["unclosed"]);
    says(schema(r#"{"x-guidance": {"white": 1}}"#), &["white"]);
    let deep = format!("{}{}", r#"{"items": "#.repeat(3000), "}".repeat(3000));
    says(schema(&deep), &["not JSON", "recursion"]);
}

#[test]
fn a_grammar_that_cannot_be_used_is_refused_with_the_place() {
    let lark = Grammar::lark;
    says(lark(""), &["no start rule"]);
    says(lark("a: \"b\""), &["no start rule"]);
    says(lark("start: \"a\"\nb: foo\n  | A A:"), &["line 3", "column 8"]);
    says(lark("start: \"a\"\n  | foo"), &["line 1", "unknown name: \"foo\""]);
    says(lark("start: \"yes\" | )"), &["line 1", "column 16"]);
    says(lark("start: A\nA: /[/"), &["line 2", "unclosed character class"]);
    says(lark("start: é"), &["line 1", "column 8"]);
    says(lark("start: %json {\"type\":"), &["%json"]);
    says(lark("start: start"), &["no text keeps to it"]);
    says(lark("start: A\nA: A"), &["circular"]);
    says(lark(&format!("start: {}\"a\"{}", "(".repeat(60_000), ")".repeat(60_000))), &["deep"]);
    says(lark(&"# \n".repeat(100_000)), &["300000 bytes"]);
}

#[test]
fn a_grammar_in_gbnf_is_told_apart() {
    for text in [
        "root ::= \"yes\" | \"no\"",
        "# comment\nroot ::= ws object\nws ::= [ \\t]*",
        "  my-rule_2  ::=\n \"a\"",
    ] {
        says(Grammar::lark(text), &["GBNF", "Lark", "JSON schema"]);
    }
    // The sign alone is none.
    Grammar::lark("start: \"::=\"").unwrap();
}

#[test]
fn a_regular_expression_that_cannot_be_used_is_refused() {
    let regex = Grammar::regex;
    says(regex(""), &["regular expression", "empty"]);
    says(regex("["), &["unclosed character class"]);
    says(regex("a{2,1}"), &["repetition"]);
    says(regex("(?=a)b"), &["look-around"]);
    says(regex(&"(".repeat(15_000)), &["regular expression"]);
    says(regex(&"a".repeat(17_000)), &["17000 bytes"]);
    // Slashes are Lark's business, not the user's.
    assert_eq!(generate(&mut session(&model("llama")), "sled", &super::regex("a/b")).text, "a/b");
}

/// Pieces of schemas, grammars and expressions in any order: a grammar, or a sentence.
fn soups() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "start",
        ":",
        "\n",
        " ",
        "\"a\"",
        "|",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "*",
        "+",
        "?",
        "A",
        "b",
        "/x/",
        "~2..3",
        "%json",
        "%ignore",
        "%import common.INT",
        "%regex",
        "%llguidance",
        "%lark",
        "<|a|>",
        "<[1-3]>",
        "-> c",
        "@b",
        "é",
        "\\",
        "\"type\"",
        "\"object\"",
        ",",
        "\"enum\"",
        "\"$ref\"",
        "\"#\"",
        "null",
        "1e999",
        "\"pattern\"",
        "^",
        "$",
        "#",
        "::",
        "_",
        "!",
        "&",
        "=",
    ]);
    prop_oneof![vec(piece, 0..25).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn whatever_is_no_grammar_is_refused_in_one_sentence(text in soups()) {
        let with_start = format!("start: {text}");
        let schema = format!("{{\"anyOf\": [{{{text}}}]}}");
        for grammar in [
            Grammar::json_schema(&text), Grammar::json_schema(&schema), Grammar::lark(&text),
            Grammar::lark(&with_start), Grammar::regex(&text),
        ] {
            if let Err(error) = grammar {
                let message = error.to_string();
                prop_assert!(!message.contains(char::is_control), "{message:?}");
                prop_assert!(message.chars().count() < 300, "{message:?}");
            }
        }
    }
}

/// Whatever would take for ever is refused, or stopped, in seconds.
#[test]
fn hostile_grammars_are_no_hang_and_no_crash() {
    let chain = |rules: usize, rule: &dyn Fn(usize) -> String| {
        let rules: String = (0..rules).map(rule).collect();
        format!("start: r0\n{rules}r{}: \"a\"\n", rules_len(&rules))
    };
    let hostile = [
        chain(14_000, &|n| format!("r{n}: r{}\n", n + 1)),
        chain(6_000, &|n| format!("r{n}: \"x\" r{} | (\"y\" r{0})\n", n + 1)),
        "start: a{40000000}\na: \"a\" | \"b\"".to_owned(),
        "start: start start | \"a\" | \"\"".to_owned(),
        "start: /(.*a){50}.{500}/".to_owned(),
        "start: /((a{1000}){1000}){1000}/".to_owned(),
        "start: /(a?){2000}a{2000}/".to_owned(),
        "start: %json {\"type\": \"array\", \"minItems\": 100000000}".to_owned(),
        "start: %json {\"type\": \"string\", \"minLength\": 4000000000}".to_owned(),
    ];
    let mut session = session(&model("llama"));
    let sled = decoder(&session, "sled");
    for text in hostile {
        let Ok(grammar) = Grammar::lark(&text) else { continue };
        let options = GenerateOptions { max_tokens: Some(8), ..with(grammar) };
        if let Ok(generation) = session.generate(&sled, &PROMPT, &options) {
            match generation.finish() {
                Ok(_) | Err(Error::GrammarTooComplex(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// How many lines there are.
fn rules_len(rules: &str) -> usize {
    rules.lines().count()
}
