//! The routes, with an engine behind them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{served, state, text};
use crate::api::routes;
use crate::state::AppState;

async fn ask(state: &Arc<AppState>, request: Request<Body>) -> (StatusCode, String) {
    let response = routes().with_state(Arc::clone(state)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn post(state: &Arc<AppState>, path: &str, body: Value) -> (StatusCode, Value) {
    let (status, text) = post_text(state, path, body).await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn post_text(state: &Arc<AppState>, path: &str, body: Value) -> (StatusCode, String) {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(Body::from(body.to_string()))
        .unwrap();
    ask(state, request).await
}

async fn get(state: &Arc<AppState>, path: &str) -> (StatusCode, String) {
    ask(state, Request::get(path).body(Body::empty()).unwrap()).await
}

/// The data of server-sent events, the last of which says so.
fn events(body: &str) -> Vec<Value> {
    let mut data: Vec<&str> =
        body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{body}");
    data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_completion_is_the_librarys() {
    let state = state(served());
    let body =
        json!({"prompt": "The capital of France is", "max_tokens": 4, "cache_prompt": false});
    let (status, whole) = post(&state, "/v1/completions", body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{whole}");
    let model = &state.served.model;
    let mut session =
        luge::Session::new(model, &luge::SessionOptions { threads: Some(1), ..Default::default() })
            .unwrap();
    let prompt = model.tokenize_prompt("The capital of France is").unwrap();
    let options = luge::GenerateOptions { max_tokens: Some(4), ..Default::default() };
    let own = session.generate(&state.served.method, &prompt, &options).unwrap().finish().unwrap();
    assert_eq!(text(&whole, "/choices/0/text"), own.text);
    assert_eq!(whole["usage"]["prompt_tokens"], json!(prompt.len()));
    assert_eq!(whole["usage"]["completion_tokens"], json!(own.tokens.len()));
    assert_eq!(whole["model"], "atlas");

    let mut streamed = body;
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let (status, body) = post_text(&state, "/v1/completions", streamed).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let chunks = events(&body);
    let said: String =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/text")?.as_str()).collect();
    assert_eq!(said, own.text);
    assert_eq!(chunks.last().unwrap()["usage"], whole["usage"]);
    state.engine.stop();
}

#[tokio::test]
async fn a_chat_answers_in_its_choices() {
    let state = state(served());
    let body = json!({
        "model": "atlas@greedy", "messages": [{"role": "user", "content": "Hello"}],
        "max_completion_tokens": 3, "n": 2, "temperature": 1, "seed": 5,
    });
    let (status, whole) = post(&state, "/v1/chat/completions", body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{whole}");
    assert_eq!(whole["choices"].as_array().unwrap().len(), 2);
    assert_eq!(whole["model"], "atlas@greedy");
    // The second choice is the first one of the next seed.
    let mut second = body;
    (second["n"], second["seed"]) = (json!(1), json!(6));
    let (_, alone) = post(&state, "/v1/chat/completions", second).await;
    assert_eq!(whole["choices"][1]["message"], alone["choices"][0]["message"]);
    state.engine.stop();
}

#[tokio::test]
async fn formats_are_kept_to() {
    let state = state(served());
    let body = json!({
        "prompt": "The answer is", "max_tokens": 8, "regex": " (yes|no)\\.", "decoding": "dola",
    });
    let (status, whole) = post(&state, "/v1/completions", body).await;
    assert_eq!(status, StatusCode::OK, "{whole}");
    let text = text(&whole, "/choices/0/text");
    assert!([" yes.", " no."].contains(&text), "{text}");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    state.engine.stop();
}

#[tokio::test]
async fn tokens_go_there_and_back() {
    let state = state(served());
    let body = json!({"content": "The capital of Österreich"});
    let (status, found) = post(&state, "/tokenize", body).await;
    assert_eq!(status, StatusCode::OK);
    let own = state.served.model.tokenize("The capital of Österreich", false, true).unwrap();
    assert_eq!(found, json!({"tokens": own}));
    let (_, back) = post(&state, "/detokenize", found).await;
    assert_eq!(text(&back, "/content").trim_start(), "The capital of Österreich");
    let body = json!({"content": "a", "with_pieces": true});
    let (_, pieces) = post(&state, "/tokenize", body).await;
    assert!(pieces["tokens"][0]["id"].is_u64() && pieces["tokens"][0]["piece"].is_string());
    let (status, error) = post(&state, "/detokenize", json!({"tokens": [1, 99_999_999]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["param"], "tokens[1]");
    state.engine.stop();
}

#[tokio::test]
async fn tokens_have_vllms_names_too() {
    let state = state(served());
    let served = &state.served;
    let model = &served.model;
    for (special, wanted) in [(None, true), (Some(true), true), (Some(false), false)] {
        let body = json!({"model": "atlas", "prompt": "A cat", "add_special_tokens": special});
        let (status, found) = post(&state, "/tokenize", body).await;
        assert_eq!(status, StatusCode::OK, "{found}");
        let own = model.tokenize("A cat", wanted, true).unwrap();
        let room = served.limits.ctx_size;
        assert_eq!(found, json!({"tokens": own, "count": own.len(), "max_model_len": room}));
        let (_, back) = post(&state, "/detokenize", json!({"tokens": own})).await;
        assert_eq!(back["prompt"], back["content"]);
    }
    let (_, info) = get(&state, "/tokenizer_info").await;
    let info: Value = serde_json::from_str(&info).unwrap();
    let end = json!({"content": info["eos_token"]});
    assert_eq!(post(&state, "/tokenize", end).await.1, json!({"tokens": [model.eos()]}));
    assert_eq!(info["add_bos_token"], model.adds_bos());
    assert_eq!(info["chat_template"], served.template.text());

    for (path, body, status, param) in [
        ("/tokenize", json!({"prompt": "a", "content": "a"}), 400, "prompt"),
        ("/tokenize", json!({"prompt": "a", "model": "other"}), 404, "model"),
        ("/detokenize", json!({"tokens": [1], "model": "other"}), 404, "model"),
    ] {
        let (found, error) = post(&state, path, body).await;
        assert_eq!((found.as_u16(), text(&error, "/error/param")), (status, param));
    }
    state.engine.stop();
}

#[tokio::test]
async fn models_tell_their_methods() {
    let state = state(served());
    let (status, list) = get(&state, "/v1/models").await;
    assert_eq!(status, StatusCode::OK);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 1 + luge::METHODS.len());
    let first = &list["data"][0];
    assert_eq!(first["id"], "atlas");
    assert_eq!(first["default_decoding"]["name"], "sled");
    assert_eq!(first["context_length"], 256);
    let sled = first["methods"].as_array().unwrap().iter().find(|m| m["name"] == "sled").unwrap();
    let param = |name: &str| {
        sled["params"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap().clone()
    };
    assert_eq!(param("evolution_rate")["default"], 2.0);
    assert_eq!(param("exit_norm")["default"], "raw");
    assert!(param("layers")["default"].is_array());
    // What is told as default is accepted.
    for method in first["methods"].as_array().unwrap() {
        let mut decoding = json!({"method": method["name"]});
        for param in method["params"].as_array().unwrap() {
            decoding[text(param, "/name")] = param["default"].clone();
        }
        let body = json!({"prompt": "The", "max_tokens": 1, "decoding": decoding});
        let (status, answer) = post(&state, "/v1/completions", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let (status, dola) = get(&state, "/v1/models/atlas@dola").await;
    assert_eq!(status, StatusCode::OK);
    let dola: Value = serde_json::from_str(&dola).unwrap();
    assert_eq!(dola["default_decoding"]["name"], "dola");
    let (status, error) = get(&state, "/v1/models/other").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error.contains("model_not_found"), "{error}");
    state.engine.stop();
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let state = state(served());
    let (status, document) = get(&state, "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let (status, page) = get(&state, "/docs").await;
    assert_eq!(status, StatusCode::OK);
    let embedded = page.split("id=\"document\">").nth(1).unwrap().split("</script>").next();
    let embedded: Value = serde_json::from_str(embedded.unwrap()).unwrap();
    assert_eq!(embedded, document);
    state.engine.stop();
}

#[tokio::test]
async fn bodies_must_say_that_they_are_json() {
    let state = state(served());
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut request = Request::post("/v1/completions");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from("{\"prompt\": \"a\"}")).unwrap();
        let (status, body) = ask(&state, request).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(text(&body, "/error/message").contains("application/json"), "{body}");
    }
    state.engine.stop();
}

#[tokio::test]
async fn an_engine_that_has_no_room_says_when_to_come_again() {
    // Room for 4 at once and 8 that wait.
    let mut many = served();
    many.limits.max_choices = 100;
    let state = state(many);
    let body = json!({"prompt": vec!["The"; 13], "max_tokens": 1}).to_string();
    let request = Request::post("/v1/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = routes().with_state(Arc::clone(&state)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    state.engine.stop();
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let mut slow = served();
    slow.limits.timeout = Some(Duration::ZERO);
    let state = state(slow);
    let body = json!({"prompt": "The", "max_tokens": 60, "ignore_eos": true});
    let (status, error) = post(&state, "/v1/completions", body.clone()).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{error}");
    assert_eq!(error["error"]["type"], "timeout_error");
    let mut streamed = body;
    streamed["stream"] = json!(true);
    let (status, body) = post_text(&state, "/v1/completions", streamed).await;
    assert_eq!(status, StatusCode::OK);
    let last = body.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["code"], "timeout");
    state.engine.stop();
}

#[tokio::test]
async fn an_engine_that_ends_says_so() {
    let state = state(served());
    state.engine.stop();
    let body = json!({"prompt": "The"});
    let (status, error) = post(&state, "/v1/completions", body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{error}");
    assert_eq!(error["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_prompt_is_scored_as_the_library_scores_it() {
    let state = state(served());
    let model = &state.served.model;
    let settings = luge::SessionOptions { threads: Some(1), ..Default::default() };
    let mut session = luge::Session::new(model, &settings).unwrap();
    let text = "The capital of France is Paris.";
    let tokens = model.tokenize_prompt(text).unwrap();
    let (prompt, rest) = tokens.split_at(3);
    // As lm-evaluation-harness asks, and as it might.
    for (asked, max_tokens) in [(json!(tokens), 1), (json!([text]), 0)] {
        let body = json!({
            "model": "atlas", "prompt": asked, "temperature": 0, "max_tokens": max_tokens,
            "logprobs": 1, "seed": 1234, "echo": true,
        });
        let (status, answer) = post(&state, "/v1/completions", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let logprobs = &answer["choices"][0]["logprobs"];
        let own = logprobs["token_logprobs"].as_array().unwrap();
        assert_eq!(own.len(), tokens.len() + max_tokens);
        assert!(own[0].is_null() && logprobs["top_logprobs"][0].is_null());
        let sum: f64 = own[3..tokens.len()].iter().map(|value| value.as_f64().unwrap()).sum();
        let score = session.score(&state.served.method, prompt, rest).unwrap();
        assert!((sum - score.sum_logprob).abs() < 1e-3, "{sum} {}", score.sum_logprob);
        let best = |value: &Value| {
            let all = value.as_object().unwrap().values().map(|value| value.as_f64().unwrap());
            all.fold(f64::NEG_INFINITY, f64::max)
        };
        for (own, top) in own.iter().zip(logprobs["top_logprobs"].as_array().unwrap()).skip(1) {
            assert!(own.is_null() || own.as_f64().unwrap() <= best(top));
        }
    }
    state.engine.stop();
}

#[tokio::test]
async fn the_layers_of_each_token_are_told_where_asked_for() {
    let state = state(served());
    let body = json!({
        "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3, "ignore_eos": true,
        "logprobs": true, "top_logprobs": 2,
        "layers": {"top": 2, "layers": [0, 1], "pin": [5], "paths": true},
    });
    let (status, answer) = post(&state, "/v1/chat/completions", body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["decoding"]["name"], "sled");
    let tokens = answer["choices"][0]["layers"]["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    for token in tokens {
        assert_eq!(token["layers"].as_array().unwrap().len(), 3);
        assert_eq!(token["layers"][0]["top"].as_array().unwrap().len(), 2);
        assert_eq!(token["layers"][2]["pinned"][0]["id"], 5);
        assert_eq!(token["after"]["id"], token["id"]);
        assert_eq!(token["paths"][0]["probs"].as_array().unwrap().len(), 3);
    }
    let logprobs = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(logprobs.len(), 3);
    assert_eq!(logprobs[0]["top_logprobs"].as_array().unwrap().len(), 2);
    let mut streamed = body;
    streamed["stream"] = json!(true);
    let (_, body) = post_text(&state, "/v1/chat/completions", streamed).await;
    let told: Vec<Value> = events(&body)
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/layers/tokens")?.as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(&told, tokens);
    state.engine.stop();
}

#[tokio::test]
async fn thoughts_and_calls_have_their_places() {
    let mut served = served();
    served.limits.max_tokens = 200;
    served.template = luge::ChatTemplate::new(
        "{% if tools %}{{ tools | tojson }}<tool_call>\n{\"name\": 1, \"arguments\": 1}\n\
         </tool_call>{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}\
         {# <think></think> #}",
    )
    .unwrap();
    let state = state(served);
    let body = json!({
        "messages": [{"role": "user", "content": "Hi"}], "regex": "<think>a</think>b",
    });
    let (status, answer) = post(&state, "/v1/chat/completions", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "a", "{message}");
    assert_eq!(message["content"], "b");

    let schema = json!({
        "type": "object", "properties": {"x": {"enum": [7]}}, "required": ["x"],
        "additionalProperties": false,
    });
    let mut body = json!({
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    });
    let (status, answer) = post(&state, "/v1/chat/completions", body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    assert!(choice["message"]["content"].is_null());
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((text(call, "/type"), text(call, "/function/name")), ("function", "f"));
    let arguments: Value = serde_json::from_str(text(call, "/function/arguments")).unwrap();
    assert_eq!(arguments, json!({"x": 7}));

    body["stream"] = json!(true);
    let (_, body) = post_text(&state, "/v1/chat/completions", body).await;
    let chunks = events(&body);
    let calls: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls")?.get(0))
        .collect();
    assert!(text(calls[0], "/id").starts_with("call_"));
    let arguments: String = calls.iter().map(|call| text(call, "/function/arguments")).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"x": 7}));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    state.engine.stop();
}

#[tokio::test]
async fn who_goes_away_frees_the_place() {
    let state = state(served());
    let body = json!({"prompt": "The", "max_tokens": 64, "ignore_eos": true, "stream": true});
    let request = Request::post("/v1/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = routes().with_state(Arc::clone(&state)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    while state.engine.texts() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    state.engine.stop();
}
