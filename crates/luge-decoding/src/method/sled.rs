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
//! vocabulary, whatever k is. Where p is almost one-hot these cancel to
//! nothing, so the sums are taken relative to the layer's best token m and
//! leave it out: with S1 = Σ p_j, S2 = Σ p_j², D = Σ p_j (d_j − d_m), all over
//! j ≠ m,
//!
//! | i | ⟨d, p − e_i⟩ | ‖p − e_i‖² |
//! |---|---|---|
//! | m | D | S2 + S1² |
//! | other | D + d_m − d_i | S2 + p_m² − 2p_i + 1 |
//!
//! and the second line cannot cancel, as p_i ≤ ½ there.

use super::params::{EXIT_NORM, EXIT_SOFTCAP, LAYERS};
use super::{Method, MethodInfo, ModelShape, ParamSpec, Params, Position, Stage, Value};
use crate::Error;
use crate::exits::ExitForm;
use crate::layers::LayerSelection;
use crate::numeric::{BLOCK, LANES, argmax, exp, log_sum_exp, top_k};

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
}

impl SledStage {
    /// w: the layers' joint vote, `[k]` in the order of `top`. Sums to 1, or is
    /// all zero where no layer votes.
    fn target(&self, position: &mut Position<'_>, top: &[u32]) -> Result<Vec<f64>, Error> {
        let (final_logits, exits) = position.layers()?;
        let mut total = vec![0.0; top.len()];
        for &layer in &self.layers {
            let vote = layer_vote(exits.of(layer), final_logits, top)
                .ok_or_else(|| Error::NotANumber { whose: format!("exit {layer}") })?;
            for (sum, vote) in total.iter_mut().zip(vote) {
                *sum += vote;
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
}

/// Step 3 of the module's description. With one step only the k best logits
/// are wanted; with more, every logit moves, as each step's softmax is over
/// the whole vocabulary.
fn evolve(current: &mut [f32], top: &[u32], target: &[f64], s: &Sled) {
    let temperature = f64::from(s.temperature);
    let mut scaled: Vec<f32> = Vec::new();
    for step in 0..s.steps {
        let rate = f64::from(s.rate) / temperature * (1.0 - step as f64 / s.steps as f64);
        let norm = if s.temperature == 1.0 {
            log_sum_exp(current)
        } else {
            scaled.clear();
            scaled.extend(current.iter().map(|&logit| logit / s.temperature));
            log_sum_exp(&scaled)
        };
        let probability = |logit: f32| (f64::from(logit) / temperature - norm).exp();

        let moved: Vec<f32> = top
            .iter()
            .zip(target)
            .map(|(&token, &w)| {
                let logit = current[token as usize];
                (f64::from(logit) - rate * (probability(logit) - w)) as f32
            })
            .collect();
        if step + 1 < s.steps {
            let (inverse, norm, rate) = (1.0 / s.temperature, norm as f32, rate as f32);
            for logit in current.iter_mut() {
                *logit -= rate * exp(*logit * inverse - norm);
            }
        }
        for (&token, &logit) in top.iter().zip(&moved) {
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
/// `exit` and `final_logits` are logits over the vocabulary, `[vocab]`. The
/// squared cosine of the module's description, with both norms taken as at
/// least 1e-8, as a cosine similarity is guarded. Tokens that the model rules
/// out in both (−∞) take no part. `None` if the exit holds NaN or infinity.
pub fn layer_vote(exit: &[f32], final_logits: &[f32], candidates: &[u32]) -> Option<Vec<f64>> {
    const TINY: f64 = 1e-8;
    let sums = LayerSums::new(exit, final_logits)?;
    let d_norm = sums.d_squared.sqrt().max(TINY);
    let vote = |&token: &u32| {
        let i = token as usize;
        let (dot, squared) = if i == sums.best {
            (sums.d_weighted, sums.p_squared + sums.p_rest * sums.p_rest)
        } else {
            let p_i = f64::from(exit[i] - exit[sums.best]).exp() * sums.p_best;
            let d_i = f64::from(difference(exit[i], final_logits[i]));
            (
                sums.d_weighted + sums.d_best - d_i,
                sums.p_squared + sums.p_best * sums.p_best - 2.0 * p_i + 1.0,
            )
        };
        let cosine = dot / (d_norm * squared.max(0.0).sqrt().max(TINY));
        // Rounding may take it a little above 1.
        cosine.clamp(0.0, 1.0).powi(2)
    };
    Some(candidates.iter().map(vote).collect())
}

/// d_j = z_n − z_L of one token; 0 where both are −∞.
#[inline(always)]
fn difference(exit: f32, last: f32) -> f32 {
    if exit == last { 0.0 } else { exit - last }
}

/// The sums over the vocabulary that decide a layer's vote. All but ‖d‖² leave
/// out the layer's best token m.
struct LayerSums {
    /// m, the layer's best token.
    best: usize,
    /// p_m.
    p_best: f64,
    /// d_m.
    d_best: f64,
    /// S1 = Σ p_j.
    p_rest: f64,
    /// S2 = Σ p_j².
    p_squared: f64,
    /// D = Σ p_j (d_j − d_m).
    d_weighted: f64,
    /// ‖d‖² = Σ d_j², over all j.
    d_squared: f64,
}

impl LayerSums {
    fn new(exit: &[f32], final_logits: &[f32]) -> Option<Self> {
        let best = argmax(exit);
        let (z_best, d_best) = (exit[best], difference(exit[best], final_logits[best]));

        // With q_j = e^(z_j − z_m) = p_j / p_m: Σ q, Σ q², Σ q (d − d_m), Σ d².
        let mut sums = [0.0f64; 4];
        let mut add = |exit: &[f32], last: &[f32]| {
            for (exit, last) in exit.chunks(BLOCK).zip(last.chunks(BLOCK)) {
                let mut lanes = [[0.0f32; LANES]; 4];
                let (exit, last) = (exit.chunks_exact(LANES), last.chunks_exact(LANES));
                let (exit_rest, last_rest) = (exit.remainder(), last.remainder());
                for (exit, last) in exit.zip(last) {
                    for lane in 0..LANES {
                        let d = difference(exit[lane], last[lane]);
                        let q = exp(exit[lane] - z_best);
                        lanes[0][lane] += q;
                        lanes[1][lane] += q * q;
                        lanes[2][lane] += q * (d - d_best);
                        lanes[3][lane] += d * d;
                    }
                }
                for (sum, lanes) in sums.iter_mut().zip(&lanes) {
                    *sum += f64::from(lanes.iter().sum::<f32>());
                }
                for (&exit, &last) in exit_rest.iter().zip(last_rest) {
                    let d = f64::from(difference(exit, last));
                    let q = f64::from(exp(exit - z_best));
                    sums[0] += q;
                    sums[1] += q * q;
                    sums[2] += q * (d - f64::from(d_best));
                    sums[3] += d * d;
                }
            }
        };
        // The best token is left out by summing what lies before and behind it.
        add(&exit[..best], &final_logits[..best]);
        add(&exit[best + 1..], &final_logits[best + 1..]);

        let d_best = f64::from(d_best);
        let p_best = 1.0 / (1.0 + sums[0]);
        let all = LayerSums {
            best,
            p_best,
            d_best,
            p_rest: sums[0] * p_best,
            p_squared: sums[1] * p_best * p_best,
            d_weighted: sums[2] * p_best,
            d_squared: sums[3] + d_best * d_best,
        };
        (all.d_squared.is_finite() && all.d_weighted.is_finite()).then_some(all)
    }
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
