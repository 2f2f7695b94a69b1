//! All that a run has found, as `results.json` has it.

mod build;
mod json;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document::Problem;
use crate::judge::Judge;
use crate::record::Cost;
use crate::tune::{HalfSetup, Tuning};

pub use build::NO_CATEGORY;

/// All that a run has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What was run.
    pub setup: Setup,
    /// One for each task, in the order of the setup's.
    pub tasks: Vec<TaskResults>,
    /// How the setting of a method was chosen, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// When, and how long it took: what is otherwise the next time.
    pub times: Times,
}

/// What was run. Two runs with the same setup, but for names and places, have the same
/// results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The command line that makes it again, whole and into a folder of its own.
    pub command: String,
    /// The version of luge.
    pub luge: String,
    /// The model.
    pub model: ModelSetup,
    /// The methods, greedy first.
    pub methods: Vec<MethodSetup>,
    /// Which sums are compared.
    pub scoring: Scoring,
    /// The seed of the bootstrap and of sampling.
    pub seed: u64,
    /// How the model is run: context size, types of the cache, chat template, sampling.
    pub engine: serde_json::Value,
    /// The tasks.
    pub tasks: Vec<TaskSetup>,
}

impl Setup {
    /// What tells a run from others, in eight letters: the same for two runs whose setups
    /// are the same but for names and places.
    pub fn short_hash(&self) -> String {
        let mut same = self.clone();
        same.command.clear();
        same.model.name.clear();
        for task in &mut same.tasks {
            task.data.clear();
            task.title.clear();
        }
        // Numbers, texts and lists can always be written.
        let text = serde_json::to_vec(&same).unwrap_or_default();
        Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A model, and what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSetup {
    /// Its name, as it was given.
    pub name: String,
    /// The size of its files, in bytes.
    pub bytes: u64,
    /// The SHA-256 of its files, in hexadecimal.
    pub sha256: String,
}

/// A method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSetup {
    /// What it is called in tables, such as `sled`: as it was written, or the control's
    /// name. No two have the same.
    pub name: String,
    /// The method with all its parameters, as `luge --methods` reads it.
    pub text: String,
    /// Why it is there.
    pub role: Role,
}

/// Why a method is in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is what the others are compared with: ordinary decoding.
    Baseline,
    /// It was asked for.
    Asked,
    /// It shows what a part of another method does: SLED's top-k cut alone.
    Control,
}

/// Which sums are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// Normalised log-probabilities.
    Normalised,
    /// What the public scripts of SLED and DoLa compare.
    Reference,
}

/// A task as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSetup {
    /// Its name.
    pub name: String,
    /// What it is called in headings.
    pub title: String,
    /// The SHA-256 of its definition, header included, in hexadecimal.
    pub definition_sha256: String,
    /// The file of its data, as it was given or named.
    pub data: String,
    /// The SHA-256 of that file.
    pub data_sha256: String,
    /// Rows of that file.
    pub rows: usize,
    /// How many of the first rows were asked.
    pub limit: usize,
    /// The half of these, where not all of them were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<HalfSetup>,
    /// How answers are judged.
    pub judge: Judge,
}

/// What a run has found on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResults {
    /// The task's name.
    pub task: String,
    /// Documents that were asked.
    pub documents: usize,
    /// Rows that could not be asked; they are in no number below.
    pub problems: Vec<Problem>,
    /// What was computed, over all documents.
    pub cost: Cost,
    /// The task's metrics, the most important first.
    pub metrics: Vec<MetricResults>,
    /// How the methods' answers differ from greedy's: one for each method, but for greedy.
    pub changes: Vec<Changes>,
}

/// A metric over all documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResults {
    /// Its name, such as `mc1`.
    pub name: String,
    /// What it says, in a sentence.
    pub about: String,
    /// Whether each document has 0 or 1.
    pub is_binary: bool,
    /// One for each method, in the order of the setup's.
    pub methods: Vec<MethodResults>,
    /// The same by group, if the documents have groups. In the order of the alphabet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<CategoryResults>,
}

/// A method under a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResults {
    /// The method's name.
    pub method: String,
    /// The mean over the documents, in 0..=1.
    pub mean: f64,
    /// Its 95% interval.
    pub interval: [f64; 2],
    /// How it differs from greedy; none for greedy itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus_greedy: Option<Comparison>,
}

/// A method beside greedy, document by document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The mean difference, positive where the method is better.
    pub difference: f64,
    /// Its 95% interval.
    pub interval: [f64; 2],
    /// The test: `McNemar, exact` or `paired bootstrap`.
    pub test: String,
    /// Its p-value, two-sided.
    pub p: f64,
    /// The same, corrected for the number of methods that were asked for (Holm).
    pub p_corrected: f64,
    /// Documents where the metric is higher than greedy's.
    pub better: usize,
    /// Documents where it is lower.
    pub worse: usize,
}

/// The documents of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoryResults {
    /// Its name.
    pub category: String,
    /// How many documents it has.
    pub documents: usize,
    /// The mean of each method, in the order of the setup's.
    pub means: Vec<f64>,
    /// Their 95% intervals.
    pub intervals: Vec<[f64; 2]>,
}

/// How a method's answers differ from greedy's. An answer is the candidate with the
/// highest score, or what was extracted from the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The method's name.
    pub method: String,
    /// Documents with another answer than greedy's.
    pub changed: usize,
    /// Of these, those that the task's first metric finds better,
    pub better: usize,
    /// and those that it finds worse.
    pub worse: usize,
}

/// When, and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// When it was finished, as in RFC 3339.
    pub finished: String,
    /// Seconds at work, over all documents and processes.
    pub seconds: f64,
}

#[cfg(test)]
pub(crate) mod tests;
