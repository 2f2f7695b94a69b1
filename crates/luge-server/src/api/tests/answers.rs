//! Answers from what an engine might say.

use std::sync::Arc;

use luge::batching::{PromptReport, TextEnd, TextEvent, TokenLogprob, TokenLogprobs, WrittenToken};
use luge::chat::{AnswerFormat, AnswerPart};
use luge::lens::Token;
use luge::{Candidate, Completion, ExitCounts, FinishReason, LensPosition, Opinion, Trace, Votes};
use serde_json::{Value, json};

use super::text;
use crate::api::answer::{Choice, Delta, Echo, Names, Scored};
use crate::api::write::{Answer, Head, Shape};

fn names() -> Names {
    Arc::new(|id| format!("<{id}>"))
}

fn logprob(id: u32, text: &str, logprob: f64) -> TokenLogprob {
    TokenLogprob { id, bytes: text.as_bytes().to_vec(), logprob }
}

/// A token that the text `released` becomes final with.
fn token(id: u32, bytes: &[u8], released: &str) -> TextEvent {
    let token = TokenLogprob { id, bytes: bytes.to_vec(), logprob: -0.5 };
    let top = vec![logprob(9, "best", -0.25), token.clone()];
    TextEvent::Token(Box::new(WrittenToken {
        id,
        bytes: bytes.to_vec(),
        text: released.to_owned(),
        own: id,
        logprobs: Some(TokenLogprobs { token, top }),
        lens: None,
    }))
}

fn end(released: &str, tokens: usize, finish_reason: FinishReason) -> TextEvent {
    let completion = Completion {
        tokens: vec![1; tokens],
        text: String::new(),
        finish_reason,
        changed: Vec::new(),
        exits: ExitCounts::default(),
        timings: Default::default(),
    };
    TextEvent::Finished(Box::new(TextEnd { text: released.to_owned(), token: None, completion }))
}

fn prompt(cached: usize) -> TextEvent {
    TextEvent::Prompt(PromptReport { tokens: 3, cached, logprobs: Vec::new() })
}

fn answer(shape: Shape, choices: Vec<Choice>) -> Answer {
    let head = Head::new(shape, "m".to_owned(), Some(json!({"name": "sled"})), true, true);
    Answer::new(head, choices, vec![3])
}

fn plain() -> Choice {
    Choice::new(names(), true)
}

/// The chunks of a stream.
fn streamed(mut answer: Answer, events: Vec<(usize, TextEvent)>) -> Vec<Value> {
    let mut chunks = answer.begin();
    for (index, event) in events {
        chunks.extend(answer.stream(index, event).unwrap());
    }
    assert!(answer.is_finished());
    chunks.extend(answer.last());
    chunks
}

fn whole(mut answer: Answer, events: Vec<(usize, TextEvent)>) -> Value {
    for (index, event) in events {
        answer.collect(index, event).unwrap();
    }
    assert!(answer.is_finished());
    answer.whole()
}

/// A text of which a stop string was held back, with a character in two tokens.
fn events() -> Vec<(usize, TextEvent)> {
    vec![
        (0, prompt(2)),
        (0, token(4, b"a", "a")),
        (0, token(5, b"\xe2\x82", "")),
        (0, token(6, b"\xac", "€")),
        (0, token(7, b"st", "")),
        (0, end("st", 4, FinishReason::Length)),
    ]
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let chunks = streamed(answer(Shape::Chat, vec![plain()]), events());
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(chunks[0]["decoding"], json!({"name": "sled"}));
    assert!(chunks[1].get("decoding").is_none());
    assert_eq!(chunks[1]["object"], "chat.completion.chunk");
    let contents: Vec<&Value> =
        chunks[1..].iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/content")).collect();
    assert_eq!(contents, ["a", "€", "st"]);
    // Tokens come with the text that they bring.
    let counts = |chunk: &Value| {
        chunk.pointer("/choices/0/logprobs/content").and_then(Value::as_array).map(Vec::len)
    };
    let counts: Vec<_> = chunks.iter().map(counts).collect();
    assert_eq!(counts, [None, Some(1), Some(2), Some(1), None, None]);
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[4]["choices"][0]["delta"], json!({}));
    assert!(chunks[..5].iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(chunks[5]["choices"], json!([]));
    let usage = json!({
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
    });
    assert_eq!(chunks[5]["usage"], usage);

    let whole = whole(answer(Shape::Chat, vec![plain()]), events());
    let message = json!({"role": "assistant", "content": "a€st", "refusal": null});
    assert_eq!(whole["choices"][0]["message"], message);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(whole["usage"], usage);
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let said: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/logprobs/content")?.as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(&said, tokens);
    assert_eq!(tokens[1]["token"], "\u{fffd}");
    assert_eq!(tokens[1]["bytes"], json!([0xe2, 0x82]));
    assert_eq!(tokens[0]["top_logprobs"][0]["token"], "best");
}

