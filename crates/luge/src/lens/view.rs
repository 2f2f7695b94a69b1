//! What there is to see at a position.

use luge_decoding::{Trace, Votes};
use luge_llama::Model;
use serde::Serialize;

use crate::Error;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its text, control tokens by their name; U+FFFD where a character is split
    /// across tokens.
    pub text: String,
}

impl Token {
    /// A token of a model.
    ///
    /// # Errors
    /// [`luge_llama::Error::TokenOutOfRange`].
    pub(crate) fn of(model: &Model, id: u32) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(&model.label(id)?).into_owned();
        Ok(Token { id, text })
    }
}

/// A token with the probability that a layer or a method gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// Its probability, 0..=1.
    pub prob: f64,
}

/// A pinned token in a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pinned {
    /// The token and its probability.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// How many tokens are at least as probable, with itself; of equal ones those
    /// with a lower number count. 1 for the first choice.
    pub rank: usize,
}

/// What one layer says about the next token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opinion {
    /// The layer: 0 for the embedding, L for the final layer.
    pub layer: usize,
    /// Its most probable tokens, the best first.
    pub top: Vec<Candidate>,
    /// −Σ p ln p, in nats, 0 to ln V.
    pub entropy: f64,
    /// The Jensen–Shannon divergence between this layer and the final one in nats,
    /// as [`jensen_shannon`](luge_decoding::jensen_shannon) has it: DoLa's, which may
    /// exceed ln 2.
    pub jsd_to_final: f64,
    /// The pinned tokens, in the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<Pinned>,
}

/// The probability of one token through the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenPath {
    /// The token.
    pub token: Token,
    /// Its probability in each of the layers shown, `[layers]`; 0 below 1e-45.
    pub probs: Vec<f32>,
}

/// How far the method's choice is ahead of the final layer's, in logits: negative where
/// it is behind. Of SLED's step, which takes α(p − w) from a token's logit, only w is
/// the layers' doing; the rest weakens what the final layer is sure of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Margins {
    /// In the final layer.
    pub final_layer: f64,
    /// In the method's output, before penalties and luck; infinite where the method ruled
    /// out the final layer's choice.
    pub method: f64,
    /// What the layers' votes gave it, of the difference between these two. 0 for a
    /// method without votes.
    pub votes: f64,
}

/// What all layers say at one position, and what the method makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LensPosition {
    /// The position in the text, from 0.
    pub position: usize,
    /// The token there; the layers speak about what follows it.
    pub token: Token,
    /// The token that follows it in the text; `None` behind its last one.
    pub next: Option<Token>,
    /// Whether that token was generated.
    pub generated: bool,
    /// The layers shown, ascending, the final one last.
    pub layers: Vec<Opinion>,
    /// The first of these layers from which on the first choice is the final one.
    pub settling_depth: usize,
    /// The final layer's choice, with its probability in the final layer: the most
    /// probable token, or, where one was generated, what the final layer would have
    /// led to under the same penalties, filters and luck.
    pub before: Candidate,
    /// The method's choice likewise, with its probability in the method's output: 0
    /// where a bias or a grammar ruled out all that the method kept, and the final layer
    /// decided.
    pub after: Candidate,
    /// Where these two differ, how the one came to stand before the other.
    pub margins: Option<Margins>,
    /// How the method came to its output.
    pub traces: Vec<Trace>,
    /// Where asked for, the tokens that matter here: the first choice of each layer,
    /// the final layer's best, the two choices, the next token, the pinned ones.
    pub paths: Vec<TokenPath>,
}

impl LensPosition {
    /// Whether the method chose otherwise than the final layer.
    pub fn changed(&self) -> bool {
        self.before.token.id != self.after.token.id
    }

    /// How the layers voted on what follows, where the method has them vote: all of its
    /// stages together, as [`Votes::merged`].
    pub fn votes(&self) -> Option<Votes> {
        let votes = self.traces.iter().filter_map(|trace| match trace {
            Trace::Votes(votes) => Some(votes),
            Trace::Contrast { .. } => None,
        });
        Votes::merged(&votes.collect::<Vec<_>>())
    }

    /// The layer that the method contrasted with, where it did; the last of several.
    pub fn contrast(&self) -> Option<usize> {
        self.traces.iter().rev().find_map(|trace| match trace {
            &Trace::Contrast { layer } => Some(layer),
            Trace::Votes(_) => None,
        })
    }

    /// The layers whose votes speak for a change, and what each added to the lead of the
    /// method's choice, in logits, the largest first.
    pub fn carried(&self) -> Vec<(usize, f64)> {
        let (before, after) = (self.before.token.id, self.after.token.id);
        let Some(votes) = self.votes().filter(|votes| votes.weight > 0.0) else {
            return Vec::new();
        };
        let carried = votes.carried(before, after).into_iter();
        carried.map(|(layer, share)| (layer, votes.weight * share)).collect()
    }
}
