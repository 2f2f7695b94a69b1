//! Chat templates: the same bytes as Python's Jinja2, and errors in a sentence.

use std::path::{Path, PathBuf};

use luge::chat::{DateTime, Source};
use luge::{ChatTemplate, Error, Message, Model, ModelParams, ToolCall};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")
}

fn load(path: &Path) -> Model {
    Model::load(path, &ModelParams::default()).unwrap()
}

fn time() -> DateTime {
    DateTime::new(2024, 7, 26, 14, 5, 9, 0).unwrap()
}

/// A message of `cases.json`.
fn message(value: &Value) -> Message {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Message {
        role: text(&value["role"]).unwrap(),
        content: text(&value["content"]).unwrap_or_default(),
        reasoning: text(&value["reasoning_content"]),
        tool_calls: value["tool_calls"].as_array().map_or(Vec::new(), |calls| {
            let call = |call: &Value| ToolCall {
                id: text(&call["id"]),
                name: text(&call["function"]["name"]).unwrap(),
                arguments: call["function"]["arguments"].clone(),
            };
            calls.iter().map(call).collect()
        }),
        tool_call_id: text(&value["tool_call_id"]),
        name: text(&value["name"]),
    }
}

fn render(template: &str) -> Result<String, Error> {
    ChatTemplate::new(template)?.render(&[Message::user("Hello!")], &[], true)
}

/// The error of a template, which must be one sentence.
fn error(template: &str) -> String {
    let error = render(template).expect_err(template);
    let error = error.to_string();
    assert!(!error.contains('\n') && !error.contains(". ") && error.len() < 700, "{error}");
    error
}

