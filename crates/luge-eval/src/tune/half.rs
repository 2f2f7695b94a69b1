//! The halves of a task's documents.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document::{Document, Problem};

/// A half of a task's documents.
///
/// A document's half follows from its question as the model is given it, without what
/// stands in front of all questions: of the SHA-256 of its UTF-8, without white space at
/// its ends, the first bit is 0 for [`Half::Tuning`] and 1 for [`Half::HeldOut`]. That is
/// the same on every machine and in every version, whatever the file is called, however it
/// is sorted and whatever was asked of it. Documents with the same question are in the same
/// half, whatever their answers are: so nothing that was tuned on is tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// Settings are chosen on it.
    Tuning,
    /// They are tested on it.
    HeldOut,
}

/// A half of a task, as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfSetup {
    /// Which one.
    pub half: Half,
    /// How many rows it has.
    pub rows: usize,
}

impl Half {
    /// The half of a question.
    pub fn of(question: &str) -> Self {
        match Sha256::digest(question.trim()).first() {
            Some(byte) if byte >> 7 == 0 => Half::Tuning,
            _ => Half::HeldOut,
        }
    }

    /// The half of a row. One that cannot be asked is in the half that the report is
    /// about, so that it is in the report.
    pub fn of_row(row: &Result<Document, Problem>) -> Self {
        row.as_ref().map_or(Half::HeldOut, |document| Half::of(&document.question))
    }

    /// What it is called: `tuning half` or `held-out half`.
    pub fn name(self) -> &'static str {
        match self {
            Half::Tuning => "tuning half",
            Half::HeldOut => "held-out half",
        }
    }
}
