//! The marks of families of models, as their chat templates write them.

/// How a family marks what it thinks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thoughts {
    /// In front of the thoughts.
    pub(super) open: &'static str,
    /// Behind them.
    pub(super) close: &'static str,
    /// What stands around the answer.
    pub(super) around: &'static [&'static str],
    /// In front of the answer, where every answer has it.
    begin: Option<&'static str>,
    /// Whether an answer is made of messages with headers, which say what each is.
    pub(super) has_headers: bool,
}

const THOUGHTS: &[Thoughts] = &[
    // gpt-oss
    Thoughts {
        open: "<|channel|>analysis<|message|>",
        close: "<|end|>",
        around: &[
            "<|start|>assistant",
            "<|channel|>final<|message|>",
            "<|channel|>commentary<|message|>",
        ],
        begin: Some("<|channel|>final<|message|>"),
        has_headers: true,
    },
    // Command A
    Thoughts {
        open: "<|START_THINKING|>",
        close: "<|END_THINKING|>",
        around: &["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
        begin: None,
        has_headers: false,
    },
    // Magistral
    words("[THINK]", "[/THINK]"),
    // Seed-OSS
    words("<seed:think>", "</seed:think>"),
    // DeepSeek, Qwen and most others
    words("<think>", "</think>"),
];

/// Thoughts with marks that stand for nothing else.
const fn words(open: &'static str, close: &'static str) -> Thoughts {
    Thoughts { open, close, around: &[], begin: None, has_headers: false }
}

impl Thoughts {
    /// All of its marks.
    pub(super) fn marks(&self) -> Vec<&'static str> {
        [&[self.open, self.close], self.around].concat()
    }

    /// Whether a prompt ends within the thoughts.
    pub(super) fn are_open(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.open)
    }

    /// The mark behind which an answer begins, where it does not do so at once.
    pub(super) fn answer_mark(&self, prompt: &str) -> Option<&'static str> {
        self.begin.or(self.are_open(prompt).then_some(self.close))
    }
}

/// The marks of thoughts that a chat template, or else a vocabulary, knows.
pub(super) fn thoughts(
    template: &str,
    is_token: impl Fn(&str) -> bool,
) -> Option<&'static Thoughts> {
    let is_known = |format: &&Thoughts| {
        template.contains(format.close)
            && (template.contains(format.open) || format.around.is_empty())
            || is_token(format.close) && is_token(format.open)
    };
    THOUGHTS.iter().find(is_known)
}

/// How a family writes calls of tools.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Calls {
    /// What a template of this family has in it.
    known_by: &'static [&'static str],
    /// In front of calls; empty where an answer may just begin with one.
    pub(super) open: &'static str,
    /// Behind them; empty where nothing is.
    pub(super) close: &'static str,
    /// Whether these marks stand around each call, as opposed to around all.
    pub(super) each: bool,
    pub(super) shape: Shape,
}

/// What a call looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object of JSON with a name and arguments.
    Object {
        /// The key of the name.
        name: &'static str,
        /// That of the arguments.
        arguments: &'static str,
        /// That of a running number, in front of the others.
        number: Option<&'static str>,
        /// Whether the calls are a list.
        is_list: bool,
        /// Blanks within the marks.
        blank: &'static str,
    },
    /// The name, and then the arguments as JSON.
    Named {
        before: &'static str,
        /// Whether a number is written behind the name, as in `:0`.
        is_numbered: bool,
        between: &'static str,
        behind: &'static str,
    },
    /// The name, and then each argument between marks, its text as it is.
    Tagged {
        /// Around the name.
        name: (&'static str, &'static str),
        /// In front of an argument's name.
        key: &'static str,
        /// Between its name and its value, which blanks may stand around.
        value: &'static str,
        /// Behind its value.
        end: &'static str,
        /// Around its value, and no part of it.
        blank: &'static str,
        /// Behind all.
        behind: &'static str,
    },
    /// A message with the tool as its recipient.
    Message,
}

const fn object(
    name: &'static str,
    arguments: &'static str,
    is_list: bool,
    blank: &'static str,
) -> Shape {
    Shape::Object { name, arguments, number: None, is_list, blank }
}

