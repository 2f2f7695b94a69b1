//! Early exits: what a layer before the last would have said.
//!
//! Exit i is the model's own LM head applied to hidden state i, where hidden
//! state 0 is the embedding as block 0 receives it and hidden state i the
//! output of block i−1. With L blocks the exits are 0 to L−1; index L is the
//! model's ordinary output, and no exit.
//!
//! Computing exits is the expensive part of layer-aware decoding: each is one
//! more product with the LM head. So they are *lazy*. A [`Decoder`] says in
//! its [`ExitPlan`] which exits it may want; at each position it receives an
//! [`Exits`] and asks it only if the token depends on the answer.
//!
//! [`Decoder`]: crate::Decoder

use std::error::Error as StdError;

use crate::divergence::jensen_shannon;
use crate::numeric::log_sum_exp;
use crate::sums::ExitSums;

/// Which norm a hidden state passes before the LM head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ExitNorm {
    /// None: the residual stream as it is, as the SLED and DoLa references do.
    #[default]
    Raw,
    /// The model's own final norm, as the logit lens does (nostalgebraist, 2020).
    Final,
}

impl ExitNorm {
    /// The name used on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ExitNorm::Raw => "raw",
            ExitNorm::Final => "final",
        }
    }
}

/// How a hidden state becomes logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExitForm {
    /// The norm in front of the head.
    pub norm: ExitNorm,
    /// Whether an exit passes the softcap (c·tanh(z/c)) of models that have
    /// one, as their final logits do. Without effect on other models.
    pub softcap: bool,
}

impl Default for ExitForm {
    fn default() -> Self {
        ExitForm { norm: ExitNorm::Raw, softcap: true }
    }
}

/// The exits that a decoder may ask for, fixed before the first token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExitPlan {
    /// Layer indices, ascending, each in 0..L. Empty where no exit is needed.
    pub layers: Vec<usize>,
    /// How hidden states become logits.
    pub form: ExitForm,
    /// What is read of them.
    pub detail: ExitDetail,
}

/// What a decoder reads of its exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ExitDetail {
    /// Sums over the vocabulary and the logits of a few tokens: an engine need
    /// not keep the others.
    Sums,
    /// Every logit.
    #[default]
    Logits,
}

/// The logits of a plan's exits at one position, shape `[layers × vocab]`.
#[derive(Debug, Clone, Copy)]
pub struct ExitLogits<'a> {
    layers: &'a [usize],
    logits: &'a [f32],
}

impl<'a> ExitLogits<'a> {
    /// Rows of logits, one per layer in the order of `layers`, each of
    /// `logits.len() / layers.len()` entries.
    ///
    /// # Panics
    /// If `logits` does not divide evenly into rows.
    pub fn new(layers: &'a [usize], logits: &'a [f32]) -> Self {
        assert!(
            if layers.is_empty() {
                logits.is_empty()
            } else {
                logits.len().is_multiple_of(layers.len())
            },
            "{} logits are not {} equal rows",
            logits.len(),
            layers.len(),
        );
        ExitLogits { layers, logits }
    }

    /// The layers, ascending.
    pub fn layers(&self) -> &'a [usize] {
        self.layers
    }

    /// The logits of one layer's exit, shape `[vocab]`.
    ///
    /// # Panics
    /// If the layer is not in the plan these exits were computed for.
    pub fn of(&self, layer: usize) -> &'a [f32] {
        let row = self.layers.binary_search(&layer);
        let row =
            row.unwrap_or_else(|_| panic!("exit {layer} is not in the plan {:?}", self.layers));
        let vocab = self.logits.len() / self.layers.len();
        &self.logits[row * vocab..(row + 1) * vocab]
    }
}

/// The source of early exits at one position.
///
/// Implemented by an engine; [`ComputedExits`] serves logits that are already
/// there.
pub trait Exits {
    /// The logits of all exits of the plan.
    ///
    /// The first call computes them; later calls at the same position return
    /// the same numbers at no cost.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn StdError + Send + Sync>>;

    /// The sums over the vocabulary of all exits of the plan, against the final
    /// logits `[vocab]`, and the exits' logits of `tokens`.
    ///
    /// An engine that can take them without keeping every logit does so.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn sums(
        &mut self,
        final_logits: &[f32],
        tokens: &[u32],
    ) -> Result<ExitSums, Box<dyn StdError + Send + Sync>> {
        Ok(ExitSums::of(&self.logits()?, final_logits, tokens))
    }

    /// How far some exits of the plan are from a layer whose logits are `mature`,
    /// `[vocab]`: the [`jensen_shannon`] divergence of each of `layers`, in nats.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn divergences(
        &mut self,
        mature: &[f32],
        layers: &[usize],
    ) -> Result<Vec<f64>, Box<dyn StdError + Send + Sync>> {
        let exits = self.logits()?;
        let norm = |logits: &[f32]| log_sum_exp(logits) as f32;
        let own = norm(mature);
        let to = |&layer: &usize| {
            let exit = exits.of(layer);
            jensen_shannon(mature, own, exit, norm(exit))
        };
        Ok(layers.iter().map(to).collect())
    }
}

/// Exits whose logits are in memory, shape `[layers × vocab]`.
#[derive(Debug, Clone)]
pub struct ComputedExits {
    layers: Vec<usize>,
    logits: Vec<f32>,
}

impl ComputedExits {
    /// Exits of the given layers (ascending) from their rows of logits.
    pub fn new(layers: Vec<usize>, rows: &[Vec<f32>]) -> Self {
        ComputedExits { layers, logits: rows.concat() }
    }
}

impl Exits for ComputedExits {
    fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn StdError + Send + Sync>> {
        Ok(ExitLogits::new(&self.layers, &self.logits))
    }
}
