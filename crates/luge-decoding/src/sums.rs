//! Sums over the vocabulary of an exit, taken piece by piece.
//!
//! SLED's cosine needs an exit's logits only through a handful of sums over the
//! vocabulary and the logits of a few tokens. Each sum can be taken over any
//! pieces of the vocabulary, by several threads or devices, and merged, like an
//! online softmax: so an engine may hand out logits tile by tile, and never has
//! to keep them.

use crate::exits::ExitLogits;
use crate::numeric::{BLOCK, LANES, exp, max};

/// Sums over the vocabulary, or a piece of it, of an exit's logits z and the
/// final logits z_L.
///
/// Written with q_j = e^(z_j − z_m), where z_m is the largest logit. Tokens
/// with that logit, the best, are kept out of the sums of q, so that where one
/// is almost certain it does not swallow the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerSums {
    /// z_m, −∞ over nothing.
    pub best: f32,
    /// How many tokens have it.
    pub best_count: f64,
    /// Σ d_j over those.
    pub best_d: f64,
    /// Σ q_j over the others.
    pub q: f64,
    /// Σ q_j² over the others.
    pub q_squared: f64,
    /// Σ q_j d_j over the others.
    pub q_d: f64,
    /// ‖d‖² = Σ d_j², over all.
    pub d_squared: f64,
}

impl LayerSums {
    /// The sums over nothing.
    pub const EMPTY: LayerSums = LayerSums {
        best: f32::NEG_INFINITY,
        best_count: 0.0,
        best_d: 0.0,
        q: 0.0,
        q_squared: 0.0,
        q_d: 0.0,
        d_squared: 0.0,
    };

    /// The sums over tokens whose logits are `exit` and `final_logits`, two
    /// slices of one length.
    pub fn of(exit: &[f32], final_logits: &[f32]) -> Self {
        let best = max(exit);
        // Where the model rules out every token of a piece, all q are 0.
        let shift = if best > f32::NEG_INFINITY { best } else { 0.0 };
        // Σ q, Σ q², Σ q d, Σ d², the number of the best, their Σ d.
        let term = |exit: f32, last: f32| {
            let d = difference(exit, last);
            let e = exp(exit - shift);
            let (q, one) = if exit == best { (0.0, 1.0) } else { (e, 0.0) };
            // Subnormal numbers, which processors are slow with, are kept out.
            let q_squared = if q > 2e-19 { q * q } else { 0.0 };
            let q_d = if q > 0.0 { q * d } else { 0.0 };
            [q, q_squared, q_d, d * d, one, if exit == best { d } else { 0.0 }]
        };
        let mut sums = [0.0f64; 6];
        for (exit, last) in exit.chunks(BLOCK).zip(final_logits.chunks(BLOCK)) {
            let (exit, exit_rest) = exit.as_chunks::<LANES>();
            let (last, last_rest) = last.as_chunks::<LANES>();
            // One array each, so that each stays in a register.
            let [mut q, mut q_squared, mut q_d, mut d_squared, mut count, mut best_d] =
                [[0.0f32; LANES]; 6];
            for (exit, last) in exit.iter().zip(last) {
                for lane in 0..LANES {
                    let term = term(exit[lane], last[lane]);
                    q[lane] += term[0];
                    q_squared[lane] += term[1];
                    q_d[lane] += term[2];
                    d_squared[lane] += term[3];
                    count[lane] += term[4];
                    best_d[lane] += term[5];
                }
            }
            for (sum, lanes) in sums.iter_mut().zip([q, q_squared, q_d, d_squared, count, best_d]) {
                *sum += f64::from(lanes.iter().sum::<f32>());
            }
            for (&exit, &last) in exit_rest.iter().zip(last_rest) {
                for (sum, term) in sums.iter_mut().zip(term(exit, last)) {
                    *sum += f64::from(term);
                }
            }
        }
        let [q, q_squared, q_d, d_squared, best_count, best_d] = sums;
        LayerSums { best, best_count, best_d, q, q_squared, q_d, d_squared }
    }

