//! SLED, Self Logits Evolution Decoding.
//!
//! Zhang et al., *SLED: Self Logits Evolution Decoding for Improving Factuality
//! in Large Language Models*, NeurIPS 2024, arXiv:2411.02433, section 2 and
//! algorithm 1.
//!
//! Training moves the final logits z_L so that softmax(z_L) approaches the
//! distribution of real text. SLED asks what that distribution would be if the
//! difference between an early exit and the final layer were itself such a
//! step: a step of gradient descent on KL(e_i, p) moves logits along
//! e_i − p, so where z_L − z_n points along e_i − p_n, layer n "believes" in
//! token i. Over the k best tokens I of z_L:
//!
//! 1. m(n,i) = max(0, cos(z_n − z_L, p_n − e_i))², the cosine over the whole
//!    vocabulary, p_n = softmax(z_n);
//! 2. w_i = Σ_n m(n,i) / Σ_n Σ_j m(n,j) (the paper normalises each layer and
//!    then weights layers by their share, which cancels into this);
//! 3. T steps z ← z − (α/τ)(1 − t/T)(softmax(z/τ) − w) from z = z_L;
//! 4. tokens outside I get the lower bound η.
//!
//! # The cosine without the k × vocabulary × layers tensors
//! With d = z_n − z_L and p = p_n, ⟨d, p − e_i⟩ = ⟨p,d⟩ − d_i and
//! ‖p − e_i‖² = ‖p‖² − 2p_i + 1, so a layer needs four sums over the
//! vocabulary, whatever k is: its [`LayerSums`]. Where p is almost one-hot these
//! cancel to nothing, so the sums leave out the layer's best token m: with S1 = Σ p_j, S2 = Σ p_j², D = Σ p_j (d_j − d_m), all over
//! j ≠ m,
//!
//! | i | ⟨d, p − e_i⟩ | ‖p − e_i‖² |
//! |---|---|---|
//! | m | D | S2 + S1² |
//! | other | D + d_m − d_i | S2 + p_m² − 2p_i + 1 |
//!
//! and the second line cannot cancel, as p_i ≤ ½ there.
//!
//! # What is known without the exits
//! The exits enter through w alone, and 0 ≤ w_i ≤ 1. With one step from z_L, token
//! i of I therefore ends between z_i − αp_i and z_i − αp_i + α, with α and p as in
//! step 3, and the others at η: [`Stage::bounds`]. Each later step, and each step
//! behind another stage, moves its own rate at most either way, as 0 ≤ p_i ≤ 1.
//! Every floating-point operation on the way is monotone in w_i and p_i, so that the
//! same expression at their ends bounds the computed number, not only the exact one.

use super::params::{EXIT_NORM, EXIT_SOFTCAP, LAYERS};
use super::{
    Method, MethodInfo, ModelShape, ParamSpec, Params, Position, Stage, Trace, Value, Votes,
};
use crate::Error;
use crate::bounds::{Bounds, Limits};
use crate::exits::{ExitDetail, ExitForm};
use crate::layers::LayerSelection;
use crate::numeric::{exp, log_sum_exp, top_k};
use crate::sums::LayerSums;

pub(super) const INFO: MethodInfo = MethodInfo {
    name: "sled",
    about: "SLED: the final logits take a step towards what all layers know (NeurIPS 2024)",
    params: &[
        ParamSpec {
            name: "evolution-rate",
            value: "RATE",
            help: "SLED's α, the length of the step; 0 leaves only the top-k cut, typical 0.5 to 3 [default: 2]",
        },
        ParamSpec {
            name: "evolution-scale",
            value: "TOKENS",
            help: "SLED's k, how many of the final layer's best tokens take part; typical 5 to 100 [default: 10]",
        },
        ParamSpec {
            name: "evolution-steps",
            value: "STEPS",
            help: "SLED's T, the number of steps [default: 1]",
        },
        ParamSpec {
            name: "evolution-temperature",
            value: "TEMP",
            help: "SLED's τ, the temperature of the softmax inside a step [default: 1]",
        },
        ParamSpec {
            name: "evolution-lower-bound",
            value: "LOGIT",
            help: "SLED's η, the logit of tokens that take no part [default: -1000]",
        },
        LAYERS,
        EXIT_NORM,
        EXIT_SOFTCAP,
    ],
    build: |params| Ok(Box::new(Sled::from_params(params)?)),
};

