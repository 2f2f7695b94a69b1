//! What of an answer is thinking, text, or a call of a tool, in the formats of families of
//! models.

mod calls;
mod cuts;
#[cfg(feature = "atlas")]
mod forced;
mod thoughts;
mod vocabulary;

use std::path::Path;

use luge::chat::{AnswerFormat, AnswerPart};
use luge::{ChatTemplate, Model, ModelParams};
use serde_json::{Value, json};

/// A tiny model. It has none of the marks in its vocabulary.
fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    Model::load(&folder.join(format!("{name}.gguf")), &ModelParams::default()).unwrap()
}

/// Templates that have of a family's what tells it.
const SKETCHES: &[(&str, &str)] = &[
    (
        "kimi",
        "{% if tools %}{{ tools }}{% endif %}<|tool_calls_section_begin|><|tool_call_begin|>\
         <|tool_call_argument_begin|>",
    ),
    ("deepseek-v3.1", "<think></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜><｜tool▁sep｜>"),
    (
        "command",
        "<|START_THINKING|><|END_THINKING|><|START_ACTION|>[{\"tool_name\": }]<|END_ACTION|>",
    ),
    ("mistral-3.2", "{{ tools }}[TOOL_CALLS]name[ARGS]"),
    (
        "qwen3-coder",
        "{{ tools }}<think></think><tool_call>\n<function=name>\n<parameter=key></parameter>",
    ),
    ("glm", "<think></think><tool_call>{name}\n<arg_key></arg_key>\n<arg_value></arg_value>"),
    ("phi4", "<|tool|><|tool_call|>{}<|/tool_call|>"),
    ("granite", "respond with <|tool_call|> followed by a list of tools"),
    ("plain", "{{ messages[0].content }}"),
];

/// The template of a family: one of the tests' templates, or a sketch.
fn template(name: &str) -> ChatTemplate {
    let sketch = SKETCHES.iter().find(|(known, _)| *known == name);
    let text = sketch.map_or_else(
        || {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
            std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap()
        },
        |(_, text)| (*text).to_owned(),
    );
    ChatTemplate::new(text).unwrap()
}

fn format(name: &str) -> AnswerFormat {
    AnswerFormat::of(&model("llama"), &template(name))
}

fn tools() -> Vec<Value> {
    vec![
        json!({"type": "function", "function": {"name": "get_weather", "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"], "additionalProperties": false}}}),
        json!({"type": "function", "function": {"name": "clock"}}),
    ]
}

/// What comes out of an answer that comes in these pieces: the parts, each in one piece.
fn parted<'a>(
    format: &AnswerFormat,
    prompt: &str,
    tools: &[Value],
    pieces: impl IntoIterator<Item = &'a str>,
) -> Vec<AnswerPart> {
    let mut parser = format.parser(prompt, tools);
    let mut parts: Vec<AnswerPart> = pieces.into_iter().flat_map(|of| parser.push(of)).collect();
    parts.extend(parser.finish());
    assert_eq!(parser.finish(), []);
    let mut whole: Vec<AnswerPart> = Vec::new();
    for part in parts {
        match (whole.last_mut(), part) {
            (Some(AnswerPart::Thinking(text)), AnswerPart::Thinking(more))
            | (Some(AnswerPart::Text(text)), AnswerPart::Text(more)) => text.push_str(&more),
            (
                Some(AnswerPart::Arguments { index, text }),
                AnswerPart::Arguments { index: of, text: more },
            ) if *index == of => text.push_str(&more),
            (_, part) => whole.push(part),
        }
    }
    whole
}

/// The parts as lines: `?` thinking, `"` text, `@` a call, `=` its arguments.
fn lines(parts: &[AnswerPart]) -> Vec<String> {
    let line = |part: &AnswerPart| match part {
        AnswerPart::Thinking(text) => format!("?{text}"),
        AnswerPart::Text(text) => format!("\"{text}"),
        AnswerPart::ToolCall { index, id: None, name } => format!("@{index} {name}"),
        AnswerPart::ToolCall { index, id: Some(id), name } => format!("@{index} {name} {id}"),
        AnswerPart::Arguments { index, text } => format!("={index} {text}"),
    };
    parts.iter().map(line).collect()
}

/// An answer in a family's format, with the lines that it is.
type Answer = (&'static str, &'static str, &'static [&'static str]);

