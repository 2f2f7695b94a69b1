//! Seeded Gumbel noise, a function of seed, step and token.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A little more than any noise: u is at most 1 − 2^-53.
pub(super) const LARGEST: f64 = 36.8;

/// Standard Gumbel noise, −ln(−ln u), for one token at one step.
///
/// Reads a ChaCha8 stream at a place that the token's id fixes, so the value is
/// the same on every machine, in whatever order and among whatever tokens it
/// is asked for.
pub fn gumbel(seed: u64, step: u64, token: u32) -> f64 {
    gumbel_of(seed, step, &[token])[0]
}

/// The noise of several tokens, in their order.
pub(super) fn gumbel_of(seed: u64, step: u64, tokens: &[u32]) -> Vec<f64> {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(step);
    let mut next = None;
    tokens
        .iter()
        .map(|&token| {
            // Neighbours follow each other in the stream; only jumps seek.
            if next != Some(token) {
                stream.set_word_pos(2 * u128::from(token));
            }
            next = token.checked_add(1);
            of_bits(stream.next_u64())
        })
        .collect()
}

/// −ln(−ln u) for u made of random bits.
fn of_bits(bits: u64) -> f64 {
    // 52 random bits, and a half: exact, and strictly between 0 and 1.
    let uniform = ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -(-uniform.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_does_not_depend_on_company_or_order() {
        let together = gumbel_of(3, 5, &[0, 1, 2, 70_000, 4]);
        for (&token, &noise) in [0, 1, 2, 70_000, 4].iter().zip(&together) {
            assert_eq!(gumbel(3, 5, token), noise);
        }
        assert_ne!(gumbel(3, 5, 1), gumbel(3, 6, 1));
        assert_ne!(gumbel(3, 5, 1), gumbel(4, 5, 1));
    }

    #[test]
    fn no_noise_is_larger_than_the_largest() {
        assert!(of_bits(u64::MAX) < LARGEST && of_bits(u64::MAX) > LARGEST - 0.1);
        assert!(of_bits(0) < 0.0 && of_bits(0).is_finite());
    }

    #[test]
    fn noise_is_the_same_on_every_machine() {
        // A change here changes every seeded text: it needs a line in CHANGELOG.
        assert!((gumbel(42, 0, 0) - 0.960_039_287_365_286_5).abs() < 1e-12);
    }
}
