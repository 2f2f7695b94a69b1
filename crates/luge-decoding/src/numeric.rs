//! The numeric ground the methods stand on: exponentials, log-softmax, top-k.
//!
//! A decode step runs every one of these over the whole vocabulary (100,000
//! entries and more), once per layer. So the loops work on [`LANES`] values at
//! a time, which the compiler turns into vector instructions, and [`exp`] and
//! [`ln`] are polynomials that fit into such loops; the standard library's are
//! calls. Sums are kept in `f32` lanes over a block of a few thousand values
//! and in `f64` across blocks, so that their error does not grow with the
//! vocabulary.

use std::cmp::Ordering;

/// Values worked on at a time. Wide enough for two AVX2 or one AVX-512 register.
pub(crate) const LANES: usize = 16;

/// Values summed in `f32` before the sum moves on to `f64`.
pub(crate) const BLOCK: usize = 256 * LANES;

const LN_2: f32 = std::f32::consts::LN_2;

/// `e^x` to within 3 units in the last place for −87 ≤ x ≤ 88; 0 below.
///
/// Writes x = n·ln 2 + r with |r| ≤ ln 2 / 2, takes e^r from its Taylor series
/// to the seventh degree (the eighth term is under 6e-9) and puts n into the
/// exponent.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: adding it rounds to an integer, which then sits in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has its low bits free, so n · LN_2_HI is exact.
    const LN_2_HI: f32 = 0.693_359_4;
    const LN_2_LO: f32 = -2.121_944_4e-4;

    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2_HI) - n * LN_2_LO;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail)));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < -87.0 { 0.0 } else { series * power }
}

/// `ln x` to within a relative error of 3e-7 for normal x > 0.
///
/// Writes x = 2^n·m with m near 1 and takes ln m = 2·artanh((m−1)/(m+1)) from
/// its series to the ninth degree. For x = 0 and subnormal x the result is
/// finite and about −88: callers multiply it by x, or test for zero themselves.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // The bits of sqrt(1/2): the mantissa is taken from [sqrt(1/2), sqrt 2).
    const HALF_SQRT: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(HALF_SQRT);
    let n = ((bits as i32) >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_SQRT));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = s2 * (1.0 / 3.0 + s2 * (1.0 / 5.0 + s2 * (1.0 / 7.0 + s2 * (1.0 / 9.0))));
    n * LN_2 + 2.0 * (s + s * series)
}

/// The largest value, or −∞ for an empty slice. NaN entries are passed over.
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The index of the largest value, the lowest such index where several tie.
///
/// # Panics
/// If `values` is empty.
pub fn argmax(values: &[f32]) -> usize {
    assert!(!values.is_empty(), "the largest of no values");
    let largest = max(values);
    values.iter().position(|&value| value == largest).unwrap_or(0)
}

/// Whether every value is a number: finite or −∞ (a token that the model rules
/// out), but neither NaN nor +∞.
pub fn all_numbers(values: &[f32]) -> bool {
    // A chunk at a time without leaving early, so that the test vectorises.
    values
        .chunks(BLOCK)
        .all(|block| block.iter().fold(true, |ok, &value| ok & (value < f32::INFINITY)))
}

/// `ln Σ e^v`, accurate for values of any size: the largest is left out of the
/// sum, so that it does not swallow the small ones where it dominates.
pub fn log_sum_exp(values: &[f32]) -> f64 {
    let largest = max(values);
    let Some(best) = values.iter().position(|&value| value == largest) else {
        // No value at all, or only NaN.
        return if values.is_empty() { f64::NEG_INFINITY } else { f64::NAN };
    };
    if largest == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let rest = sum_exp(&values[..best], largest) + sum_exp(&values[best + 1..], largest);
    f64::from(largest) + rest.ln_1p()
}

/// `Σ e^(v − shift)`.
fn sum_exp(values: &[f32], shift: f32) -> f64 {
    let mut sum = 0.0f64;
    for block in values.chunks(BLOCK) {
        let mut lanes = [0.0f32; LANES];
        let chunks = block.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += exp(value - shift);
            }
        }
        let rest: f32 = rest.iter().map(|&value| exp(value - shift)).sum();
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

/// Indices of the `k` largest values, largest first; of equal values the lower
/// index first. Fewer than `k` where there are fewer values. They must be numbers:
/// where there is a NaN, what comes of it is not defined.
pub fn top_k(values: &[f32], k: usize) -> Vec<u32> {
    let order = |a: &u32, b: &u32| -> Ordering {
        let (va, vb) = (values[*a as usize], values[*b as usize]);
        // Adding 0 makes −0 and 0 the tie that they are.
        (vb + 0.0).total_cmp(&(va + 0.0)).then(a.cmp(b))
    };
    if k == 0 {
        return Vec::new();
    }
    // Keep up to 2k candidates above a rising threshold: one pass, few moves. Most
    // lanes hold none, which a comparison of all at once shows.
    let room = k.saturating_mul(2).max(64);
    let mut kept: Vec<u32> = Vec::with_capacity(room.min(values.len()));
    let mut threshold = None;
    for (number, lanes) in values.chunks(LANES).enumerate() {
        let is_above = |value: f32| threshold.is_none_or(|least| value > least);
        if !lanes.iter().fold(false, |any, &value| any | is_above(value)) {
            continue;
        }
        for (lane, &value) in lanes.iter().enumerate() {
            if threshold.is_some_and(|least| value <= least) {
                continue;
            }
            kept.push((number * LANES + lane) as u32);
            if kept.len() == room {
                kept.select_nth_unstable_by(k - 1, order);
                kept.truncate(k);
                threshold = Some(values[kept[k - 1] as usize]);
            }
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(k);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_agree_with_the_standard_library() {
        let mut x = -86.0f32;
        while x < 87.0 {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 4e-7, "exp({x})");
            x += 0.0137;
        }
        let mut x = 1e-37f32;
        while x < 1e30 {
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 3e-7 * exact.abs().max(1.0), "ln({x})");
            x *= 1.0173;
        }
    }

    #[test]
    fn exp_is_zero_far_below_and_ln_of_zero_is_finite() {
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(0.0).is_finite());
    }

    #[test]
    fn top_k_breaks_ties_by_the_lower_index() {
        let values = [1.0, 3.0, 3.0, 0.0, 3.0, 2.0];
        assert_eq!(top_k(&values, 4), [1, 2, 4, 5]);
        assert_eq!(top_k(&values, 2), [1, 2]);
        assert_eq!(top_k(&values, 99).len(), values.len());
        assert!(top_k(&values, 0).is_empty());
    }

    #[test]
    fn top_k_of_many_equals_a_full_sort() {
        // Steps through residues, so that values repeat and the order is mixed.
        let values: Vec<f32> = (0..5000u32).map(|i| ((i * 7919) % 613) as f32).collect();
        let mut all: Vec<u32> = (0..5000).collect();
        all.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]).then(a.cmp(&b)));
        for k in [1, 10, 63, 64, 500, 4999] {
            assert_eq!(top_k(&values, k), all[..k], "k = {k}");
        }
    }

    #[test]
    fn nan_and_infinity_are_no_logits_but_minus_infinity_is() {
        assert!(all_numbers(&[1.0, f32::NEG_INFINITY, -3.0]));
        assert!(!all_numbers(&[1.0, f32::NAN]));
        assert!(!all_numbers(&[f32::INFINITY, 0.0]));
    }

    #[test]
    fn log_sum_exp_survives_large_and_missing_values() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f64.ln())).abs() < 1e-9);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 3]), f64::NEG_INFINITY);
    }
}
