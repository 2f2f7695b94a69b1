//! Choosing a token from logits: penalties, filters, seeded noise.
//!
//! Sampling comes after the method, whatever that is, in the usual order:
//! penalties, logit bias, a mask of tokens that may not be chosen if there is one,
//! temperature, top-k, top-p, min-p. The token is then
//! drawn by the Gumbel-max trick: of the tokens that are left, the one with
//! the largest logit/temperature + noise, the noise a function of the seed, the
//! step and the token ([`gumbel`]). That is a draw from their softmax. As the
//! noise does not depend on the logits, two sets of logits can be compared
//! under the same luck: a token differs because the logits differ.

mod decided;
mod filters;
mod mask;
mod noise;
mod penalties;

pub use mask::TokenMask;
pub use noise::gumbel;

use crate::numeric::{argmax, max};

/// How a token is chosen. The default takes the best token.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits; at 0 the best token is taken and the filters and
    /// the seed play no part. At least 0.
    pub temperature: f32,
    /// Keeps the k best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest best tokens whose probabilities reach this sum; 1
    /// keeps all. In 0..=1.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the best probability; 0 keeps
    /// all. In 0..=1.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens
    /// (CTRL, Keskar et al. 2019); 1 leaves them. Above 0.
    pub repeat_penalty: f32,
    /// How many of the last tokens count as recent; 0 for none.
    pub repeat_last_n: usize,
    /// Subtracted from a logit once for each time its token is recent.
    pub frequency_penalty: f32,
    /// Subtracted from a logit if its token is recent.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens; −∞ rules a token out.
    pub logit_bias: Vec<(u32, f32)>,
    /// Decides the noise: same seed, same draw.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        SamplerOptions {
            temperature: 0.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// Chooses tokens as its options say.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
}

impl Sampler {
    /// A sampler. Options are taken as they are: ranges are the caller's to
    /// check.
    pub fn new(options: SamplerOptions) -> Self {
        Sampler { options }
    }

    /// The options it was made from.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Whether the choice is the best token of the logits as they are.
    pub fn is_argmax(&self) -> bool {
        self.options.temperature == 0.0
            && self.options.logit_bias.is_empty()
            && !penalties::active(&self.options)
    }

    /// Whether a bias rules a token out.
    pub fn has_bans(&self) -> bool {
        self.options.logit_bias.iter().any(|&(_, bias)| bias == f32::NEG_INFINITY)
    }

    /// The chosen token.
    ///
    /// `logits` are over the vocabulary, `[vocab]`; penalties and biases are
    /// written into them. `history` is every token so far, prompt included, and
    /// `step` counts the tokens chosen before this one.
    ///
    /// # Panics
    /// If `logits` is empty.
    pub fn choose(&self, logits: &mut [f32], history: &[u32], step: u64) -> u32 {
        self.choose_among(None, logits, history, step)
    }

    /// As [`Sampler::choose`], among the tokens that a mask allows; the mask is written
    /// into the logits too. Where no token is left that has a logit above −∞, the one
    /// that comes back may be any.
    ///
    /// # Panics
    /// If `logits` is empty.
    pub fn choose_among(
        &self,
        allowed: Option<&TokenMask>,
        logits: &mut [f32],
        history: &[u32],
        step: u64,
    ) -> u32 {
        self.adjust(history, |token, adjusted| {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = adjusted(*logit);
            }
        });
        if let Some(mask) = allowed {
            mask.apply(logits);
        }
        if self.options.temperature == 0.0 {
            return argmax(logits) as u32;
        }
        let kept = filters::keep(logits, &self.options);
        let noise = noise::gumbel_of(self.options.seed, step, &kept);
        let best = max(logits);
        kept.iter()
            .zip(noise)
            .map(|(&token, noise)| {
                let scaled = (logits[token as usize] - best) / self.options.temperature;
                (f64::from(scaled) + noise, token)
            })
            // Of equal scores the lower token, as in argmax.
            .max_by(|(a, token_a), (b, token_b)| a.total_cmp(b).then(token_b.cmp(token_a)))
            .map_or_else(|| argmax(logits) as u32, |(_, token)| token)
    }

    /// Calls `each` with every token that penalties and biases concern, which may
    /// lie outside the vocabulary or come twice, and with what they make of its
    /// logit.
    fn adjust(&self, history: &[u32], mut each: impl FnMut(u32, &dyn Fn(f32) -> f32)) {
        for (token, count) in penalties::counts(history, &self.options) {
            each(token, &|logit| penalties::lowered(logit, count, &self.options));
        }
        for &(token, bias) in &self.options.logit_bias {
            each(token, &|logit| logit + bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(temperature: f32, seed: u64) -> Sampler {
        Sampler::new(SamplerOptions {
            temperature,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed,
            ..SamplerOptions::default()
        })
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [1.0f32, 0.0, -1.0, 2.0];
        let total: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
        let sampler = sampled(1.0, 7);
        let mut counts = [0u32; 4];
        const DRAWS: u64 = 40_000;
        for step in 0..DRAWS {
            counts[sampler.choose(&mut logits.clone(), &[], step) as usize] += 1;
        }
        for (count, logit) in counts.iter().zip(logits) {
            let share = f64::from(*count) / DRAWS as f64;
            let wanted = f64::from(logit).exp() / total;
            // Four standard deviations at most are 0.01.
            assert!((share - wanted).abs() < 0.01, "{share} is not {wanted}");
        }
    }

    #[test]
    fn same_seed_same_draws_and_another_seed_others() {
        let logits: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin()).collect();
        let run = |seed| -> Vec<u32> {
            (0..50).map(|step| sampled(1.0, seed).choose(&mut logits.clone(), &[], step)).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn temperature_zero_takes_the_best_after_bias_and_penalty() {
        let biased = Sampler::new(SamplerOptions {
            logit_bias: vec![(2, 10.0), (99, 1.0)],
            ..SamplerOptions::default()
        });
        assert_eq!(biased.choose(&mut [3.0, 2.0, 1.0], &[], 0), 2);
        let penalised =
            Sampler::new(SamplerOptions { repeat_penalty: 4.0, ..SamplerOptions::default() });
        assert_eq!(penalised.choose(&mut [3.0, 2.0, 1.0], &[0], 0), 1);
    }
}
