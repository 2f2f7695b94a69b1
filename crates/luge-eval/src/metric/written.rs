//! Answers that were written: how they are found in a text, and compared.

use std::cell::RefCell;

use regex::Regex;

use super::text::{normalised, number, yes_no};
use crate::judge::{Compare, Extract, Judge, Metric};

/// A written answer beside the right ones, all as they are compared.
pub(super) struct Written {
    answer: Option<String>,
    references: Vec<String>,
    /// Whether an answer that has a right one in it is right.
    contains: bool,
}

impl Written {
    pub(super) fn new(judge: &Judge, references: &[String], text: &str) -> Self {
        let references = references.iter().map(|reference| stated(judge, reference));
        Self {
            answer: found(judge, text),
            references: references.collect(),
            contains: judge.compare == Compare::Contains,
        }
    }

    /// Nothing for a metric of candidates.
    pub(super) fn value(&self, metric: Metric) -> Option<f64> {
        let value: fn(&str, &str) -> f64 = match metric {
            Metric::ExactMatch if self.contains => {
                |answer, reference| f64::from(u8::from(contains(answer, reference)))
            }
            Metric::ExactMatch => |answer, reference| f64::from(u8::from(answer == reference)),
            Metric::F1 => f1,
            Metric::Mc1 | Metric::Mc2 | Metric::Mc3 | Metric::Acc | Metric::AccNorm => return None,
        };
        let Some(answer) = &self.answer else { return Some(0.0) };
        let values = self.references.iter().map(|reference| value(answer, reference));
        Some(values.fold(0.0, f64::max))
    }
}

/// The answer in a text, as it is compared. Nothing where the judge's pattern finds none.
pub(super) fn found(judge: &Judge, text: &str) -> Option<String> {
    let answer = match &judge.extract {
        None => text.to_owned(),
        Some(extract) => extracted(extract, text)?,
    };
    Some(comparable(judge.compare, &answer))
}

/// An answer of the data, as it is compared.
fn stated(judge: &Judge, reference: &str) -> String {
    let marker = judge.extract.as_ref().and_then(|extract| extract.reference_after.as_deref());
    let behind = marker.and_then(|marker| reference.rsplit_once(marker));
    comparable(judge.compare, behind.map_or(reference, |(_, behind)| behind))
}

/// Two answers are the same if these are.
fn comparable(compare: Compare, answer: &str) -> String {
    match compare {
        Compare::Text => normalised(answer),
        Compare::Number => number(answer).unwrap_or_else(|| answer.trim().to_lowercase()),
        Compare::YesNo => match yes_no(answer) {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => normalised(answer),
        },
        Compare::Contains => answer.trim().to_owned(),
    }
}

/// Whether `text` has `answer` in it, with no letter or digit right in front of it or behind
/// it.
fn contains(text: &str, answer: &str) -> bool {
    !answer.is_empty()
        && text.match_indices(answer).any(|(start, found)| {
            let before = text[..start].chars().next_back();
            let behind = text[start + found.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !behind.is_some_and(char::is_alphanumeric)
        })
}

/// The harmonic mean of precision and recall over words, each as often as it occurs. Two
/// empty answers are the same, as SQuAD's second version has it.
fn f1(answer: &str, reference: &str) -> f64 {
    let mut answer: Vec<&str> = answer.split_whitespace().collect();
    let mut reference: Vec<&str> = reference.split_whitespace().collect();
    if answer.is_empty() || reference.is_empty() {
        return f64::from(u8::from(answer.is_empty() && reference.is_empty()));
    }
    let words = answer.len() + reference.len();
    answer.sort_unstable();
    reference.sort_unstable();
    let mut reference = reference.into_iter().peekable();
    let mut common = 0;
    for word in answer {
        while reference.next_if(|&other| other < word).is_some() {}
        common += usize::from(reference.next_if_eq(&word).is_some());
    }
    (2 * common) as f64 / words as f64
}

/// The part of a text that an [`Extract`] asks for.
fn extracted(extract: &Extract, text: &str) -> Option<String> {
    // All documents of a task have the same patterns, which take longer to read than most
    // texts to search.
    thread_local! {
        static LAST: RefCell<Option<(Extract, Option<Patterns>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|(known, _)| known != extract) {
            *last = Some((extract.clone(), Patterns::new(extract).ok()));
        }
        let (_, patterns) = last.as_ref()?;
        patterns.as_ref()?.search(text)
    })
}

struct Patterns {
    after: Option<Regex>,
    answer: Regex,
}

impl Patterns {
    fn new(extract: &Extract) -> Result<Self, regex::Error> {
        let ignoring_case = |words: &String| Regex::new(&format!("(?i){}", regex::escape(words)));
        let after = extract.after.as_ref().map(ignoring_case).transpose()?;
        Ok(Self { after, answer: Regex::new(&extract.pattern)? })
    }

    fn search(&self, text: &str) -> Option<String> {
        let behind = self.after.as_ref().and_then(|after| after.find(text));
        let captures = match behind {
            Some(words) => self.answer.captures(&text[words.end()..]),
            None => self.answer.captures_iter(text).last(),
        }?;
        let found = captures.get(1).or_else(|| captures.get(0))?;
        Some(found.as_str().trim().to_owned())
    }
}
