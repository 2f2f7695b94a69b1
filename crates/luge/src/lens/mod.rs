//! What the layers say: at each position of a text, the distribution over the next
//! token that the model's own head reads out of each layer's hidden state.
//!
//! With the exits' norm `final` this is the logit lens (nostalgebraist, 2020);
//! with `raw` it is what the methods see.
//!
//! A [`Lens`] says what to look at. [`Session::look`] reads a given text through
//! it, and [`Generation::look`](crate::Generation::look) a text as it is
//! generated. Both come to one [`LensPosition`] for each token of the text: what
//! was to follow that token, layer by layer, and what the method made of it.
//!
//! ```no_run
//! use luge::{LensOptions, Model, ModelParams, Pipeline, Session, SessionOptions};
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut session = Session::new(&model, &SessionOptions::default())?;
//! let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
//! let lens = session.lens(&sled, &LensOptions::default())?;
//!
//! let text = model.tokenize_prompt("The capital of British Columbia is")?;
//! session.look(&lens, &text, text.len() - 1..text.len(), |position| {
//!     for opinion in position.layers.iter().rev() {
//!         println!("{:>3} {:?}", opinion.layer, opinion.top[0]);
//!     }
//! })?;
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! # Memory
//! The exits of one position are held at a time, `[layers × vocab]` floats, and the
//! final logits of [`CHUNK`] positions, however long the text is. A [`LensPosition`]
//! holds some tens of bytes for each candidate of each layer.

mod reading;

use std::ops::Range;

use luge_decoding::{
    Decoder, ExitDetail, ExitForm, ExitPlan, LayerSelection, Purpose, Trace, argmax, log_sum_exp,
};
use serde::Serialize;

use crate::exits::PositionExits;
use crate::{Error, Session};
use reading::{Reading, Wanted};

/// How many positions of a given text are computed at a time.
pub const CHUNK: usize = 32;

/// What to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct LensOptions {
    /// Which early exits; the final layer is always among the layers shown.
    pub layers: LayerSelection,
    /// How an exit is read from a hidden state, for a method that reads none. One
    /// that does is shown what it reads.
    pub form: ExitForm,
    /// How many of a layer's most probable tokens to show.
    pub top: usize,
    /// Tokens whose probability and rank are wanted from every layer.
    pub pinned: Vec<u32>,
    /// Whether to follow the tokens that matter at a position through all layers:
    /// [`LensPosition::paths`].
    pub paths: bool,
}

impl Default for LensOptions {
    fn default() -> Self {
        LensOptions {
            layers: LayerSelection::All,
            form: ExitForm::default(),
            top: 5,
            pinned: Vec::new(),
            paths: false,
        }
    }
}

/// A choice of what to look at, bound to a model and to a method.
#[derive(Debug)]
pub struct Lens<'a> {
    pub(crate) decoder: &'a Decoder,
    /// The exits to show and those of the method.
    pub(crate) plan: ExitPlan,
    /// The early exits to show, ascending.
    rows: Vec<usize>,
    top: usize,
    pinned: Vec<u32>,
    paths: bool,
}

impl Lens<'_> {
    /// The layers shown, ascending, the final one last.
    pub fn layers(&self) -> Vec<usize> {
        let last = self.decoder.shape().layers;
        self.rows.iter().copied().chain([last]).collect()
    }

    /// How exits are read.
    pub fn form(&self) -> ExitForm {
        self.plan.form
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its text, control tokens by their name; U+FFFD where a character is split
    /// across tokens.
    pub text: String,
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
    /// In the method's output; infinite where that rules out the final layer's choice.
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
    /// where a bias ruled out all that the method kept, and the final layer decided.
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

    /// Where the method voted, or the first stage of it that does: the layers that
    /// speak for the change, and what each added to the lead of the method's choice, in
    /// logits, the largest first. See [`Votes::carried`](luge_decoding::Votes).
    pub fn carried(&self) -> Vec<(usize, f64)> {
        let (before, after) = (self.before.token.id, self.after.token.id);
        let votes = self.traces.iter().find_map(|trace| match trace {
            Trace::Votes(votes) => Some(votes),
            Trace::Contrast { .. } => None,
        });
        votes.map_or_else(Vec::new, |votes| {
            let carried = votes.carried(before, after).into_iter();
            carried.map(|(layer, share)| (layer, votes.weight * share)).collect()
        })
    }
}

/// The tokens chosen at a position of a generation.
pub(crate) struct Choice {
    /// By the method.
    pub after: u32,
    /// By the final layer.
    pub before: u32,
}

