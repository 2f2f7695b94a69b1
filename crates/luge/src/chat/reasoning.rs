//! What a model thinks before it answers, told from the answer.
//!
//! Reasoning models write their thoughts into the same text, between marks of their
//! family. The marks are looked for in the chat template and in the vocabulary, and text
//! is parted as it comes.

use luge_llama::Model;

use super::ChatTemplate;

/// The marks of a family of models.
#[derive(Debug, PartialEq, Eq)]
struct Format {
    /// In front of the thoughts.
    open: &'static str,
    /// Behind them.
    close: &'static str,
    /// What stands around the answer.
    around: &'static [&'static str],
    /// In front of the answer, where every answer has it.
    begin: Option<&'static str>,
}

const FORMATS: &[Format] = &[
    // gpt-oss
    Format {
        open: "<|channel|>analysis<|message|>",
        close: "<|end|>",
        around: &[
            "<|start|>assistant",
            "<|channel|>final<|message|>",
            "<|channel|>commentary<|message|>",
        ],
        begin: Some("<|channel|>final<|message|>"),
    },
    // Command A
    Format {
        open: "<|START_THINKING|>",
        close: "<|END_THINKING|>",
        around: &["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
        begin: None,
    },
    // Magistral
    Format { open: "[THINK]", close: "[/THINK]", around: &[], begin: None },
    // Seed-OSS
    Format { open: "<seed:think>", close: "</seed:think>", around: &[], begin: None },
    // DeepSeek, Qwen and most others
    Format { open: "<think>", close: "</think>", around: &[], begin: None },
];

/// How a model marks what it thinks.
#[derive(Debug, Clone)]
pub(crate) struct Reasoning {
    format: &'static Format,
    /// The control tokens that its marks are made of.
    pub(crate) control_tokens: Vec<u32>,
}

impl Reasoning {
    /// The marks that a chat template or a vocabulary knows; `None` if there are none.
    pub(crate) fn of(model: &Model, template: &ChatTemplate) -> Option<Self> {
        let tokens = |text: &str| model.tokenize(text, false, true).unwrap_or_default();
        let is_known = |format: &&Format| {
            template.text().contains(format.close)
                && (template.text().contains(format.open) || format.around.is_empty())
                || tokens(format.close).len() == 1 && tokens(format.open).len() == 1
        };
        let format = FORMATS.iter().find(is_known)?;
        let marks = [format.open, format.close].into_iter().chain(format.around.iter().copied());
        let is_control = |&token: &u32| {
            model.piece(token).is_ok_and(|piece| piece.is_empty()) && !model.is_end(token)
        };
        let mut control_tokens: Vec<u32> = marks.flat_map(tokens).filter(is_control).collect();
        control_tokens.sort_unstable();
        control_tokens.dedup();
        Some(Reasoning { format, control_tokens })
    }
}

impl Reasoning {
    /// The mark behind which an answer begins, where it does not do so at once: behind the
    /// thoughts that `prompt` has opened, or that the family always opens.
    pub(crate) fn answer_mark(&self, prompt: &str) -> Option<&'static str> {
        let opened = prompt.trim_end().ends_with(self.format.open);
        self.format.begin.or(opened.then_some(self.format.close))
    }
}

/// What a text is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the model thinks before it answers.
    Thinking,
    /// The answer.
    Answer,
}

/// Parts a text as it comes.
#[derive(Debug)]
pub(crate) struct Splitter {
    format: Option<&'static Format>,
    part: Part,
    /// Text that may turn out to begin a mark.
    held: String,
    /// Whether the part has had no text yet but blanks.
    at_start: bool,
    /// Whether blanks at the start of the part are left out.
    trims: bool,
    has_thought: bool,
}

impl Splitter {
    /// For an answer behind `prompt`, which may have opened the thoughts already.
    pub(crate) fn new(reasoning: Option<&Reasoning>, prompt: &str) -> Self {
        let format = reasoning.map(|reasoning| reasoning.format);
        let opened = format.is_some_and(|format| prompt.trim_end().ends_with(format.open));
        Splitter {
            format,
            part: if opened { Part::Thinking } else { Part::Answer },
            held: String::new(),
            at_start: true,
            trims: opened,
            has_thought: opened,
        }
    }

