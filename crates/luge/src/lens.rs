//! What the layers say: for each layer, the distribution that the model's own
//! head reads out of its hidden state.
//!
//! With the exits' norm `final` this is the logit lens (nostalgebraist, 2020);
//! with `raw` it is what the methods see.

use luge_decoding::{ExitDetail, ExitForm, ExitPlan, log_sum_exp, top_k};
use serde::Serialize;

use crate::{Error, Session};

/// Tokens whose logits are held at a time: `[POSITIONS × vocab]` floats.
const POSITIONS: usize = 32;

/// What to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct LensOptions {
    /// How an exit is read from a hidden state.
    pub form: ExitForm,
    /// How many of a layer's most probable tokens to show.
    pub top: usize,
    /// Tokens whose probability is wanted from every layer.
    pub pinned: Vec<u32>,
}

impl Default for LensOptions {
    fn default() -> Self {
        LensOptions { form: ExitForm::default(), top: 5, pinned: Vec::new() }
    }
}

/// A token with the probability that a layer gives it, in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its text; U+FFFD where a character is split across tokens.
    pub text: String,
    /// Its probability.
    pub prob: f64,
}

/// What one layer says about the next token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opinion {
    /// The layer: 0 for the embedding, L for the final layer.
    pub layer: usize,
    /// Its most probable tokens, the best first.
    pub top: Vec<Candidate>,
    /// The pinned tokens, in the order given.
    pub pinned: Vec<Candidate>,
}

impl Session {
    /// Makes ready for [`Session::lens`], which does it by itself: finds out
    /// whether the model's architecture lets its exits be read, and reserves
    /// memory for them.
    ///
    /// # Errors
    /// As [`Session::prepare`] for a decoder that reads exits.
    pub fn prepare_lens(&mut self, form: ExitForm) -> Result<(), Error> {
        self.set_exits(&self.all_exits(form))
    }

    /// Every exit before the final layer.
    fn all_exits(&self, form: ExitForm) -> ExitPlan {
        let layers = (0..self.model().n_layers()).collect();
        ExitPlan { layers, form, detail: ExitDetail::Logits }
    }

    /// What every layer says about each token of a continuation, or, where that
    /// is empty, about the token behind the prompt. `[positions][layers + 1]`,
    /// the layers ascending and the final one last.
    ///
    /// Holds the exits of one position at a time, `[layers × vocab]` floats.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], those of
    /// [`Session::prepare_lens`], and what the engine reports.
    pub fn lens(
        &mut self,
        prompt: &[u32],
        continuation: &[u32],
        options: &LensOptions,
    ) -> Result<Vec<Vec<Opinion>>, Error> {
        let (&last, before) = prompt.split_last().ok_or(Error::EmptyPrompt)?;
        // Of the continuation's last token only what precedes it is computed.
        let inner = continuation.split_last().map_or(&[][..], |(_, inner)| inner);
        let computed = prompt.len() + inner.len();
        self.check_room("prompt and continuation", computed)?;
        let tokens = prompt.iter().chain(continuation).chain(&options.pinned);
        tokens.copied().try_for_each(|token| self.model().check_token(token))?;
        // First, as finding out the graph takes room in the cache.
        self.rewind(before);
        let plan = self.all_exits(options.form);
        self.set_exits(&plan)?;
        self.fill(before)?;

        let inputs: Vec<u32> = std::iter::once(last).chain(inner.iter().copied()).collect();
        let mut positions = Vec::with_capacity(inputs.len());
        for inputs in inputs.chunks(POSITIONS) {
            self.extend(inputs, true)?;
            for index in 0..inputs.len() {
                let exits = self.exits(&plan, index)?;
                let early = plan.layers.iter().map(|&layer| (layer, exits.of(layer)));
                let mut opinions: Vec<_> =
                    early.map(|(layer, logits)| opinion(layer, logits, options)).collect();
                let last = self.final_logits(index)?;
                opinions.push(opinion(plan.layers.len(), last, options));
                positions.push(opinions);
            }
        }
        let model = self.model();
        for opinion in positions.iter_mut().flatten() {
            for candidate in opinion.top.iter_mut().chain(&mut opinion.pinned) {
                candidate.text = String::from_utf8_lossy(&model.piece(candidate.id)?).into_owned();
            }
        }
        Ok(positions)
    }
}

/// A layer's opinion, with the texts left empty.
fn opinion(layer: usize, logits: &[f32], options: &LensOptions) -> Opinion {
    let total = log_sum_exp(logits);
    let candidate = |&id: &u32| {
        let prob = (f64::from(logits[id as usize]) - total).exp();
        Candidate { id, text: String::new(), prob }
    };
    Opinion {
        layer,
        top: top_k(logits, options.top).iter().map(candidate).collect(),
        pinned: options.pinned.iter().map(candidate).collect(),
    }
}
