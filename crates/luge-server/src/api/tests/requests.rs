//! What is accepted, and how what is wrong is said.

use luge::SamplerOptions;
use serde_json::{Value, json};

use super::{served, text};
use crate::api::ApiError;
use crate::api::chat::ChatRequest;
use crate::api::completions::CompletionRequest;
use crate::api::reply::Job;

fn chat(fields: Value) -> Result<ChatRequest, ApiError> {
    let mut body = json!({"messages": [{"role": "user", "content": "Hello"}]});
    merge(&mut body, fields);
    ChatRequest::read(body.to_string().as_bytes(), &SamplerOptions::default())
}

fn completion(fields: Value) -> Result<CompletionRequest, ApiError> {
    let mut body = json!({"prompt": "The"});
    merge(&mut body, fields);
    CompletionRequest::read(body.to_string().as_bytes(), &SamplerOptions::default())
}

fn merge(body: &mut Value, fields: Value) {
    let Value::Object(fields) = fields else { panic!("{fields} is no object") };
    for (name, value) in fields {
        body[name] = value;
    }
}

fn job(fields: Value) -> Result<Job, ApiError> {
    completion(fields)?.prepare(&served())
}

/// The field and the sentence of what is wrong.
fn error<T>(result: Result<T, ApiError>) -> (String, String) {
    let Err(error) = result else { panic!("it is accepted") };
    let body = error.body();
    assert!((400..500).contains(&error.status().as_u16()), "{body}");
    let param = body["error"]["param"].as_str().unwrap_or_default().to_owned();
    (param, text(&body, "/error/message").to_owned())
}

#[test]
fn what_is_wrong_is_said_with_the_field_and_the_way_out() {
    for (fields, param, said) in [
        (json!({"temperatur": 1}), "temperatur", "did you mean temperature?"),
        (json!({"xyzzy": 1}), "xyzzy", "/openapi.json lists"),
        (json!({"temperature": "hot"}), "temperature", "is \"hot\": it takes a number of at least"),
        (json!({"temperature": -1}), "temperature", "at least 0"),
        (json!({"top_p": 1.5}), "top_p", "from 0 to 1"),
        (json!({"top_k": 1.5}), "top_k", "a whole number"),
        (json!({"seed": 1.5}), "seed", "a whole number"),
        // The sentence had two lines once.
        (json!({"a\nb": 1}), "a\nb", "unknown field a\u{fffd}b: "),
        (json!({"n": 0}), "n", "from 1 to"),
        (json!({"stop": [""]}), "stop[0]", "a string that is not empty"),
        (json!({"stop": vec!["x"; 17]}), "stop", "at most 16"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias.x", "token ids"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1", "from -100 to 100"),
        (json!({"stream_options": {}}), "stream_options.include_usage", "give stream"),
        (json!({"decoding": "sledd"}), "decoding", "did you mean 'sled'"),
        (json!({"decoding": {}}), "decoding.method", "is missing"),
        (
            json!({"decoding": {"method": "sled", "evolution_rat": 1}}),
            "decoding.evolution_rat",
            "did you mean evolution_rate?",
        ),
        (
            json!({"decoding": {"method": "sled", "evolution_rate": -1}}),
            "decoding.evolution_rate",
            "evolution_rate: it takes a number of at least 0",
        ),
        (json!({"decoding": {"method": "greedy", "x": 1}}), "decoding.x", "it has none"),
        (json!({"decoding": 1}), "decoding", "a method such as"),
        (json!({"layers": {"top": 21}}), "layers.top", "from 1 to 20"),
        (json!({"layers": {"tops": 1}}), "layers.tops", "did you mean top?"),
        (json!({"layers": {"layers": "some"}}), "layers.layers", "a selection"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type", "json_schema"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}),
            "response_format.json_schema.schema",
            "is missing",
        ),
        (json!({"regex": "("}), "regex", "cannot be used"),
        (json!({"regex": "a", "grammar": "start: \"a\""}), "grammar", "give one"),
    ] {
        for (found, message) in [error(chat(fields.clone())), error(completion(fields.clone()))] {
            assert_eq!(found, param, "{fields}: {message}");
            assert!(message.contains(said), "{fields}: {message}");
        }
    }
}

