//! The seam to a model: what answers.

use crate::document::{Candidate, Header};
use crate::record::{Answered, Cost, Layers, Scored};

/// A model under several methods. The methods are numbered, in one order for everything
/// an engine returns.
///
/// What comes of a document must not depend on the documents before it: then a run that
/// was broken off and gone on with, or spread over machines, gives the same numbers.
pub trait Engine {
    /// Scores each candidate behind the prompt, under each method.
    ///
    /// # Errors
    /// [`EngineError`].
    fn score(
        &mut self,
        prompt: Prompt<'_>,
        candidates: &[Candidate],
    ) -> Result<(Vec<Scored>, Cost), EngineError>;

    /// Writes an answer behind the prompt, with each method.
    ///
    /// # Errors
    /// [`EngineError`].
    fn generate(
        &mut self,
        prompt: Prompt<'_>,
        how: &Generate,
    ) -> Result<(Vec<Answered>, Cost), EngineError>;

    /// What the layers said where two texts behind the prompt part: at the last token
    /// that they share. `method` is the number of the method that went the second way.
    ///
    /// # Errors
    /// [`EngineError`].
    fn look(
        &mut self,
        prompt: Prompt<'_>,
        texts: [&str; 2],
        method: usize,
    ) -> Result<Option<Layers>, EngineError>;
}

/// What a model is given.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// The same for all documents of a task: computed once.
    pub header: &'a Header,
    /// The text behind it.
    pub question: &'a str,
}

/// How to write an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generate {
    /// The most tokens.
    pub max_tokens: usize,
    /// Texts that end it; they are not part of it.
    pub stop: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum EngineError {
    /// This document cannot be asked, others can: a prompt beyond the context, for one.
    /// With what is wrong, in a few words.
    Document(String),
    /// It was interrupted.
    Interrupted,
    /// Nothing can be asked.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}