/// The settings of SLED. The defaults are the reference's for generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sled {
    /// α, the evolution rate, at least 0. At 0 only the top-k cut is left.
    pub rate: f32,
    /// k, the evolution scale: how many tokens take part, 1 to the vocabulary.
    pub scale: usize,
    /// T, the number of steps, at least 1.
    pub steps: usize,
    /// τ, the softmax temperature inside a step, above 0.
    pub temperature: f32,
    /// η, the logit of tokens outside the k best, finite.
    pub lower_bound: f32,
    /// E, the early exits that vote.
    pub layers: LayerSelection,
    /// How their logits are made.
    pub form: ExitForm,
}

impl Default for Sled {
    fn default() -> Self {
        Sled {
            rate: 2.0,
            scale: 10,
            steps: 1,
            temperature: 1.0,
            lower_bound: -1000.0,
            layers: LayerSelection::All,
            form: ExitForm::default(),
        }
    }
}

impl Sled {
    fn from_params(params: &Params) -> Result<Self, Error> {
        let d = Sled::default();
        Ok(Sled {
            rate: params.parse(
                "evolution-rate",
                d.rate,
                "a number of at least 0",
                |&rate: &f32| rate >= 0.0 && rate.is_finite(),
            )?,
            scale: params.parse("evolution-scale", d.scale, "a count of at least 1", |&k| k > 0)?,
            steps: params.parse(
                "evolution-steps",
                d.steps,
                "a count from 1 to 10000",
                |steps| (1..=10_000).contains(steps),
            )?,
            temperature: params.parse(
                "evolution-temperature",
                d.temperature,
                "a number above 0",
                |&t: &f32| t > 0.0 && t.is_finite(),
            )?,
            lower_bound: params.parse(
                "evolution-lower-bound",
                d.lower_bound,
                "a finite number",
                |&bound: &f32| bound.is_finite(),
            )?,
            layers: params.get(LAYERS.name).map_or(Ok(d.layers), str::parse)?,
            form: params.exit_form()?,
        })
    }
}

impl Method for Sled {
    fn bind(&self, shape: &ModelShape) -> Result<Box<dyn Stage>, Error> {
        if self.scale > shape.vocab {
            return Err(Error::ScaleTooLarge { scale: self.scale, vocab: shape.vocab });
        }
        let layers = self.layers.resolve(shape.layers, shape.tied)?;
        Ok(Box::new(SledStage { settings: self.clone(), layers }))
    }

    fn exit_form(&self) -> Option<ExitForm> {
        Some(self.form)
    }
}

#[derive(Debug)]
struct SledStage {
    settings: Sled,
    layers: Vec<usize>,
}

impl Stage for SledStage {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn params(&self) -> Vec<(&'static str, Value)> {
        let s = &self.settings;
        vec![
            ("evolution-rate", Value::Real(s.rate)),
            ("evolution-scale", Value::Count(s.scale)),
            ("evolution-steps", Value::Count(s.steps)),
            ("evolution-temperature", Value::Real(s.temperature)),
            ("evolution-lower-bound", Value::Real(s.lower_bound)),
            ("layers", Value::Layers(self.layers.clone())),
        ]
    }

    fn layers(&self) -> &[usize] {
        &self.layers
    }

    fn detail(&self) -> ExitDetail {
        ExitDetail::Sums
    }

    fn apply(&self, position: &mut Position<'_>, current: &mut [f32]) -> Result<(), Error> {
        let s = &self.settings;
        let top = top_k(position.final_logits, s.scale);
        // Without a step there is nothing to vote on.
        if s.rate > 0.0 {
            let target = self.target(position, &top)?;
            evolve(current, &top, &target, s);
        }
        truncate(current, &top, s.lower_bound);
        Ok(())
    }

    /// A step adds to the logits it receives.
    fn is_additive(&self) -> bool {
        true
    }

