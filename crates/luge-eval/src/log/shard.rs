//! Parts of a run, for several machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A part of a run: one of so many, written `2/8`, and counted from 1.
///
/// Documents are dealt out in turns, each task's from its first, so that all parts have
/// the same share of every task, however a file is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    of: usize,
    number: usize,
}

impl Shard {
    /// All of a run.
    pub const WHOLE: Shard = Shard { number: 1, of: 1 };

    /// This part, from 1, of so many; none where there is no such part.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        (1..=of).contains(&number).then_some(Shard { of, number })
    }

    /// Which part it is, from 1.
    pub fn number(self) -> usize {
        self.number
    }

    /// Of how many, at least 1.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether it is all of the run.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Whether the document in this row, from 0, is in this part.
    pub fn has(self, index: usize) -> bool {
        index % self.of == self.number - 1
    }

    /// How many of the first rows are in this part.
    pub fn count(self, rows: usize) -> usize {
        let rounded_down = rows / self.of;
        if rows % self.of >= self.number { rounded_down + 1 } else { rounded_down }
    }

    /// What its log is called: `documents.jsonl` for the whole, and
    /// `documents-2-of-8.jsonl` for a part.
    pub fn file_name(self) -> String {
        match self.of {
            1 => "documents.jsonl".to_owned(),
            of => format!("documents-{}-of-{of}.jsonl", self.number),
        }
    }

    /// The part whose log is called so.
    pub(crate) fn of_file_name(name: &str) -> Option<Shard> {
        let middle = name.strip_prefix("documents-")?.strip_suffix(".jsonl")?;
        let shard: Shard = middle.replace("-of-", "/").parse().ok()?;
        // There is one way to write it.
        (shard.file_name() == name).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Shard { text: text.to_owned(), reason };
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<usize>().ok().filter(|_| is_number)
        };
        let numbers = text.split_once('/').map(|(part, of)| (number(part), number(of)));
        match numbers {
            Some((Some(_), Some(0))) => Err(wrong("a run has at least one part".to_owned())),
            Some((Some(0), Some(of))) => {
                Err(wrong(format!("parts are counted from 1, so the first is 1/{of}")))
            }
            Some((Some(number), Some(of))) if number > of => {
                Err(wrong(format!("there are only {of}")))
            }
            Some((Some(number), Some(of))) => Ok(Shard { number, of }),
            _ => Err(wrong("the second of eight is written as 2/8".to_owned())),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_written_in_one_way_and_mistakes_are_told() {
        assert_eq!(shard("1/1"), Shard::WHOLE);
        assert_eq!((shard("2/8").number(), shard("2/8").of()), (2, 8));
        let wrong = [
            ("0/8", "the first is 1/8"),
            ("9/8", "there are only 8"),
            ("1/0", "at least one"),
            ("0/0", "at least one"),
            ("2", "is written as 2/8"),
            ("", "is written as 2/8"),
            ("/", "is written as 2/8"),
            ("+1/8", "is written as 2/8"),
            ("1 /8", "is written as 2/8"),
            ("1/2/3", "is written as 2/8"),
            ("1/99999999999999999999999", "is written as 2/8"),
        ];
        for (text, reason) in wrong {
            let message = text.parse::<Shard>().unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains(text), "{message}");
        }
    }

    #[test]
    fn names_of_files_tell_the_part() {
        assert_eq!(Shard::WHOLE.file_name(), "documents.jsonl");
        assert_eq!(shard("2/8").file_name(), "documents-2-of-8.jsonl");
        assert_eq!(Shard::of_file_name("documents-2-of-8.jsonl"), Some(shard("2/8")));
        let others = [
            "documents.jsonl",
            "documents-02-of-8.jsonl",
            "documents-9-of-8.jsonl",
            "documents-2/8.jsonl",
            "documents-1-of-1.jsonl",
            "documents-2-of-8.jsonl.bak",
        ];
        assert!(others.iter().all(|name| Shard::of_file_name(name).is_none()));
    }

    proptest::proptest! {
        /// Every document is in one part, and the parts are as equal as can be.
        #[test]
        fn parts_have_all_documents_once(rows in 0usize..200, of in 1usize..20) {
            let parts: Vec<Shard> = (1..=of).map(|number| shard(&format!("{number}/{of}"))).collect();
            let counts: Vec<usize> =
                parts.iter().map(|part| (0..rows).filter(|&row| part.has(row)).count()).collect();
            let counted: Vec<usize> = parts.iter().map(|part| part.count(rows)).collect();
            proptest::prop_assert_eq!(&counted, &counts);
            proptest::prop_assert_eq!(counts.iter().sum::<usize>(), rows);
            proptest::prop_assert!(counts[0] - counts[of - 1] <= 1);
        }
    }
}