    /// Takes text, and releases what is certain of it.
    pub(crate) fn push(&mut self, text: &str) -> Vec<(Part, String)> {
        let Some(format) = self.format else {
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![(Part::Answer, text.to_owned())]
            };
        };
        self.held.push_str(text);
        let mut released = Vec::new();
        loop {
            let marks = self.marks(format);
            let found = marks
                .iter()
                .filter_map(|&mark| self.held.find(mark).map(|at| (at, mark)))
                .min_by_key(|&(at, _)| at);
            let Some((at, mark)) = found else { break };
            let before: String = self.held.drain(..at + mark.len()).collect();
            if mark == format.open && !before[..at].trim().is_empty() && format.around.is_empty() {
                // In the midst of an answer it is a word like others.
                self.release(before, &mut released);
                continue;
            }
            self.release(before[..at].to_owned(), &mut released);
            if mark == format.open {
                (self.part, self.has_thought) = (Part::Thinking, true);
            } else if mark == format.close {
                self.part = Part::Answer;
            }
            (self.at_start, self.trims) = (true, self.has_thought);
        }
        let keep = self.marks(format).iter().map(|mark| overlap(&self.held, mark)).max();
        let rest = self.held.split_off(self.held.len() - keep.unwrap_or(0));
        let certain = std::mem::replace(&mut self.held, rest);
        self.release(certain, &mut released);
        released
    }

    /// Releases what was held back: no more text comes.
    pub(crate) fn finish(&mut self) -> Vec<(Part, String)> {
        let mut released = Vec::new();
        let held = std::mem::take(&mut self.held);
        self.release(held, &mut released);
        released
    }

    /// The marks that mean something where the text has got to.
    fn marks(&self, format: &'static Format) -> Vec<&'static str> {
        let mut marks = match self.part {
            Part::Thinking => vec![format.close],
            // What is said before the answer proper ends as thoughts do.
            Part::Answer if !format.around.is_empty() => [&[format.close], format.around].concat(),
            Part::Answer => Vec::new(),
        };
        // Thoughts made of words like others open once, in front of the answer.
        let may_open = !format.around.is_empty() || !self.has_thought && self.at_start;
        if self.part == Part::Answer && may_open {
            marks.push(format.open);
        }
        marks
    }

    fn release(&mut self, mut text: String, released: &mut Vec<(Part, String)>) {
        if self.at_start && self.trims {
            text = text.trim_start().to_owned();
        }
        if text.is_empty() {
            return;
        }
        self.at_start &= text.trim().is_empty();
        released.push((self.part, text));
    }
}

/// The length in bytes of the longest end of `text` that `mark`, all ASCII, begins with.
fn overlap(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len() - 1);
    (1..=longest).rev().find(|&length| text.ends_with(&mark[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(open: &str) -> Reasoning {
        let format = FORMATS.iter().find(|format| format.open == open).unwrap();
        Reasoning { format, control_tokens: Vec::new() }
    }

    /// The thoughts and the answer of a text that comes in pieces of so many characters.
    fn parts(reasoning: &Reasoning, prompt: &str, text: &str, size: usize) -> (String, String) {
        let mut splitter = Splitter::new(Some(reasoning), prompt);
        let characters: Vec<char> = text.chars().collect();
        let mut released: Vec<_> = characters
            .chunks(size)
            .flat_map(|piece| splitter.push(&piece.iter().collect::<String>()))
            .collect();
        released.extend(splitter.finish());
        let of = |part: Part| {
            let texts = released.iter().filter(|(of, _)| *of == part);
            texts.map(|(_, text)| text.as_str()).collect()
        };
        (of(Part::Thinking), of(Part::Answer))
    }

    #[test]
    fn thoughts_are_told_from_the_answer_however_the_text_comes() {
        let think = format("<think>");
        let oss = format("<|channel|>analysis<|message|>");
        for size in [1, 2, 3, 5, 8, 100] {
            for (reasoning, prompt, text, thoughts, answer) in [
                (&think, "", "<think>\nHm. 1 < 2\n</think>\n\nYes <b>.", "Hm. 1 < 2\n", "Yes <b>."),
                (&think, "x<think>\n", "Hm.</think>Yes.", "Hm.", "Yes."),
                (&think, "", "  Yes.", "", "  Yes."),
                (&think, "", "The <think> mark </think>.", "", "The <think> mark </think>."),
                (&think, "", "<think>a</think><think>b</think>", "a", "<think>b</think>"),
                (&think, "", "<think>never ends <", "never ends <", ""),
                (&think, "", "<thin", "", "<thin"),
                (
                    &oss,
                    "<|start|>assistant",
                    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
                    "Hm.",
                    "Yes.",
                ),
                (&oss, "", "<|channel|>final<|message|>Yes.", "", "Yes."),
                (
                    &oss,
                    "",
                    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait. <|end|><|start|>assistant<|channel|>final<|message|>Yes.",
                    "Hm.",
                    "Wait. Yes.",
                ),
            ] {
                let expected = (thoughts.to_owned(), answer.to_owned());
                assert_eq!(parts(reasoning, prompt, text, size), expected, "{text} by {size}");
            }
        }
    }

    #[test]
    fn an_answer_begins_behind_the_thoughts_that_are_opened() {
        let think = format("<think>");
        assert_eq!(think.answer_mark("<|assistant|><think>\n"), Some("</think>"));
        assert_eq!(think.answer_mark("<|assistant|>"), None);
        assert_eq!(think.answer_mark("<think>\n\n</think>\n\n"), None);
        let oss = format("<|channel|>analysis<|message|>");
        assert_eq!(oss.answer_mark("<|start|>assistant"), Some("<|channel|>final<|message|>"));
    }

    #[test]
    fn text_of_a_model_that_does_not_think_passes_as_it_is() {
        let mut splitter = Splitter::new(None, "<think>");
        assert_eq!(splitter.push(" <think>"), [(Part::Answer, " <think>".to_owned())]);
        assert_eq!(splitter.push(""), []);
        assert_eq!(splitter.finish(), []);
    }
}