    /// The sums over two pieces that do not overlap.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let (a, b) = if other.best > self.best { (other, self) } else { (self, other) };
        let d_squared = a.d_squared + b.d_squared;
        if a.best == b.best {
            return LayerSums {
                best: a.best,
                best_count: a.best_count + b.best_count,
                best_d: a.best_d + b.best_d,
                q: a.q + b.q,
                q_squared: a.q_squared + b.q_squared,
                q_d: a.q_d + b.q_d,
                d_squared,
            };
        }
        // Next to a's best, b's best tokens are some of the others.
        let ratio = f64::from(b.best - a.best).exp();
        LayerSums {
            q: a.q + ratio * (b.q + b.best_count),
            q_squared: a.q_squared + ratio * ratio * (b.q_squared + b.best_count),
            q_d: a.q_d + ratio * (b.q_d + b.best_d),
            d_squared,
            ..a
        }
    }

    /// Whether all logits were numbers that can be worked with; −∞ only where
    /// the final layer has it too.
    pub fn is_finite(&self) -> bool {
        self.best > f32::NEG_INFINITY && self.d_squared.is_finite() && self.q_d.is_finite()
    }

    /// How strongly the layer votes for a token in SLED, in 0..=1: the squared
    /// cosine of z − z_L and p − e_i, 0 where the cosine is negative. From the
    /// token's logits in this exit and in the final layer.
    ///
    /// Both norms are taken as at least 1e-8, as a cosine similarity is guarded.
    pub fn vote(&self, exit: f32, final_logit: f32) -> f64 {
        const TINY: f64 = 1e-8;
        // Of the vocabulary: Σ e^(z_j − z_m), and p_m.
        let total = self.best_count + self.q;
        let p_best = 1.0 / total;
        // The best tokens' mean d, and ⟨p,d⟩ less that.
        let d_best = self.best_d / self.best_count;
        let p_d = (self.q_d - d_best * self.q) * p_best;
        // Over all tokens but one of the best: Σ p_j², Σ p_j.
        let p_squared = (self.best_count - 1.0 + self.q_squared) * p_best * p_best;
        let p_rest = (self.best_count - 1.0 + self.q) * p_best;

        let dot = p_d + (d_best - f64::from(difference(exit, final_logit)));
        let squared = if exit == self.best {
            p_squared + p_rest * p_rest
        } else {
            let p = f64::from(exit - self.best).exp() * p_best;
            p_squared + p_best * p_best - 2.0 * p + 1.0
        };
        let d_norm = self.d_squared.sqrt().max(TINY);
        let cosine = dot / (d_norm * squared.max(0.0).sqrt().max(TINY));
        // Rounding may take it a little above 1.
        cosine.clamp(0.0, 1.0).powi(2)
    }
}

/// d_j = z_j − z_L,j of one token; 0 where both are −∞.
#[inline(always)]
fn difference(exit: f32, last: f32) -> f32 {
    if exit == last { 0.0 } else { exit - last }
}

/// The sums of a plan's exits at one position, with the logits of some tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitSums {
    layers: Vec<usize>,
    sums: Vec<LayerSums>,
    /// `[layers × tokens]`.
    logits: Vec<f32>,
}

impl ExitSums {
    /// Sums over nothing yet of `layers` (ascending), with room for the logits
    /// of so many tokens.
    pub fn new(layers: &[usize], tokens: usize) -> Self {
        ExitSums {
            layers: layers.to_vec(),
            sums: vec![LayerSums::EMPTY; layers.len()],
            logits: vec![0.0; layers.len() * tokens],
        }
    }

    /// The sums of exits that are in memory.
    pub fn of(exits: &ExitLogits<'_>, final_logits: &[f32], tokens: &[u32]) -> Self {
        let mut all = ExitSums::new(exits.layers(), tokens.len());
        for (place, &layer) in exits.layers().iter().enumerate() {
            let exit = exits.of(layer);
            all.merge(place, LayerSums::of(exit, final_logits));
            for (index, &token) in tokens.iter().enumerate() {
                all.set_logit(place, index, exit[token as usize]);
            }
        }
        all
    }

