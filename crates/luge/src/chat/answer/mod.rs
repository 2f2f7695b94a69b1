//! What of an answer is thinking, text, or a call of a tool.
//!
//! Models write all three into one text, between marks of their family: control tokens, or
//! words like others. Which family it is, the chat template and the vocabulary tell
//! ([`AnswerFormat::of`], the tables are in `format.rs`); an [`AnswerParser`] parts the text
//! as it comes; and a grammar can hold an answer to calls ([`AnswerFormat::tool_options`]).
//!
//! What looks like a call and is none, because it is no JSON or names a tool that was not
//! offered, is text, with its marks.

mod call;
mod format;
mod grammar;
mod json;
mod parser;

use std::fmt;

use luge_llama::Model;
use serde_json::{Value, json};

use super::ChatTemplate;
use crate::{Error, GenerateOptions, Grammar};
use format::{Calls, Shape, Thoughts};

pub use parser::{AnswerParser, AnswerPart};

/// How a model marks what is not plain answer: thoughts, and calls of tools.
///
/// ```no_run
/// # use luge::{ChatTemplate, GenerateOptions, Message, Model, ModelParams};
/// # use luge::{Pipeline, Session, SessionOptions};
/// use luge::chat::{AnswerFormat, AnswerPart};
///
/// # let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
/// # let mut session = Session::new(&model, &SessionOptions::default())?;
/// # let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
/// let template = ChatTemplate::of(&model)?;
/// let format = AnswerFormat::of(&model, &template);
/// let tools = [serde_json::json!({"type": "function", "function": {"name": "clock"}})];
/// let prompt = template.render(&[Message::user("What time is it?")], &tools, true)?;
///
/// let options = format.options(&prompt, &tools, &GenerateOptions::default());
/// let mut parser = format.parser(&prompt, &tools);
/// let tokens = model.tokenize(&prompt, false, true)?;
/// let mut parts = Vec::new();
/// for piece in session.generate(&sled, &tokens, &options)? {
///     parts.extend(parser.push(&piece?.text));
/// }
/// parts.extend(parser.finish());
/// for part in parts {
///     match part {
///         AnswerPart::Thinking(text) => eprint!("{text}"),
///         AnswerPart::Text(text) => print!("{text}"),
///         AnswerPart::ToolCall { name, .. } => println!("calls {name}"),
///         AnswerPart::Arguments { text, .. } => print!("{text}"),
///     }
/// }
/// # Ok::<(), luge::Error>(())
/// ```
#[derive(Clone)]
pub struct AnswerFormat {
    model: Model,
    thoughts: Option<&'static Thoughts>,
    calls: Option<&'static Calls>,
    /// The control tokens that the marks of thoughts are made of.
    thought_tokens: Vec<u32>,
    /// Those of calls.
    call_tokens: Vec<u32>,
}

impl fmt::Debug for AnswerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AnswerFormat { thoughts, calls, .. } = self;
        f.debug_struct("AnswerFormat").field("thoughts", thoughts).field("calls", calls).finish()
    }
}

/// Which tools an answer must call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// One or more of those there are.
    Required,
    /// The one of this name, once.
    Named(&'a str),
}

impl AnswerFormat {
    /// Of a model and its template. The marks of thoughts are known by either; those of
    /// calls by the template, which has to show the model its tools.
    pub fn of(model: &Model, template: &ChatTemplate) -> Self {
        let text = template.all_text();
        let tokens = |text: &str| model.tokenize(text, false, true).unwrap_or_default();
        let thoughts = format::thoughts(&text, |mark| tokens(mark).len() == 1);
        // Messages to tools are known by their headers.
        let has_headers = thoughts.is_some_and(|thoughts| thoughts.has_headers);
        let calls = format::calls(&text).filter(|of| of.shape != Shape::Message || has_headers);
        let control = |marks: Vec<&str>| {
            let is_control = |&token: &u32| {
                model.piece(token).is_ok_and(|piece| piece.is_empty()) && !model.is_end(token)
            };
            let mut found: Vec<u32> = marks.into_iter().flat_map(tokens).collect();
            found.retain(is_control);
            found.sort_unstable();
            found.dedup();
            found
        };
        AnswerFormat {
            model: model.clone(),
            thought_tokens: control(thoughts.map_or(Vec::new(), Thoughts::marks)),
            call_tokens: control(calls.map_or(Vec::new(), Calls::marks)),
            thoughts,
            calls,
        }
    }

    /// Whether calls of tools can be told from text.
    pub fn has_tools(&self) -> bool {
        self.calls.is_some()
    }

    /// Whether the model's thoughts can be told from the answer.
    pub fn has_thoughts(&self) -> bool {
        self.thoughts.is_some()
    }