    /// The layers' votes m(n,i), as shares of all of them.
    fn trace(&self, position: &mut Position<'_>) -> Result<Option<Trace>, Error> {
        if self.settings.rate == 0.0 {
            return Ok(None);
        }
        let tokens = top_k(position.final_logits, self.settings.scale);
        let mut shares = self.votes(position, &tokens)?;
        let mass: f64 = shares.iter().flatten().sum();
        if mass > 0.0 {
            shares.iter_mut().flatten().for_each(|share| *share /= mass);
        }
        let weight = (0..self.settings.steps).map(|step| self.settings.step_length(step)).sum();
        Ok(Some(Trace::Votes(Votes { tokens, layers: self.layers.clone(), shares, weight })))
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn bounds(&self, final_logits: &[f32], before: Option<&Bounds>) -> Option<Bounds> {
        let s = &self.settings;
        let mut top = top_k(final_logits, s.scale);
        top.sort_unstable();
        let known = |token| Limits::exactly(final_logits[token as usize]);
        let start = |token| before.map_or_else(|| known(token), |before| before.of(token));
        let mut tokens: Vec<(u32, Limits)> =
            top.into_iter().map(|token| (token, start(token))).collect();
        if s.rate > 0.0 {
            let given = tokens.iter().chain(before.iter().flat_map(|before| &before.tokens));
            let logits = given.flat_map(|(_, limits)| [limits.low, limits.high]);
            if !s.is_moderate(logits.chain(before.map(|before| before.rest))) {
                return None;
            }
            // Before the first step of the first stage, logits are known.
            let norm = before.is_none().then(|| s.norm(final_logits, &mut Vec::new()));
            for step in 0..s.steps {
                let rate = s.step_length(step);
                for (_, limits) in &mut tokens {
                    let p = norm.filter(|_| step == 0).map(|norm| s.probability(limits.low, norm));
                    limits.low = moved(limits.low, rate, p.unwrap_or(1.0), 0.0);
                    limits.high = moved(limits.high, rate, p.unwrap_or(0.0), 1.0);
                }
            }
        }
        Some(Bounds { vocab: final_logits.len(), tokens, rest: s.lower_bound })
    }
}

impl SledStage {
    /// w: the layers' joint vote, `[k]` in the order of `top`. Sums to 1, or is
    /// all zero where no layer votes.
    fn target(&self, position: &mut Position<'_>, top: &[u32]) -> Result<Vec<f64>, Error> {
        let mut total = vec![0.0; top.len()];
        for votes in self.votes(position, top)? {
            for (total, vote) in total.iter_mut().zip(votes) {
                *total += vote;
            }
        }
        let mass: f64 = total.iter().sum();
        if mass > 0.0 {
            for share in &mut total {
                *share /= mass;
            }
        }
        Ok(total)
    }

    /// m: each layer's votes, `[layers × k]`.
    fn votes(&self, position: &mut Position<'_>, top: &[u32]) -> Result<Vec<Vec<f64>>, Error> {
        let sums = position.sums(top)?;
        let votes = self.layers.iter().map(|&layer| {
            let (sums, logits) = sums.layer(layer);
            if !sums.is_finite() {
                return Err(Error::NotANumber { whose: format!("exit {layer}") });
            }
            let vote = |(&token, &logit): (&u32, &f32)| {
                sums.vote(logit, position.final_logits[token as usize])
            };
            Ok(top.iter().zip(logits).map(vote).collect())
        });
        votes.collect()
    }
}

impl Sled {
    /// The length of step t of step 3: (α/τ)(1 − t/T).
    fn step_length(&self, step: usize) -> f64 {
        f64::from(self.rate) / f64::from(self.temperature) * (1.0 - step as f64 / self.steps as f64)
    }

    /// ln Σ e^(z/τ); `scaled` is room for z/τ.
    fn norm(&self, logits: &[f32], scaled: &mut Vec<f32>) -> f64 {
        if self.temperature == 1.0 {
            return log_sum_exp(logits);
        }
        scaled.clear();
        scaled.extend(logits.iter().map(|&logit| logit / self.temperature));
        log_sum_exp(scaled)
    }

    /// softmax(z/τ) of a token, in 0..=1.
    fn probability(&self, logit: f32, norm: f64) -> f64 {
        // The norm is of logits divided in f32, so that this may round to above 1.
        (f64::from(logit) / f64::from(self.temperature) - norm).exp().clamp(0.0, 1.0)
    }

