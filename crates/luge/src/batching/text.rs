//! A text at work.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luge_decoding::{Decoder, ExitPlan, log_sum_exp, top_k};
use luge_llama::Model;

use super::slots::Resident;
use super::{PromptReport, TextRequest, TokenLogprob, TokenLogprobs, WrittenToken};
use crate::grammar::Constraint;
use crate::lens::{Lens, View};
use crate::writing::Writing;
use crate::{Error, Timings};

/// A text at work, or one that waits to be.
pub(super) struct Text {
    pub decoder: Arc<Decoder>,
    /// What is looked at, if anything is.
    view: Option<View>,
    pub writing: Writing,
    pub logprobs: Option<usize>,
    /// How many tokens are wanted beside each of the prompt's.
    pub prompt_logprobs: Option<usize>,
    report: Option<PromptReport>,
    /// The token that ended it.
    pub end: Option<Box<WrittenToken>>,
    timings: Timings,
    begun: Instant,
    first: Option<Instant>,
}

impl Text {
    pub(super) fn new(
        model: &Model,
        ctx_size: usize,
        request: TextRequest,
        constraint: Option<Constraint>,
        grammar_setup: Duration,
    ) -> Result<Self, Error> {
        let TextRequest { decoder, prompt, options, logprobs, prompt_logprobs, lens, .. } = request;
        let view = lens.map(|lens| View::new(model, &decoder, &lens)).transpose()?;
        let mut writing = Writing::new(model, ctx_size, &prompt, &options, constraint);
        if logprobs.is_some() {
            writing.keep_logits();
        }
        Ok(Text {
            decoder,
            view,
            writing,
            logprobs,
            prompt_logprobs,
            report: Some(PromptReport { tokens: prompt.len(), ..PromptReport::default() }),
            end: None,
            timings: Timings { grammar_setup, ..Timings::default() },
            begun: Instant::now(),
            first: None,
        })
    }

    /// The exits that may be asked for.
    pub(super) fn plan(&self) -> &ExitPlan {
        self.view.as_ref().map_or(self.decoder.plan(), |view| &view.plan)
    }

    /// The lens, if there is one.
    pub(super) fn lens(&self) -> Option<Lens<'_>> {
        let view = Cow::Borrowed(self.view.as_ref()?);
        Some(Lens { decoder: &self.decoder, view })
    }

    /// Whether its prompt may go on from the cache: not where each of its tokens is wanted.
    pub(super) fn may_reuse(&self) -> bool {
        self.prompt_logprobs.is_none()
    }

    /// The prompt but for its last token, which is computed on its own, so that a prompt
    /// gives the same logits whether it is in the cache or not.
    pub(super) fn before_last(&self) -> &[u32] {
        let prompt = self.writing.prompt();
        &prompt[..prompt.len() - 1]
    }

    /// It has a slot, whose cache has so many of its tokens.
    pub(super) fn begin(&mut self, cached: usize) {
        self.begun = Instant::now();
        self.timings.prompt_computed = self.writing.prompt().len() - cached;
        if let Some(report) = &mut self.report {
            report.cached = cached;
        }
    }

    /// Takes the log-probabilities of the prompt's next token.
    pub(super) fn scored(&mut self, logprobs: TokenLogprobs) {
        if let Some(report) = &mut self.report {
            report.logprobs.push(logprobs);
        }
    }

    /// Once, when the prompt has been computed: what there is to tell about that.
    pub(super) fn report(&mut self) -> Option<PromptReport> {
        self.report.take()
    }

    /// A token has been chosen.
    pub(super) fn chosen(&mut self) {
        let begun = self.begun;
        let first = *self.first.get_or_insert_with(Instant::now);
        self.timings.prompt = first - begun + self.timings.grammar_setup;
        self.timings.decode = first.elapsed();
    }

    /// How long things took.
    pub(super) fn timings(&self) -> Timings {
        self.timings
    }
}

impl Resident for Text {
    fn prompt(&self) -> &[u32] {
        self.writing.prompt()
    }
}

/// What logits, `[vocab]`, say about a token, and about the best ones.
pub(super) fn logprobs(
    model: &Model,
    logits: &[f32],
    token: u32,
    top: usize,
) -> Result<TokenLogprobs, Error> {
    let norm = log_sum_exp(logits);
    let of = |id: u32| {
        let logprob = f64::from(logits[id as usize]) - norm;
        Ok::<_, Error>(TokenLogprob { id, bytes: model.piece(id)?, logprob })
    };
    let top = if top == 0 { Vec::new() } else { top_k(logits, top) };
    Ok(TokenLogprobs { token: of(token)?, top: top.into_iter().map(of).collect::<Result<_, _>>()? })
}
