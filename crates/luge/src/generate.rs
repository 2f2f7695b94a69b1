//! Generating text, token by token.

use std::ops::Range;
use std::time::{Duration, Instant};

use luge_decoding::{Decoder, ExitPlan, SamplerOptions};
use luge_llama::Model;

use crate::grammar::Grammar;
use crate::lens::{Choice, Lens, LensPosition};
use crate::session::ExitCounts;
use crate::writing::Writing;
use crate::{Error, Session};

/// How to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// How a token is chosen from the method's logits.
    pub sampler: SamplerOptions,
    /// The most tokens to generate; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the generation; they are not part of the result.
    pub stop: Vec<String>,
    /// Never choose a token that ends the text. Where a grammar allows nothing more, it
    /// ends all the same.
    pub ignore_eos: bool,
    /// Control tokens that are part of the text, by their names. Others have no text.
    pub shown_tokens: Vec<u32>,
    /// What the text must keep to; `None` for nothing. A token that the grammar does
    /// not allow has the logit −∞, whatever the method, penalties and biases make of
    /// it. Where the method kept no other, the final layer decides among those allowed.
    pub grammar: Option<Grammar>,
    /// The text behind which the grammar begins to hold, as the mark between a model's
    /// thoughts and its answer: from the next token on. `None` for from the beginning.
    pub grammar_after: Option<String>,
    /// When to compute exits.
    pub exits: ExitPolicy,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            sampler: SamplerOptions::default(),
            max_tokens: Some(256),
            stop: Vec::new(),
            ignore_eos: false,
            shown_tokens: Vec::new(),
            grammar: None,
            grammar_after: None,
            exits: ExitPolicy::Auto,
        }
    }
}

/// When to compute the exits that a method may ask for. Tokens and text are the
/// same, and so is what counts as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitPolicy {
    /// At positions where the token may depend on them. Where it cannot, a damaged
    /// exit goes unnoticed.
    #[default]
    Auto,
    /// At every position.
    Always,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The text is at its end: the model ended it, or its grammar allows no more.
    Eos,
    /// A stop string came up.
    Stop,
    /// The wanted number of tokens is reached.
    Length,
    /// The context is full.
    Context,
    /// It was interrupted.
    Interrupted,
}

/// Text that has become final, with the tokens it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text: whole characters. Empty while a character or a possible stop
    /// string is unfinished.
    pub text: String,
    /// The tokens that brought it, by their number in the completion, from 0.
    /// Empty for text that was held back until the end.
    pub tokens: Range<usize>,
    /// Whether the method chose any of these tokens against the final layer.
    pub changed: bool,
}

/// A finished generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The generated tokens.
    pub tokens: Vec<u32>,
    /// Their text, up to a stop string.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The tokens, by number, where the final layer's logits would have led to
    /// another: under the same grammar, penalties, filters and luck.
    pub changed: Vec<usize>,
    /// How many exits were computed.
    pub exits: ExitCounts,
    /// How long it took.
    pub timings: Timings,
}

/// How long a generation took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// From the call to the first token: computing the prompt, choosing the token.
    pub prompt: Duration,
    /// Prompt tokens that had to be computed; the others were in the KV cache.
    pub prompt_computed: usize,
    /// From the first token to the last.
    pub decode: Duration,
    /// Generated tokens.
    pub tokens: usize,
    /// Of the time to the first token, what it took to set up the grammar: to compile
    /// it, and for a session's first one to read the model's vocabulary.
    pub grammar_setup: Duration,
    /// Of both times, what it took to follow the grammar.
    pub grammar: Duration,
}

impl Timings {
    /// Tokens a second after the first; 0 where there are none.
    pub fn tokens_per_second(&self) -> f64 {
        let seconds = self.decode.as_secs_f64();
        if seconds > 0.0 { self.tokens.saturating_sub(1) as f64 / seconds } else { 0.0 }
    }
}

impl Session {
    /// Starts generating: computes the prompt and returns an iterator over the
    /// text as it comes.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], [`Error::OtherModel`],
    /// [`Error::Grammar`] where the grammar names control tokens that the model does not
    /// have, and what the engine reports. An interruption is no error: the generation
    /// then ends before its first token.
    pub fn generate<'a>(
        &'a mut self,
        decoder: &'a Decoder,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        self.start(decoder, decoder.plan(), None, prompt, options)
    }

    /// As [`Session::generate`] with the lens' method, to be looked at through the
    /// lens on the way: see [`Generation::look`]. The text is the same.
    ///
    /// # Errors
    /// As [`Session::generate`], and those of [`Session::prepare_lens`].
    pub fn generate_through<'a>(
        &'a mut self,
        lens: &'a Lens<'a>,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        self.start(lens.decoder, &lens.view.plan, Some(lens), prompt, options)
    }

    /// Starts a generation with the exits of a plan that has the decoder's.
    fn start<'a>(
        &'a mut self,
        decoder: &'a Decoder,
        plan: &'a ExitPlan,
        lens: Option<&'a Lens<'a>>,
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        let (&last, before) = prompt.split_last().ok_or(Error::EmptyPrompt)?;
        self.check_decoder(decoder)?;
        self.check_room("the prompt", prompt.len())?;
        let biased = options.sampler.logit_bias.iter().map(|(token, _)| token);
        prompt.iter().chain(biased).try_for_each(|&token| self.model().check_token(token))?;

        let start = Instant::now();
        let mut timings = Timings::default();
        let constraint = match &options.grammar {
            None => None,
            Some(grammar) => {
                let constraint = self.constraint(grammar)?;
                timings.grammar_setup = start.elapsed();
                Some(constraint)
            }
        };

        let mut writing = Writing::new(self.model(), self.ctx_size(), prompt, options, constraint);
        // First, as finding out the graph takes room in the cache.
        self.rewind(before);
        match self.set_exits(plan).and_then(|()| self.fill(before)) {
            Ok(computed) => timings.prompt_computed = computed + 1,
            Err(Error::Llama(luge_llama::Error::Interrupted)) => {
                writing.finish(FinishReason::Interrupted);
            }
            Err(error) => return Err(error),
        }
        let mut generation = Generation {
            decoder,
            plan,
            lens,
            writing,
            held_from: 0,
            chosen: None,
            timings,
            session: self,
        };
        if generation.writing.finished().is_none() {
            generation.compute(last)?;
        }
        generation.timings.prompt = start.elapsed();
        Ok(generation)
    }
}