    /// Whether no number can overflow on the way from these logits: larger ones
    /// are for [`Stage::apply`] to judge.
    fn is_moderate(&self, logits: impl Iterator<Item = f32>) -> bool {
        const LARGE: f64 = 1e30;
        // Those at −∞ stay there.
        let finite = logits.filter(|logit| *logit > f32::NEG_INFINITY);
        let largest = finite.map(f32::abs).fold(0.0, f32::max);
        // All steps together.
        let way = self.step_length(0) * (self.steps as f64 + 1.0) / 2.0;
        (f64::from(largest) + way) / f64::from(self.temperature).min(1.0) < LARGE
    }
}

/// A token's logit after a step of this length; `p` is its probability before.
///
/// Grows with `logit` and `w` and falls with `p`, as computed too: the bounds rest
/// on that.
fn moved(logit: f32, rate: f64, p: f64, w: f64) -> f32 {
    (f64::from(logit) - rate * (p - w)) as f32
}

/// Step 3 of the module's description. With one step only the k best logits
/// are wanted; with more, every logit moves, as each step's softmax is over
/// the whole vocabulary.
fn evolve(current: &mut [f32], top: &[u32], target: &[f64], s: &Sled) {
    let mut scaled: Vec<f32> = Vec::new();
    for step in 0..s.steps {
        let rate = s.step_length(step);
        let norm = s.norm(current, &mut scaled);
        let evolved: Vec<f32> = top
            .iter()
            .zip(target)
            .map(|(&token, &w)| {
                let logit = current[token as usize];
                moved(logit, rate, s.probability(logit, norm), w)
            })
            .collect();
        if step + 1 < s.steps {
            let (inverse, norm, rate) = (1.0 / s.temperature, norm as f32, rate as f32);
            for logit in current.iter_mut() {
                *logit -= rate * exp(*logit * inverse - norm);
            }
        }
        for (&token, &logit) in top.iter().zip(&evolved) {
            current[token as usize] = logit;
        }
    }
}

/// Step 4: everything outside `top` gets the lower bound.
fn truncate(current: &mut [f32], top: &[u32], lower_bound: f32) {
    let kept: Vec<f32> = top.iter().map(|&token| current[token as usize]).collect();
    current.fill(lower_bound);
    for (&token, &logit) in top.iter().zip(&kept) {
        current[token as usize] = logit;
    }
}

/// m(n,i): how strongly one layer votes for each candidate, `[candidates]`,
/// each in 0..=1.
///
/// `exit` and `final_logits` are logits over the vocabulary, `[vocab]`. Tokens
/// that the model rules out in both (−∞) take no part. `None` if the exit holds
/// NaN or infinity.
pub fn layer_vote(exit: &[f32], final_logits: &[f32], candidates: &[u32]) -> Option<Vec<f64>> {
    let sums = LayerSums::of(exit, final_logits);
    let vote = |&token: &u32| sums.vote(exit[token as usize], final_logits[token as usize]);
    sums.is_finite().then(|| candidates.iter().map(vote).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cosine as METHODS.md defines it, over the whole vocabulary.
    fn literal_vote(exit: &[f32], last: &[f32], token: usize) -> f64 {
        let wide = |z: &[f32]| z.iter().map(|&z| f64::from(z)).collect::<Vec<_>>();
        let (exit, last) = (wide(exit), wide(last));
        let largest = exit.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = exit.iter().map(|z| (z - largest).exp()).sum();
        let (mut dot, mut d2, mut p2) = (0.0, 0.0, 0.0);
        for j in 0..exit.len() {
            let p = (exit[j] - largest).exp() / sum - f64::from(u8::from(j == token));
            let d = exit[j] - last[j];
            dot += p * d;
            d2 += d * d;
            p2 += p * p;
        }
        (dot / (d2.sqrt().max(1e-8) * p2.sqrt().max(1e-8))).max(0.0).powi(2)
    }

    #[test]
    fn a_layer_almost_sure_of_a_token_keeps_its_digits() {
        // 1 − p of token 3 is about 1e-9: ‖p‖² − 2p + 1 would be 0 in f32.
        let exit: Vec<f32> =
            (0..50).map(|i| if i == 3 { 22.0 } else { (i as f32 * 0.7).sin() }).collect();
        let last: Vec<f32> = (0..50).map(|i| (i as f32 * 1.3).cos() * 2.0).collect();
        let votes = layer_vote(&exit, &last, &[3, 4, 20]).unwrap();
        for (&token, vote) in [3, 4, 20].iter().zip(votes) {
            let literal = literal_vote(&exit, &last, token);
            assert!((vote - literal).abs() < 1e-5 * literal.max(1e-3), "{token}: {vote} {literal}");
        }
    }

    #[test]
    fn tokens_ruled_out_by_the_model_take_no_part() {
        let exit = [1.0, 0.5, f32::NEG_INFINITY, -1.0];
        let last = [0.2, 0.9, f32::NEG_INFINITY, 0.3];
        let without = layer_vote(&[1.0, 0.5, -1.0], &[0.2, 0.9, 0.3], &[0, 1]).unwrap();
        assert_eq!(layer_vote(&exit, &last, &[0, 1]).unwrap(), without);
    }

    #[test]
    fn nan_in_an_exit_is_noticed() {
        assert!(layer_vote(&[1.0, f32::NAN, 0.0], &[0.0, 1.0, 2.0], &[0]).is_none());
        assert!(layer_vote(&[f32::NAN; 3], &[0.0, 1.0, 2.0], &[0]).is_none());
        assert!(layer_vote(&[f32::INFINITY, 0.0, 0.0], &[0.0, 1.0, 2.0], &[0]).is_none());
    }

    #[test]
    fn an_exit_equal_to_the_final_layer_has_no_vote() {
        let z = [0.3, 2.0, -1.0, 0.0];
        assert_eq!(layer_vote(&z, &z, &[0, 1, 2, 3]).unwrap(), [0.0; 4]);
    }
}
