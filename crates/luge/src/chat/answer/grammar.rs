//! Grammars of calls, in llguidance's variant of Lark's notation.

use luge_llama::Model;
use serde_json::Value;

use super::Tool;
use super::call;
use super::format::{Calls, Shape};
use crate::grammar::with_white_space;

/// A grammar of a call of one of these tools, or of several.
pub(super) fn lark(model: &Model, calls: &Calls, tools: &[&Tool], several: bool) -> String {
    let text = |text: &str| literal(model, text);
    let mut rules = String::new();
    let mut names = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = json_text(&tool.name);
        let arguments = format!("arguments_{index}");
        let call = match &calls.shape {
            Shape::Object { name: key, arguments: values, number, .. } => {
                let number = number.map_or(String::new(), |number| {
                    format!("{} /[0-9]/ ", text(&format!("{{\"{number}\": \"")))
                });
                let start = if number.is_empty() { "{" } else { "\", " };
                let start = format!("{start}\"{key}\": {name}, \"{values}\": ");
                format!("{number}{} {arguments} \"}}\"", text(&start))
            }
            Shape::Named { before, is_numbered, between, behind } => {
                let number = if *is_numbered { "\":\" /[0-9]/" } else { "" };
                let start = text(&[*before, &tool.name].concat());
                format!("{start} {number} {} {arguments} {}", text(between), text(behind))
            }
            Shape::Message => {
                let start = format!("<|channel|>commentary to=functions.{} ", tool.name);
                let start = text(&[&start, "<|constrain|>json<|message|>"].concat());
                format!("{start} {arguments}")
            }
            Shape::Tagged { name: (before, after), behind, .. } => {
                let line = if after.ends_with('\n') { "" } else { "\n" };
                let start = text(&[*before, &tool.name, after, line].concat());
                let tagged = tagged(model, &calls.shape, tool, &arguments);
                rules.push_str(&tagged.rules);
                format!("{start} {} {}", tagged.sequence, text(behind))
            }
        };
        if !matches!(calls.shape, Shape::Tagged { .. }) {
            let schema = with_white_space(tool.parameters.clone());
            rules.push_str(&format!("{arguments}: %json {schema}\n"));
        }
        rules.push_str(&format!("call_{index}: {call}\n"));
        names.push(format!("call_{index}"));
    }
    rules.push_str(&format!("call: {}\n", names.join(" | ")));

    let (open, close) = (text(calls.open), text(calls.close));
    let start = match &calls.shape {
        Shape::Message => {
            // Without marks, but for the one at their end.
            let thoughts = up_to(model, "thoughts", "([^<]|<[^|])*", "<|end|>");
            rules.push_str(&format!("{thoughts}\n"));
            let thinks = text("<|channel|>analysis<|message|>");
            format!("({thinks} thoughts {})? call", text("<|start|>assistant"))
        }
        // The whole answer is one.
        Shape::Object { .. } if calls.is_bare() => "blanks? call".to_owned(),
        shape => {
            let (blank, between, list) = match shape {
                Shape::Object { blank, is_list: true, .. } => {
                    (*blank, "\", \"", ["\"[\"", "\"]\""])
                }
                Shape::Object { blank, .. } | Shape::Tagged { blank, .. } => {
                    (*blank, "\"\\n\"", ["", ""])
                }
                _ => ("", "", ["", ""]),
            };
            let (blank, [begin, end]) = (text(blank), list);
            let (around, item) = if calls.each {
                (["", ""], format!("{open} {blank} call {blank} {close}"))
            } else {
                ([&*open, &*close], "call".to_owned())
            };
            let more = if several { format!("({between} {item})*") } else { String::new() };
            let [open, close] = around;
            format!("blanks? {open} {begin} {item} {more} {end} {close}")
        }
    };
    // What stands between the thoughts and the answer.
    if start.contains("blanks?") {
        rules.push_str("blanks: /[ \\n]{1,3}/\n");
    }
    format!("start: {start}\n{rules}")
}

/// Arguments between marks.
struct Tagged {
    /// One behind the other.
    sequence: String,
    /// The rules of their values.
    rules: String,
}

/// All arguments that a tool's schema names, in its order; what it does not require may be
/// left out.
fn tagged(model: &Model, shape: &Shape, tool: &Tool, prefix: &str) -> Tagged {
    let mut result = Tagged { sequence: String::new(), rules: String::new() };
    let Shape::Tagged { key, value, end, blank, .. } = shape else { return result };
    let required = tool.parameters["required"].as_array();
    let properties = tool.parameters["properties"].as_object();
    for (index, (name, schema)) in properties.into_iter().flatten().enumerate() {
        let start = literal(model, &[*key, name, value, blank].concat());
        let end = [*blank, *end, "\n"].concat();
        let rule = format!("{prefix}_{index}");
        let choices = schema["enum"].as_array().filter(|_| call::is_text(schema));
        let value = if let Some(choices) = choices {
            let choices: Vec<String> =
                choices.iter().filter_map(Value::as_str).map(json_text).collect();
            format!("{rule}: ({}) {}", choices.join(" | "), literal(model, &end))
        } else if !call::is_text(schema) {
            result.rules.push_str(&format!("{rule}_json: %json {}\n", alone(schema, tool)));
            format!("{rule}: {rule}_json {}", literal(model, &end))
        } else {
            up_to(model, &rule, r"(.|\n)*", &end)
        };
        result.rules.push_str(&format!("{value}\n"));
        let is_required = required.is_some_and(|all| all.iter().any(|of| of == name.as_str()));
        let often = if is_required { "" } else { "?" };
        result.sequence.push_str(&format!("({start} {rule}){often} "));
    }
    result
}