/// A running generation: an iterator over its text. Dropping it ends it.
pub struct Generation<'a> {
    session: &'a mut Session,
    decoder: &'a Decoder,
    /// The exits that are set.
    plan: &'a ExitPlan,
    lens: Option<&'a Lens<'a>>,
    writing: Writing,
    /// The first token whose text has not been released.
    held_from: usize,
    /// The token last chosen, and the final layer's: perhaps one that ended the text.
    chosen: Option<(u32, u32)>,
    timings: Timings,
}

impl Generation<'_> {
    /// Runs to the end, if it has not ended, and returns the whole.
    ///
    /// # Errors
    /// As the iterator.
    pub fn finish(mut self) -> Result<Completion, Error> {
        for piece in self.by_ref() {
            piece?;
        }
        Ok(self.writing.completion(self.timings))
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.session.model()
    }

    /// Why it has ended; `None` while it has not.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.writing.finished()
    }

    /// The tokens generated so far.
    pub fn tokens(&self) -> &[u32] {
        self.writing.tokens()
    }

    /// What the layers said about the token that was chosen last: the one that the
    /// iterator has just come to, or, once that is at its end, one that ended the text.
    /// `None` before the first one, after an interruption, and without a lens.
    ///
    /// A piece of text that was held back brings no token: there, the last position is
    /// seen again, and so it is at the end of a text that its grammar has ended. Exits
    /// that were skipped are computed now.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn look(&mut self) -> Result<Option<LensPosition>, Error> {
        let (Some(lens), Some((after, before))) = (self.lens, self.chosen) else {
            return Ok(None);
        };
        // A token that ended the text is not in it.
        let is_end = self.session.model().is_end(after);
        let position = self.writing.history().len() - if is_end { 1 } else { 2 };
        let next = (!is_end).then_some(after);
        let choice = Choice { after, before };
        self.session.position(lens, 0, position, next, Some(choice)).map(Some)
    }

    /// Computes a token behind the others, unless that is interrupted.
    fn compute(&mut self, token: u32) -> Result<(), Error> {
        // What the choice before this came from is gone.
        self.chosen = None;
        match self.session.extend(&[token], true) {
            Err(Error::Llama(luge_llama::Error::Interrupted)) => {
                self.writing.finish(FinishReason::Interrupted);
                Ok(())
            }
            other => other,
        }
    }

    /// Generates one token and releases the text that it makes final.
    fn advance(&mut self) -> Result<Option<Piece>, Error> {
        if let Some(&last) = self.tokens().last() {
            self.compute(last)?;
        }
        if self.session.is_interrupted() {
            self.writing.finish(FinishReason::Interrupted);
        }
        if self.writing.finished().is_some() {
            return Ok(None);
        }
        let (mut output, _) = self.session.output(self.plan, 0);
        self.chosen = self.writing.choose(&mut output, self.decoder)?;
        let Some((token, own)) = self.chosen else {
            self.writing.finish(FinishReason::Eos);
            return Ok(None);
        };
        let text = self.writing.take(self.session.model(), token, own)?;
        Ok(text.map(|text| self.piece(text)))
    }

    /// Text with the tokens since the last one.
    fn piece(&mut self, text: String) -> Piece {
        let tokens = self.held_from..self.tokens().len();
        if !text.is_empty() {
            self.held_from = tokens.end;
        }
        let changed = self.writing.changed().iter().any(|position| tokens.contains(position));
        Piece { text, tokens, changed }
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.writing.finished().is_none() {
            let start = Instant::now();
            let first = self.tokens().is_empty();
            let result = self.advance();
            *(if first { &mut self.timings.prompt } else { &mut self.timings.decode }) +=
                start.elapsed();
            match result {
                Ok(Some(piece)) => return Some(Ok(piece)),
                Ok(None) => {}
                Err(error) => {
                    self.writing.finish(FinishReason::Interrupted);
                    return Some(Err(error));
                }
            }
        }
        let rest = self.writing.rest();
        (!rest.is_empty()).then(|| Ok(self.piece(rest)))
    }
}
