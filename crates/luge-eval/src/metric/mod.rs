//! From a record to numbers: what a document is worth under each metric.
//!
//! * `choice`: candidates that were scored.
//! * `written`: answers that were written: how they are found, and compared.
//! * `text`: when two texts are the same.
//!
//! Every number lies in 0..=1 and is finite, whatever the scores are.

mod choice;
mod text;
mod written;

use crate::judge::{Judge, Metric, Norm};
use crate::record::{Outcome, Scored};
use crate::results::Scoring;
use choice::Choice;
use written::Written;

/// What a document is worth under each of the judge's metrics, in their order, with the
/// method of that number.
///
/// Nothing for a document that could not be asked, and for one that has no such method or
/// was not asked in the way that the metrics are for. An answer that the judge's pattern
/// does not find is worth 0; the pattern is checked where the task is read.
pub fn values(judge: &Judge, scoring: Scoring, outcome: &Outcome, method: usize) -> Vec<f64> {
    let value: Box<dyn Fn(Metric) -> Option<f64>> = match outcome {
        Outcome::Problem { .. } => return Vec::new(),
        Outcome::Choice { candidates, .. } => {
            match Choice::new(judge, scoring, candidates, method) {
                Some(choice) => Box::new(move |metric| choice.value(metric)),
                None => return Vec::new(),
            }
        }
        Outcome::Answer { references, answers, .. } => match answers.get(method) {
            Some(answer) => {
                let written = Written::new(judge, references, &answer.text);
                Box::new(move |metric| written.value(metric))
            }
            None => return Vec::new(),
        },
    };
    judge.metrics.iter().map(|&metric| value(metric)).collect::<Option<_>>().unwrap_or_default()
}

/// The answer of a method, for telling whether it is another than greedy's: the text of
/// the candidate that it chose, or what was found in its text, as it is compared. Empty
/// where there is none.
pub fn answer(judge: &Judge, scoring: Scoring, outcome: &Outcome, method: usize) -> String {
    match outcome {
        Outcome::Problem { .. } => String::new(),
        Outcome::Choice { candidates, .. } => {
            let chosen = chosen(judge, scoring, candidates, method);
            let candidate = chosen.and_then(|index| candidates.get(index));
            candidate.map(|candidate| candidate.text.clone()).unwrap_or_default()
        }
        Outcome::Answer { answers, .. } => {
            let found = answers.get(method).and_then(|answer| written::found(judge, &answer.text));
            found.unwrap_or_default()
        }
    }
}

/// The number of the candidate that a method chose: the one with the highest score. Of
/// equals it is the first, but a wrong one before a right one, as the metrics have it; a
/// right one where they count ties as right. Where the task's first metric is `acc_norm`,
/// scores are divided by the answers' lengths here too.
///
/// Nothing where there is no candidate or no such method.
pub fn chosen(
    judge: &Judge,
    scoring: Scoring,
    candidates: &[Scored],
    method: usize,
) -> Option<usize> {
    let choice = Choice::new(judge, scoring, candidates, method)?;
    choice.chosen(judge.metrics.first() == Some(&Metric::AccNorm))
}

impl Metric {
    /// Its name in task files and results, such as `mc1`.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Mc1 => "mc1",
            Metric::Mc2 => "mc2",
            Metric::Mc3 => "mc3",
            Metric::Acc => "acc",
            Metric::AccNorm => "acc_norm",
            Metric::ExactMatch => "exact_match",
            Metric::F1 => "f1",
        }
    }

    /// Whether each document has 0 or 1.
    pub fn is_binary(self) -> bool {
        match self {
            Metric::Mc1 | Metric::Acc | Metric::AccNorm | Metric::ExactMatch => true,
            Metric::Mc2 | Metric::Mc3 | Metric::F1 => false,
        }
    }

    /// What it says, in a sentence, and which sums it compares.
    pub fn about(self, judge: &Judge, scoring: Scoring) -> String {
        let reference = choice::reference(judge, scoring);
        let above = if reference.ties { "no lower than" } else { "higher than" };
        let what = match self {
            Metric::Mc1 => {
                format!("The share of questions whose best answer scores {above} every wrong one")
            }
            Metric::Mc2 if reference.rescale => {
                "The right answers' share in the probability of all answers, the scores of all \
                 right or of all wrong ones halved until not all of their probabilities are 0, \
                 and 0 where the probabilities are too large to be computed"
                    .to_owned()
            }
            Metric::Mc2 => "The right answers' share in the probability of all answers".to_owned(),
            Metric::Mc3 => {
                format!("The share of right answers that score {above} every wrong one")
            }
            Metric::Acc => {
                format!(
                    "The share of questions with a right answer that scores {above} every wrong one"
                )
            }
            Metric::AccNorm => {
                let length = match judge.norm {
                    Norm::Tokens => "length in tokens",
                    Norm::Bytes => "length in bytes",
                };
                format!(
                    "The share of questions with a right answer that scores {above} every wrong \
                     one, each score divided by the answer's {length}"
                )
            }
            Metric::ExactMatch => {
                return "The share of questions with an answer that is one of the right ones."
                    .to_owned();
            }
            Metric::F1 => {
                return "The words that an answer shares with the right one that fits it best: \
                        the harmonic mean of precision and recall."
                    .to_owned();
            }
        };
        let sums = if reference.raw {
            "Compared are sums of the method's output as it is, not of log-probabilities."
        } else {
            "Compared are sums of log-probabilities."
        };
        format!("{what}. {sums}")
    }
}

#[cfg(test)]
mod tests;
