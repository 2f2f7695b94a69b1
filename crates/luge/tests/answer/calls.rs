//! Calls of tools, told from text.

use super::*;

#[test]
fn calls_are_told_from_text_in_the_format_of_each_family() {
    for (name, answer, expected) in CALLS.iter().chain(NO_CALLS) {
        let format = format(name);
        assert!(format.has_tools(), "{name}");
        let prompt = "<|assistant|>";
        assert_eq!(lines(&parted(&format, prompt, &tools(), [*answer])), *expected, "{name}");
    }
}

#[test]
fn without_tools_calls_are_text() {
    for (name, answer, text) in [
        ("qwen3", "<tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>", None),
        ("llama3.1", "{\"name\": \"clock\", \"parameters\": {}}", None),
        ("mistral", "[TOOL_CALLS][{\"name\": \"clock\", \"arguments\": {}}]", None),
        ("gpt-oss", "<|channel|>commentary to=functions.clock<|message|>{}", None),
        ("qwen3", "<think>\nHm.\n</think>\n\nYes.", Some("\"Yes.")),
    ] {
        let lines = lines(&parted(&format(name), "", &[], [answer]));
        let expected = text.map_or_else(|| format!("\"{answer}"), str::to_owned);
        assert_eq!(lines.last(), Some(&expected), "{name}");
    }
}

#[test]
fn a_template_that_knows_no_tools_has_none() {
    for name in ["plain", "chatml", "gemma2", "zephyr", "language"] {
        let format = format(name);
        assert!(!format.has_tools() && !format.has_thoughts(), "{name}");
        let text = "<tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call> ";
        assert_eq!(
            parted(&format, "", &tools(), [text]),
            [AnswerPart::Text(text.to_owned())],
            "{name}"
        );
    }
}

/// What a template shows of calls is read as those calls.
#[test]
fn calls_are_read_as_templates_write_them() {
    for name in ["qwen3", "llama3.1", "mistral", "deepseek-r1", "gpt-oss"] {
        let template = template(name).with("bos_token", "").with("eos_token", "");
        let call = luge::ToolCall {
            id: Some("abcdefgh1".to_owned()),
            name: "get_weather".to_owned(),
            arguments: json!({"city": "Zürich \"}\"", "days": 2}),
        };
        let question = luge::Message::user("Weather?");
        let answer = luge::Message { tool_calls: vec![call], ..luge::Message::assistant("") };
        // Some say the tools in front of the last question only.
        let before = template.render(std::slice::from_ref(&question), &[], true).unwrap();
        let whole = template.render(&[question, answer], &[], false).unwrap();
        // What opens the thoughts is not repeated.
        let before = before.strip_suffix("<think>\n").unwrap_or(&before);
        let answer = whole.strip_prefix(before).unwrap();
        let answer = ["<|im_end|>\n", "<|eot_id|>", "<｜end▁of▁sentence｜>"]
            .iter()
            .fold(answer, |text, end| text.strip_suffix(end).unwrap_or(text));
        let parts = parted(&format(name), before, &tools(), [answer]);
        let parts: Vec<_> =
            parts.into_iter().filter(|of| !matches!(of, AnswerPart::Thinking(_))).collect();
        let [AnswerPart::ToolCall { name: tool, .. }, AnswerPart::Arguments { text, .. }] =
            &parts[..]
        else {
            panic!("{name}: {answer:?} is {parts:?}");
        };
        assert_eq!(tool, "get_weather", "{name}");
        let arguments: Value = serde_json::from_str(text).unwrap();
        assert_eq!(arguments, json!({"city": "Zürich \"}\"", "days": 2}), "{name}");
    }
}

/// Arguments are not held back until their end.
#[test]
fn arguments_stream() {
    for (name, head) in [
        ("qwen3", "<tool_call>\n{\"name\": \"clock\", \"arguments\": "),
        ("llama3.1", "{\"name\": \"clock\", \"parameters\": "),
        ("mistral-3.2", "[TOOL_CALLS]clock[ARGS]"),
        ("deepseek-v3.1", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>clock<｜tool▁sep｜>"),
        ("gpt-oss", "<|channel|>commentary to=functions.clock<|message|>"),
    ] {
        let mut parser = format(name).parser("", &tools());
        assert_eq!(parser.push(head), [], "{name}");
        let begun = parser.push("{\"a");
        assert_eq!(lines(&begun), ["@0 clock", "=0 {\"a"], "{name}");
        assert_eq!(lines(&parser.push("\": 1")), ["=0 \": 1"], "{name}");
    }
}

#[test]
fn an_answer_in_json_streams_where_calls_have_no_mark() {
    let mut parser = format("llama3.1").parser("", &tools());
    assert_eq!(lines(&parser.push("{\"city\": \"Be")), ["\"{\"city\": \"Be"]);
}