#[test]
fn renders_as_jinja2_does() {
    let data: Value =
        serde_json::from_slice(&std::fs::read(templates().join("cases.json")).unwrap()).unwrap();
    let cases = data["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let text = std::fs::read_to_string(templates().join(format!("{name}.jinja"))).unwrap();
        let mut template = ChatTemplate::new(text)
            .unwrap()
            .with("bos_token", "<bos>")
            .with("eos_token", "<eos>")
            .with_time(time());
        for (name, value) in case["variables"].as_object().into_iter().flatten() {
            template = template.with(name, value.clone());
        }
        let chat: Vec<Message> = data["chats"][case["chat"].as_str().unwrap()]
            .as_array()
            .unwrap()
            .iter()
            .map(message)
            .collect();
        let tools = if case["tools"] == true { data["tools"].as_array().unwrap() } else { &vec![] };
        let rendered = match template.render(&chat, tools, case["prompt"] == true) {
            Ok(text) => text,
            Err(Error::TemplateRefuses { message }) => format!("raises: {message}"),
            Err(error) => format!("fails: {error}"),
        };
        let name = format!("{name}-{}", case["name"].as_str().unwrap());
        let expected = std::fs::read_to_string(templates().join(format!("expected/{name}.txt")));
        let expected = expected.unwrap();
        if rendered != expected {
            wrong.push(format!("{name}:\n{rendered}\ninstead of\n{expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_have_the_field_names_of_templates() {
    let call = ToolCall { id: None, name: "add".to_owned(), arguments: json!({"x": 1}) };
    let message = Message {
        reasoning: Some("hm".to_owned()),
        tool_calls: vec![call],
        ..Message::assistant("")
    };
    assert_eq!(
        serde_json::to_string(&message).unwrap(),
        r#"{"role":"assistant","content":null,"reasoning_content":"hm","thinking":"hm","tool_calls":[{"type":"function","function":{"name":"add","arguments":{"x":1}}}]}"#
    );
    assert_eq!(
        serde_json::to_string(&Message::tool("add", "")).unwrap(),
        r#"{"role":"tool","content":"","name":"add"}"#
    );
}

/// Templates that put arguments into the text as they are have them as text; others do not.
#[test]
fn arguments_are_text_for_templates_that_take_no_objects() {
    let arguments = json!({"city": "Zürich", "days": [1, null]});
    let call = ToolCall { id: None, name: "get_weather".to_owned(), arguments };
    let chat = [Message { tool_calls: vec![call], ..Message::assistant("") }];
    let head = "{% for call in messages[0].tool_calls %}{{ '<sep>' + ";
    for (inside, expected) in [
        ("call.function.arguments", r#"<sep>{"city": "Zürich", "days": [1, null]}"#),
        ("call.function.arguments.city", "<sep>Zürich"),
        ("(call.function.arguments | tojson)", r#"<sep>{"city": "Zürich", "days": [1, null]}"#),
    ] {
        let template = ChatTemplate::new(format!("{head}{inside} }}}}{{% endfor %}}")).unwrap();
        assert_eq!(template.render(&chat, &[], false).unwrap(), expected, "{inside}");
    }
    let fails = ChatTemplate::new(format!("{head}1 }}}}{{% endfor %}}")).unwrap();
    let error = fails.render(&chat, &[], false).unwrap_err();
    assert!(error.to_string().contains("string and number"), "{error}");
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(
        ChatTemplate::new("").unwrap().render(&[], &[], true).unwrap_err().to_string(),
        "the chat is empty: there is no message to render"
    );
    assert_eq!(
        error("{{ raise_exception('Only one\n\x1b[31mrole.') }}"),
        "the model's chat template refuses these messages: Only one [31mrole"
    );
    for (template, words) in [
        ("a\n\n{% if %}", "in line 3"),
        ("{% for x in %}", "cannot be read"),
        ("{{ 'open", "cannot be read"),
        ("{% endif %}", "cannot be read"),
        ("\n{{ 1|nonsense }}", "nonsense is unknown, in line 2"),
        ("{{ nonsense() }}", "nonsense is unknown"),
        ("{{ 1 is nonsense }}", "nonsense is unknown"),
        ("{{ 'a'.nonsense() }}", "fails"),
        ("{{ nothing.there }}", "it uses something that is not there, in line 1"),
        ("{{ messages[7].role }}", "it uses something that is not there"),
        ("{% include '/etc/passwd' %}", "tried to include non-existing template"),
        ("{% extends 'x' %}", "does not exist"),
        ("{{ 1 + 'a' }}", "unsupported types number and string"),
        ("{{ strftime_now('%') }}", "the time cannot be written"),
    ] {
        let error = error(template);
        assert!(error.contains(words), "{template}: {error}");
    }
}

#[test]
fn an_endless_template_is_an_error_and_a_long_chat_is_none() {
    let error = error(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a %}{% endfor %}\
         {% endfor %}",
    );
    assert!(error.contains("goes on for too long"), "{error}");
    let long: Vec<Message> =
        (0..2000)
            .map(|index| {
                if index % 2 == 0 {
                    Message::user("x".repeat(1000))
                } else {
                    Message::assistant("y")
                }
            })
            .collect();
    for name in ["chatml", "qwen3", "mistral", "llama3.1"] {
        let text = std::fs::read_to_string(templates().join(format!("{name}.jinja"))).unwrap();
        let template = ChatTemplate::new(text).unwrap().with("bos_token", "").with("eos_token", "");
        assert!(template.render(&long, &[], true).unwrap().len() > 1_000_000, "{name}");
    }
}

#[test]
fn every_model_has_a_template() {
    let mut paths = vec![root().join("models/atlas/atlas.gguf")];
    for folder in ["testdata/parity", "testdata/architectures"] {
        let files = std::fs::read_dir(root().join(folder)).unwrap();
        paths.extend(files.map(|file| file.unwrap().path()));
    }
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "gguf")) {
        let Ok(model) = Model::load(path, &ModelParams::default()) else { continue };
        let template = ChatTemplate::of(&model).unwrap();
        let text = template
            .render(&[Message::system("Be brief."), Message::user("Hello!")], &[], true)
            .unwrap();
        assert!(text.contains("Hello!"), "{path:?}: {text}");
        match template.source() {
            Source::Model => assert!(path.ends_with("atlas.gguf")),
            Source::Fallback(name) => {
                let gemma =
                    model.architecture().starts_with("gemma") && !path.ends_with("gemma4.gguf");
                assert_eq!(name, if gemma { "gemma" } else { "chatml" }, "{path:?}");
            }
            Source::Given => panic!("{path:?}"),
        }
    }
}

#[test]
fn tokens_are_those_of_the_text() {
    let model = load(&root().join("models/atlas/atlas.gguf"));
    let template = ChatTemplate::of(&model).unwrap();
    assert_eq!(template.source(), Source::Model);
    let messages = [Message::user("What is the capital of British Columbia?")];
    let text = template.render(&messages, &[], true).unwrap();
    let tokens = template.tokens(&model, &messages, &[], true).unwrap();
    assert_eq!(tokens, model.tokenize(&text, false, true).unwrap());
    assert!(tokens.iter().filter(|&&token| Some(token) == model.bos()).count() <= 1);
    // Where the template writes the beginning of text, there is one.
    let template = ChatTemplate::new("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
        .unwrap()
        .with_tokens_of(&model);
    let tokens = template.tokens(&model, &messages, &[], true).unwrap();
    assert_eq!(tokens.first().copied(), model.bos());
    assert_ne!(tokens.get(1).copied(), model.bos());
    assert_eq!(tokens.last().copied(), model.eos());
}

#[test]
fn fallbacks_begin_as_the_model_expects_it() {
    for (name, begins) in [("models/atlas/atlas", true), ("testdata/parity/llama", false)] {
        let model = load(&root().join(format!("{name}.gguf")));
        assert_eq!(model.adds_bos(), begins, "{name}");
        let bos = String::from_utf8(model.label(model.bos().unwrap()).unwrap()).unwrap();
        for fallback in ["chatml", "phi3"] {
            let template = ChatTemplate::fallback(fallback).unwrap().with_tokens_of(&model);
            let text = template.render(&[Message::user("Hi")], &[], true).unwrap();
            assert_eq!(text.starts_with(&bos), begins, "{name}: {text}");
        }
    }
}

#[test]
fn fallbacks_render() {
    let messages = [Message::system("Be brief."), Message::user("Hi"), Message::assistant("Ho")];
    for (name, expected) in [
        (
            "chatml",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llama3",
            "<b><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "gemma",
            "<b><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "phi3",
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHo<|end|>\n<|assistant|>\n",
        ),
        (
            "command-r",
            "<b><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Ho<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        ),
    ] {
        let template = ChatTemplate::fallback(name).unwrap().with("bos_token", "<b>");
        assert_eq!(template.render(&messages, &[], true).unwrap(), expected, "{name}");
    }
    assert!(ChatTemplate::fallback("nonsense").is_none());
}
