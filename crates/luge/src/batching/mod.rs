//! Many texts at once: continuous batching.
//!
//! A [`Batcher`] writes any number of texts with one model. Each step computes one batch:
//! the last token of every text that is being written, and stretches of the prompts of
//! those that are not there yet. Texts join and leave between steps, and each has a
//! method, a sampler, a seed and a grammar of its own. Exits are asked for as by a text
//! alone, and all that a step needs are one product with the head.
//!
//! Whoever asks with [`Batcher::submit`] hears of a text in [`TextEvent`]s, which
//! [`Batcher::step`] hands out: in the order of the text, and as they come.

mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use luge_llama::Model;

pub use request::{
    PromptReport, TextEnd, TextEvent, TextRequest, TokenLogprob, TokenLogprobs, WrittenToken,
};

use crate::{Error, ExitCounts, Session, SessionOptions};

/// How to set up a batcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatcherOptions {
    /// Threads, cache and so on; its `ctx_size` is the room for one text.
    pub session: SessionOptions,
    /// How many texts may be written at the same time, at least 1. The cache has room for
    /// so many texts of full length.
    pub parallel: u32,
    /// The most tokens computed in a step, at least `parallel`.
    pub step_tokens: u32,
    /// Whether a prompt may go on from what the cache holds of texts before it.
    pub reuse: bool,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        BatcherOptions {
            session: SessionOptions::default(),
            parallel: 4,
            step_tokens: 256,
            reuse: true,
        }
    }
}

/// A text's number: no two of a batcher have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(u64);

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepReport {
    /// Prompt tokens computed.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub written_tokens: usize,
    /// Texts that had a token in the batch, or a stretch of their prompt.
    pub texts: usize,
    /// What exits were computed.
    pub exits: ExitCounts,
    /// How long the transformer took, exits not counted.
    pub transformer: Duration,
    /// Of that, the share of the prompts' tokens: by the number of tokens.
    pub prompt: Duration,
    /// How long methods took, exits and choosing of tokens together.
    pub decoding: Duration,
}

/// Writes texts, many at once.
pub struct Batcher {
    session: Session,
    waiting: VecDeque<(TextId, TextRequest)>,
    next: u64,
}

impl Batcher {
    /// Sets one up.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn new(model: &Model, options: &BatcherOptions) -> Result<Self, Error> {
        let session = Session::new(model, &options.session)?;
        Ok(Batcher { session, waiting: VecDeque::new(), next: 0 })
    }

    /// A flag that, set to true from anywhere, ends the step that is being computed, and
    /// with it all texts. It stays true until it is set to false.
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        self.session.interrupt()
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.session.model()
    }

    /// Room for one text, prompt included, in tokens.
    pub fn ctx_size(&self) -> usize {
        self.session.ctx_size()
    }

    /// Takes a text to write. It waits until there is room for it.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], [`Error::OtherModel`],
    /// [`Error::Grammar`], and where its method or lens does not fit the model.
    pub fn submit(&mut self, request: TextRequest) -> Result<TextId, Error> {
        self.session.check_decoder(&request.decoder)?;
        self.session.check_room("the prompt", request.prompt.len())?;
        let id = TextId(self.next);
        self.next += 1;
        self.waiting.push_back((id, request));
        Ok(id)
    }

    /// Drops a text: it is written no further, and nothing more is heard of it.
    pub fn cancel(&mut self, id: TextId) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
    }

    /// How many texts wait for room.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are being written.
    pub fn running(&self) -> usize {
        0
    }

    /// Computes one step; `None` where there is nothing to do.
    ///
    /// # Errors
    /// What the engine reports. All texts have then ended with [`TextEvent::Failed`].
    pub fn step(
        &mut self,
        emit: &mut dyn FnMut(TextId, TextEvent),
    ) -> Result<Option<StepReport>, Error> {
        let Some((id, request)) = self.waiting.pop_front() else { return Ok(None) };
        let start = Instant::now();
        let mut generation =
            self.session.generate(&request.decoder, &request.prompt, &request.options)?;
        emit(id, TextEvent::Prompt(PromptReport::default()));
        while let Some(piece) = generation.next() {
            let piece = piece?;
            let Some(&token) =
                piece.tokens.clone().last().and_then(|at| generation.tokens().get(at))
            else {
                continue;
            };
            let bytes = generation.model().piece(token)?;
            emit(
                id,
                TextEvent::Token(Box::new(WrittenToken {
                    id: token,
                    bytes,
                    text: piece.text,
                    own: token,
                    logprobs: None,
                    lens: None,
                })),
            );
        }
        let completion = generation.finish()?;
        let report = StepReport {
            prompt_tokens: request.prompt.len(),
            written_tokens: completion.tokens.len(),
            texts: 1,
            exits: completion.exits,
            transformer: start.elapsed(),
            ..StepReport::default()
        };
        emit(id, TextEvent::Finished(Box::new(TextEnd { text: String::new(), completion })));
        Ok(Some(report))
    }
}
