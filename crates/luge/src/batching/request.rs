//! What is asked of a batcher, and what it tells.

use std::sync::Arc;

use luge_decoding::Decoder;

use crate::{Completion, Error, GenerateOptions, LensOptions, LensPosition};

/// A text to write.
#[derive(Debug, Clone)]
pub struct TextRequest {
    /// The method.
    pub decoder: Arc<Decoder>,
    /// What it begins with, at least one token.
    pub prompt: Vec<u32>,
    /// How to go on. With `max_tokens` of 0 only the prompt is computed.
    pub options: GenerateOptions,
    /// Whether each token's log-probability is wanted, and how many of the most probable
    /// tokens beside it.
    pub logprobs: Option<usize>,
    /// The same of the prompt's tokens, all but the first.
    pub prompt_logprobs: Option<usize>,
    /// What of the layers is wanted with each token.
    pub lens: Option<LensOptions>,
    /// Whether the prompt may go on from what the cache holds.
    pub reuse: bool,
}

impl TextRequest {
    /// With the usual options, and nothing asked for but the text.
    pub fn new(decoder: Arc<Decoder>, prompt: Vec<u32>) -> Self {
        TextRequest {
            decoder,
            prompt,
            options: GenerateOptions::default(),
            logprobs: None,
            prompt_logprobs: None,
            lens: None,
            reuse: true,
        }
    }
}

/// A token with its log-probability.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its text; none for a control token.
    pub bytes: Vec<u8>,
    /// The log-softmax of the method's logits, in nats: before penalties, biases, masks,
    /// temperature and filters. −∞ where the method ruled it out.
    pub logprob: f64,
}

/// What the method gave a token at its position, and what it gave others.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// The token that is there.
    pub token: TokenLogprob,
    /// The most probable ones, the best first: as many as were asked for.
    pub top: Vec<TokenLogprob>,
}

/// How the prompt was computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptReport {
    /// Its length.
    pub tokens: usize,
    /// Tokens that the cache had.
    pub cached: usize,
    /// Where asked for: of the prompt's tokens, from the second on.
    pub logprobs: Vec<TokenLogprobs>,
}

/// A token that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenToken {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its bytes, perhaps part of a character; none for a control token.
    pub bytes: Vec<u8>,
    /// Text that has become final with it: whole characters; empty while a character or
    /// a possible stop string is unfinished.
    pub text: String,
    /// The token that the final layer would have led to, under the same grammar,
    /// penalties, filters and luck.
    pub own: u32,
    /// Where asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// Where asked for: what the layers said, and what the method made of it.
    pub lens: Option<Box<LensPosition>>,
}

impl WrittenToken {
    /// Whether the method chose it against the final layer.
    pub fn changed(&self) -> bool {
        self.id != self.own
    }
}

/// The end of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEnd {
    /// Text that was held back until the end.
    pub text: String,
    /// The token that ended the text, where one did: it is not in it, and has no text.
    pub token: Option<Box<WrittenToken>>,
    /// The whole.
    pub completion: Completion,
}

/// What is heard of a text: [`TextEvent::Prompt`], then tokens, then one end.
#[derive(Debug)]
pub enum TextEvent {
    /// The prompt has been computed.
    Prompt(PromptReport),
    /// A token was written.
    Token(Box<WrittenToken>),
    /// The text is at its end.
    Finished(Box<TextEnd>),
    /// It cannot be written: nothing more comes.
    Failed(Error),
}