    /// Options for generating an answer behind `prompt`: with the marks as text, and a
    /// grammar that begins behind the thoughts, where there are some. `tools` are those
    /// that the prompt shows.
    pub fn options(
        &self,
        prompt: &str,
        tools: &[Value],
        options: &GenerateOptions,
    ) -> GenerateOptions {
        let mut options = options.clone();
        if options.grammar.is_some() && options.grammar_after.is_none() {
            options.grammar_after = self.answer_mark(prompt).map(str::to_owned);
        }
        options.shown_tokens.extend(&self.thought_tokens);
        if !tools.is_empty() {
            options.shown_tokens.extend(&self.call_tokens);
        }
        options
    }

    /// As [`AnswerFormat::options`], with a grammar that makes the answer calls of tools, in
    /// place of one that `options` has. It begins behind thoughts that the prompt has
    /// opened. `None` where the format of calls is not known: they cannot be forced there.
    ///
    /// # Errors
    /// [`Error::Tool`] for a tool without a name, and for a choice that is none of them;
    /// [`Error::Grammar`] for parameters that are no schema that can be followed.
    pub fn tool_options(
        &self,
        prompt: &str,
        tools: &[Value],
        choice: ToolChoice<'_>,
        options: &GenerateOptions,
    ) -> Result<Option<GenerateOptions>, Error> {
        let tools_read = Tool::all(tools)?;
        let chosen: Vec<&Tool> = match choice {
            ToolChoice::Required => tools_read.iter().collect(),
            ToolChoice::Named(name) => {
                tools_read.iter().filter(|tool| tool.name == name).take(1).collect()
            }
        };
        if chosen.is_empty() {
            let reason = match choice {
                ToolChoice::Required => "a call is required, and there is no tool".to_owned(),
                ToolChoice::Named(name) => format!("there is no tool {name:?} to be called"),
            };
            return Err(Error::Tool { reason });
        }
        let Some(calls) = self.calls else { return Ok(None) };
        let several = choice == ToolChoice::Required;
        let text = grammar::lark(&self.model, calls, &chosen, several);
        let without = GenerateOptions { grammar: None, grammar_after: None, ..options.clone() };
        let mut options = self.options(prompt, tools, &without);
        options.grammar = Some(Grammar::lark(&text)?);
        // Where every answer begins with marks, the grammar has them.
        if !self.has_headers() {
            options.grammar_after = self.answer_mark(prompt).map(str::to_owned);
        }
        Ok(Some(options))
    }

    /// Parts an answer behind `prompt` as it comes. What is not a call of one of `tools`,
    /// which are those that the prompt shows, is text.
    pub fn parser(&self, prompt: &str, tools: &[Value]) -> AnswerParser {
        // One without a name is one that nothing calls.
        let tools = tools.iter().filter_map(Tool::read).collect();
        AnswerParser::new(self.thoughts, self.calls, prompt, tools)
    }

    /// The mark behind which an answer begins, where it does not do so at once: behind the
    /// thoughts that `prompt` has opened, or that the family always opens.
    fn answer_mark(&self, prompt: &str) -> Option<&'static str> {
        self.thoughts.and_then(|thoughts| thoughts.answer_mark(prompt))
    }

    fn has_headers(&self) -> bool {
        self.thoughts.is_some_and(|thoughts| thoughts.has_headers)
    }
}

/// A tool that may be called.
#[derive(Debug, Clone)]
struct Tool {
    name: String,
    /// The schema of its arguments: an object.
    parameters: Value,
}

impl Tool {
    /// All of OpenAI's `tools`.
    fn all(tools: &[Value]) -> Result<Vec<Tool>, Error> {
        let read = |(index, tool)| {
            let nameless = || Error::Tool { reason: format!("tool {index} has no name") };
            Tool::read(tool).ok_or_else(nameless)
        };
        tools.iter().enumerate().map(read).collect()
    }

    /// A tool as OpenAI's API describes it, or the function in it; `None` without a name.
    fn read(tool: &Value) -> Option<Tool> {
        let function = tool.get("function").unwrap_or(tool);
        let name = function.get("name")?.as_str().filter(|name| !name.is_empty())?.to_owned();
        let mut parameters = match function.get("parameters") {
            Some(Value::Object(schema)) => schema.clone(),
            _ => serde_json::Map::new(),
        };
        parameters.entry("type").or_insert_with(|| json!("object"));
        Some(Tool { name, parameters: parameters.into() })
    }

    /// What an argument may be: its schema, null where there is none.
    fn parameter(&self, name: &str) -> &Value {
        &self.parameters["properties"][name]
    }
}