// The first that a template has all words of is the one.
const CALLS: &[Calls] = &[
    // gpt-oss
    Calls {
        known_by: &["<|channel|>", "<|message|>", "functions."],
        open: "",
        close: "<|call|>",
        each: true,
        shape: Shape::Message,
    },
    // Kimi K2
    Calls {
        known_by: &["<|tool_calls_section_begin|>", "<|tool_call_argument_begin|>"],
        open: "<|tool_calls_section_begin|>",
        close: "<|tool_calls_section_end|>",
        each: false,
        shape: Shape::Named {
            before: "<|tool_call_begin|>functions.",
            is_numbered: true,
            between: "<|tool_call_argument_begin|>",
            behind: "<|tool_call_end|>",
        },
    },
    // DeepSeek V3 and R1
    Calls {
        known_by: &["<｜tool▁calls▁begin｜>", "```json"],
        open: "<｜tool▁calls▁begin｜>",
        close: "<｜tool▁calls▁end｜>",
        each: false,
        shape: Shape::Named {
            before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            is_numbered: false,
            between: "\n```json\n",
            behind: "\n```<｜tool▁call▁end｜>",
        },
    },
    // DeepSeek V3.1
    Calls {
        known_by: &["<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"],
        open: "<｜tool▁calls▁begin｜>",
        close: "<｜tool▁calls▁end｜>",
        each: false,
        shape: Shape::Named {
            before: "<｜tool▁call▁begin｜>",
            is_numbered: false,
            between: "<｜tool▁sep｜>",
            behind: "<｜tool▁call▁end｜>",
        },
    },
    // Command R7B and A
    Calls {
        known_by: &["<|START_ACTION|>", "tool_name"],
        open: "<|START_ACTION|>",
        close: "<|END_ACTION|>",
        each: false,
        shape: Shape::Object {
            name: "tool_name",
            arguments: "parameters",
            number: Some("tool_call_id"),
            is_list: true,
            blank: "\n",
        },
    },
    // Mistral since Small 3.2
    Calls {
        known_by: &["[TOOL_CALLS]", "[ARGS]"],
        open: "[TOOL_CALLS]",
        close: "",
        each: true,
        shape: Shape::Named { before: "", is_numbered: false, between: "[ARGS]", behind: "" },
    },
    // Mistral before that
    Calls {
        known_by: &["[TOOL_CALLS]"],
        open: "[TOOL_CALLS]",
        close: "",
        each: false,
        shape: object("name", "arguments", true, ""),
    },
    // Qwen3-Coder and Qwen 3.5
    Calls {
        known_by: &["<tool_call>", "<function=", "<parameter="],
        open: "<tool_call>",
        close: "</tool_call>",
        each: true,
        shape: Shape::Tagged {
            name: ("<function=", ">"),
            key: "<parameter=",
            value: ">",
            end: "</parameter>",
            blank: "\n",
            behind: "</function>",
        },
    },
    // GLM 4.5
    Calls {
        known_by: &["<tool_call>", "<arg_key>", "<arg_value>"],
        open: "<tool_call>",
        close: "</tool_call>",
        each: true,
        shape: Shape::Tagged {
            name: ("", "\n"),
            key: "<arg_key>",
            value: "</arg_key>\n<arg_value>",
            end: "</arg_value>",
            blank: "",
            behind: "",
        },
    },
    // Hermes, Qwen 2.5 and 3, Granite 4
    Calls {
        known_by: &["<tool_call>", "arguments"],
        open: "<tool_call>",
        close: "</tool_call>",
        each: true,
        shape: object("name", "arguments", false, "\n"),
    },
    // Phi 4 mini
    Calls {
        known_by: &["<|tool_call|>", "<|/tool_call|>"],
        open: "<|tool_call|>",
        close: "<|/tool_call|>",
        each: true,
        shape: object("name", "arguments", false, ""),
    },
    // Granite 3
    Calls {
        known_by: &["<|tool_call|>"],
        open: "<|tool_call|>",
        close: "",
        each: false,
        shape: object("name", "arguments", true, ""),
    },
    // Llama 3.1 and later
    Calls {
        known_by: &["<|start_header_id|>", "\"parameters\": "],
        open: "",
        close: "",
        each: true,
        shape: object("name", "parameters", false, ""),
    },
];

/// In front of a call by Llama, sometimes: it says that a program is to read it.
pub(super) const FOR_PROGRAMS: &str = "<|python_tag|>";

impl Calls {
    /// All of its marks.
    pub(super) fn marks(&self) -> Vec<&'static str> {
        let mut marks = vec![self.open, self.close];
        match &self.shape {
            Shape::Object { .. } if self.open.is_empty() => marks.push(FOR_PROGRAMS),
            Shape::Object { .. } => {}
            Shape::Named { before, between, behind, .. } => {
                // What may stand between a name and its arguments at Mistral.
                marks.extend([*before, *between, *behind, CALL_ID]);
            }
            Shape::Tagged { name, key, value, end, behind, .. } => {
                marks.extend([name.0, name.1, *key, *value, *end, *behind]);
            }
            Shape::Message => {
                marks.extend(["<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"]);
            }
        }
        marks.retain(|mark| !mark.is_empty());
        marks
    }

    /// Whether an answer may begin with a call that no mark announces.
    pub(super) fn is_bare(&self) -> bool {
        self.open.is_empty() && self.shape != Shape::Message
    }
}

/// In front of a call's id, behind its name.
pub(super) const CALL_ID: &str = "[CALL_ID]";

/// The marks of calls that a chat template knows.
pub(super) fn calls(template: &str) -> Option<&'static Calls> {
    let is_known = |format: &&Calls| format.known_by.iter().all(|word| template.contains(word));
    // A template that never looks at tools shows the model none.
    template.contains("tool").then(|| CALLS.iter().find(is_known)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_behind_the_thoughts_that_are_opened() {
        let format = |mark: &str| thoughts(mark, |_| false).unwrap();
        let think = format("<think></think>");
        assert_eq!(think.answer_mark("<|assistant|><think>\n"), Some("</think>"));
        assert_eq!(think.answer_mark("<|assistant|>"), None);
        assert_eq!(think.answer_mark("<think>\n\n</think>\n\n"), None);
        let oss = format("<|channel|>analysis<|message|><|end|>");
        assert_eq!(oss.answer_mark("<|start|>assistant"), Some("<|channel|>final<|message|>"));
    }

    #[test]
    fn thoughts_are_known_by_the_vocabulary_too() {
        let found = thoughts("{{ messages }}", |mark| mark.contains("seed:think"));
        assert_eq!(found.map(|format| format.open), Some("<seed:think>"));
        assert_eq!(thoughts("{{ messages }}", |_| false), None);
    }
}
