//! What came of one document: a line of `documents.jsonl`.

use serde::{Deserialize, Deserializer, Serialize};

/// What came of one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The task's name.
    pub task: String,
    /// The document's row among all rows of the task's data, from 0.
    pub index: usize,
    /// What the document is called.
    pub id: String,
    /// The group that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The question as the model was given it, without the header.
    pub question: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What it took.
    #[serde(default)]
    pub cost: Cost,
    /// How long it took, in seconds. The one thing that another run has otherwise.
    #[serde(default)]
    pub seconds: f64,
}

/// What came of a document. Methods are in the order of the run's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It could not be asked.
    Problem {
        /// Where it is, for people: `TruthfulQA.csv, row 12 (line 14)`.
        place: String,
        /// Why, in a few words.
        what: String,
    },
    /// Its candidates were scored.
    Choice {
        /// The candidates with their scores.
        candidates: Vec<Scored>,
        /// What the layers said where a method chose another candidate than greedy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        layers: Vec<Layers>,
    },
    /// Answers were written.
    Answer {
        /// The right answers.
        references: Vec<String>,
        /// One for each method.
        answers: Vec<Answered>,
        /// What the layers said where a method's text parts from greedy's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        layers: Vec<Layers>,
    },
}

/// A candidate with its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The answer, for people.
    pub text: String,
    /// Whether it is right.
    pub right: bool,
    /// Whether it is the best of the right ones.
    pub best: bool,
    /// Its length in tokens, and in bytes of UTF-8.
    pub tokens: usize,
    /// Its length in bytes of UTF-8, as it was scored.
    pub bytes: usize,
    /// One for each method.
    pub scores: Vec<Sums>,
}

/// A candidate's score under a method, summed over its tokens. JSON has no word for
/// infinity: minus infinity, of what a model holds for impossible, is `null` there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Of the method's output as it is.
    #[serde(deserialize_with = "finite_or_not")]
    pub logit: f64,
    /// Of its log-softmax over the vocabulary, in nats.
    #[serde(deserialize_with = "finite_or_not")]
    pub logprob: f64,
}

fn finite_or_not<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

/// An answer that a method wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The text.
    pub text: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Tokens where the method chose otherwise than the final layer.
    pub changed: usize,
    /// Why it ended: `eos`, `stop`, `length` or `context`.
    pub finish_reason: String,
}

/// What the layers said at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// The number of the method.
    pub method: usize,
    /// A lens page's data with one position, as `luge-page` has it.
    pub page: serde_json::Value,
}

/// What was computed, and what would have been without sharing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Tokens that went through the transformer, but for those of the header, which are
    /// computed once a process and not for a document.
    pub tokens: u64,
    /// Tokens that would have, with each method and each candidate on its own.
    pub tokens_alone: u64,
    /// Exits that were computed: layers, summed over positions.
    pub exits: u64,
    /// Exits that would have been, with each method and each candidate on its own.
    pub exits_alone: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.tokens_alone += other.tokens_alone;
        self.exits += other.exits;
        self.exits_alone += other.exits_alone;
    }
}
