//! Candidates that were scored.
//!
//! With s a candidate's score, R the right ones, W the wrong ones:
//!
//! * MC1: s of the best answer > s of each in W.
//! * MC2: Σ over R of exp s / Σ over R and W of exp s, a softmax over all candidates. The
//!   largest score is taken out of every exponent first, so that nothing underflows
//!   however long the answers are.
//! * MC3: the share of R with s > s of each in W.
//!
//! The public scripts take the exponents as they are. Where those of all right answers are
//! 0 they halve the scores of all right answers until one is not, and the same for the
//! wrong ones; a share of such numbers is no probability, which is why it is done for
//! `--scoring reference` only. Where their probabilities overflow, their MC2 is 0.

use crate::judge::{Judge, Metric, Norm, Reference};
use crate::record::Scored;
use crate::results::Scoring;

/// A document's candidates under one method.
pub(super) struct Choice {
    candidates: Vec<Rated>,
    reference: Reference,
}

/// A candidate's score under one method.
#[derive(Debug, Clone, Copy)]
struct Rated {
    /// Never NaN.
    score: f64,
    /// What `acc_norm` divides the score by; at least 1.
    length: f64,
    right: bool,
    best: bool,
}

/// What is done as the public scripts do it.
pub(super) fn reference(judge: &Judge, scoring: Scoring) -> Reference {
    match scoring {
        Scoring::Normalised => Reference::default(),
        Scoring::Reference => judge.reference,
    }
}

impl Choice {
    /// Nothing where a candidate has no score of that method.
    pub(super) fn new(
        judge: &Judge,
        scoring: Scoring,
        candidates: &[Scored],
        method: usize,
    ) -> Option<Self> {
        let reference = reference(judge, scoring);
        let rated = |candidate: &Scored| {
            let sums = candidate.scores.get(method)?;
            let score = if reference.raw { sums.logit } else { sums.logprob };
            let length = match judge.norm {
                Norm::Tokens => candidate.tokens,
                Norm::Bytes => candidate.bytes,
            };
            Some(Rated {
                // What is no number is never the best.
                score: if score.is_nan() { f64::NEG_INFINITY } else { score },
                length: length.max(1) as f64,
                right: candidate.right,
                best: candidate.best,
            })
        };
        let candidates = candidates.iter().map(rated).collect::<Option<_>>()?;
        Some(Self { candidates, reference })
    }

    /// Nothing for a metric of written answers.
    pub(super) fn value(&self, metric: Metric) -> Option<f64> {
        let value = match metric {
            Metric::Mc1 => self.share(|candidate| candidate.best, Rated::sum),
            Metric::Mc2 if self.reference.rescale => self.mc2_rescaled(),
            Metric::Mc2 => self.mc2(),
            Metric::Mc3 => self.share(|candidate| candidate.right, Rated::sum),
            Metric::Acc => self.any_right(Rated::sum),
            Metric::AccNorm => self.any_right(Rated::per_length),
            Metric::ExactMatch | Metric::F1 => return None,
        };
        Some(value)
    }

    /// The first candidate with the highest score; where a right one is level with a wrong
    /// one, the one that the metrics go by.
    pub(super) fn chosen(&self, is_per_length: bool) -> Option<usize> {
        let score = if is_per_length { Rated::per_length } else { Rated::sum };
        let is_before = |this: &Rated, other: &Rated| {
            let wins_ties = this.right != other.right && this.right == self.reference.ties;
            score(this) > score(other) || (score(this) == score(other) && wins_ties)
        };
        let candidates = self.candidates.iter().enumerate();
        let first =
            candidates.reduce(|best, next| if is_before(next.1, best.1) { next } else { best });
        first.map(|(index, _)| index)
    }

    /// The share of some candidates that stand above every wrong one.
    fn share(&self, is_meant: fn(&Rated) -> bool, score: fn(&Rated) -> f64) -> f64 {
        let wrong = self.highest(|candidate| !candidate.right, score);
        let meant = self.candidates.iter().filter(|candidate| is_meant(candidate));
        let (mut all, mut above) = (0_u32, 0_u32);
        for candidate in meant {
            all += 1;
            above += u32::from(self.is_above(score(candidate), wrong));
        }
        if all == 0 { 0.0 } else { f64::from(above) / f64::from(all) }
    }

    /// 1 where a right answer stands above every wrong one.
    fn any_right(&self, score: fn(&Rated) -> f64) -> f64 {
        let right = self.highest(|candidate| candidate.right, score);
        let wrong = self.highest(|candidate| !candidate.right, score);
        f64::from(u8::from(self.is_above(right, wrong)))
    }

    fn is_above(&self, right: f64, wrong: f64) -> bool {
        right > wrong || (self.reference.ties && right == wrong)
    }

    fn highest(&self, is_meant: fn(&Rated) -> bool, score: fn(&Rated) -> f64) -> f64 {
        let meant = self.candidates.iter().filter(|candidate| is_meant(candidate));
        meant.map(score).fold(f64::NEG_INFINITY, f64::max)
    }

    fn mc2(&self) -> f64 {
        let highest = self.highest(|_| true, Rated::sum);
        if highest == f64::NEG_INFINITY {
            return 0.0;
        }
        let (mut right, mut all) = (0.0, 0.0);
        for candidate in &self.candidates {
            // The highest may be infinite, and its difference to itself no number.
            let is_highest = candidate.score == highest;
            let weight = if is_highest { 1.0 } else { (candidate.score - highest).exp() };
            all += weight;
            right += if candidate.right { weight } else { 0.0 };
        }
        right / all
    }

    fn mc2_rescaled(&self) -> f64 {
        let scores = |right: bool| {
            let meant = self.candidates.iter().filter(move |candidate| candidate.right == right);
            meant.map(|candidate| candidate.score).collect()
        };
        let (right, wrong) = (halved_mass(scores(true)), halved_mass(scores(false)));
        let share = right / (right + wrong);
        if share.is_nan() { 0.0 } else { share }
    }
}

impl Rated {
    fn sum(&self) -> f64 {
        self.score
    }

    fn per_length(&self) -> f64 {
        self.score / self.length
    }
}

/// The sum of all exponents, the scores halved until it is not 0. Scores that halving does
/// not change are left at 0.
fn halved_mass(mut scores: Vec<f64>) -> f64 {
    loop {
        let mass: f64 = scores.iter().map(|score| score.exp()).sum();
        if mass != 0.0 || scores.iter().all(|&score| score == f64::NEG_INFINITY) {
            return mass;
        }
        for score in &mut scores {
            *score /= 2.0;
        }
    }
}
