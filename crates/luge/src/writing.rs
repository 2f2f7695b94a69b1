//! A text as it is written: what is so far, and which token comes next.

use std::time::{Duration, Instant};

use luge_decoding::{Decoder, TokenMask};
use luge_llama::Model;

use crate::chooser::{Chooser, Step};
use crate::grammar::Constraint;
use crate::output::Output;
use crate::session::ExitCounts;
use crate::text::{Released, TextStream};
use crate::{Completion, Error, FinishReason, GenerateOptions, Timings};

/// A text, from its prompt to its end.
pub(crate) struct Writing {
    chooser: Chooser,
    shown_tokens: Vec<u32>,
    constraint: Option<Constraint>,
    waiting: Option<Waiting>,
    max_tokens: Option<usize>,
    /// Room for prompt and text, in tokens.
    ctx_size: usize,
    /// Prompt and generated tokens.
    history: Vec<u32>,
    prompt_length: usize,
    stream: TextStream,
    text: String,
    finished: Option<FinishReason>,
    /// Whether what was held back has been released at the end.
    flushed: bool,
    changed: Vec<usize>,
    exits: ExitCounts,
    /// How long it took to follow the grammar.
    grammar_time: Duration,
}

/// A grammar that holds from a mark on.
struct Waiting {
    constraint: Constraint,
    mark: Vec<u8>,
    /// The text so far, as far as it may begin the mark or have it.
    seen: Vec<u8>,
}

/// A token that is to be chosen, as far as the final logits tell.
pub(crate) struct Choosing {
    /// The tokens to choose among; `None` for all.
    allowed: Option<TokenMask>,
    /// What the final layer alone would choose.
    pub own: u32,
}

impl Writing {
    /// A text that begins with `prompt`. `constraint` is the options' grammar.
    pub(crate) fn new(
        model: &Model,
        ctx_size: usize,
        prompt: &[u32],
        options: &GenerateOptions,
        constraint: Option<Constraint>,
    ) -> Self {
        let mut writing = Writing {
            chooser: Chooser::new(model, options),
            shown_tokens: options.shown_tokens.clone(),
            constraint,
            waiting: None,
            max_tokens: options.max_tokens,
            ctx_size,
            history: prompt.to_vec(),
            prompt_length: prompt.len(),
            stream: TextStream::new(&options.stop),
            text: String::new(),
            finished: (options.max_tokens == Some(0)).then_some(FinishReason::Length),
            flushed: false,
            changed: Vec::new(),
            exits: ExitCounts::default(),
            grammar_time: Duration::ZERO,
        };
        if let Some(mark) = &options.grammar_after {
            let waiting =
                |constraint| Waiting { constraint, mark: mark.clone().into(), seen: Vec::new() };
            writing.waiting = writing.constraint.take().map(waiting);
        }
        writing
    }

    /// Has the method's logits of each position kept for [`Writing::method_logits`], so
    /// that the exits they depend on are always computed.
    pub(crate) fn keep_logits(&mut self) {
        self.chooser.kept.get_or_insert_default();
    }

    /// The method's logits where a token was last chosen, before penalties, biases and
    /// masks: `[vocab]`, if they are kept.
    pub(crate) fn method_logits(&self) -> Option<&[f32]> {
        self.chooser.kept.as_deref()
    }

    /// Prompt and generated tokens.
    pub(crate) fn history(&self) -> &[u32] {
        &self.history
    }

    /// The prompt.
    pub(crate) fn prompt(&self) -> &[u32] {
        &self.history[..self.prompt_length]
    }

