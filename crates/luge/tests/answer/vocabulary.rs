//! Marks that are control tokens, which have no text of their own.

use std::path::PathBuf;

use luge::chat::ToolChoice;
use luge::{GenerateOptions, Pipeline, Session, SessionOptions};

use super::*;

/// The first of the tokens that get other names.
const FIRST: u32 = 10;

/// A tiny model that has control tokens of these names, in the place of words. `test` is
/// the test's own name.
fn with_control_tokens(test: &str, names: &[&str]) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    let file = std::fs::read(folder.join("llama.gguf")).unwrap();
    let behind = |key: &str| {
        file.windows(key.len()).position(|of| of == key.as_bytes()).unwrap() + key.len()
    };
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    // Behind the kind of value, the kind of its elements and their number.
    let mut at = behind("tokenizer.ggml.tokens") + 16;
    for _ in 0..FIRST {
        at += 8 + number(at);
    }
    let (from, mut to) = (at, at);
    for _ in 0..=names.len() {
        to += 8 + number(to);
    }
    let mut renamed = Vec::new();
    for name in names {
        renamed.extend((name.len() as u64).to_le_bytes());
        renamed.extend(name.bytes());
    }
    // One more, as long as it takes for the tensors to lie where they may.
    let length = (to as i64 - from as i64 - renamed.len() as i64 - 8).rem_euclid(32) as usize;
    renamed.extend((length as u64).to_le_bytes());
    renamed.extend(std::iter::repeat_n(b'~', length));

    let kinds = behind("tokenizer.ggml.token_type") + 16;
    let mut changed = file.clone();
    for index in FIRST as usize..FIRST as usize + names.len() {
        changed[kinds + 4 * index..][..4].copy_from_slice(&3_i32.to_le_bytes());
    }
    changed.splice(from..to, renamed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.gguf"));
    std::fs::write(&path, changed).unwrap();
    let model = Model::load(&path, &ModelParams::default()).unwrap();
    for (token, name) in (FIRST..).zip(names) {
        assert_eq!(model.label(token).unwrap(), name.as_bytes());
        assert_eq!(model.tokenize(name, false, true).unwrap(), [token]);
    }
    model
}

#[test]
fn marks_are_shown_where_they_are_control_tokens() {
    let marks = ["[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"];
    let model = with_control_tokens("shown", &marks);
    let format = AnswerFormat::of(&model, &template("mistral-3.2"));
    assert_eq!(model.piece(FIRST).unwrap(), b"");
    // Thoughts are known by the vocabulary.
    assert!(format.has_thoughts() && format.has_tools());
    let shown = |tools: &[Value]| {
        let own = GenerateOptions { shown_tokens: vec![1], ..Default::default() };
        format.options("", tools, &own).shown_tokens
    };
    assert_eq!(shown(&[]), [1, FIRST + 2, FIRST + 3]);
    assert_eq!(shown(&tools()), [1, FIRST + 2, FIRST + 3, FIRST, FIRST + 1]);
    assert_eq!(
        lines(&parted(&format, "", &tools(), ["[THINK]Hm.[/THINK][TOOL_CALLS]clock[ARGS]{}"])),
        ["?Hm.", "@0 clock", "=0 {}"]
    );
}

/// The calls that a model writes which knows nothing, and has to call.
fn forced(model: &Model, name: &str) -> (Vec<u32>, String, Vec<String>) {
    let format = AnswerFormat::of(model, &template(name));
    let options = GenerateOptions { max_tokens: Some(90), ..Default::default() };
    let choice = ToolChoice::Named("get_weather");
    let options = format.tool_options("", &tools(), choice, &options).unwrap().unwrap();
    let settings =
        SessionOptions { ctx_size: Some(128), threads: Some(1), ..SessionOptions::default() };
    let mut session = Session::new(model, &settings).unwrap();
    let sled = session.decoder(&"sled".parse::<Pipeline>().unwrap()).unwrap();
    let completion = session.generate(&sled, &[26, 52, 4], &options).unwrap().finish().unwrap();
    let parts = parted(&format, "", &tools(), [&*completion.text]);
    (completion.tokens, completion.text, lines(&parts))
}

#[test]
fn forced_calls_are_made_of_control_tokens() {
    let model = with_control_tokens("forced", &["[TOOL_CALLS]", "[ARGS]"]);
    let (tokens, text, lines) = forced(&model, "mistral-3.2");
    let marks: Vec<u32> =
        tokens.iter().copied().filter(|id| (FIRST..FIRST + 2).contains(id)).collect();
    assert_eq!(marks, [FIRST, FIRST + 1], "{text}");
    assert_eq!(lines[0], "@0 get_weather", "{text}");
    assert!(lines[1].starts_with("=0 {"), "{text}");
}

#[test]
fn forced_calls_of_messages_have_their_header() {
    let marks = [
        "<|channel|>",
        "<|message|>",
        "<|start|>",
        "<|constrain|>",
        "<|end|>",
        "<|call|>",
        "<|return|>",
    ];
    let model = with_control_tokens("messages", &marks);
    let (_, text, lines) = forced(&model, "gpt-oss");
    // A model that knows nothing may think without an end.
    assert!(lines[0] == "@0 get_weather" || lines[0].starts_with('?'), "{text}: {lines:?}");
    assert!(lines.iter().all(|line| !line.starts_with('"')), "{text}: {lines:?}");
}