#[test]
fn each_kind_of_request_has_fields_of_its_own() {
    for (fields, param, said) in [
        (json!({"messages": []}), "messages", "is empty"),
        (json!({"messages": null}), "messages", "is missing"),
        (json!({"messages": ["x"]}), "messages[0]", "a message"),
        (json!({"messages": [{"role": "boss", "content": ""}]}), "messages[0].role", "one of"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content", "is missing"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages[0].content[0].type",
            "text alone",
        ),
        (
            json!({"messages": [{"role": "user", "content": "", "tool_calls": [
                {"function": {"name": "f"}}
            ]}]}),
            "messages[0].tool_calls",
            "the assistant's",
        ),
        (json!({"top_logprobs": 1}), "top_logprobs", "give logprobs true"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs", "from 0 to 20"),
        (json!({"max_tokens": 0}), "max_tokens", "at least 1"),
        (json!({"functions": []}), "functions", "give tools"),
        (json!({"modalities": ["text", "audio"]}), "modalities", "text alone"),
        (json!({"tool_choice": "required"}), "tool_choice", "give some"),
        (
            json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}),
            "tool_choice",
            "not among tools",
        ),
        (json!({"tools": [{"type": "function"}]}), "tools[0].function", "is missing"),
        (json!({"tools": [{"type": "search", "function": {}}]}), "tools[0].type", "functions"),
    ] {
        let (found, message) = error(chat(fields.clone()));
        assert_eq!(found, param, "{fields}: {message}");
        assert!(message.contains(said), "{fields}: {message}");
    }
    for (fields, param, said) in [
        (json!({"prompt": []}), "prompt", "is empty"),
        (json!({"prompt": null}), "prompt", "is missing"),
        (json!({"prompt": ["a", 1]}), "prompt[1]", "a string or a list"),
        (json!({"prompt": [1, "a"]}), "prompt[1]", "a token id"),
        (json!({"prompt": [[1], [-1]]}), "prompt[1][0]", "a token id"),
        (json!({"suffix": "end"}), "suffix", "fills no gaps"),
        (json!({"best_of": 2}), "best_of", "with n"),
        (json!({"logprobs": 21}), "logprobs", "from 0 to 20"),
        (json!({"messages": []}), "messages", "unknown field"),
    ] {
        let (found, message) = error(completion(fields.clone()));
        assert_eq!(found, param, "{fields}: {message}");
        assert!(message.contains(said), "{fields}: {message}");
    }
}

#[test]
fn what_does_not_fit_the_model_is_refused() {
    let long = vec![1; 257];
    let nine = ["sled"; 9].join("+");
    for (fields, param, said) in [
        (json!({"model": "gpt-4"}), "model", "there is no model 'gpt-4' here: give 'atlas'"),
        (json!({"model": "atlas@"}), "model", "name is missing"),
        (json!({"model": "atlas@dol"}), "model", "did you mean 'dola'"),
        (json!({"model": "atlas@sled", "decoding": "dola"}), "decoding", "give one of them"),
        (json!({"decoding": nine}), "decoding", "at most 8"),
        (json!({"model": format!("atlas@{nine}")}), "model", "at most 8"),
        (
            json!({"decoding": {"method": "dola", "layers": [99]}}),
            "decoding.layers",
            "out of range",
        ),
        (
            json!({"decoding": {"method": "sled", "evolution_scale": 10_000_000}}),
            "decoding.evolution_scale",
            "larger than the vocabulary",
        ),
        (json!({"layers": {"layers": [99]}}), "layers.layers", "out of range"),
        (json!({"layers": {"pin": ["a b c d"]}}), "layers.pin[0]", "no token"),
        (json!({"layers": {"pin": [9_999_999]}}), "layers.pin[0]", ""),
        (json!({"logit_bias": {"9999999": 1}}), "logit_bias.9999999", ""),
        (json!({"n": 9}), "n", "the server takes 8"),
        (json!({"prompt": vec!["a"; 9]}), "prompt", "the server takes 8"),
        (json!({"prompt": [1, 9_999_999]}), "prompt[1]", ""),
        (json!({"prompt": [long]}), "prompt[0]", "257 tokens"),
    ] {
        let (found, message) = error(job(fields.clone()));
        assert_eq!(found, param, "{fields}: {message}");
        assert!(message.contains(said), "{fields}: {message}");
    }
    let Err(error) = job(json!({"prompt": vec![1; 257]})) else { panic!("it is accepted") };
    assert_eq!(error.body()["error"]["code"], "context_length_exceeded");
}

#[test]
fn a_method_is_the_same_however_it_is_asked_for() {
    let method = |fields: Value| format!("{:#}", job(fields).ok().unwrap().requests[0].decoder);
    let sled =
        method(json!({"decoding": {"method": "sled", "layers": [0, 2], "evolution_rate": 1}}));
    assert!(sled.contains("evolution-rate=1,") && sled.contains("layers=0,2,"), "{sled}");
    assert_eq!(method(json!({"decoding": "sled(layers=0,2,evolution_rate=1.0)"})), sled);
    assert_eq!(method(json!({"model": "atlas@sled(layers=0,2,evolution-rate=1)"})), sled);
    assert_eq!(method(json!({})), method(json!({"model": "atlas@sled"})));
    assert_eq!(
        method(json!({"model": "atlas@dola", "decoding": "dola"})),
        method(json!({"decoding": "dola"}))
    );
    assert!(method(json!({"decoding": "sled+dola"})).contains(")+dola("));
    let norm = json!({"method": "dola", "exit_norm": "final", "exit_softcap": false});
    assert!(method(json!({"decoding": norm})).contains("exit-norm=final,exit-softcap=off"));
}

