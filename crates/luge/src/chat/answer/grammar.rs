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
            rules.push_str("thoughts: /(.|\\n)*/\n");
            let thinks = text("<|channel|>analysis<|message|>");
            let ends = text("<|end|><|start|>assistant");
            format!("({thinks} thoughts {ends})? call")
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
        } else if literal(model, &end) == json_text(&end) {
            // Up to the first mark.
            format!("{rule}[suffix={}]: /(.|\n)*/", json_text(&end))
        } else {
            // No text has the mark, as it is a control token.
            format!("{rule}: /(.|\n)*/ {}", literal(model, &end))
        };
        result.rules.push_str(&format!("{value}\n"));
        let is_required = required.is_some_and(|all| all.iter().any(|of| of == name.as_str()));
        let often = if is_required { "" } else { "?" };
        result.sequence.push_str(&format!("({start} {rule}){often} "));
    }
    result
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
