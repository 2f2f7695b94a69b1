//! Requests that were fine until they were tampered with, at every route and with a model
//! behind it: answered or refused, and nothing else.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{Request, header};
use proptest::prelude::*;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::{served, state};
use crate::api::routes;
use crate::state::AppState;

/// A request for each route, with much of what it takes.
const REQUESTS: [(&str, &str); 6] = [
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"system","content":"be short"},{"role":"user","content":"What is the capital of Peru?"}],"max_tokens":3,"n":2,"stream":true,"stream_options":{"include_usage":true},"stop":["x"],"temperature":0.5,"top_p":0.9,"seed":7,"logprobs":true,"top_logprobs":2}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"model":"atlas@dola","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"b"}],"max_tokens":2,"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"a":{"type":"integer"}}}}},"layers":{"top":2,"pin":[5],"paths":true}}"#,
    ),
    (
        "/v1/completions",
        r#"{"prompt":["The capital of Peru is","a"],"max_tokens":2,"logprobs":1,"echo":true,"decoding":{"method":"sled","evolution_rate":2},"logit_bias":{"5":-100,"6":1.5},"regex":"[a-z ]{1,4}","min_p":0.1}"#,
    ),
    (
        "/v1/completions",
        r#"{"prompt":[[1,2,3],[4]],"max_tokens":2,"n":1,"decoding":"sled+dola","layers":true,"repeat_penalty":1.1,"repeat_last_n":-1,"top_k":-1,"ignore_eos":true,"grammar":"start: /a+/"}"#,
    ),
    ("/tokenize", r#"{"content":"one two","add_special":true,"with_pieces":true}"#),
    ("/detokenize", r#"{"tokens":[1,2,3]}"#),
];

/// What is put in the place of parts of a request.
fn part() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "-0",
        "0",
        "-1",
        "1e999",
        "1e-999",
        "1.5",
        "18446744073709551616",
        "-9223372036854775809",
        "340282346638528859811704183484516925440",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{202e}\u{1f600}\u{feff}\"",
        "\"\\\"\\n\\t\\\\\"",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "\"all\"",
        "\"(((\"",
        "\"<|im_end|>\"",
        "{\"a\":1,\"a\":2}",
        "\"seed\":1",
        "\"max_tokens\":2",
        "\"stream\":true",
        "NaN",
        "",
    ];
    prop_oneof![
        6 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => (1usize..400).prop_map(|deep| "[".repeat(deep) + &"]".repeat(deep)),
        1 => (1usize..400).prop_map(|deep| "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep)),
        1 => (1usize..40).prop_map(|digits| "9".repeat(digits)),
        1 => "\\PC{0,8}".prop_map(|text| Value::from(text).to_string()),
        1 => (1usize..3000).prop_map(|length| format!("\"{}\"", "wide ".repeat(length))),
    ]
}

/// Puts something in the place of what lies between two signs of JSON: the `at`-th one,
/// and the one so many further on. With `twice`, what is there stays in front of it.
fn tamper(text: &mut String, at: usize, further: usize, part: &str, twice: bool) {
    let signs: Vec<usize> =
        text.match_indices([':', ',', '[', ']', '{', '}']).map(|s| s.0).collect();
    if signs.is_empty() {
        return;
    }
    let start = signs[at % signs.len()] + 1;
    let end = signs.get(at % signs.len() + further).map_or(text.len(), |&end| end.max(start));
    if twice {
        text.insert_str(end, &format!(",{part}"));
    } else {
        text.replace_range(start..end, part);
    }
}

/// A server's state, and what its handlers run on.
fn server() -> &'static (Runtime, Arc<AppState>) {
    static SERVER: OnceLock<(Runtime, Arc<AppState>)> = OnceLock::new();
    SERVER.get_or_init(|| (Runtime::new().unwrap(), state(served())))
}

/// The status of an answer, and its body.
fn ask(path: &str, body: &str) -> (u16, String) {
    let (runtime, state) = server();
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    runtime.block_on(async {
        let response = routes().with_state(Arc::clone(state)).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 26).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_tampered_with_is_answered_or_refused(
        which in 0..REQUESTS.len(),
        edits in prop::collection::vec((0usize..200, 1usize..4, part(), any::<bool>()), 1..4),
    ) {
        let (path, body) = REQUESTS[which];
        let mut body = body.to_owned();
        for (at, further, part, twice) in &edits {
            tamper(&mut body, *at, *further, part, *twice);
        }
        let (status, answer) = ask(path, &body);
        match status {
            200 if answer.starts_with("data: ") => {
                // A text may turn out to be impossible when it has begun.
                let last = answer.trim_end().rsplit("\n\n").next().unwrap_or_default();
                let is_whole = last == "data: [DONE]" || last.starts_with("data: {\"error\":");
                prop_assert!(is_whole && answer.ends_with("\n\n"), "{}: {}", body, answer);
            }
            200 => {
                prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{}: {}", body, answer);
            }
            _ => {
                prop_assert!([400, 404].contains(&status), "{}: {} {}", body, status, answer);
                let answer: Value = serde_json::from_str(&answer).unwrap();
                let message = answer["error"]["message"].as_str().unwrap_or_default();
                prop_assert!(!message.is_empty() && !message.contains('\n'), "{}", message);
            }
        }
    }
}

#[test]
fn before_that_they_are_answered() {
    for (path, body) in REQUESTS {
        let (status, answer) = ask(path, body);
        assert_eq!(status, 200, "{body}: {answer}");
    }
}
