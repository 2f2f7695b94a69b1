//! Settings of a method, searched on one half of a task's documents and tested on the
//! other.
//!
//! The best of many settings looks better than it is on the documents that it was chosen
//! on. So a task's documents are parted by a [`Half`], which is the same whatever is
//! searched; every setting of a grid ([`Axis`]) answers the tuning half; [`ranked`] says
//! which is the best there; and that one answers the held-out half, beside greedy and
//! beside the method as it is usually set, as any method of a run does.

mod grid;
mod half;
mod rank;

use serde::{Deserialize, Serialize};

use crate::document::Problem;
use crate::metric;
use crate::record::{Outcome, Record};
use crate::results::{Comparison, Results, Role, Setup, Times};

pub use grid::{Axis, points, usual_grid};
pub use half::{Half, HalfSetup};
pub use rank::{Away, ranked};

/// What the method is called in results as it was chosen, and as it is usually set: by its
/// own name.
pub const TUNED: &str = "tuned";

/// How a setting was chosen, as `results.json` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The method, such as `sled`.
    pub method: String,
    /// The metric that was to be as high as can be: the task's first.
    pub metric: String,
    /// What was searched.
    pub grid: Vec<Axis>,
    /// How many settings were tried: those of the grid that the model can have, each once.
    pub settings: usize,
    /// Documents of the tuning half that were asked.
    pub documents: usize,
    /// Those that could not be asked.
    pub problems: Vec<Problem>,
    /// Seconds at work on it. The one thing here that is otherwise the next time.
    pub seconds: f64,
    /// Greedy's mean there, in 0..=1.
    pub greedy: f64,
    /// The mean of the method as it is usually set, if that was among the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<f64>,
    /// The best few, the chosen one first.
    pub best: Vec<Tried>,
    /// On the held-out half, the chosen setting beside the method as it is usually set;
    /// none where that was chosen, and where no document was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus_usual: Option<Comparison>,
}

/// A setting with its score on the tuning half.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its parameters that were searched, each as `name=value`.
    pub setting: Vec<String>,
    /// Its mean, in 0..=1.
    pub mean: f64,
}

/// The means of all methods of a run under its first task's first metric, and over how
/// many documents. Nothing where no document could be asked.
pub fn means(setup: &Setup, records: &[Record]) -> Option<(Vec<f64>, usize)> {
    let judge = &setup.tasks.first()?.judge;
    let mut sums = vec![0.0; setup.methods.len()];
    let mut documents = 0;
    // In one order, as sums of fractions depend on it.
    let mut records: Vec<&Record> = records.iter().collect();
    records.sort_by_key(|record| record.index);
    for record in records {
        let value =
            |method| metric::values(judge, setup.scoring, &record.outcome, method).first().copied();
        let values: Option<Vec<f64>> = (0..sums.len()).map(value).collect();
        let Some(values) = values else { continue };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        documents += 1;
    }
    let means = sums.into_iter().map(|sum| sum / documents as f64).collect();
    (documents > 0).then_some((means, documents))
}

/// The rows of a run that could not be asked.
pub fn problems(records: &[Record]) -> Vec<Problem> {
    let problem = |record: &Record| match &record.outcome {
        Outcome::Problem { place, what } => {
            Some(Problem { index: record.index, place: place.clone(), what: what.clone() })
        }
        _ => None,
    };
    let mut problems: Vec<Problem> = records.iter().filter_map(problem).collect();
    problems.sort_by_key(|problem| problem.index);
    problems
}

/// One method of a run beside another, which greedy is in other comparisons: by the first
/// metric of its first task. Nothing where there are no such methods or no documents.
pub fn versus(setup: &Setup, records: &[Record], this: &str, other: &str) -> Option<Comparison> {
    let mut setup = setup.clone();
    for method in &mut setup.methods {
        method.role = match method.name.as_str() {
            name if name == other => Role::Baseline,
            name if name == this => Role::Asked,
            _ => Role::Control,
        };
    }
    let times = Times { finished: String::new(), seconds: 0.0 };
    let results = Results::new(setup, records, times);
    let task = results.tasks.into_iter().next().filter(|task| task.documents > 0)?;
    let methods = task.metrics.into_iter().next()?.methods;
    methods.into_iter().find(|method| method.method == this)?.versus_greedy
}

#[cfg(test)]
mod tests;
