//! Thoughts, told from the answer.

use luge::{GenerateOptions, Grammar};

use super::*;

const OSS: &str = "<|start|>assistant";

#[test]
fn thoughts_are_told_from_the_answer_however_the_text_comes() {
    for (name, prompt, text, expected) in [
        (
            "qwen3",
            "",
            "<think>\nHm. 1 < 2\n</think>\n\nYes <b>.",
            &["?Hm. 1 < 2", "\"Yes <b>."][..],
        ),
        ("qwen3", "x<think>\n", "Hm.</think>Yes.", &["?Hm.", "\"Yes."]),
        ("qwen3", "", "  Yes.", &["\"  Yes."]),
        ("qwen3", "", "The <think> mark </think>.", &["\"The <think> mark </think>."]),
        ("qwen3", "", "<think>a</think><think>b</think>", &["?a", "\"<think>b</think>"]),
        ("qwen3", "", "<think>never ends <", &["?never ends <"]),
        ("qwen3", "", "<thin", &["\"<thin"]),
        (
            "gpt-oss",
            OSS,
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            &["?Hm.", "\"Yes."],
        ),
        ("gpt-oss", OSS, "<|channel|>final<|message|>Yes.", &["\"Yes."]),
        ("gpt-oss", "", "Yes.", &["\"Yes."]),
        (
            "gpt-oss",
            OSS,
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait. <|end|><|start|>assistant<|channel|>final<|message|>Yes.",
            &["?Hm.", "\"Wait. Yes."],
        ),
        (
            "command",
            "",
            "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
            &["?Hm.", "\"Yes."],
        ),
    ] {
        let format = format(name);
        for tools in [vec![], tools()] {
            let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            for size in [1, 2, 3, 5, 8, 100] {
                let pieces = starts.chunks(size).map(|chunk| {
                    let end = starts.get(chunk[0] + size).copied();
                    &text[chunk[0]..end.unwrap_or(text.len())]
                });
                let parts = parted(&format, prompt, &tools, pieces);
                assert_eq!(lines(&parts), expected, "{name}: {text} by {size}");
            }
        }
    }
}

#[test]
fn a_grammar_begins_where_the_answer_does() {
    let with =
        GenerateOptions { grammar: Some(Grammar::regex("a").unwrap()), ..Default::default() };
    for (name, prompt, mark) in [
        ("qwen3", "<|im_start|>assistant\n<think>\n", Some("</think>")),
        ("qwen3", "<|im_start|>assistant\n", None),
        ("gpt-oss", OSS, Some("<|channel|>final<|message|>")),
        ("plain", "", None),
    ] {
        let options = format(name).options(prompt, &[], &with);
        assert_eq!(options.grammar_after.as_deref(), mark, "{name}");
        assert_eq!(options.grammar, with.grammar);
        // One who says where it begins is right, and without a grammar there is no such place.
        let own = GenerateOptions { grammar_after: Some("x".to_owned()), ..with.clone() };
        assert_eq!(format(name).options(prompt, &[], &own).grammar_after.as_deref(), Some("x"));
        let none = format(name).options(prompt, &[], &GenerateOptions::default());
        assert_eq!(none.grammar_after, None);
    }
}
