//! The beginning of a call: which tool, and where its arguments begin.

use serde_json::{Map, Value};

use super::Tool;
use super::format::{CALL_ID, Calls, Shape};
use super::json::{self, Broken};

/// The most bytes a name may have, and all else that stands in front of arguments.
pub(super) const LONGEST_NAME: usize = 256;

/// The keys of a call.
const KEYS: [&str; 5] = ["type", "id", "name", "parameters", "arguments"];

/// A call that has begun.
#[derive(Debug, PartialEq)]
pub(super) struct Begun {
    pub(super) name: String,
    pub(super) id: Option<String>,
    /// All of its arguments as JSON, where they had to be read first; the call is then at
    /// its end, and otherwise at the beginning of its arguments.
    pub(super) arguments: Option<String>,
    /// The bytes of the text that were read.
    pub(super) length: usize,
}

/// Reads the beginning of a call that `text` begins with; `None` while it is not certain.
///
/// # Errors
/// [`Broken`] for what is no call of one of these tools.
pub(super) fn begin(calls: &Calls, tools: &[Tool], text: &str) -> Result<Option<Begun>, Broken> {
    let begun = match &calls.shape {
        Shape::Object { .. } => object(text, calls.is_bare())?,
        Shape::Named { before, between, .. } => named(before, between, text)?,
        Shape::Tagged { .. } => {
            let Some(end) = text.find(calls.close) else { return Ok(None) };
            Some(tagged(&calls.shape, tools, &text[..end])?)
        }
        // Told by its header.
        Shape::Message => return Err(Broken),
    };
    match begun {
        Some(call) if !tools.iter().any(|tool| tool.name == call.name) => Err(Broken),
        other => Ok(other),
    }
}

/// `{"name": …, "arguments": …}`, with the names of keys that any family uses. Of a call
/// that nothing but its form tells, the arguments have to be there.
fn object(text: &str, is_bare: bool) -> Result<Option<Begun>, Broken> {
    let Some(mut rest) = text.strip_prefix('{') else { return Err(Broken) };
    let (mut name, mut id, mut arguments) = (None::<String>, None, None);
    loop {
        let Some((entry, behind)) = json::entry(rest)? else { return Ok(None) };
        rest = behind;
        let Some(json::Entry { key, value }) = entry else { break };
        // An answer in JSON is not held back until its end.
        if is_bare && !KEYS.contains(&&*key) {
            return Err(Broken);
        }
        let is_arguments = matches!(&*key, "arguments" | "parameters");
        if is_arguments
            && value.starts_with('{')
            && let Some(name) = name
        {
            let length = text.len() - value.len();
            return Ok(Some(Begun { name, id, arguments: None, length }));
        }
        let Some(end) = json::length(value)? else { return Ok(None) };
        let of_key: Value = serde_json::from_str(&value[..end]).map_err(|_| Broken)?;
        rest = &value[end..];
        match (&*key, of_key) {
            ("name" | "tool_name", Value::String(text)) => name = Some(text),
            ("id" | "tool_call_id", Value::String(text)) => id = Some(text),
            (_, Value::Object(_)) if is_arguments => arguments = Some(value[..end].to_owned()),
            // Some write the object's text.
            (_, Value::String(text)) if is_arguments => {
                serde_json::from_str::<Map<String, Value>>(&text).map_err(|_| Broken)?;
                arguments = Some(text);
            }
            _ if is_arguments => return Err(Broken),
            _ => {}
        }
    }
    let name = name.ok_or(Broken)?;
    if arguments.is_none() && is_bare {
        return Err(Broken);
    }
    let arguments = Some(arguments.unwrap_or_else(|| "{}".to_owned()));
    Ok(Some(Begun { name, id, arguments, length: text.len() - rest.len() }))
}

