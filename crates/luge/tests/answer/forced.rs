//! Answers that have to be calls.

use luge::chat::ToolChoice;
use luge::{Error, GenerateOptions, Pipeline, Session, SessionOptions};

use super::*;

/// What a model that knows of no calls writes where it has to call, parted.
fn forced(name: &str, prompt: &str, choice: ToolChoice<'_>) -> (String, Vec<AnswerPart>) {
    let model = luge::builtin::load(&ModelParams::default()).unwrap();
    let format = AnswerFormat::of(&model, &template(name));
    let options = GenerateOptions { max_tokens: Some(100), ..Default::default() };
    let options = format.tool_options(prompt, &tools(), choice, &options).unwrap().unwrap();
    let settings =
        SessionOptions { ctx_size: Some(256), threads: Some(1), ..SessionOptions::default() };
    let mut session = Session::new(&model, &settings).unwrap();
    let greedy = session.decoder(&"greedy".parse::<Pipeline>().unwrap()).unwrap();
    let completion = session.generate(&greedy, &[26, 52, 15], &options).unwrap().finish();
    let completion = completion.unwrap_or_else(|error| panic!("{name}: {error}"));
    let parts = parted(&format, prompt, &tools(), [&*completion.text]);
    (completion.text, parts)
}

/// Formats that a grammar describes.
const NAMES: [&str; 13] = [
    "qwen3",
    "llama3.1",
    "mistral",
    "mistral-3.2",
    "deepseek-r1",
    "deepseek-v3.1",
    "kimi",
    "command",
    "phi4",
    "granite",
    "gpt-oss",
    "qwen3-coder",
    "glm",
];

#[test]
fn a_named_tool_is_called_once_in_the_format_of_each_family() {
    for name in NAMES {
        let (text, parts) = forced(name, "", ToolChoice::Named("get_weather"));
        let calls: Vec<&AnswerPart> =
            parts.iter().filter(|part| matches!(part, AnswerPart::ToolCall { .. })).collect();
        // gpt-oss may think before, and a model that knows no marks may never end that.
        if name == "gpt-oss" && calls.is_empty() {
            assert!(matches!(parts[..], [AnswerPart::Thinking(_)]), "{text}");
            continue;
        }
        let [AnswerPart::ToolCall { name: tool, .. }] = calls[..] else {
            panic!("{name}: {text:?} is {parts:?}");
        };
        assert_eq!(tool, "get_weather", "{name}: {text}");
        assert!(!parts.iter().any(|part| matches!(part, AnswerPart::Text(_))), "{name}: {text:?}");
    }
}

#[test]
fn a_call_is_required() {
    for name in NAMES {
        let (text, parts) = forced(name, "", ToolChoice::Required);
        // It may go on calling, until it is cut off.
        let is_call = |part: &AnswerPart| !matches!(part, AnswerPart::Text(_));
        assert!(parts.first().is_some_and(is_call), "{name}: {text:?} is {parts:?}");
    }
}

#[test]
fn a_call_follows_thoughts_that_the_prompt_has_opened() {
    let format = format("qwen3");
    let options = |prompt: &str| {
        let options = GenerateOptions::default();
        format.tool_options(prompt, &tools(), ToolChoice::Required, &options).unwrap().unwrap()
    };
    assert_eq!(options("<think>\n").grammar_after.as_deref(), Some("</think>"));
    assert_eq!(options("").grammar_after, None);
    assert!(options("").grammar.is_some());
}

#[test]
fn what_cannot_be_forced_is_said() {
    let options = GenerateOptions::default();
    let ask = |name: &str, tools: &[Value], choice| {
        format(name).tool_options("", tools, choice, &options)
    };
    assert_eq!(ask("plain", &tools(), ToolChoice::Required).unwrap(), None);
    for (tools, choice, says) in [
        (vec![], ToolChoice::Required, "there is no tool"),
        (tools(), ToolChoice::Named("nonsense"), "there is no tool \"nonsense\""),
        (vec![json!({"type": "function"})], ToolChoice::Required, "tool 0 has no name"),
    ] {
        let error = ask("qwen3", &tools, choice).unwrap_err();
        assert!(matches!(error, Error::Tool { .. }) && error.is_usage(), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let parameters = json!({"type": "object", "properties": {"x": {"type": "nonsense"}}});
    let tool = json!({"function": {"name": "f", "parameters": parameters}});
    let error = ask("qwen3", &[tool], ToolChoice::Required).unwrap_err();
    assert!(matches!(error, Error::Grammar { .. }), "{error}");
}
