//! Messages and tools, from OpenAI's shape to that of chat templates.

use luge::{Message, ToolCall};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::{Fields, entries, wrong};

/// The most tools.
const TOOLS: usize = 128;

/// Reads the field `messages`.
///
/// # Errors
/// 400 with the path of what is wrong.
pub fn messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let expected = "a list of messages, at least one";
    let list = fields.list("messages")?.ok_or_else(|| fields.missing("messages", expected))?;
    if list.is_empty() {
        return Err(ApiError::invalid("messages", format!("messages is empty: give {expected}")));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(list.len());
    for (path, value) in list {
        let mut fields = Fields::of(path, value, "a message such as {\"role\", \"content\"}")?;
        let mut message = message(&mut fields)?;
        fields.finish()?;
        if message.role == "tool" && message.name.is_none() {
            message.name = called(&messages, message.tool_call_id.as_deref());
        }
        messages.push(message);
    }
    Ok(messages)
}

/// The tool that the call of this id was for.
fn called(messages: &[Message], id: Option<&str>) -> Option<String> {
    let id = id?;
    let mut calls = messages.iter().rev().flat_map(|message| &message.tool_calls);
    calls.find(|call| call.id.as_deref() == Some(id)).map(|call| call.name.clone())
}

/// Reads one message.
pub fn message(fields: &mut Fields) -> Result<Message, ApiError> {
    let roles = "one of system, developer, user, assistant, tool";
    let role = fields.string("role")?.ok_or_else(|| fields.missing("role", roles))?;
    let is_assistant = role == "assistant";
    let role = match role.as_str() {
        // What OpenAI's newer models call it.
        "developer" => "system".to_owned(),
        "system" | "user" | "assistant" | "tool" => role,
        _ => return Err(wrong(&fields.path("role"), &Value::String(role), roles)),
    };
    let path = fields.path("content");
    let content = fields.take("content").map(|value| content(&path, value)).transpose()?;
    let name = fields.string("name")?;
    let tool_call_id = fields.string("tool_call_id")?;
    let reasoning = fields.string("reasoning_content")?;
    let mut tool_calls = Vec::new();
    for (path, value) in fields.list("tool_calls")?.unwrap_or_default() {
        let mut fields = Fields::of(path, value, "a call of a tool")?;
        tool_calls.push(tool_call(&mut fields)?);
        fields.finish()?;
    }
    if !tool_calls.is_empty() && !is_assistant {
        let path = fields.path("tool_calls");
        let message = format!("{path} belongs to the assistant's messages: leave it out");
        return Err(ApiError::invalid(path, message));
    }
    // Clients send back what they were given, with all its empty fields.
    fields.refuse("refusal", Value::from(""), "say it in content")?;
    fields.refuse("audio", Value::Null, "the model reads text alone")?;
    fields.refuse("function_call", Value::Null, "give tool_calls")?;
    fields.refuse("annotations", Value::Array(Vec::new()), "the model reads text alone")?;
    let content = match content {
        Some(content) => content,
        // So comes an answer without text, such as one of thoughts alone.
        None if is_assistant => String::new(),
        None => return Err(fields.missing("content", "the text of the message")),
    };
    Ok(Message { role, content, reasoning, tool_calls, tool_call_id, name })
}