/// Answers with calls.
const CALLS: &[Answer] = &[
    (
        "qwen3",
        "<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"get_weather\", \
         \"arguments\": {\"city\": \"Z}\\\"ü\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"clock\"\
         , \"arguments\": {}}\n</tool_call>",
        &["?Hm.", "\"I look.", "@0 get_weather", "=0 {\"city\": \"Z}\\\"ü\"}", "@1 clock", "=1 {}"],
    ),
    // The keys the other way round, a string of JSON, and none at all.
    (
        "qwen3",
        "<tool_call>{\"arguments\": {\"city\": \"Bern\"}, \"name\": \"get_weather\"}</tool_call>\
         <tool_call>{\"name\": \"clock\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>\
         <tool_call>{\"name\": \"clock\"}</tool_call> Done.",
        &[
            "@0 get_weather",
            "=0 {\"city\": \"Bern\"}",
            "@1 clock",
            "=1 {\"a\": 1}",
            "@2 clock",
            "=2 {}",
            "\"Done.",
        ],
    ),
    ("qwen3", "<tool_call>\n{\"name\": \"clock\", \"arguments\": {\"a", &["@0 clock", "=0 {\"a"]),
    (
        "llama3.1",
        "\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bern\"}}",
        &["@0 get_weather", "=0 {\"city\": \"Bern\"}"],
    ),
    (
        "llama3.1",
        "<|python_tag|>{\"type\": \"function\", \"name\": \"clock\", \"parameters\": {}}; \
         {\"name\": \"clock\", \"parameters\": {}}",
        &["@0 clock", "=0 {}", "@1 clock", "=1 {}"],
    ),
    (
        "mistral",
        "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}, \
         \"id\": \"abcdefgh1\"}, {\"id\": \"abcdefgh2\", \"name\": \"clock\", \"arguments\": {}}]",
        &["@0 get_weather", "=0 {\"city\": \"Bern\"}", "@1 clock abcdefgh2", "=1 {}"],
    ),
    (
        "mistral-3.2",
        "One.[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Bern\"}[TOOL_CALLS]clock[CALL_ID]abc[ARGS]{}",
        &["\"One.", "@0 get_weather", "=0 {\"city\": \"Bern\"}", "@1 clock abc", "=1 {}"],
    ),
    (
        "deepseek-r1",
        "<think>\nHm.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>\
         get_weather\n```json\n{\"city\": \"Bern\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>\
         function<｜tool▁sep｜>clock\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        &["?Hm.", "@0 get_weather", "=0 {\"city\": \"Bern\"}", "@1 clock", "=1 {}"],
    ),
    (
        "deepseek-v3.1",
        "Wait.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \
         \"Bern\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        &["\"Wait.", "@0 get_weather", "=0 {\"city\": \"Bern\"}"],
    ),
    (
        "kimi",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0\
         <|tool_call_argument_begin|>{\"city\": \"Bern\"}<|tool_call_end|><|tool_call_begin|>\
         functions.clock:1<|tool_call_argument_begin|>{}<|tool_call_end|>\
         <|tool_calls_section_end|>",
        &[
            "@0 get_weather functions.get_weather:0",
            "=0 {\"city\": \"Bern\"}",
            "@1 clock functions.clock:1",
            "=1 {}",
        ],
    ),
    (
        "command",
        "<|START_THINKING|>Hm.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \
         \"tool_name\": \"get_weather\", \"parameters\": {\"city\": \"Bern\"}},\n    \
         {\"tool_call_id\": \"1\", \"tool_name\": \"clock\", \"parameters\": {}}\n]<|END_ACTION|>",
        &["?Hm.", "@0 get_weather 0", "=0 {\"city\": \"Bern\"}", "@1 clock 1", "=1 {}"],
    ),
    (
        "phi4",
        "<|tool_call|>{\"name\": \"clock\", \"arguments\": {}}<|/tool_call|>",
        &["@0 clock", "=0 {}"],
    ),
    (
        "granite",
        "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}}, \
         {\"name\": \"clock\", \"arguments\": {}}]",
        &["@0 get_weather", "=0 {\"city\": \"Bern\"}", "@1 clock", "=1 {}"],
    ),
    (
        "qwen3-coder",
        "<think>Hm.</think>I look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\n\
         12\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=other>\n[1, \"a\"]\n\
         </parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=clock>\n</function>\n\
         </tool_call>",
        &[
            "?Hm.",
            "\"I look.",
            "@0 get_weather",
            "=0 {\"city\":\"12\",\"days\":3,\"other\":[1,\"a\"]}",
            "@1 clock",
            "=1 {}",
        ],
    ),
    (
        "glm",
        "\n<think>Hm.</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>New \
         York</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n\
         <tool_call>clock\n</tool_call>",
        &["?Hm.", "@0 get_weather", "=0 {\"city\":\"New York\",\"days\":3}", "@1 clock", "=1 {}"],
    ),
    (
        "gpt-oss",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary\
         <|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.\
         get_weather <|constrain|>json<|message|>{\"city\": \"Bern\"}<|call|>",
        &["?Hm.", "\"I look.", "@0 get_weather", "=0 {\"city\": \"Bern\"}"],
    ),
    (
        "gpt-oss",
        " to=functions.clock<|channel|>commentary json<|message|>{}",
        &["@0 clock", "=0 {}"],
    ),
];

/// Answers with what looks like a call, or may yet become one, and is none.
const NO_CALLS: &[Answer] = &[
    ("qwen3", "The mark <tool_call> is a mark.", &["\"The mark <tool_call> is a mark."]),
    (
        "qwen3",
        "<tool_call>\n{\"name\": \"nonsense\", \"arguments\": {}}\n</tool_call>",
        &["\"<tool_call>\n{\"name\": \"nonsense\", \"arguments\": {}}\n</tool_call>"],
    ),
    ("qwen3", "<tool_call>\n{\"name\": \"clock\"", &["\"<tool_call>\n{\"name\": \"clock\""]),
    ("qwen3", "<tool_call>{name: clock}</tool_call>", &["\"<tool_call>{name: clock}</tool_call>"]),
    ("qwen3", "Yes.\n<tool_c", &["\"Yes.\n<tool_c"]),
    // What follows a call that is broken, or is none of its marks, is text.
    (
        "qwen3",
        "<tool_call>{\"name\": \"clock\", \"arguments\": {\"a\": 1</tool_call> Oh.",
        &["@0 clock", "=0 {\"a\": 1", "\"Oh."],
    ),
    (
        "qwen3",
        "<tool_call>{\"name\": \"clock\", \"arguments\": {}} and so on",
        &["@0 clock", "=0 {}", "\"and so on"],
    ),
    ("llama3.1", "  {\"city\": \"Bern\"}", &["\"  {\"city\": \"Bern\"}"]),
    ("llama3.1", "{\"name\": \"clock\"}", &["\"{\"name\": \"clock\"}"]),
    (
        "llama3.1",
        "{\"name\": \"Ada\", \"parameters\": {}}",
        &["\"{\"name\": \"Ada\", \"parameters\": {}}"],
    ),
    (
        "llama3.1",
        "Say {\"name\": \"clock\", \"parameters\": {}}",
        &["\"Say {\"name\": \"clock\", \"parameters\": {}}"],
    ),
    ("llama3.1", "<|python_tag|>print(1)", &["\"<|python_tag|>print(1)"]),
    ("mistral", "[TOOL_CALLS] []", &["\"[TOOL_CALLS] []"]),
    ("mistral-3.2", "[TOOL_CALLS]clock[ARGS]none", &["\"[TOOL_CALLS]clock[ARGS]none"]),
    ("mistral-3.2", "[TOOL_CALLS]clock[ARGS]{} Oh.", &["@0 clock", "=0 {}", "\"Oh."]),
    (
        "qwen3-coder",
        "<tool_call>\n<function=nonsense>\n</function>\n</tool_call>",
        &["\"<tool_call>\n<function=nonsense>\n</function>\n</tool_call>"],
    ),
    (
        "glm",
        "<tool_call>clock <arg_key>a</tool_call>.",
        &["\"<tool_call>clock <arg_key>a</tool_call>."],
    ),
    (
        "gpt-oss",
        "<|channel|>commentary to=functions.nonsense<|message|>{}",
        &["\"<|channel|>commentary to=functions.nonsense<|message|>{}"],
    ),
    (
        "gpt-oss",
        "<|channel|>commentary to=functions.clock<|message|>No.",
        &["\"<|channel|>commentary to=functions.clock<|message|>No."],
    ),
    ("gpt-oss", "<|channel|> is a mark", &["\"<|channel|> is a mark"]),
    ("gpt-oss", "to", &["\"to"]),
];