/// A name between marks, and then an object.
fn named(before: &str, between: &str, text: &str) -> Result<Option<Begun>, Broken> {
    let Some(rest) = text.strip_prefix(before) else {
        return if before.starts_with(text) { Ok(None) } else { Err(Broken) };
    };
    // Blanks around a mark are not always written.
    let mark = between.trim();
    let head = match rest.find(mark) {
        Some(at) if at <= LONGEST_NAME => &rest[..at],
        None if rest.len() < LONGEST_NAME + mark.len() => return Ok(None),
        _ => return Err(Broken),
    };
    let arguments = rest[head.len() + mark.len()..].trim_start();
    match arguments.bytes().next() {
        None => return Ok(None),
        Some(b'{') => {}
        Some(_) => return Err(Broken),
    }
    let (name, mut id) = match head.split_once(CALL_ID) {
        Some((name, id)) => (name.trim(), Some(id.trim().to_owned())),
        None => (head.trim(), None),
    };
    // A number behind the name is part of the id.
    let name = match name.rsplit_once(':') {
        Some((bare, number)) if number.parse::<u32>().is_ok() => {
            id = Some(format!("functions.{name}"));
            bare
        }
        _ => name,
    };
    let length = text.len() - arguments.len();
    Ok(Some(Begun { name: name.to_owned(), id, arguments: None, length }))
}

/// The whole of a call whose arguments stand between marks.
fn tagged(shape: &Shape, tools: &[Tool], text: &str) -> Result<Begun, Broken> {
    let Shape::Tagged { name: (before, after), key, value, end, blank, behind } = shape else {
        return Err(Broken);
    };
    let rest = text.trim_start().strip_prefix(before).ok_or(Broken)?;
    // Where the name ends with a line, it may as well end with the first argument.
    let stop = rest.find(after).into_iter().chain(rest.find(key)).min().unwrap_or(rest.len());
    let name = rest[..stop].trim();
    let tool = tools.iter().find(|tool| tool.name == name).ok_or(Broken)?;
    let mut rest = rest[stop..].strip_prefix(after).unwrap_or(&rest[stop..]).trim();
    rest = rest.strip_suffix(behind).unwrap_or(rest).trim_end();
    let mut arguments = Map::new();
    let (close, open) = value.split_once('\n').unwrap_or((value, ""));
    while !rest.is_empty() {
        let (name, behind) =
            rest.strip_prefix(key).and_then(|rest| rest.split_once(close)).ok_or(Broken)?;
        let behind = match open {
            "" => behind,
            open => behind.trim_start().strip_prefix(open).ok_or(Broken)?,
        };
        let (text, behind) = behind.split_once(end).ok_or(Broken)?;
        let text = text.strip_prefix(blank).unwrap_or(text);
        let text = text.strip_suffix(blank).unwrap_or(text);
        arguments.insert(name.trim().to_owned(), argument(tool.parameter(name.trim()), text));
        rest = behind.trim_start();
    }
    let arguments = Some(Value::from(arguments).to_string());
    Ok(Begun { name: name.to_owned(), id: None, arguments, length: text.len() })
}

/// The value of an argument that is written as its text: a string where the schema says so
/// or where it is no JSON.
fn argument(schema: &Value, text: &str) -> Value {
    let other = if is_text(schema) { None } else { serde_json::from_str(text.trim()).ok() };
    other.unwrap_or_else(|| Value::from(text))
}

/// Whether an argument is a string by its schema.
pub(super) fn is_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        _ => schema["enum"].as_array().is_some_and(|values| values.iter().all(Value::is_string)),
    }
}

/// The length of what is left of a call behind its arguments; `None` while that is not
/// certain.
///
/// # Errors
/// [`Broken`] where it does not end as a call does.
pub(super) fn rest(calls: &Calls, text: &str) -> Result<Option<usize>, Broken> {
    match &calls.shape {
        Shape::Object { .. } => {
            let mut rest = text;
            loop {
                let Some((entry, behind)) = json::entry(rest)? else { return Ok(None) };
                let Some(entry) = entry else { return Ok(Some(text.len() - behind.len())) };
                let Some(end) = json::length(entry.value)? else { return Ok(None) };
                rest = &entry.value[end..];
            }
        }
        Shape::Named { behind, .. } => {
            let (mark, rest) = (behind.trim(), text.trim_start());
            match rest.strip_prefix(mark) {
                Some(rest) => Ok(Some(text.len() - rest.len())),
                None if mark.starts_with(rest) => Ok(None),
                None => Err(Broken),
            }
        }
        Shape::Tagged { .. } | Shape::Message => Ok(Some(0)),
    }
}