impl Session {
    /// Binds a choice of what to look at to the model and to a method.
    ///
    /// # Errors
    /// [`Error::OtherModel`]; where a layer or a pinned token is not in the model.
    pub fn lens<'a>(&self, decoder: &'a Decoder, options: &LensOptions) -> Result<Lens<'a>, Error> {
        let shape = self.shape();
        if *decoder.shape() != shape {
            return Err(Error::OtherModel);
        }
        options.pinned.iter().try_for_each(|&token| self.model().check_token(token))?;
        let rows = options.layers.resolve(shape.layers, shape.tied)?;
        let own = decoder.plan();
        let mut layers = [&rows[..], &own.layers].concat();
        layers.sort_unstable();
        layers.dedup();
        let form = if own.layers.is_empty() { options.form } else { own.form };
        Ok(Lens {
            decoder,
            plan: ExitPlan { layers, form, detail: ExitDetail::Logits },
            rows,
            top: options.top,
            pinned: options.pinned.clone(),
            paths: options.paths,
        })
    }

    /// Makes ready for [`Session::look`], which does it by itself: finds out
    /// whether the model's architecture lets its exits be read, and reserves
    /// memory for them.
    ///
    /// # Errors
    /// As [`Session::prepare`] for a decoder that reads exits.
    pub fn prepare_lens(&mut self, lens: &Lens<'_>) -> Result<(), Error> {
        self.check_shape(lens)?;
        self.set_exits(&lens.plan)
    }

    fn check_shape(&self, lens: &Lens<'_>) -> Result<(), Error> {
        if *lens.decoder.shape() == self.shape() { Ok(()) } else { Err(Error::OtherModel) }
    }

    /// Looks at `positions` of a text, in their order, each handed to `each`: 0 for
    /// what every layer says behind the first token.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a text without tokens, [`Error::TooLong`] where the
    /// context does not hold the last of the positions, [`Error::NoPosition`],
    /// [`luge_llama::Error::TokenOutOfRange`], those of [`Session::prepare_lens`],
    /// [`luge_llama::Error::Interrupted`] after the position at work, and what else the
    /// engine reports.
    pub fn look(
        &mut self,
        lens: &Lens<'_>,
        text: &[u32],
        positions: Range<usize>,
        mut each: impl FnMut(LensPosition),
    ) -> Result<(), Error> {
        if text.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if let Some(position) = positions.clone().last().filter(|&last| last >= text.len()) {
            return Err(Error::NoPosition { position, positions: text.len() });
        }
        self.check_room("the text", positions.end)?;
        self.check_shape(lens)?;
        if positions.is_empty() {
            return Ok(());
        }
        text.iter().try_for_each(|&token| self.model().check_token(token))?;
        let before = &text[..positions.start];
        // First, as finding out the graph takes room in the cache.
        self.rewind(before);
        self.prepare_lens(lens)?;
        self.fill(before)?;
        for start in positions.clone().step_by(CHUNK) {
            let end = positions.end.min(start + CHUNK);
            self.extend(&text[start..end], true)?;
            for position in start..end {
                if self.is_interrupted() {
                    return Err(luge_llama::Error::Interrupted.into());
                }
                let next = text.get(position + 1).copied();
                each(self.position(lens, position - start, position, next, None)?);
            }
        }
        Ok(())
    }

    /// What there is to see at the last batch's token `index`, which is at
    /// `position` of the text in the cache.
    pub(crate) fn position(
        &mut self,
        lens: &Lens<'_>,
        index: usize,
        position: usize,
        next: Option<u32>,
        choice: Option<Choice>,
    ) -> Result<LensPosition, Error> {
        let last = self.final_logits(index)?.to_vec();
        let mut decoded = last.clone();
        // The first choice is wanted even where none is shown.
        let wanted = Wanted { layers: &lens.rows, top: lens.top.max(1), pinned: &lens.pinned };
        let (context, cached) = self.engine();
        let token = cached[position];
        let mut exits = PositionExits::new(context, &lens.plan, index);
        let reading = Reading::of(&mut exits, &last, &wanted)?;
        lens.decoder.apply(&last, &mut exits, Purpose::Generate, &mut decoded)?;
        let traces = lens.decoder.traces(&last, &mut exits)?;

        let generated = choice.is_some();
        let choice = choice.unwrap_or_else(|| Choice {
            after: argmax(&decoded) as u32,
            before: argmax(&last) as u32,
        });
        let last_norm = reading.final_norm();
        let decoded_norm =
            if lens.decoder.is_identity() { last_norm } else { log_sum_exp(&decoded) };
        let prob = |logits: &[f32], norm: f64, id: u32| {
            (id, (f64::from(logits[id as usize]) - norm).exp())
        };
        let before = prob(&last, last_norm, choice.before);
        let after = prob(&decoded, decoded_norm, choice.after);
        let ahead = |logits: &[f32]| {
            f64::from(logits[choice.after as usize]) - f64::from(logits[choice.before as usize])
        };
        let margins = (choice.after != choice.before).then(|| Margins {
            final_layer: ahead(&last),
            method: ahead(&decoded),
            votes: traces.iter().map(|trace| gain(trace, &choice)).sum(),
        });
        let mut followed = Vec::new();
        if lens.paths {
            let firsts = reading.rows.iter().filter_map(|row| row.top.first());
            let bests = reading.rows.iter().rev().take(1).flat_map(|row| &row.top);
            followed.extend([choice.after, choice.before].into_iter().chain(next));
            followed.extend(&lens.pinned);
            followed.extend(bests.chain(firsts).map(|&(id, _)| id));
            let mut seen = std::collections::HashSet::new();
            followed.retain(|id| seen.insert(*id));
        }
        let paths = reading.probs(&mut exits, &last, &wanted, &followed)?;

        let label = |id: u32| -> Result<Token, Error> {
            let text = String::from_utf8_lossy(&self.model().label(id)?).into_owned();
            Ok(Token { id, text })
        };
        let candidate = |(id, prob): (u32, f64)| Ok(Candidate { token: label(id)?, prob });
        let mut layers: Vec<Opinion> = reading
            .rows
            .iter()
            .zip(lens.layers())
            .map(|(row, layer)| {
                let pinned = lens.pinned.iter().zip(&row.pinned).map(|(&id, &(prob, rank))| {
                    Ok::<_, Error>(Pinned { candidate: candidate((id, prob))?, rank })
                });
                Ok(Opinion {
                    layer,
                    top: row.top.iter().copied().map(candidate).collect::<Result<_, Error>>()?,
                    entropy: row.entropy,
                    jsd_to_final: row.jsd_to_final,
                    pinned: pinned.collect::<Result<_, _>>()?,
                })
            })
            .collect::<Result<_, Error>>()?;
        let paths = followed
            .iter()
            .zip(paths)
            .map(|(&id, probs)| Ok::<_, Error>(TokenPath { token: label(id)?, probs }));
        Ok(LensPosition {
            position,
            token: label(token)?,
            next: next.map(label).transpose()?,
            generated,
            settling_depth: settling_depth(&layers),
            layers: {
                layers.iter_mut().for_each(|opinion| opinion.top.truncate(lens.top));
                layers
            },
            before: candidate(before)?,
            after: candidate(after)?,
            margins,
            traces,
            paths: paths.collect::<Result<_, _>>()?,
        })
    }

    /// The token that is written exactly so, for [`LensOptions::pinned`].
    ///
    /// # Errors
    /// [`Error::NoToken`], with the tokens that make up the text, and those of
    /// [`Model::tokenize`](crate::Model::tokenize).
    pub fn token(&self, text: &str) -> Result<u32, Error> {
        let model = self.model();
        let tokens = model.tokenize(text, false, true)?;
        let is_text = |&id: &u32| model.label(id).is_ok_and(|label| label == text.as_bytes());
        // All are searched, as the tokenizer may put a blank in front of a text. Tokens
        // for bytes have the texts of others.
        let all = (0..model.n_vocab() as u32).filter(is_text);
        all.min_by_key(|&id| model.is_byte(id)).ok_or_else(|| {
            let pieces = tokens.iter().map(|&id| model.label(id).unwrap_or_default());
            let pieces = pieces.map(|piece| format!("{:?}", String::from_utf8_lossy(&piece)));
            Error::NoToken { text: text.to_owned(), pieces: pieces.collect() }
        })
    }
}

