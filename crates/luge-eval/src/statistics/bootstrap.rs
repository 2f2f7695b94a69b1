//! The bootstrap: documents drawn from those that there are, with repetition.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How often the documents are drawn anew.
pub const RESAMPLES: usize = 10_000;

/// Several series of numbers over the same documents, and their sums over documents that
/// were drawn anew.
///
/// Every series sees the same draws: the difference of two series is that of the same
/// documents, and a method that is asked for next to others changes no number of theirs.
/// With the same seed and the documents in the same order all numbers are the same.
#[derive(Debug)]
pub struct Bootstrap<'a> {
    pub(super) series: &'a [Vec<f64>],
    documents: usize,
    /// `[RESAMPLES × series]`.
    sums: Vec<f64>,
}

impl<'a> Bootstrap<'a> {
    /// Series of equal length, a number for each document; where one is longer than
    /// another, its end is left out.
    pub fn new(series: &'a [Vec<f64>], seed: u64) -> Self {
        let documents = series.iter().map(Vec::len).min().unwrap_or(0);
        let mut sums = vec![0.0; RESAMPLES * series.len()];
        if documents > 0 && !series.is_empty() {
            // `[documents × series]`: one draw reads what lies together.
            let document = |index: usize| series.iter().map(move |values| values[index]);
            let rows: Vec<f64> = (0..documents).flat_map(document).collect();
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for sums in sums.chunks_exact_mut(series.len()) {
                for _ in 0..documents {
                    // A whole number below `documents`. It favours some of them, by less
                    // than one part in 2^32 / documents.
                    let drawn = (u64::from(random.next_u32()) * documents as u64) >> 32;
                    let start = drawn as usize * series.len();
                    let row = &rows[start..start + series.len()];
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
            }
        }
        Self { series, documents, sums }
    }

    /// The mean of a series; 0 where there are no documents.
    ///
    /// # Panics
    /// Like all that follow, where there is no such series.
    pub fn mean(&self, series: usize) -> f64 {
        self.per_document(self.series[series].iter().take(self.documents).sum())
    }

    /// The middle 95% of the mean over documents that were drawn anew. Where all documents
    /// are alike it is one point, which says nothing about others.
    pub fn interval(&self, series: usize) -> [f64; 2] {
        middle(self.resampled().map(|sums| self.per_document(sums[series])).collect())
    }

    /// The mean of a series less that of another.
    pub fn difference(&self, series: usize, other: usize) -> f64 {
        self.mean(series) - self.mean(other)
    }

    /// The middle 95% of the difference over documents that were drawn anew.
    pub fn difference_interval(&self, series: usize, other: usize) -> [f64; 2] {
        middle(self.differences(series, other).collect())
    }

    /// How probable a difference of the means at least as large as this one is, in either
    /// direction, where there is none: the share of draws whose difference is as far from
    /// this one as this one is from 0. With the draw that there was counted as one of them
    /// it is never 0.
    ///
    /// A handful of documents cannot be drawn in many ways. With n that differ, even a test
    /// of their signs alone would give 2^(1−n) at least, and that is the least here too.
    pub fn p(&self, series: usize, other: usize) -> f64 {
        let difference = self.difference(series, other);
        // Sums of the same numbers in another order may come out a little different.
        let far = difference.abs() * (1.0 - 1e-9);
        let differences = self.differences(series, other);
        let count = differences.filter(|drawn| (drawn - difference).abs() >= far).count();
        let p = (1 + count) as f64 / (1 + RESAMPLES) as f64;

        let pairs = self.series[series].iter().zip(&self.series[other]).take(self.documents);
        let differing = pairs.filter(|(value, other)| value != other).count();
        let least = 0.5_f64.powi(i32::try_from(differing).unwrap_or(i32::MAX).saturating_sub(1));
        p.max(least).min(1.0)
    }

    fn differences(&self, series: usize, other: usize) -> impl Iterator<Item = f64> {
        self.resampled().map(move |sums| self.per_document(sums[series] - sums[other]))
    }

    fn resampled(&self) -> impl Iterator<Item = &[f64]> {
        self.sums.chunks_exact(self.series.len().max(1))
    }

    fn per_document(&self, sum: f64) -> f64 {
        if self.documents == 0 { 0.0 } else { sum / self.documents as f64 }
    }
}

/// From the 2.5th to the 97.5th percentile, with straight lines between numbers, as NumPy
/// has it.
fn middle(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [0.025, 0.975].map(|share| {
        let position = share * values.len().saturating_sub(1) as f64;
        let (below, rest) = (position.floor() as usize, position.fract());
        let at = |index: usize| values.get(index).copied();
        let below = at(below).zip(at(below + 1).or(at(below)));
        below.map_or(0.0, |(below, above)| below + (above - below) * rest)
    })
}
