//! How a task's answers are judged: the part of its definition that metrics read.

use serde::{Deserialize, Serialize};

/// How a task's answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// What is measured, the most important first. At least one, all for candidates or
    /// all for written answers.
    pub metrics: Vec<Metric>,
    /// What `acc_norm` divides a score by.
    #[serde(default)]
    pub norm: Norm,
    /// How an answer is found in a text; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<Extract>,
    /// When two answers are the same.
    #[serde(default)]
    pub compare: Compare,
    /// What the public scripts do, for `--scoring reference`.
    #[serde(default)]
    pub reference: Reference,
}

impl Judge {
    /// One that measures these, and is otherwise as by default.
    pub fn new(metrics: Vec<Metric>) -> Self {
        Judge {
            metrics,
            norm: Norm::default(),
            extract: None,
            compare: Compare::default(),
            reference: Reference::default(),
        }
    }
}

/// What is measured of a document, in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// 1 where the best answer has a higher score than every wrong one.
    Mc1,
    /// The share of the right answers in the probability of all.
    Mc2,
    /// The share of right answers with a higher score than every wrong one.
    Mc3,
    /// 1 where a right answer has the highest score.
    Acc,
    /// The same with each score divided by the answer's length.
    AccNorm,
    /// 1 where the answer is one of the right ones.
    ExactMatch,
    /// The words that the answer shares with the right one, where there are several with
    /// the one that fits best.
    F1,
}

/// What a score is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The answer's length in tokens.
    #[default]
    Tokens,
    /// Its length in bytes of UTF-8.
    Bytes,
}

/// How an answer is found in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// The words in front of the answer, in small or capital letters: what follows their
    /// first occurrence is searched, its first match taken. Where they are missing, the
    /// whole text is, and its last match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A regular expression that the answer matches; its first group, if it has one, is
    /// the answer.
    pub pattern: String,
    /// Where the answer of the data stands: behind this, to its end; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_after: Option<String>,
}

/// When two answers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// In small letters, without punctuation, articles and repeated blanks, as SQuAD does.
    #[default]
    Text,
    /// As numbers: `1,000.0` is `1000`.
    Number,
    /// As yes or no: `true` is yes, `false` is no.
    YesNo,
    /// The text contains the answer, letter by letter, with no letter or digit right in
    /// front of it or behind it.
    Contains,
}

/// What the public scripts of SLED and DoLa do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reference {
    /// They compare sums of the methods' output as it is, not of its log-softmax.
    pub raw: bool,
    /// For MC2 they halve all right, or all wrong, scores until not all probabilities
    /// are 0.
    pub rescale: bool,
    /// They count a right answer that is level with a wrong one.
    pub ties: bool,
}