    /// Adds a piece's sums to those of the layer at a place.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn merge(&mut self, place: usize, sums: LayerSums) {
        self.sums[place] = self.sums[place].merge(sums);
    }

    /// Sets the logit of a token, by its place among the tokens asked for, in
    /// the layer at a place.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn set_logit(&mut self, place: usize, token: usize, logit: f32) {
        let tokens = self.logits.len() / self.layers.len();
        self.logits[place * tokens + token] = logit;
    }

    /// The same with the logits of only the first so many of the tokens.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let tokens = self.logits.len() / self.layers.len().max(1);
        let logits = self.logits.chunks(tokens.max(1)).flat_map(|row| &row[..count]);
        ExitSums { logits: logits.copied().collect(), ..self.clone() }
    }

    /// The sums of a layer, and the logits of the tokens asked for in its exit.
    ///
    /// # Panics
    /// If the layer is not in the plan these exits were computed for.
    pub fn layer(&self, layer: usize) -> (&LayerSums, &[f32]) {
        let place = self.layers.binary_search(&layer);
        let place =
            place.unwrap_or_else(|_| panic!("exit {layer} is not in the plan {:?}", self.layers));
        let tokens = self.logits.len() / self.layers.len();
        (&self.sums[place], &self.logits[place * tokens..][..tokens])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit() -> Vec<f32> {
        (0..1000).map(|i| (i as f32 * 0.71).sin() * 9.0).collect()
    }

    fn last() -> Vec<f32> {
        (0..1000).map(|i| (i as f32 * 1.3).cos() * 7.0).collect()
    }

    #[test]
    fn pieces_add_up_whatever_their_order() {
        let (exit, last) = (exit(), last());
        let whole = LayerSums::of(&exit, &last);
        let mut pieces: Vec<LayerSums> =
            exit.chunks(97).zip(last.chunks(97)).map(|(e, l)| LayerSums::of(e, l)).collect();
        for _ in 0..2 {
            let merged = pieces.iter().fold(LayerSums::EMPTY, |all, &piece| all.merge(piece));
            for token in [0, 1, 500, 999] {
                let votes = [whole, merged].map(|sums| sums.vote(exit[token], last[token]));
                assert!((votes[0] - votes[1]).abs() < 1e-6 * votes[0].max(1e-3), "{votes:?}");
            }
            pieces.reverse();
        }
    }

    #[test]
    fn the_logits_of_the_first_tokens_are_those_of_all() {
        let (exit, last) = (exit(), last());
        let rows = [exit.as_slice(), last.as_slice()].concat();
        let exits = ExitLogits::new(&[2, 5], &rows);
        let all = ExitSums::of(&exits, &last, &[7, 1, 30]);
        assert_eq!(all.first(2), ExitSums::of(&exits, &last, &[7, 1]));
        assert_eq!(all.first(0), ExitSums::of(&exits, &last, &[]));
        assert_eq!(ExitSums::new(&[], 3).first(2), ExitSums::new(&[], 2));
    }

    #[test]
    fn best_tokens_that_tie_are_all_best() {
        // Two tokens share the largest logit, in one piece and across pieces.
        let (exit, last) = ([2.0, -1.0, 2.0, 0.0], [1.0, 0.5, -0.5, 0.25]);
        let whole = LayerSums::of(&exit, &last);
        let merged =
            LayerSums::of(&exit[..2], &last[..2]).merge(LayerSums::of(&exit[2..], &last[2..]));
        assert_eq!(whole.best_count, 2.0);
        assert_eq!(merged.best_count, 2.0);
        for token in 0..4 {
            let votes = [whole, merged].map(|sums| sums.vote(exit[token], last[token]));
            assert!((votes[0] - votes[1]).abs() < 1e-12, "{votes:?}");
        }
    }

    #[test]
    fn pieces_that_the_model_rules_out_change_nothing() {
        let (exit, last) = (exit(), last());
        let none = [f32::NEG_INFINITY; 40];
        let sums = LayerSums::of(&exit, &last);
        for merged in [
            sums.merge(LayerSums::of(&none, &none)),
            LayerSums::of(&none, &none).merge(sums),
            LayerSums::EMPTY.merge(sums),
        ] {
            assert!(merged.is_finite());
            assert_eq!(merged.vote(exit[3], last[3]), sums.vote(exit[3], last[3]));
        }
        assert!(!LayerSums::of(&none, &none).is_finite());
        assert!(!LayerSums::of(&none, &[0.0; 40]).is_finite());
    }
}