/// The text of a message: as it is, or in parts, which are put on lines of their own.
fn content(path: &str, value: Value) -> Result<String, ApiError> {
    let expected = "a string, or a list of parts such as {\"type\": \"text\", \"text\"}";
    if let Value::String(text) = value {
        return Ok(text);
    }
    let part = |(path, value): (String, Value)| {
        let mut fields = Fields::of(path, value, "a part such as {\"type\": \"text\", \"text\"}")?;
        let kind = fields.string("type")?.ok_or_else(|| fields.missing("type", "\"text\""))?;
        if kind != "text" {
            let path = fields.path("type");
            let shown: String = kind.chars().take(40).collect();
            let message = format!("{path} is '{shown}': this model reads text alone");
            return Err(ApiError::invalid(path, message));
        }
        let text = fields.string("text")?.ok_or_else(|| fields.missing("text", "the text"))?;
        fields.finish()?;
        Ok(text)
    };
    let parts = entries(path, value, expected)?.into_iter().map(part);
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn tool_call(fields: &mut Fields) -> Result<ToolCall, ApiError> {
    let id = fields.string("id")?;
    fields.refuse("type", Value::from("function"), "calls are of the type function")?;
    // Where pieces of a stream were put together, calls are still numbered.
    fields.ignore("index");
    let Some(mut function) = fields.object("function")? else {
        return Err(fields.missing("function", "the name and the arguments of the call"));
    };
    let name = function.string("name")?;
    let name = name.ok_or_else(|| function.missing("name", "the name of the tool"))?;
    let arguments = match function.take("arguments") {
        None => Value::Object(Map::new()),
        Some(Value::String(text)) if text.trim().is_empty() => Value::Object(Map::new()),
        // A model may have written something that is not JSON: it sees that again.
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(value @ Value::Object(_)) => value,
        Some(value) => {
            let expected = "the JSON of an object, as a string";
            return Err(wrong(&function.path("arguments"), &value, expected));
        }
    };
    function.finish()?;
    Ok(ToolCall { id, name, arguments })
}

/// Which tools may or must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The tools of a request.
#[derive(Debug, Clone)]
pub struct Tools {
    /// As they were given, for the template.
    pub tools: Vec<Value>,
    /// Which of them.
    pub choice: Choice,
    /// Whether there may be several calls in an answer.
    pub parallel: bool,
}

impl Tools {
    /// Reads `tools`, `tool_choice` and `parallel_tool_calls`.
    ///
    /// # Errors
    /// 400 with the path of what is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let list = fields.list("tools")?.unwrap_or_default();
        if list.len() > TOOLS {
            let message = format!("tools has {} tools: give at most {TOOLS}", list.len());
            return Err(ApiError::invalid("tools", message));
        }
        let mut tools = Vec::new();
        let mut names = Vec::new();
        for (path, value) in list {
            let mut fields = Fields::of(path, value.clone(), "a tool of the type function")?;
            names.push(tool(&mut fields)?);
            fields.finish()?;
            tools.push(value);
        }
        let path = fields.path("tool_choice");
        let expected =
            "none, auto, required, or {\"type\": \"function\", \"function\": {\"name\"}}";
        let choice = match fields.take("tool_choice") {
            None => Choice::Auto,
            Some(Value::String(text)) => match text.as_str() {
                "none" => Choice::None,
                "auto" => Choice::Auto,
                "required" => Choice::Required,
                _ => return Err(wrong(&path, &Value::String(text), expected)),
            },
            Some(value) => {
                let mut fields = Fields::of(path.clone(), value, expected)?;
                fields.refuse("type", Value::from("function"), "tools are functions here")?;
                let Some(mut function) = fields.object("function")? else {
                    return Err(fields.missing("function", "the name of the tool"));
                };
                let name = function.string("name")?;
                let name = name.ok_or_else(|| function.missing("name", "the name of a tool"))?;
                function.finish()?;
                fields.finish()?;
                Choice::Named(name)
            }
        };
        match &choice {
            Choice::Named(name) if !names.contains(name) => {
                let message = "tool_choice names a tool that is not among tools: add it there";
                Err(ApiError::invalid(path, message))
            }
            Choice::Required if tools.is_empty() => {
                let message = "tool_choice asks for a call, and there are no tools: give some";
                Err(ApiError::invalid(path, message))
            }
            _ => Ok(Tools { tools, choice, parallel }),
        }
    }

    /// The tools that the model is told of.
    pub fn told(&self) -> &[Value] {
        if self.choice == Choice::None { &[] } else { &self.tools }
    }
}

/// Reads a tool, and gives its name.
fn tool(fields: &mut Fields) -> Result<String, ApiError> {
    fields.refuse("type", Value::from("function"), "tools are functions here")?;
    let Some(mut function) = fields.object("function")? else {
        return Err(fields.missing("function", "the name, the description and the parameters"));
    };
    let name = function.string("name")?;
    let name = name.ok_or_else(|| function.missing("name", "the name of the tool"))?;
    function.string("description")?;
    function.object("parameters")?;
    function.flag("strict")?;
    function.finish()?;
    Ok(name)
}
