//! Which tokens stay in the draw: top-k, then top-p, then min-p.

use super::SamplerOptions;
use crate::numeric::{log_sum_exp, top_k};

/// Whether tokens are dropped for their probabilities: top-p and min-p.
pub(super) fn by_share(options: &SamplerOptions) -> bool {
    options.top_p < 1.0 || options.min_p > 0.0
}

/// The tokens that stay, never none. Probabilities are those at the options'
/// temperature, among the tokens that the filter before has kept.
pub(super) fn keep(logits: &[f32], options: &SamplerOptions) -> Vec<u32> {
    let k = if options.top_k == 0 { logits.len() } else { options.top_k };
    let filters = by_share(options);
    let possible = |token: &u32| logits[*token as usize] > f32::NEG_INFINITY;
    if k >= logits.len() && !filters {
        return (0..logits.len() as u32).filter(possible).collect();
    }
    let mut kept = top_k(logits, k);
    kept.retain(possible);
    if filters && !kept.is_empty() {
        // Relative to the best, so that no temperature is too small.
        let best = logits[kept[0] as usize];
        let scaled: Vec<f32> = kept
            .iter()
            .map(|&token| (logits[token as usize] - best) / options.temperature)
            .collect();
        let norm = log_sum_exp(&scaled);
        let by_top_p = nucleus(&scaled, norm, options.top_p);
        let least = f64::from(options.min_p).ln();
        let by_min_p = scaled.iter().take_while(|&&logit| f64::from(logit) >= least).count();
        kept.truncate(by_top_p.min(by_min_p).max(1));
    }
    kept
}

/// How many of the best tokens it takes to reach the probability `top_p`;
/// `scaled` falls, and `norm` is its log-sum-exp.
fn nucleus(scaled: &[f32], norm: f64, top_p: f32) -> usize {
    if top_p >= 1.0 {
        return scaled.len();
    }
    let mut sum = 0.0;
    for (index, &logit) in scaled.iter().enumerate() {
        sum += (f64::from(logit) - norm).exp();
        if sum >= f64::from(top_p) {
            return index + 1;
        }
    }
    scaled.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(top_k: usize, top_p: f32, min_p: f32) -> Vec<u32> {
        let options =
            SamplerOptions { temperature: 1.0, top_k, top_p, min_p, ..SamplerOptions::default() };
        // Probabilities 0.1, 0.4, 0.2, 0.3, and one token ruled out.
        let logits: Vec<f32> = [0.1f32, 0.4, 0.2, 0.3, 0.0].iter().map(|p| p.ln()).collect();
        keep(&logits, &options)
    }

    #[test]
    fn each_filter_keeps_what_it_says() {
        assert_eq!(kept(0, 1.0, 0.0), [0, 1, 2, 3]);
        assert_eq!(kept(2, 1.0, 0.0), [1, 3]);
        assert_eq!(kept(0, 0.69, 0.0), [1, 3]);
        assert_eq!(kept(0, 0.75, 0.0), [1, 3, 2]);
        assert_eq!(kept(0, 0.0, 0.0), [1]);
        assert_eq!(kept(0, 1.0, 0.6), [1, 3]);
        assert_eq!(kept(0, 1.0, 1.0), [1]);
    }

    #[test]
    fn top_p_counts_among_what_top_k_left() {
        // Of the two best, 0.4 is 57 percent.
        assert_eq!(kept(2, 0.55, 0.0), [1]);
    }
}
