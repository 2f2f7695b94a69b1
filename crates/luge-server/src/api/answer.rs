//! From what the engine says of texts to the pieces of an answer.
//!
//! An answer is made of [`Delta`]s, whether it is streamed or not: the whole is what its
//! deltas make together. Nothing here waits or reads a clock.

use std::sync::Arc;

use luge::FinishReason;
use luge::batching::{PromptReport, TextEnd, TextEvent, TokenLogprob, TokenLogprobs, WrittenToken};
use luge::chat::{AnswerParser, AnswerPart};
use serde_json::Value;

use super::common::random;
use super::error::ApiError;

use super::layers;

/// Names tokens that have no text, such as `</s>`.
pub type Names = Arc<dyn Fn(u32) -> String + Send + Sync>;

/// A token with its log-probability and those of the most probable ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Its text; U+FFFD where a character is split across tokens, and its name where it has
    /// no text.
    pub text: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// In nats, −9999 where it was ruled out; `None` where it is not known.
    pub logprob: Option<f64>,
    /// The most probable ones, the best first.
    pub top: Vec<Scored>,
}

/// What JSON has for a log-probability of −∞.
const RULED_OUT: f64 = -9999.0;

impl Scored {
    /// A token of which no log-probability is known.
    pub fn plain(id: u32, bytes: &[u8], names: &Names) -> Self {
        let text = match bytes {
            [] => names(id),
            bytes => String::from_utf8_lossy(bytes).into_owned(),
        };
        Scored { text, bytes: bytes.to_vec(), logprob: None, top: Vec::new() }
    }

    fn one(token: &TokenLogprob, names: &Names) -> Self {
        let logprob = Some(token.logprob.max(RULED_OUT));
        Scored { logprob, ..Scored::plain(token.id, &token.bytes, names) }
    }

    fn new(token: &TokenLogprobs, names: &Names) -> Self {
        let top = token.top.iter().map(|token| Scored::one(token, names)).collect();
        Scored { top, ..Scored::one(&token.token, names) }
    }
}

/// A piece of a call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallDelta {
    /// Which call of the answer.
    pub index: usize,
    /// At its beginning, its id and the tool's name.
    pub begins: Option<(String, String)>,
    /// Of its arguments.
    pub arguments: String,
}

/// A piece of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// What the model says.
    pub content: String,
    /// What it thinks.
    pub reasoning: String,
    /// What it calls.
    pub calls: Vec<CallDelta>,
    /// The tokens of the piece.
    pub tokens: Vec<Scored>,
    /// What the layers said of them, where that is wanted.
    pub layers: Vec<Value>,
}

impl Delta {
    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// Whether there is text in it, or a call.
    fn has_text(&self) -> bool {
        !(self.content.is_empty() && self.reasoning.is_empty() && self.calls.is_empty())
    }

    /// Puts the next piece behind it.
    pub fn append(&mut self, next: Delta) {
        self.content.push_str(&next.content);
        self.reasoning.push_str(&next.reasoning);
        for call in next.calls {
            self.call(call);
        }
        self.tokens.extend(next.tokens);
        self.layers.extend(next.layers);
    }

    fn call(&mut self, call: CallDelta) {
        match self.calls.iter_mut().find(|own| own.index == call.index) {
            Some(own) => own.arguments.push_str(&call.arguments),
            None => self.calls.push(call),
        }
    }

    /// Puts a part of the answer into it.
    fn part(&mut self, part: AnswerPart) {
        match part {
            AnswerPart::Text(text) => self.content.push_str(&text),
            AnswerPart::Thinking(text) => self.reasoning.push_str(&text),
            AnswerPart::ToolCall { index, id, name } => {
                let id = id.unwrap_or_else(|| format!("call_{:016x}", random()));
                self.call(CallDelta { index, begins: Some((id, name)), arguments: String::new() });
            }
            AnswerPart::Arguments { index, text } => {
                self.call(CallDelta { index, begins: None, arguments: text });
            }
        }
    }
}

/// What a completion repeats of its prompt.
#[derive(Debug, Clone)]
pub struct Echo {
    /// The prompt's text.
    pub text: String,
    /// Its first token, of which no probability is known.
    pub first: Scored,
}

