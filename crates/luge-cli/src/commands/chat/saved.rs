//! Chats in files: JSON, with messages as the OpenAI API has them.

use std::fs;
use std::path::Path;

use luge::{Decoder, Message};
use serde::{Deserialize, Serialize};

use crate::commands::file::OutputFile;
use crate::failure::Failure;
use crate::output::harmless;

#[derive(Serialize)]
struct Written<'a> {
    model: &'a str,
    method: &'a Decoder,
    messages: &'a [Message],
}

/// What is read of a file: with the rest of it, such as the model, anyone may do what
/// they like.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Chat { messages: Vec<ReadMessage> },
    Messages(Vec<ReadMessage>),
}

#[derive(Deserialize)]
struct ReadMessage {
    role: String,
    content: String,
    reasoning_content: Option<String>,
}

pub fn write(
    path: &Path,
    model: &str,
    method: &Decoder,
    messages: &[Message],
) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&Written { model, method, messages })
        .map_err(|error| Failure::Run(format!("cannot write '{}': {error}", path.display())))?;
    text.push('\n');
    OutputFile::create(path)?.write(&text)
}

pub fn read(path: &Path) -> Result<Vec<Message>, Failure> {
    let failed = |what: String| Failure::Run(format!("cannot load '{}': {what}", path.display()));
    // A pipe or a device might never come to an end.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(failed("it is not a file".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let read = serde_json::from_str(&text).map_err(|_| {
        failed("it is no JSON object with messages, each with a role and a content".to_owned())
    })?;
    let (Read::Chat { messages } | Read::Messages(messages)) = read;
    if let Some(message) = messages
        .iter()
        .find(|message| !["system", "user", "assistant"].contains(&message.role.as_str()))
    {
        return Err(failed(format!(
            "there is a message of '{}' in it, and only those of system, user and assistant can \
             be gone on with",
            harmless(&message.role)
        )));
    }
    Ok(messages
        .into_iter()
        .map(|message| Message {
            reasoning: message.reasoning_content,
            ..Message::new(message.role, message.content)
        })
        .collect())
}
