//! Chats as the text that a model was trained on: chat templates.
//!
//! A template turns messages into one text, with the marks that tell the model who
//! speaks. Models bring theirs along in their file, written in Jinja; it is rendered as
//! Hugging Face's transformers would, to the byte.
//!
//! ```
//! use luge::{ChatTemplate, Message};
//!
//! let template = ChatTemplate::new(
//!     "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}\
//!      {% if add_generation_prompt %}<assistant>{% endif %}",
//! )?;
//! let messages = [Message::system("Be brief."), Message::user("Hello!")];
//! let text = template.render(&messages, &[], true)?;
//! assert_eq!(text, "<system>Be brief.</><user>Hello!</><assistant>");
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! A model has its own, or gets the one that fits it best, which [`ChatTemplate::source`]
//! tells:
//!
//! ```no_run
//! # use luge::{ChatTemplate, Message, Model, ModelParams};
//! use luge::chat::Source;
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let template = ChatTemplate::of(&model)?.with("enable_thinking", false);
//! if let Source::Fallback(name) = template.source() {
//!     eprintln!("the model has no chat template: {name} is used");
//! }
//! let prompt = template.tokens(&model, &[Message::user("Hello!")], &[], true)?;
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! **Tokens.** The text holds all marks, the beginning-of-text token too where the template
//! writes it. So it is tokenized with control tokens read as such and with nothing put in
//! front (`model.tokenize(text, false, true)`), which [`ChatTemplate::tokens`] does.
//! Adding the beginning of text once more would double it.
//!
//! **Variables.** Templates see `messages`, `tools`, `add_generation_prompt`, `bos_token`,
//! `eos_token`, what [`ChatTemplate::with`] adds, and the functions `raise_exception` and
//! `strftime_now`. What is not there is undefined: false, and empty when printed.
//!
//! **Safety.** Templates are code that came with a file. One can reach nothing but these
//! variables, and an endless one is stopped with an error; against one that is made to use
//! up memory there is no guard.

mod answer;
mod conversation;
mod engine;
mod fallback;
mod json;
mod message;

use std::collections::BTreeMap;

use luge_llama::Model;

pub use answer::{AnswerFormat, AnswerParser, AnswerPart, ToolChoice};
pub use conversation::{Answer, AnswerPiece, Conversation, Part, Reply};
pub use jiff::civil::DateTime;
pub use message::{Message, ToolCall};

use crate::Error;

/// Where a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the model's file.
    Model,
    /// From the caller.
    Given,
    /// From luge, as the model's file has none: the format's name, such as `chatml`.
    Fallback(&'static str),
}

/// How the messages of a chat become one text.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    text: String,
    /// Another template for chats with tools.
    tool_use: Option<String>,
    source: Source,
    bos: Option<String>,
    eos: Option<String>,
    variables: BTreeMap<String, serde_json::Value>,
    time: Option<DateTime>,
}