/// One of the answers to a request, as it is written.
pub struct Choice {
    names: Names,
    /// Parts the text; `None` where all is text.
    parser: Option<AnswerParser>,
    echo: Option<Echo>,
    /// Whether log-probabilities are wanted.
    logprobs: bool,
    /// Whether calls behind the first one are left out.
    one_call: bool,
    /// What has been said of tokens whose text is held back.
    held: Delta,
    has_calls: bool,
    /// Tokens of the prompt that the cache had.
    pub cached: usize,
    /// Tokens that were written, when it is at its end.
    pub written: usize,
    /// Why it ended, in OpenAI's words.
    pub finish: Option<&'static str>,
}

impl Choice {
    /// One whose text is the answer as it is.
    pub fn new(names: Names, logprobs: bool) -> Self {
        Choice {
            names,
            parser: None,
            echo: None,
            logprobs,
            one_call: false,
            held: Delta::default(),
            has_calls: false,
            cached: 0,
            written: 0,
            finish: None,
        }
    }

    /// With its text parted.
    pub fn parted(self, parser: AnswerParser, one_call: bool) -> Self {
        Choice { parser: Some(parser), one_call, ..self }
    }

    /// With its prompt in front.
    pub fn echoing(self, echo: Echo) -> Self {
        Choice { echo: Some(echo), ..self }
    }

    /// Takes what the engine says, and gives the piece of the answer that it brings, perhaps
    /// an empty one.
    ///
    /// # Errors
    /// Where the text cannot be written; `param` is the field that the prompt came from.
    pub fn take(&mut self, event: TextEvent, param: &str) -> Result<Delta, ApiError> {
        match event {
            TextEvent::Prompt(report) => Ok(self.prompt(&report)),
            TextEvent::Token(token) => Ok(self.token(&token)),
            TextEvent::Finished(end) => self.end(&end),
            TextEvent::Failed(error) => Err(ApiError::of(&error, param)),
        }
    }

    fn prompt(&mut self, report: &PromptReport) -> Delta {
        self.cached = report.cached;
        let mut delta = Delta::default();
        if let Some(echo) = &self.echo {
            delta.content.clone_from(&echo.text);
            if self.logprobs {
                let rest = report.logprobs.iter().map(|token| Scored::new(token, &self.names));
                delta.tokens = std::iter::once(echo.first.clone()).chain(rest).collect();
            }
        }
        delta
    }

    fn token(&mut self, token: &WrittenToken) -> Delta {
        if let Some(logprobs) = token.logprobs.as_ref().filter(|_| self.logprobs) {
            self.held.tokens.push(Scored::new(logprobs, &self.names));
        }
        if let Some(seen) = &token.lens {
            let text = Scored::plain(token.id, &token.bytes, &self.names).text;
            self.held.layers.push(layers::token(token.id, &text, token.changed(), seen));
        }
        self.text(&token.text);
        if self.held.has_text() { std::mem::take(&mut self.held) } else { Delta::default() }
    }

    fn end(&mut self, end: &TextEnd) -> Result<Delta, ApiError> {
        let reason = end.completion.finish_reason;
        if reason == FinishReason::Interrupted {
            return Err(ApiError::from(crate::Busy::Ending));
        }
        self.text(&end.text);
        let rest = self.parser.as_mut().map(AnswerParser::finish).unwrap_or_default();
        self.parts(rest);
        if self.logprobs
            && self.echo.is_some()
            && let Some(end) = end.token.as_ref().and_then(|token| token.logprobs.as_ref())
        {
            // Who has the prompt repeated counts the tokens, and wants to have them all.
            self.held.tokens.push(Scored::new(end, &self.names));
        }
        self.written = end.completion.tokens.len();
        self.finish = Some(match reason {
            FinishReason::Length | FinishReason::Context => "length",
            _ if self.has_calls => "tool_calls",
            _ => "stop",
        });
        Ok(std::mem::take(&mut self.held))
    }

    /// The piece of the answer that parts bring.
    #[cfg(test)]
    pub fn take_parts(&mut self, parts: Vec<AnswerPart>) -> Delta {
        self.parts(parts);
        std::mem::take(&mut self.held)
    }

    fn text(&mut self, text: &str) {
        let parts = match &mut self.parser {
            Some(parser) => parser.push(text),
            None => vec![AnswerPart::Text(text.to_owned())],
        };
        self.parts(parts);
    }

    fn parts(&mut self, parts: Vec<AnswerPart>) {
        for part in parts {
            if let AnswerPart::ToolCall { index, .. } | AnswerPart::Arguments { index, .. } = part {
                self.has_calls = true;
                if self.one_call && index > 0 {
                    continue;
                }
            }
            self.held.part(part);
        }
    }
}