/// What a trace's votes added to the lead of the method's choice, in logits.
fn gain(trace: &Trace, choice: &Choice) -> f64 {
    match trace {
        Trace::Votes(votes) => {
            let sum = |carried: Vec<(usize, f64)>| carried.iter().map(|(_, by)| by).sum::<f64>();
            let (before, after) = (choice.before, choice.after);
            let share = sum(votes.carried(before, after)) - sum(votes.carried(after, before));
            votes.weight * share
        }
        Trace::Contrast { .. } => 0.0,
    }
}

/// The first layer from which on all have the first choice of the last.
fn settling_depth(layers: &[Opinion]) -> usize {
    let first = |opinion: &Opinion| opinion.top.first().map(|candidate| candidate.token.id);
    let settled = layers.last().map(first);
    let run = layers.iter().rev().take_while(|opinion| Some(first(opinion)) == settled);
    run.last().map_or(0, |opinion| opinion.layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinions(firsts: &[u32]) -> Vec<Opinion> {
        let opinion = |(layer, &id): (usize, &u32)| Opinion {
            layer: 2 * layer,
            top: vec![Candidate { token: Token { id, text: String::new() }, prob: 0.5 }],
            entropy: 0.0,
            jsd_to_final: 0.0,
            pinned: Vec::new(),
        };
        firsts.iter().enumerate().map(opinion).collect()
    }

    #[test]
    fn a_position_settles_where_the_first_choice_changes_no_more() {
        // Layers 0, 2, 4 and so on.
        assert_eq!(settling_depth(&opinions(&[3, 5, 3, 5, 5, 5])), 6);
        assert_eq!(settling_depth(&opinions(&[5, 5, 5])), 0);
        assert_eq!(settling_depth(&opinions(&[5, 5, 9])), 4);
    }
}