impl ChatTemplate {
    /// A template of one's own, without beginning- and end-of-text tokens; see
    /// [`ChatTemplate::with_tokens_of`].
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`].
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        Self::from_parts(text.into(), None, Source::Given)
    }

    /// One of luge's own templates by its name: `chatml`, `llama3`, `gemma`, `phi3` or
    /// `command-r`.
    pub fn fallback(name: &str) -> Option<Self> {
        let (name, text) = fallback::named(name)?;
        Self::from_parts(text.to_owned(), None, Source::Fallback(name)).ok()
    }

    /// The model's template. If its file has none, one of luge's own: by the control
    /// tokens of its vocabulary, else by its architecture, else ChatML.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] if the file's template cannot be read.
    pub fn of(model: &Model) -> Result<Self, Error> {
        let main = model.metadata("tokenizer.chat_template").filter(|text| !text.is_empty());
        let tool_use = model.metadata("tokenizer.chat_template.tool_use");
        let template = match main {
            Some(text) => Self::from_parts(text, tool_use, Source::Model)?,
            None => {
                let (name, text) = fallback::of(model);
                Self::from_parts(text.to_owned(), tool_use, Source::Fallback(name))?
            }
        };
        Ok(template.with_tokens_of(model))
    }

    fn from_parts(text: String, tool_use: Option<String>, source: Source) -> Result<Self, Error> {
        let tool_use = tool_use.filter(|text| !text.is_empty());
        engine::check(&text)?;
        tool_use.as_deref().map_or(Ok(()), engine::check)?;
        Ok(ChatTemplate {
            text,
            tool_use,
            source,
            bos: None,
            eos: None,
            variables: BTreeMap::new(),
            time: None,
        })
    }

    /// With a model's beginning- and end-of-text tokens as `bos_token` and `eos_token`.
    pub fn with_tokens_of(mut self, model: &Model) -> Self {
        let text = |token: Option<u32>| {
            let label = model.label(token?).ok()?;
            Some(String::from_utf8_lossy(&label).into_owned())
        };
        self.bos = text(model.bos());
        self.eos = text(model.eos());
        if let Source::Fallback(_) = self.source {
            // Models of many makers share a format, and some of them begin every text so.
            self = self.with("adds_bos", model.adds_bos());
        }
        self
    }

    /// With a variable for the template, such as `enable_thinking`. It comes before one of
    /// the usual variables of the same name.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// With a time for `strftime_now`, in place of the local time at which it is rendered.
    pub fn with_time(mut self, time: DateTime) -> Self {
        self.time = Some(time);
        self
    }

    /// The template's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its text, with that for chats with tools where it is another.
    fn all_text(&self) -> String {
        [&*self.text, self.tool_use.as_deref().unwrap_or_default()].join("\n")
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The text of a chat. `tools` are JSON schemas as in Hugging Face's interface;
    /// `add_generation_prompt` puts at the end what the model's answer begins after.
    ///
    /// The arguments of calls are objects, and where a template fails on these, as those
    /// do that write them as they are, their JSON text.
    ///
    /// # Errors
    /// [`Error::NoMessages`]; [`Error::TemplateRefuses`] if the template raises, as some
    /// do where roles do not alternate; [`Error::TemplateFails`] if it fails or does not
    /// end.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        if messages.is_empty() {
            return Err(Error::NoMessages);
        }
        let rendered = self.render_once(messages, tools, add_generation_prompt);
        let calls = |message: &Message| !message.tool_calls.is_empty();
        if !matches!(rendered, Err(Error::TemplateFails { .. })) || !messages.iter().any(calls) {
            return rendered;
        }
        // DeepSeek's templates, and some others, put arguments into the text as they are.
        let mut with_text = messages.to_vec();
        for call in with_text.iter_mut().flat_map(|message| &mut message.tool_calls) {
            call.arguments = json::text(&call.arguments).into();
        }
        self.render_once(&with_text, tools, add_generation_prompt).or(rendered)
    }

    /// The text of a chat with messages as they are.
    fn render_once(
        &self,
        messages: &[Message],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        use minijinja::value::{Serde, Value};

        let text = match &self.tool_use {
            Some(text) if !tools.is_empty() => text,
            _ => &self.text,
        };
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(Serde(tools)) };
        let mut variables = vec![
            ("messages".to_owned(), Value::from(Serde(messages))),
            ("tools".to_owned(), tools),
            ("add_generation_prompt".to_owned(), Value::from(add_generation_prompt)),
        ];
        for (name, token) in [("bos_token", &self.bos), ("eos_token", &self.eos)] {
            if let Some(token) = token {
                variables.push((name.to_owned(), Value::from(token.as_str())));
            }
        }
        for (name, value) in &self.variables {
            variables.push((name.clone(), Value::from(Serde(value))));
        }
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        engine::render(text, variables.into(), self.time)
    }

    /// The tokens of a chat: those of [`ChatTemplate::render`]'s text, with control tokens
    /// read as such, and with nothing put in front that the template does not write.
    ///
    /// Control tokens are read in what people wrote, too: whoever may not speak for the
    /// system should not be handed through unchecked.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`], and [`luge_llama::Error::Tokenize`].
    pub fn tokens(
        &self,
        model: &Model,
        messages: &[Message],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, Error> {
        let text = self.render(messages, tools, add_generation_prompt)?;
        Ok(model.tokenize(&text, false, true)?)
    }
}
