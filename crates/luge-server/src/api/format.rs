//! What of an answer is thought, text, or a call of a tool: as [`luge::chat`] tells them.

use luge::{ChatTemplate, Error, GenerateOptions, Model};
use serde_json::Value;

/// How a model marks what is not plain answer.
pub struct AnswerFormat;

/// Which tools an answer must call.
#[allow(dead_code)]
pub enum ToolChoice<'a> {
    /// Any of them.
    Required,
    /// This one.
    Named(&'a str),
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(dead_code)]
pub enum AnswerPart {
    /// What the model thinks.
    Thinking(String),
    /// What it says.
    Text(String),
    /// A call of a tool begins.
    ToolCall { index: usize, id: Option<String>, name: String },
    /// A piece of its arguments.
    Arguments { index: usize, text: String },
}

/// Parts an answer as it comes.
#[derive(Debug, Default)]
pub struct AnswerParser;

impl AnswerFormat {
    /// Of a model and its template.
    pub fn of(_model: &Model, _template: &ChatTemplate) -> Self {
        AnswerFormat
    }

    /// Options for generating an answer behind a prompt.
    pub fn options(
        &self,
        _prompt: &str,
        _tools: &[Value],
        options: &GenerateOptions,
    ) -> GenerateOptions {
        options.clone()
    }

    /// Parts an answer behind a prompt as it comes.
    pub fn parser(&self, _prompt: &str, _tools: &[Value]) -> AnswerParser {
        AnswerParser
    }

    /// Options that make the answer calls of tools.
    pub fn tool_options(
        &self,
        _prompt: &str,
        _tools: &[Value],
        _choice: ToolChoice<'_>,
        _options: &GenerateOptions,
    ) -> Result<Option<GenerateOptions>, Error> {
        Ok(None)
    }
}

impl AnswerParser {
    /// Takes text.
    pub fn push(&mut self, text: &str) -> Vec<AnswerPart> {
        if text.is_empty() { Vec::new() } else { vec![AnswerPart::Text(text.to_owned())] }
    }

    /// Ends it.
    pub fn finish(&mut self) -> Vec<AnswerPart> {
        Vec::new()
    }
}
