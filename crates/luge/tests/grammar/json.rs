//! JSON by a schema: it parses, and a validator of another house agrees.

use serde_json::{Value, json};

use super::*;

/// Enumerations, nested objects, arrays, numbers, strings.
fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 8},
            "kind": {"enum": ["person", "city", 7, null]},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "home": {
                "type": "object",
                "properties": {
                    "street": {"type": "string", "maxLength": 6},
                    "at": {
                        "type": "array",
                        "items": {"type": "number", "minimum": -90, "maximum": 90,
                                  "multipleOf": 0.5},
                        "minItems": 2,
                        "maxItems": 2
                    }
                },
                "required": ["street", "at"],
                "additionalProperties": false
            },
            "knows": {"type": "array", "items": {"$ref": "#/$defs/word"}, "maxItems": 3},
            "is": {"anyOf": [{"type": "boolean"}, {"const": "unknown"}]}
        },
        "required": ["name", "kind", "age", "home", "knows", "is"],
        "additionalProperties": false,
        "$defs": {"word": {"type": "string", "pattern": "^[a-z]{1,5}$"}}
    })
}

#[track_caller]
fn check(schema: &Value, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let validator = jsonschema::validator_for(schema).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{text}: {error}");
    }
    value
}

#[test]
fn every_method_writes_what_the_schema_describes() {
    let person = person();
    // GPT-2 has learned 128 positions, which are too few.
    for name in models().into_iter().filter(|&name| name != "gpt2") {
        let room = SessionOptions { ctx_size: Some(1024), threads: Some(1), ..Default::default() };
        let mut session = Session::new(&model(name), &room).unwrap();
        for method in METHODS {
            for sampler in samplers() {
                let options =
                    GenerateOptions { sampler, max_tokens: None, ..schema(&person.to_string()) };
                let completion = generate(&mut session, method, &options);
                assert_eq!(completion.finish_reason, FinishReason::Eos, "{name}, {method}");
                let value = check(&person, completion.text.trim());
                // In the schema's order, whatever the alphabet's is.
                let keys: Vec<_> = value.as_object().unwrap().keys().collect();
                assert_eq!(keys, ["name", "kind", "age", "home", "knows", "is"]);
            }
        }
    }
}

#[test]
fn strings_hold_any_character_and_only_whole_ones() {
    let text = json!({"type": "string", "minLength": 12, "maxLength": 12}).to_string();
    let mut beyond_ascii = 0;
    for name in models() {
        let mut session = session(&model(name));
        for seed in 0..12 {
            let sampler = SamplerOptions {
                temperature: 20.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                seed,
                // The first bytes of é, €, 😀 where the vocabulary is small.
                logit_bias: vec![(160, 90.0), (162, 90.0), (165, 90.0)],
                ..SamplerOptions::default()
            };
            let options = GenerateOptions { sampler, ..schema(&text) };
            let completion = generate(&mut session, "ensemble", &options);
            if completion.finish_reason == FinishReason::Eos {
                let value: Value = serde_json::from_str(&completion.text).unwrap();
                let string = value.as_str().unwrap();
                assert_eq!(string.chars().count(), 12, "{name}: {string:?}");
                assert!(!string.contains('\u{fffd}'), "{name}: {string:?}");
                beyond_ascii += usize::from(!string.is_ascii());
            }
        }
    }
    assert!(beyond_ascii > 10, "{beyond_ascii}");
}

/// Texts that are whole at every step may be cut by the number of tokens alone.
#[test]
fn text_cut_off_is_the_beginning_of_valid_text() {
    let options = GenerateOptions { max_tokens: Some(5), ..schema(&person().to_string()) };
    for name in models() {
        let mut session = session(&model(name));
        let completion = generate(&mut session, "sled", &options);
        assert_eq!(completion.finish_reason, FinishReason::Length);
        assert_eq!(completion.tokens.len(), 5);
        assert!(completion.text.starts_with('{'), "{name}: {}", completion.text);
    }
}

#[test]
fn white_space_has_an_end() {
    // A model that would like nothing better.
    let logit_bias = vec![(64, 1e4), (159, 1e4)];
    let options = GenerateOptions {
        sampler: SamplerOptions { logit_bias, ..SamplerOptions::default() },
        ..schema(r#"{"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}"#)
    };
    for name in ["llama", "gpt2"] {
        let completion = generate(&mut session(&model(name)), "greedy", &options);
        assert_eq!(completion.finish_reason, FinishReason::Eos);
        let blanks = completion.text.chars().filter(char::is_ascii_whitespace).count();
        assert!(blanks > 0 && blanks <= 4 * 21, "{name}: {:?}", completion.text);
    }
    // And none where the schema says so itself.
    let compact = r#"{"const": {"a": [1, 2]}, "x-guidance": {"whitespace_flexible": false}}"#;
    let options = GenerateOptions { grammar: schema(compact).grammar, ..options };
    let completion = generate(&mut session(&model("llama")), "greedy", &options);
    assert_eq!(completion.text, r#"{"a":[1,2]}"#);
}

#[test]
fn any_json_is_a_schema_too() {
    for text in ["true", "{}"] {
        let sampler = SamplerOptions { logit_bias: vec![(86, 50.0)], ..SamplerOptions::default() };
        let options = GenerateOptions { sampler, max_tokens: Some(9), ..schema(text) };
        let completion = generate(&mut session(&model("llama")), "sled", &options);
        serde_json::from_str::<Value>(&completion.text).unwrap();
    }
}
