//! Choosing a token before the logits are known.

use std::collections::BTreeMap;

use super::{Sampler, TokenMask, filters, noise};
use crate::bounds::{Bounds, Limits};

/// What the rounding of the two scores that are compared can come to, for each
/// unit of their size: in each a subtraction and a division in `f32`, 2^-24
/// each, and as much again to be safe.
const ROUNDING: f64 = 1.0 / (1u64 << 21) as f64;

/// The same where the scores are small: subnormal numbers, sums in `f64`.
const LEAST_ROUNDING: f64 = 1e-9;

impl Sampler {
    /// The token that [`Sampler::choose`] takes from any logits within the bounds,
    /// for this history and step; `None` where that is not certain.
    ///
    /// Penalties and biases are applied to both limits of a token by the very
    /// operations that `choose` applies to its logit. These never fall where the
    /// logit grows, so that the results are limits again.
    pub fn decided(&self, bounds: &Bounds, history: &[u32], step: u64) -> Option<u32> {
        self.decided_among(None, bounds, history, step)
    }

    /// As [`Sampler::decided`] for [`Sampler::choose_among`].
    pub fn decided_among(
        &self,
        allowed: Option<&TokenMask>,
        bounds: &Bounds,
        history: &[u32],
        step: u64,
    ) -> Option<u32> {
        let mut tokens: BTreeMap<u32, Limits> = bounds.tokens.iter().copied().collect();
        self.adjust(history, |token, adjusted| {
            if (token as usize) < bounds.vocab {
                let limits = tokens.entry(token).or_insert(Limits::exactly(bounds.rest));
                *limits = Limits { low: adjusted(limits.low), high: adjusted(limits.high) };
            }
        });
        // Options out of range may make anything of a logit, NaN included.
        let in_order = |limits: &Limits| limits.low <= limits.high && limits.high < f32::INFINITY;
        if !tokens.values().all(in_order) {
            return None;
        }
        let others = match allowed {
            None => bounds.vocab,
            Some(mask) => {
                tokens.retain(|&token, _| mask.allows(token));
                mask.count()
            }
        };
        let rest = (tokens.len() < others).then_some(bounds.rest);
        if self.options.temperature == 0.0 {
            return certainly_best(&tokens, rest);
        }
        self.certainly_drawn(tokens, rest, step)
    }

    /// As [`Sampler::decided`], with a temperature and behind penalties and biases.
    fn certainly_drawn(
        &self,
        mut tokens: BTreeMap<u32, Limits>,
        rest: Option<f32>,
        step: u64,
    ) -> Option<u32> {
        let options = &self.options;
        let temperature = f64::from(options.temperature);
        // The best logit lies between these.
        let least = tokens.values().map(|limits| limits.low).fold(f32::NEG_INFINITY, f32::max);
        let most = tokens.values().map(|limits| limits.high).fold(f32::NEG_INFINITY, f32::max);
        // As min-p computes it, for the largest logit and the smallest best one.
        let cut = |high: f32| {
            let scaled = (high - least) / options.temperature;
            f64::from(scaled) < f64::from(options.min_p).ln()
        };
        tokens.retain(|_, limits| limits.high > f32::NEG_INFINITY && !cut(limits.high));
        let ids: Vec<u32> = tokens.keys().copied().collect();
        let noises = noise::gumbel_of(options.seed, step, &ids);
        let drawn: Vec<(u32, Limits, f64)> = tokens
            .into_iter()
            .zip(noises)
            .map(|((token, limits), noise)| (token, limits, noise))
            .collect();

        let score =
            |(_, limits, noise): &&(u32, Limits, f64)| f64::from(limits.low) / temperature + noise;
        let &(token, own, own_noise) = drawn.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
        let others = || drawn.iter().filter(|(other, ..)| *other != token);
        let loses = |high: f32, noise: f64| {
            let lead = (f64::from(own.low) - f64::from(high)) / temperature + own_noise - noise;
            let size = (f64::from(most) - f64::from(high.min(own.low))) / temperature;
            lead > ROUNDING * size + LEAST_ROUNDING
        };
        let is_drawn = rest.is_none_or(|rest| cut(rest) || loses(rest, noise::LARGEST))
            && others().all(|&(_, limits, noise)| loses(limits.high, noise));

        // The filters never drop the best token, and top-k alone none that has few
        // enough above it. Of the rest, none is: it loses even with more noise.
        let rivals = others().filter(|(_, limits, _)| limits.high >= own.low).count();
        let few = options.top_k == 0 || rivals < options.top_k;
        let is_kept = rivals == 0 || few && !filters::by_share(options);

        // Otherwise the token's own score may overflow.
        let is_moderate = f64::from(most) - f64::from(own.low) < f64::from(f32::MAX);
        (temperature > 0.0 && is_drawn && is_kept && is_moderate).then_some(token)
    }
}

/// The token whose logit is certainly the largest, of equal ones the lowest.
fn certainly_best(tokens: &BTreeMap<u32, Limits>, rest: Option<f32>) -> Option<u32> {
    // `max_by` takes the last of equal ones.
    let by_low = tokens.iter().rev().max_by(|(_, a), (_, b)| a.low.total_cmp(&b.low));
    let (&token, &Limits { low, .. }) = by_low?;
    let loses = |(&other, limits): (&u32, &Limits)| {
        other == token || limits.high < low || limits.high == low && token < other
    };
    let is_best = rest.is_none_or(|rest| rest < low) && tokens.iter().all(loses);
    // Of tokens that are all ruled out, none is the best.
    (is_best && low > f32::NEG_INFINITY).then_some(token)
}
