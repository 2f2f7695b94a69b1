//! The parts are the same however an answer is cut into pieces, and nothing gets lost.

use proptest::prelude::*;

use super::*;

/// The text of marks and words that any of the formats may be made of.
fn words() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[",
        "]",
        "{\"name\": \"clock\", \"arguments\": {\"a\": \"}\"}}",
        "{\"name\": \"clock\", ",
        "\"parameters\": ",
        "{}",
        "}",
        ",",
        ";",
        "\"",
        "\\",
        "clock",
        "nonsense",
        " ",
        "\n",
        "ü",
        "<|channel|>",
        "<|message|>",
        "<|start|>assistant",
        "<|end|>",
        "<|call|>",
        "analysis",
        "final",
        "commentary",
        " to=functions.clock",
        "<function=clock>",
        "<parameter=a>",
        "</parameter>",
        "</function>",
        "<arg_key>a</arg_key>",
        "<arg_value>1</arg_value>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        "<|START_RESPONSE|>",
        "<|tool_call|>",
        "<|python_tag|>",
        "<|tool_c",
    ]);
    prop::collection::vec(words, 0..16).prop_map(|words| words.concat())
}

/// A text in pieces: cut where a byte of `cuts` says so.
fn pieces<'a>(text: &'a str, cuts: &[bool]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (index, (at, _)) in text.char_indices().enumerate() {
        if cuts[index % cuts.len()] {
            pieces.push(&text[from..at]);
            from = at;
        }
    }
    pieces.push(&text[from..]);
    pieces
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = CALLS.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    names
}

proptest! {
    #[test]
    fn answers_are_parted_alike(
        which in 0..CALLS.len() + NO_CALLS.len(),
        cuts in prop::collection::vec(any::<bool>(), 1..64),
    ) {
        let (name, answer, expected) = CALLS.iter().chain(NO_CALLS).nth(which).unwrap();
        let parts = parted(&format(name), "", &tools(), pieces(answer, &cuts));
        prop_assert_eq!(lines(&parts), *expected, "{}", name);
    }

    #[test]
    fn any_text_is_parted_alike_and_in_order(
        which in any::<prop::sample::Index>(),
        text in words(),
        cuts in prop::collection::vec(any::<bool>(), 1..64),
        is_open in any::<bool>(),
    ) {
        let names = names();
        let name = *which.get(&names);
        let format = format(name);
        let prompt = if is_open { "<think>\n" } else { "" };
        let whole = parted(&format, prompt, &tools(), [&*text]);
        let cut = parted(&format, prompt, &tools(), pieces(&text, &cuts));
        prop_assert_eq!(&whole, &cut, "{}", name);
        // What comes out is from the text, in its order, and none of it twice.
        let mut rest = text.chars();
        let mut calls = 0;
        for part in &whole {
            let part = match part {
                AnswerPart::Thinking(text) | AnswerPart::Text(text) => text,
                AnswerPart::ToolCall { index, name, .. } => {
                    prop_assert_eq!(*index, calls);
                    prop_assert_eq!(name, "clock");
                    calls += 1;
                    continue;
                }
                AnswerPart::Arguments { index, text: arguments } => {
                    prop_assert_eq!(*index + 1, calls);
                    // Some are written anew.
                    if !text.contains(&**arguments) {
                        continue;
                    }
                    arguments
                }
            };
            prop_assert!(part.chars().all(|c| rest.any(|of| of == c)), "{}: {:?}", name, whole);
        }
    }

    /// Without any mark, all of it is text.
    #[test]
    fn plain_text_stays_as_it_is(
        which in any::<prop::sample::Index>(),
        text in "[a-z {}\"\n.,ü]{0,40}",
        cuts in prop::collection::vec(any::<bool>(), 1..64),
    ) {
        let names = names();
        let name = *which.get(&names);
        let parts = parted(&format(name), "", &tools(), pieces(&text, &cuts));
        let expected = if text.is_empty() { vec![] } else { vec![AnswerPart::Text(text)] };
        prop_assert_eq!(parts, expected, "{}", name);
    }
}
