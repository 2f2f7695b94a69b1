//! How probable a difference is where there is none.

/// McNemar's exact test, two-sided. `better` and `worse` are the numbers of documents
/// where one of two methods has 1 and the other 0: where the methods do not differ, each of
/// these is a throw of a fair coin.
///
/// Never 0: what is smaller than a `f64` can be comes as the smallest that there is.
pub fn mcnemar(better: usize, worse: usize) -> f64 {
    let (fewer, thrown) = (better.min(worse) as u64, (better + worse) as u64);
    // P(X ≤ fewer) = Σ C(thrown, k) / 2^thrown, k = fewer, fewer − 1, …, 0: the largest
    // term by its logarithm, as C and 2^thrown overflow, each other one from the one before.
    let last = (1..=fewer).map(|i| ((thrown - fewer + i) as f64 / i as f64).ln());
    let last = last.sum::<f64>() - thrown as f64 * std::f64::consts::LN_2;
    let (mut term, mut sum) = (1.0, 0.0);
    for k in (0..=fewer).rev() {
        sum += term;
        term *= k as f64 / (thrown - k + 1) as f64;
    }
    let p = 2.0 * (last + sum.ln()).exp();
    p.clamp(f64::MIN_POSITIVE, 1.0)
}

/// Holm's correction of p-values that were found together, in their order: the probability
/// that any of them would be that small by chance stays what it says.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        // The smallest stands against all, the next against one less, …; none comes before
        // one that was smaller.
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}
