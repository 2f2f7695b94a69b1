//! Messages, as templates see them.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// A message of a chat.
///
/// It serializes with the field names of Hugging Face's templates. What is not there has
/// no field; the reasoning is there twice, as `reasoning_content` (Qwen and others) and as
/// `thinking` (gpt-oss); a message of tool calls alone has a null content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool` or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
    /// What the model thought before it answered.
    pub reasoning: Option<String>,
    /// The tools that the assistant calls.
    pub tool_calls: Vec<ToolCall>,
    /// In a tool's message, the id of the call that it answers.
    pub tool_call_id: Option<String>,
    /// In a tool's message, the tool's name.
    pub name: Option<String>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Its id, for templates that want one.
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments: an object.
    pub arguments: Value,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Message { role: role.into(), content: content.into(), ..Message::default() }
    }

    /// What is to hold for the whole chat.
    pub fn system(content: impl Into<String>) -> Self {
        Message::new("system", content)
    }

    /// What the user says.
    pub fn user(content: impl Into<String>) -> Self {
        Message::new("user", content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Message::new("assistant", content)
    }

    /// What a tool gave.
    pub fn tool(name: impl Into<String>, content: impl Into<String>) -> Self {
        Message { name: Some(name.into()), ..Message::new("tool", content) }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        let content = (!self.content.is_empty() || self.tool_calls.is_empty())
            .then_some(self.content.as_str());
        map.serialize_entry("content", &content)?;
        if let Some(reasoning) = &self.reasoning {
            map.serialize_entry("reasoning_content", reasoning)?;
            map.serialize_entry("thinking", reasoning)?;
        }
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        map.end()
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &json!({"name": self.name, "arguments": self.arguments}))?;
        map.end()
    }
}
