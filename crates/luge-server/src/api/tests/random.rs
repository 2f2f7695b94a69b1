//! Whatever comes in: nothing panics, and what is refused is refused properly.

use luge::SamplerOptions;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::api::chat::ChatRequest;
use crate::api::completions::CompletionRequest;

/// A request with most of what there is.
fn seed() -> Value {
    json!({
        "model": "atlas@sled", "decoding": {"method": "sled", "evolution_rate": 2, "layers": [0, 1]},
        "layers": {"top": 3, "pin": [" a", 3], "paths": true, "layers": "0..2"},
        "messages": [
            {"role": "system", "content": "x"},
            {"role": "user", "content": [{"type": "text", "text": "y"}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
                "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "content": "z", "tool_call_id": "1"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_object"}, "stop": ["a", "b"], "n": 2, "seed": 1,
        "logit_bias": {"1": -100}, "stream": true, "stream_options": {"include_usage": true},
        "temperature": 0.5, "top_p": 0.5, "max_tokens": 5, "prompt": [[1, 2], [3]], "echo": true,
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["sled", "dola(", "all", "-1..", "text", "auto", "user", "("])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Puts a value at the `place`-th node, or takes the node away.
fn mutate(node: &mut Value, place: &mut usize, new: Option<&Value>) {
    if *place == 0 {
        *node = new.cloned().unwrap_or(Value::Null);
    }
    *place = place.wrapping_sub(1);
    match node {
        Value::Array(values) => values.iter_mut().for_each(|node| mutate(node, place, new)),
        Value::Object(map) => map.values_mut().for_each(|node| mutate(node, place, new)),
        _ => {}
    }
}

fn check<T>(result: Result<T, ApiError>) -> Result<(), TestCaseError> {
    let Err(error) = result else { return Ok(()) };
    prop_assert_eq!(error.status().as_u16(), 400);
    let body = error.body();
    let message = body["error"]["message"].as_str().unwrap_or_default();
    prop_assert!(!message.is_empty() && !message.contains('\n'), "{}", message);
    Ok(())
}

fn read(body: &[u8]) -> Result<(), TestCaseError> {
    check(ChatRequest::read(body, &SamplerOptions::default()))?;
    check(CompletionRequest::read(body, &SamplerOptions::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_requests(changes in prop::collection::vec((1usize..70, prop::option::of(value())), 1..4)) {
        // Each kind knows its own fields: otherwise the other's would end the reading.
        for without in [&["prompt", "echo"][..], &["messages", "tools", "tool_choice"]] {
            let mut body = seed();
            for (place, new) in &changes {
                mutate(&mut body, &mut place.clone(), new.as_ref());
            }
            if let Value::Object(map) = &mut body {
                without.iter().for_each(|name| { map.shift_remove(*name); });
            }
            read(body.to_string().as_bytes())?;
        }
    }

    #[test]
    fn broken_bytes(at in 0usize..600, byte in any::<u8>(), end in 0usize..1200) {
        let mut body = seed().to_string().into_bytes();
        let place = at % body.len();
        body[place] = byte;
        body.truncate(end.max(1));
        read(&body)?;
    }

    #[test]
    fn anything_else(value in value()) {
        read(value.to_string().as_bytes())?;
    }
}

#[test]
fn the_request_that_is_mutated_is_accepted() {
    let mut body = seed();
    let map = body.as_object_mut().unwrap();
    ["messages", "tools", "tool_choice"].iter().for_each(|name| {
        map.shift_remove(*name);
    });
    CompletionRequest::read(body.to_string().as_bytes(), &SamplerOptions::default()).unwrap();
    let mut body = seed();
    let map = body.as_object_mut().unwrap();
    // A call and a format at once are refused.
    ["prompt", "echo", "response_format"].iter().for_each(|name| {
        map.shift_remove(*name);
    });
    ChatRequest::read(body.to_string().as_bytes(), &SamplerOptions::default()).unwrap();
}