    /// The tokens generated so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.history[self.prompt_length..]
    }

    /// Those of them, by number, where the final layer would have led to another.
    pub(crate) fn changed(&self) -> &[usize] {
        &self.changed
    }

    /// How many exits were computed so far.
    pub(crate) fn exits(&self) -> ExitCounts {
        self.exits
    }

    /// Why it has ended; `None` while it has not.
    pub(crate) fn finished(&self) -> Option<FinishReason> {
        self.finished
    }

    /// Ends it.
    pub(crate) fn finish(&mut self, reason: FinishReason) {
        self.finished = Some(reason);
    }

    /// The next token, and the one that the final layer would have chosen; `None` where
    /// the text must end.
    pub(crate) fn choose(
        &mut self,
        output: &mut Output<'_>,
        decoder: &Decoder,
    ) -> Result<Option<(u32, u32)>, Error> {
        let Some(choosing) = self.begin(output)? else { return Ok(None) };
        let token = match self.decided(output, decoder, &choosing) {
            Some(token) => token,
            None => self.decode(output, decoder, &choosing)?,
        };
        Ok(Some((token, choosing.own)))
    }

    /// What the final logits tell about the next token; `None` where the text must end.
    pub(crate) fn begin(&mut self, output: &Output<'_>) -> Result<Option<Choosing>, Error> {
        let allowed = match &mut self.constraint {
            None => None,
            Some(constraint) => {
                let start = Instant::now();
                let allowed = constraint.allowed()?;
                self.grammar_time += start.elapsed();
                match allowed {
                    Some(allowed) => Some(allowed),
                    None => return Ok(None),
                }
            }
        };
        let at = step(&self.history, self.prompt_length, allowed.as_ref());
        match self.chooser.own(output, &at)? {
            Some(own) => Ok(Some(Choosing { allowed, own })),
            // The text may end here all the same.
            None => {
                let may_end = match &mut self.constraint {
                    Some(constraint) => constraint.may_end()?,
                    None => true,
                };
                if may_end { Ok(None) } else { Err(Error::GrammarStuck) }
            }
        }
    }

    /// The next token, where it is the same whatever the exits are.
    pub(crate) fn decided(
        &mut self,
        output: &Output<'_>,
        decoder: &Decoder,
        choosing: &Choosing,
    ) -> Option<u32> {
        let at = step(&self.history, self.prompt_length, choosing.allowed.as_ref());
        self.chooser.decided(output, decoder, choosing.own, &at, &mut self.exits)
    }

    /// The next token, from the exits.
    pub(crate) fn decode(
        &mut self,
        output: &mut Output<'_>,
        decoder: &Decoder,
        choosing: &Choosing,
    ) -> Result<u32, Error> {
        let at = step(&self.history, self.prompt_length, choosing.allowed.as_ref());
        self.chooser.decode(output, decoder, choosing.own, &at, &mut self.exits)
    }

    /// Puts a token behind the text, and gives the text that this makes final. `None`
    /// where it ended the text, and is not in it.
    pub(crate) fn take(
        &mut self,
        model: &Model,
        token: u32,
        own: u32,
    ) -> Result<Option<String>, Error> {
        if model.is_end(token) {
            self.finished = Some(FinishReason::Eos);
            return Ok(None);
        }
        let is_complete = match &mut self.constraint {
            Some(constraint) => {
                let start = Instant::now();
                let is_complete = constraint.accept(token)?;
                self.grammar_time += start.elapsed();
                is_complete
            }
            None => false,
        };
        let generated = self.tokens().len();
        self.history.push(token);
        if token != own {
            self.changed.push(generated);
        }
        if is_complete {
            self.finished = Some(FinishReason::Eos);
        } else if Some(generated + 1) == self.max_tokens {
            self.finished = Some(FinishReason::Length);
        } else if self.history.len() > self.ctx_size {
            self.finished = Some(FinishReason::Context);
        }
        let is_shown = self.shown_tokens.contains(&token);
        let bytes = if is_shown { model.label(token) } else { model.piece(token) }?;
        if let Some(mut waiting) = self.waiting.take() {
            waiting.seen.extend_from_slice(&bytes);
            if waiting.has_come() {
                self.constraint = Some(waiting.constraint);
            } else {
                self.waiting = Some(waiting);
            }
        }
        let text = match self.stream.push(&bytes) {
            Released::Text(text) => text,
            Released::Stopped(text) => {
                self.finished = Some(FinishReason::Stop);
                self.flushed = true;
                text
            }
        };
        self.text.push_str(&text);
        Ok(Some(text))
    }

    /// At its end, the text that was held back; once.
    pub(crate) fn rest(&mut self) -> String {
        if std::mem::replace(&mut self.flushed, true) {
            return String::new();
        }
        let rest = self.stream.finish();
        self.text.push_str(&rest);
        rest
    }

    /// The whole.
    pub(crate) fn completion(mut self, timings: Timings) -> Completion {
        let tokens = self.history.split_off(self.prompt_length);
        Completion {
            timings: Timings { tokens: tokens.len(), grammar: self.grammar_time, ..timings },
            tokens,
            text: self.text,
            finish_reason: self.finished.unwrap_or(FinishReason::Interrupted),
            changed: self.changed,
            exits: self.exits,
        }
    }
}

/// Where the next token of a text is to be chosen.
fn step<'a>(history: &'a [u32], prompt: usize, allowed: Option<&'a TokenMask>) -> Step<'a> {
    Step { allowed, history, number: (history.len() - prompt) as u64 }
}

impl Waiting {
    /// Whether the mark has come. Forgets what cannot be part of it.
    fn has_come(&mut self) -> bool {
        let length = self.mark.len();
        if length == 0 || self.seen.windows(length).any(|window| window == self.mark) {
            return true;
        }
        let behind = self.seen.len().saturating_sub(length - 1);
        self.seen.drain(..behind);
        false
    }
}