#[test]
fn a_scored_prompt_comes_as_lm_evaluation_harness_reads_it() {
    let echo = Echo { text: "A€ b".to_owned(), first: Scored::plain(1, b"", &names()) };
    let of = |id, text: &str, own, best| TokenLogprobs {
        token: logprob(id, text, own),
        top: vec![logprob(9, "x", best)],
    };
    let logprobs = vec![
        of(5, "A€", -1.0, -0.5),
        TokenLogprobs { token: logprob(9, " b", -0.25), top: vec![logprob(9, " b", -0.25)] },
        of(6, "", f64::NEG_INFINITY, -0.5),
    ];
    let events = |reason| {
        let report = PromptReport { tokens: 4, cached: 0, logprobs: logprobs.clone() };
        let mut last = end("", 0, reason);
        if let (TextEvent::Finished(end), FinishReason::Eos) = (&mut last, reason) {
            let logprobs = Some(of(2, "", -0.125, -0.125));
            let (bytes, text) = (Vec::new(), String::new());
            let token = WrittenToken { id: 2, bytes, text, own: 2, logprobs, lens: None };
            end.token = Some(Box::new(token));
        }
        vec![(0, TextEvent::Prompt(report)), (0, last)]
    };
    let choice = || plain().echoing(echo.clone());
    let whole_of = |reason| whole(answer(Shape::Completion, vec![choice()]), events(reason));
    let scored = whole_of(FinishReason::Length);
    assert_eq!(scored["object"], "text_completion");
    assert_eq!(text(&scored, "/choices/0/text"), "A€ b");
    let logprobs = &scored["choices"][0]["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["<1>", "A€", " b", "<6>"]));
    assert_eq!(logprobs["token_logprobs"], json!([null, -1.0, -0.25, -9999.0]));
    // The token itself is always among them: the best one tells whether it was greedy's.
    assert_eq!(
        logprobs["top_logprobs"],
        json!([null, {"x": -0.5, "A€": -1.0}, {" b": -0.25}, {"x": -0.5, "<6>": -9999.0}])
    );
    assert_eq!(logprobs["text_offset"], json!([0, 0, 2, 4]));
    // One more token was asked for, and it was one that ends the text: the count is right.
    let ended = whole_of(FinishReason::Eos);
    let logprobs = &ended["choices"][0]["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["<1>", "A€", " b", "<6>", "<2>"]));
    assert_eq!(logprobs["token_logprobs"][4], -0.125);

    let chunks = streamed(answer(Shape::Completion, vec![choice()]), events(FinishReason::Length));
    assert_eq!(chunks[0]["choices"][0]["text"], "A€ b");
    assert_eq!(chunks[0]["choices"][0]["logprobs"], scored["choices"][0]["logprobs"]);
}

#[test]
fn offsets_go_on_from_chunk_to_chunk() {
    let chunks = streamed(answer(Shape::Completion, vec![plain()]), events());
    let offsets: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/logprobs/text_offset"))
        .collect();
    assert_eq!(offsets, [&json!([0]), &json!([1, 2]), &json!([2])]);
}

#[test]
fn choices_are_told_apart_and_a_prompt_counts_once() {
    let events = || {
        vec![
            (1, prompt(1)),
            (0, prompt(3)),
            (1, token(4, b"b", "b")),
            (0, token(4, b"a", "a")),
            (0, end("", 1, FinishReason::Stop)),
            (1, end("", 1, FinishReason::Eos)),
        ]
    };
    let whole = whole(answer(Shape::Chat, vec![plain(), plain()]), events());
    assert_eq!(text(&whole, "/choices/0/message/content"), "a");
    assert_eq!(text(&whole, "/choices/1/message/content"), "b");
    assert_eq!(whole["usage"]["prompt_tokens"], 3);
    assert_eq!(whole["usage"]["completion_tokens"], 2);
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    let chunks = streamed(answer(Shape::Chat, vec![plain(), plain()]), events());
    let indices: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["index"].as_u64()).collect();
    assert_eq!(indices, [0, 1, 1, 0, 0, 1]);
}

#[test]
fn who_asked_for_layers_finds_them_where_there_are_no_tokens() {
    let mut answer = answer(Shape::Chat, vec![plain()]);
    for event in [prompt(0), end("", 0, FinishReason::Eos)] {
        answer.collect(0, event).unwrap();
    }
    assert_eq!(answer.whole()["choices"][0]["layers"], json!({"tokens": []}));
}

#[test]
fn what_the_layers_said_comes_with_its_token() {
    let candidate = |id: u32, prob| Candidate { token: Token { id, text: format!("t{id}") }, prob };
    let opinion = |layer, id| Opinion {
        layer,
        top: vec![candidate(id, 0.5)],
        entropy: 1.0,
        jsd_to_final: 0.5,
        pinned: Vec::new(),
    };
    let votes = Votes {
        tokens: vec![4, 8],
        layers: vec![0, 1],
        shares: vec![vec![0.5, 0.0], vec![0.25, 0.25]],
        weight: 2.0,
    };
    let seen = LensPosition {
        position: 2,
        token: Token { id: 1, text: "t1".to_owned() },
        next: None,
        generated: true,
        layers: vec![opinion(0, 4), opinion(2, 8)],
        settling_depth: 2,
        before: candidate(8, 0.5),
        after: candidate(4, 0.75),
        margins: Some(luge::lens::Margins { final_layer: -1.0, method: f64::INFINITY, votes: 1.0 }),
        traces: vec![Trace::Votes(votes), Trace::Contrast { layer: 1 }],
        paths: vec![luge::lens::TokenPath {
            token: Token { id: 4, text: "t4".to_owned() },
            probs: vec![0.5, 0.25],
        }],
    };
    let mut written = token(4, b"a", "");
    let TextEvent::Token(own) = &mut written else { panic!("it is a token") };
    own.own = 8;
    own.lens = Some(Box::new(seen));
    let events = vec![
        (0, prompt(0)),
        (0, written),
        (0, token(5, b"b", "ab")),
        (0, end("", 2, FinishReason::Eos)),
    ];
    let chunks = streamed(answer(Shape::Chat, vec![plain()]), events);
    let tokens = chunks[1]["choices"][0]["layers"]["tokens"].as_array().unwrap();
    let expected = json!({
        "id": 4, "text": "a", "changed": true,
        "before": {"id": 8, "text": "t8", "prob": 0.5},
        "after": {"id": 4, "text": "t4", "prob": 0.75},
        "settling_depth": 2,
        "layers": [
            {"layer": 0, "top": [{"id": 4, "text": "t4", "prob": 0.5}], "entropy": 1.0, "jsd_to_final": 0.5},
            {"layer": 2, "top": [{"id": 8, "text": "t8", "prob": 0.5}], "entropy": 1.0, "jsd_to_final": 0.5},
        ],
        "paths": [{"id": 4, "text": "t4", "probs": [0.5, 0.25]}],
        "margins": {"final_layer": -1.0, "method": null, "votes": 1.0},
        "carried": [{"layer": 0, "votes": 1.0}],
        "votes": {"token_ids": [4, 8], "layers": [
            {"layer": 0, "shares": [0.5, 0.0]}, {"layer": 1, "shares": [0.25, 0.25]},
        ]},
        "contrast": 1,
    });
    assert_eq!(tokens, &[expected]);
}

#[test]
fn calls_of_tools_are_put_together_from_their_pieces() {
    let begins = |index| AnswerPart::ToolCall { index, id: None, name: format!("f{index}") };
    let arguments = |index, text: &str| AnswerPart::Arguments { index, text: text.to_owned() };
    let parts = [
        vec![AnswerPart::Thinking("hm".to_owned()), AnswerPart::Text("I look.".to_owned())],
        vec![begins(0), arguments(0, "{\"a\":"), arguments(0, "1}")],
        vec![begins(1), arguments(1, "{}")],
    ];
    let served = super::served();
    let parser = AnswerFormat::of(&served.model, &served.template).parser("", &[]);
    for one_call in [false, true] {
        let mut choice = plain().parted(parser.clone(), one_call);
        let mut sum = Delta::default();
        for parts in parts.clone() {
            sum.append(choice.take_parts(parts));
        }
        let calls = if one_call { 1 } else { 2 };
        assert_eq!((sum.reasoning.as_str(), sum.content.as_str()), ("hm", "I look."));
        assert_eq!(sum.calls.len(), calls);
        assert_eq!(sum.calls[0].arguments, "{\"a\":1}");
        let (id, name) = sum.calls[0].begins.clone().unwrap();
        assert!(id.starts_with("call_") && name == "f0", "{id} {name}");
        choice.take(end("", 9, FinishReason::Eos), "messages").unwrap();
        assert_eq!(choice.finish, Some("tool_calls"));
    }
}

#[test]
fn failures_keep_their_kind() {
    let failed = |error| plain().take(TextEvent::Failed(error), "prompt").unwrap_err();
    let long = failed(luge::Error::TooLong { what: "the prompt", tokens: 9, context: 8 });
    assert_eq!((long.status().as_u16(), long.param()), (400, Some("prompt")));
    let interrupted = failed(luge::LlamaError::Interrupted.into());
    assert_eq!(interrupted.status().as_u16(), 503);
    assert_eq!(failed(luge::Error::GrammarStuck).status().as_u16(), 400);
    let ended = plain().take(end("", 0, FinishReason::Interrupted), "prompt").unwrap_err();
    assert_eq!(ended.status().as_u16(), 503);
}