/// A rule of text that a regular expression matches, up to the first mark, and of that.
fn up_to(model: &Model, rule: &str, regex: &str, mark: &str) -> String {
    match literal(model, mark) {
        text if text == json_text(mark) => format!("{rule}[suffix={text}]: /{regex}/"),
        // A control token ends the text by itself.
        token => format!("{rule}: /{regex}/ {token}"),
    }
}

/// The schema of an argument without those around it, but with what it may refer to.
fn alone(schema: &Value, tool: &Tool) -> Value {
    let mut schema = with_white_space(schema.clone());
    if let Some(schema) = schema.as_object_mut() {
        for definitions in ["$defs", "definitions"] {
            if let Some(of) = tool.parameters.get(definitions) {
                schema.insert(definitions.to_owned(), of.clone());
            }
        }
    }
    schema
}

/// A text as a string of JSON, which is one of Lark too.
fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text as part of a grammar: its control tokens by their numbers, as a grammar makes no
/// text of them, and the rest as strings.
fn literal(model: &Model, text: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = text;
    for token in model.tokenize(text, false, true).unwrap_or_default() {
        if !model.piece(token).is_ok_and(|piece| piece.is_empty()) {
            continue;
        }
        let Ok(label) = model.label(token) else { continue };
        let label = String::from_utf8_lossy(&label).into_owned();
        let Some((before, behind)) = rest.split_once(&label) else { continue };
        if !before.is_empty() {
            parts.push(json_text(before));
        }
        parts.push(format!("<[{token}]>"));
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(json_text(rest));
    }
    parts.join(" ")
}

#[cfg(all(test, feature = "atlas"))]
mod tests {
    use luge_llama::ModelParams;
    use serde_json::json;

    use super::super::format;
    use super::*;
    use crate::Grammar;
    use crate::grammar::Vocabulary;

    /// Whether an answer keeps to the grammar of calls of `tool`, in the format that a
    /// template with these words has.
    fn keeps(words: &str, tool: &Value, several: bool, answer: &str) -> bool {
        let model = crate::builtin::load(&ModelParams::default()).unwrap();
        let calls = format::calls(&["tool", words].concat()).unwrap();
        let tool = Tool::read(tool).unwrap();
        let grammar = Grammar::lark(&lark(&model, calls, &[&tool], several)).unwrap();
        let mut constraint = Vocabulary::new(&model).unwrap().constraint(&grammar).unwrap();
        for token in model.tokenize(answer, false, true).unwrap() {
            let allowed = constraint.allowed().unwrap();
            if !allowed.is_some_and(|mask| mask.allows(token)) {
                return false;
            }
            constraint.accept(token).unwrap();
        }
        constraint.may_end().unwrap()
    }

    #[test]
    fn calls_as_families_write_them_keep_to_their_grammars() {
        let tool = json!({"name": "look", "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"$ref": "#/$defs/days"},
                "unit": {"enum": ["c", "f"]}
            },
            "required": ["city"], "additionalProperties": false,
            "$defs": {"days": {"type": "integer"}}}});
        let coder = "<tool_call><function=<parameter=";
        let glm = "<tool_call><arg_key><arg_value>";
        let oss = "<|channel|><|message|>functions.";
        for (words, answer) in [
            (
                "<tool_call>arguments",
                "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"city\": \"Bern\"}}\n\
                 </tool_call>",
            ),
            (
                coder,
                "<tool_call>\n<function=look>\n<parameter=city>\nNew\n< York\n</parameter>\n\
                 <parameter=days>\n3\n</parameter>\n<parameter=unit>\nc\n</parameter>\n\
                 </function>\n</tool_call>",
            ),
            (
                coder,
                "\n\n<tool_call>\n<function=look>\n<parameter=city>\nBern\n</parameter>\n\
                 </function>\n</tool_call>",
            ),
            (
                glm,
                "<tool_call>look\n<arg_key>city</arg_key>\n<arg_value>New York</arg_value>\n\
                 <arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
            ),
            (
                oss,
                "<|channel|>analysis<|message|>It is 1 < 2.<|end|><|start|>assistant<|channel|>\
                 commentary to=functions.look <|constrain|>json<|message|>{\"city\": \"Bern\"}",
            ),
            (
                oss,
                "<|channel|>commentary to=functions.look <|constrain|>json<|message|>\
                 {\"city\": \"Bern\"}",
            ),
            (
                "<|start_header_id|>\"parameters\": ",
                "{\"name\": \"look\", \"parameters\": {\"city\": \"Bern\", \"days\": 3}}",
            ),
        ] {
            assert!(keeps(words, &tool, false, answer), "{answer}");
            // The tool is another, one that is required is missing, or what it may not be.
            for (from, to) in [("look", "hook"), ("city", "town"), ("3", "three")] {
                let wrong = answer.replace(from, to);
                assert_eq!(keeps(words, &tool, false, &wrong), wrong == answer, "{wrong}");
            }
            if words.contains("<tool_call>") {
                let twice = format!("{}\n{}", answer, answer.trim());
                assert!(keeps(words, &tool, true, &twice), "{twice}");
                assert!(!keeps(words, &tool, false, &twice), "{twice}");
            }
        }
    }
}
