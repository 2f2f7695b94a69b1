//! How sure a layer is, and how far two layers' opinions are apart.

use crate::numeric::{BLOCK, LANES, exp, ln};

/// The Jensen–Shannon divergence of two layers over the vocabulary or a piece of
/// it: ½[KL(M‖p) + KL(M‖q)] in nats, M = (p + q)/2, with the arguments in the
/// order of DoLa's public codes. Pieces add up to the whole.
///
/// `p` and `q` are the layers' logits of the piece, two slices of one length;
/// `p_norm` and `q_norm` their [`log_sum_exp`](crate::log_sum_exp) over the whole
/// vocabulary.
pub fn jensen_shannon(p: &[f32], p_norm: f32, q: &[f32], q_norm: f32) -> f64 {
    let term = |p: f32, q: f32| {
        let (log_p, log_q) = (p - p_norm, q - q_norm);
        let m = 0.5 * (exp(log_p) + exp(log_q));
        let term = m * (ln(m) - 0.5 * (log_p + log_q));
        // 0 · (−∞) where neither has any probability to speak of.
        if m > 0.0 { term } else { 0.0 }
    };
    let mut sum = 0.0f64;
    for (p, q) in p.chunks(BLOCK).zip(q.chunks(BLOCK)) {
        let (p, p_rest) = p.as_chunks::<LANES>();
        let (q, q_rest) = q.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for (p, q) in p.iter().zip(q) {
            for lane in 0..LANES {
                lanes[lane] += term(p[lane], q[lane]);
            }
        }
        let rest: f32 = p_rest.iter().zip(q_rest).map(|(&p, &q)| term(p, q)).sum();
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

/// The entropy of a layer over the vocabulary or a piece of it: −Σ p ln p in nats,
/// 0 to ln V. Pieces add up to the whole.
///
/// `logits` are the layer's logits of the piece; `norm` their
/// [`log_sum_exp`](crate::log_sum_exp) over the whole vocabulary.
pub fn entropy(logits: &[f32], norm: f32) -> f64 {
    let term = |logit: f32| {
        let log_p = logit - norm;
        let term = -exp(log_p) * log_p;
        // 0 · (−∞) of a token that the model rules out.
        if log_p > f32::NEG_INFINITY { term } else { 0.0 }
    };
    let mut sum = 0.0f64;
    for block in logits.chunks(BLOCK) {
        let (block, rest) = block.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for block in block {
            for lane in 0..LANES {
                lanes[lane] += term(block[lane]);
            }
        }
        let rest: f32 = rest.iter().map(|&logit| term(logit)).sum();
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::log_sum_exp;

    #[test]
    fn divergence_is_that_of_the_definition_and_zero_between_equals() {
        let p = [1.0f32, -2.0, 0.5, 3.0, 0.0];
        let q = [0.0f32, 1.0, -1.5, 0.25, 2.0];
        let softmax = |z: &[f32]| {
            let sum: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            z.iter().map(|&z| f64::from(z).exp() / sum).collect::<Vec<_>>()
        };
        let (sp, sq) = (softmax(&p), softmax(&q));
        let literal: f64 = sp
            .iter()
            .zip(&sq)
            .map(|(p, q)| {
                let m = (p + q) / 2.0;
                0.5 * (m * (m / p).ln() + m * (m / q).ln())
            })
            .sum();
        let norm = |z: &[f32]| log_sum_exp(z) as f32;
        let ours = |q: &[f32]| jensen_shannon(&p, norm(&p), q, norm(q));
        assert!((ours(&q) - literal).abs() < 1e-6);
        assert!(ours(&p).abs() < 1e-6);
        let piece = |range: std::ops::Range<usize>| {
            jensen_shannon(&p[range.clone()], norm(&p), &q[range], norm(&q))
        };
        assert!((piece(0..2) + piece(2..5) - literal).abs() < 1e-6);
        let shifted: Vec<f32> = q.iter().map(|z| z + 5.0).collect();
        assert!((ours(&shifted) - literal).abs() < 1e-6);
    }

    #[test]
    fn entropy_is_that_of_the_definition_whatever_the_pieces() {
        let logits: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.7).sin() * 6.0).collect();
        let norm = log_sum_exp(&logits);
        let literal: f64 = logits
            .iter()
            .map(|&logit| f64::from(logit) - norm)
            .map(|log_p| -log_p.exp() * log_p)
            .sum();
        let whole = entropy(&logits, norm as f32);
        let pieces: f64 = logits.chunks(333).map(|piece| entropy(piece, norm as f32)).sum();
        assert!((whole - literal).abs() < 1e-5 && (pieces - literal).abs() < 1e-5);
    }

    #[test]
    fn entropy_runs_from_certainty_to_ignorance() {
        let ignorant = [0.5f32; 100];
        let norm = |logits: &[f32]| log_sum_exp(logits) as f32;
        assert!((entropy(&ignorant, norm(&ignorant)) - 100f64.ln()).abs() < 1e-5);
        let certain = [f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY];
        assert_eq!(entropy(&certain, norm(&certain)), 0.0);
    }
}