#[test]
fn choices_have_their_seeds_and_prompts_their_choices() {
    let fields = json!({"prompt": ["The", "A", [1, 2]], "n": 2, "seed": 7, "max_tokens": 3});
    let job = job(fields).ok().unwrap();
    let seeds: Vec<u64> = job.requests.iter().map(|r| r.options.sampler.seed).collect();
    assert_eq!(seeds, [7, 8, 9, 10, 11, 12]);
    assert_eq!(job.requests[4].prompt, [1, 2]);
    assert_eq!(job.requests[0].prompt, job.requests[1].prompt);
    assert!(job.requests.iter().all(|request| request.options.max_tokens == Some(3)));
}

#[test]
fn lengths_are_cut_to_what_the_server_grants() {
    let most = |fields: Value| job(fields).ok().unwrap().requests[0].options.max_tokens;
    assert_eq!(most(json!({})), Some(16));
    assert_eq!(most(json!({"max_tokens": 0})), Some(0));
    assert_eq!(most(json!({"max_tokens": 1000})), Some(64));
    assert_eq!(most(json!({"max_tokens": -1})), Some(64));
    let chat = chat(json!({})).unwrap().prepare(&served()).ok().unwrap();
    assert_eq!(chat.requests[0].options.max_tokens, Some(64));
}

#[test]
fn sampling_is_the_servers_where_a_request_says_nothing() {
    let options = |fields: Value| job(fields).ok().unwrap().requests[0].options.clone();
    let plain = options(json!({"seed": 3}));
    assert_eq!(plain.sampler, SamplerOptions { seed: 3, ..SamplerOptions::default() });
    let all = options(json!({
        "temperature": 1, "top_k": -1, "top_p": 0.5, "min_p": 0, "repeat_penalty": 1.1,
        "repeat_last_n": -1, "presence_penalty": -1, "frequency_penalty": 2, "seed": 1,
        "logit_bias": {"5": -100, "6": 2.5}, "stop": "x", "ignore_eos": true, "regex": "a+",
    }));
    assert_eq!(
        all.sampler,
        SamplerOptions {
            temperature: 1.0,
            top_k: 0,
            top_p: 0.5,
            min_p: 0.0,
            repeat_penalty: 1.1,
            repeat_last_n: usize::MAX,
            presence_penalty: -1.0,
            frequency_penalty: 2.0,
            logit_bias: vec![(5, f32::NEG_INFINITY), (6, 2.5)],
            seed: 1,
        }
    );
    assert_eq!(all.stop, ["x"]);
    assert!(all.ignore_eos && all.grammar.is_some());
    // Two requests without a seed have different ones.
    assert_ne!(options(json!({})).sampler.seed, options(json!({"seed": -1})).sampler.seed);
}

#[test]
fn what_clients_send_back_of_answers_is_read() {
    let messages = json!([
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "Weather?", "name": "ann"},
        {
            "role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null,
            "function_call": null, "reasoning_content": "hm",
            "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {
                "name": "weather", "arguments": "{\"place\": \"Victoria\"}"
            }}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]);
    let mut fields =
        crate::api::body::object(json!({"messages": messages}).to_string().as_bytes()).unwrap();
    let messages = crate::api::messages::messages(&mut fields).unwrap();
    assert_eq!((messages[0].role.as_str(), messages[0].content.as_str()), ("system", "Be\nbrief."));
    assert_eq!(messages[2].reasoning.as_deref(), Some("hm"));
    assert_eq!(messages[2].tool_calls[0].arguments, json!({"place": "Victoria"}));
    assert_eq!(messages[3].name.as_deref(), Some("weather"));
}

#[test]
fn variables_and_effort_reach_the_template() {
    let mut served = served();
    served.template = luge::ChatTemplate::new("{{ reasoning_effort }}{{ flag }}").unwrap();
    let fields = json!({"reasoning_effort": "low", "chat_template_kwargs": {"flag": 1}});
    let job = chat(fields).unwrap().prepare(&served).ok().unwrap();
    let expected = served.model.tokenize("low1", false, true).unwrap();
    assert_eq!(job.requests[0].prompt, expected);
}

#[test]
fn tools_need_a_template_that_shows_them() {
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let (param, said) = error(chat(tools.clone()).unwrap().prepare(&served()));
    assert_eq!(param, "tools");
    assert!(said.contains("no place for tools"), "{said}");
    // Where they are not to be called, the model is not told of them.
    let mut none = tools;
    none["tool_choice"] = json!("none");
    assert!(chat(none).unwrap().prepare(&served()).is_ok());
}

#[test]
fn bodies_that_are_no_json_are_refused_with_the_place() {
    for (body, said) in [
        (&b"{\"prompt\": \"a\"\n\"n\": 1}"[..], "line 2 column 1"),
        (b"{\n\"prompt\": \"\xff\"}", "not UTF-8 at line 2, byte 12"),
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{\"prompt\": \"a\", \"temperature\": 1e999}", "out of range"),
    ] {
        let (_, message) = error(CompletionRequest::read(body, &SamplerOptions::default()));
        assert!(message.contains(said), "{message}");
    }
    let deep = "[".repeat(100_000);
    let (_, message) = error(CompletionRequest::read(deep.as_bytes(), &SamplerOptions::default()));
    assert!(message.contains("recursion limit"), "{message}");
}
