//! What can go wrong, as a user sees it.

use std::io;

/// An error of this crate. Every message is one sentence that names the thing
/// and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the model's file, its context or its computation.
    #[error(transparent)]
    Llama(#[from] luge_llama::Error),

    /// From a method or its parameters.
    #[error(transparent)]
    Decoding(#[from] luge_decoding::Error),

    /// There is nothing to continue from.
    #[error("the prompt is empty: there is no token to continue from")]
    EmptyPrompt,

    /// There is nothing to score.
    #[error("the continuation is empty: there is no token to score")]
    EmptyContinuation,

    /// Prompt and continuation share a token from the very beginning.
    #[error(
        "the continuation merges with the prompt's first token: give a longer prompt, or token ids"
    )]
    Merged,

    /// The text does not fit the context.
    #[error(
        "{what} of {tokens} tokens is longer than the context of {context}: give a larger context or a shorter text"
    )]
    TooLong {
        /// What is too long: the prompt, or prompt and continuation.
        what: &'static str,
        /// Its length in tokens.
        tokens: usize,
        /// The context's size in tokens.
        context: usize,
    },

    /// A position that the text does not have.
    #[error(
        "there is no position {position}: the text has {positions} tokens, at positions 0 to {}",
        positions - 1
    )]
    NoPosition {
        /// The position asked for.
        position: usize,
        /// How many there are, at least 1.
        positions: usize,
    },

    /// No token of the model is written so.
    #[error("no token of this model is {text:?}{}", parts(.pieces))]
    NoToken {
        /// The text asked for.
        text: String,
        /// The texts of the tokens that make it up.
        pieces: Vec<String>,
    },

    /// The model that is built in found no place to be unpacked to.
    #[error(
        "cannot unpack the built-in model, neither into the cache ({cache}) nor into a temporary file ({source}): make room there, or set TMPDIR to a folder that can be written to"
    )]
    Unpack {
        /// What is wrong with the cache.
        cache: String,
        /// What is wrong with the folder of temporary files.
        source: io::Error,
    },

    /// A chat template that cannot be read.
    #[error("the chat template cannot be read: {reason}, in line {line}")]
    TemplateSyntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A chat template that fails on these messages.
    #[error("the chat template fails: {reason}{}", line.map(|line| format!(", in line {line}")).unwrap_or_default())]
    TemplateFails {
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What went wrong.
        reason: String,
    },

    /// A chat template does not take these messages: what it says itself.
    #[error("the model's chat template refuses these messages: {message}")]
    TemplateRefuses {
        /// The template's words.
        message: String,
    },

    /// There is nothing to render.
    #[error("the chat is empty: there is no message to render")]
    NoMessages,

    /// Tools that cannot be called as wanted.
    #[error("the tools cannot be used: {reason}")]
    Tool {
        /// What is wrong with them.
        reason: String,
    },

    /// A grammar that cannot be used.
    #[error("the {what} cannot be used: {reason}")]
    Grammar {
        /// What it is: a JSON schema, a grammar, a regular expression.
        what: &'static str,
        /// Why not, with the place where that is known.
        reason: String,
    },

    /// A text that cannot go on as its grammar wants.
    #[error(
        "the text cannot go on as the grammar wants: the model has no token for what must come, or a logit bias rules it out"
    )]
    GrammarStuck,

    /// A grammar that takes too much work at some point of a text.
    #[error("the grammar takes too much work to follow, make it simpler: {0}")]
    GrammarTooComplex(String),

    /// A vocabulary that grammars cannot be applied to.
    #[error("no grammar can be applied to this model's vocabulary: {0}")]
    GrammarVocabulary(String),

    /// The decoder was bound to a model of another shape.
    #[error("the method was bound to another model: bind it to this session's")]
    OtherModel,
}

impl Error {
    /// Whether the request was at fault, as opposed to the file, the model or
    /// the machine.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Decoding(error) => !matches!(
                error,
                luge_decoding::Error::NotANumber { .. } | luge_decoding::Error::Exits(_)
            ),
            Error::Llama(luge_llama::Error::TokenOutOfRange { .. }) => true,
            Error::EmptyPrompt | Error::EmptyContinuation | Error::Merged => true,
            Error::NoPosition { .. } | Error::NoToken { .. } | Error::Grammar { .. } => true,
            Error::TemplateRefuses { .. } | Error::NoMessages | Error::Tool { .. } => true,
            _ => false,
        }
    }
}

/// What a text is made of, as part of a sentence.
fn parts(pieces: &[String]) -> String {
    match pieces {
        [] => ": give the text of a token".to_owned(),
        pieces => format!(": it is made of {}, one of which can be given", pieces.join(" ")),
    }
}
