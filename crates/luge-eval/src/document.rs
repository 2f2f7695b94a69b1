//! One question, ready to be asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A task's questions, in the order of their file.
#[derive(Debug, Clone, PartialEq)]
pub struct Documents {
    /// Where they are from.
    pub file: PathBuf,
    /// The SHA-256 of that file, in hexadecimal.
    pub sha256: String,
    /// Every row: a question, or why it is none.
    pub rows: Vec<Result<Document, Problem>>,
}

/// One question with everything that it takes to ask and to judge it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its row among all rows of the data, from 0.
    pub index: usize,
    /// What it is called: by the data, or else its row.
    pub id: String,
    /// The group that it belongs to, for a breakdown.
    pub category: Option<String>,
    /// The text behind the header: the question as the model is given it.
    pub question: String,
    /// What is wanted.
    pub ask: Ask,
}

/// What is wanted of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Which of these is the most probable? At least one is right and one is wrong.
    Choice(Vec<Candidate>),
    /// An answer, written: any of these is right. At least one.
    Answer(Vec<String>),
}

/// An answer to be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The answer, for people.
    pub text: String,
    /// What is scored behind the question, as a rule a blank and the answer.
    pub continuation: String,
    /// Whether it is right.
    pub right: bool,
    /// Whether it is the best of the right ones: exactly one is.
    pub best: bool,
}

/// A row that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its row among all rows of the data, from 0.
    pub index: usize,
    /// Where it is, for people: `TruthfulQA.csv, row 12 (line 14)`; rows count from 1.
    pub place: String,
    /// What is wrong, in a few words: `the column Question is empty`.
    pub what: String,
}

/// What stands in front of every question of a task: the same for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// An instruction; may be empty.
    pub description: String,
    /// Examples, as the model is given them.
    pub shots: Vec<Shot>,
    /// What stands behind the description and behind each example.
    pub separator: String,
}

/// An example: a question, and its answer as it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// The question, rendered as those of documents are.
    pub question: String,
    /// The answer behind it, as a continuation.
    pub answer: String,
}

impl Header {
    /// The header as one text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.description.is_empty() {
            text += &self.description;
            text += &self.separator;
        }
        for shot in &self.shots {
            text += &shot.question;
            text += &shot.answer;
            text += &self.separator;
        }
        text
    }
}
