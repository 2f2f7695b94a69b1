//! The data of a page: what the scripts read.
//!
//! A large page has a million numbers, so they are written with four digits, and
//! pairs without brackets around each.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

/// What the layers say about a text. Rows are layers, columns positions.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LensPage {
    /// The heading, such as the beginning of the prompt.
    pub title: String,
    /// Of luge.
    pub version: String,
    /// The model's name.
    pub model: String,
    /// The method with its parameters, as in `sled(evolution-rate=2)`.
    pub method: String,
    /// The method's name alone: a label.
    pub method_name: String,
    /// How the exits were read: `raw`, or `final` for the logit lens.
    pub exit_norm: String,
    /// The layers of the rows, ascending; the last one is the final layer. There
    /// may be gaps.
    pub layers: Vec<usize>,
    /// The text of every token that occurs.
    pub tokens: BTreeMap<u32, String>,
    /// Tokens that are shown at every position.
    pub pinned: Vec<u32>,
    /// The index in `positions` of the one that is open at the start.
    pub open: Option<usize>,
    /// The positions, ascending.
    pub positions: Vec<Position>,
}

/// What the layers say about the token behind one position.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Position {
    /// Where in the text, in tokens from 0.
    pub position: usize,
    /// The token there. The layers speak about the one that follows it.
    pub id: u32,
    /// What follows it in the text; `None` behind the text's end.
    pub next: Option<u32>,
    /// Whether `next` was generated, rather than part of the prompt.
    pub generated: bool,
    /// The final layer's first choice, and its probability there.
    #[serde(serialize_with = "pair")]
    pub before: (u32, f64),
    /// The method's first choice, and the probability that the method gives it.
    #[serde(serialize_with = "pair")]
    pub after: (u32, f64),
    /// Whether these two differ.
    pub changed: bool,
    /// The layer from which on the most probable token stays the same.
    pub settling_depth: usize,
    /// The entropy of each row's distribution, in nats. `[rows]`
    #[serde(serialize_with = "numbers")]
    pub entropy: Vec<f64>,
    /// Each row's Jensen–Shannon divergence to the final layer. `[rows]`
    #[serde(serialize_with = "numbers")]
    pub jsd: Vec<f64>,
    /// Each row's most probable tokens with their probabilities, the best first.
    /// `[rows][k]`
    #[serde(serialize_with = "top")]
    pub top: Vec<Vec<(u32, f64)>>,
    /// The probability of the tokens that matter here in every row: each row's
    /// first, the final layer's best, the pinned ones, `after` and `next`.
    /// `[tokens] (id, [rows])`
    #[serde(serialize_with = "paths")]
    pub paths: Vec<(u32, Vec<f64>)>,
    /// The rank of each of [`LensPage::pinned`] in every row, 1 for the best.
    /// `[pinned][rows]`
    pub ranks: Vec<Vec<usize>>,
    /// How the layers voted, for methods that have them vote.
    pub votes: Option<Votes>,
    /// The layer that the final one was contrasted with, where one was.
    pub contrast: Option<usize>,
    /// Where `after` is not `before`: how far it is ahead in the final layer and in the
    /// method's output, and what the votes added, in logits.
    #[serde(serialize_with = "margins")]
    pub margins: Option<[f64; 3]>,
    /// The layers that spoke for the method's choice against the final layer's, with
    /// what each added to its lead, in logits, the largest first.
    #[serde(serialize_with = "shares")]
    pub carried: Vec<(usize, f64)>,
}

/// How the layers voted on what follows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Votes {
    /// The candidates.
    pub tokens: Vec<u32>,
    /// The layers that voted, ascending.
    pub layers: Vec<usize>,
    /// Each layer's part of the vote for each candidate. All together come to 1,
    /// or to 0. `[layers][candidates]`
    #[serde(serialize_with = "rows")]
    pub shares: Vec<Vec<f64>>,
}

/// Whether a character is no text: a control character, one that turns the rest of a
/// line around, or none at all.
pub fn is_unprintable(c: char) -> bool {
    let turns = matches!(c,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

/// Four digits: more than one sees.
fn short(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

fn pair<S: Serializer>(&(id, prob): &(u32, f64), serializer: S) -> Result<S::Ok, S::Error> {
    (id, short(prob)).serialize(serializer)
}

fn numbers<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().copied().map(short))
}

fn rows<S: Serializer>(rows: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    let short = |row: &Vec<f64>| row.iter().copied().map(short).collect::<Vec<_>>();
    serializer.collect_seq(rows.iter().map(short))
}

fn margins<S: Serializer>(margins: &Option<[f64; 3]>, serializer: S) -> Result<S::Ok, S::Error> {
    margins.map(|margins| margins.map(short)).serialize(serializer)
}

fn shares<S: Serializer>(shares: &[(usize, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(shares.iter().map(|&(layer, share)| (layer, short(share))))
}

fn top<S: Serializer>(rows: &[Vec<(u32, f64)>], serializer: S) -> Result<S::Ok, S::Error> {
    /// `[id, prob, id, prob, …]`
    struct Flat<'a>(&'a [(u32, f64)]);
    impl Serialize for Flat<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut list = serializer.serialize_seq(Some(2 * self.0.len()))?;
            for &(id, prob) in self.0 {
                list.serialize_element(&id)?;
                list.serialize_element(&short(prob))?;
            }
            list.end()
        }
    }
    serializer.collect_seq(rows.iter().map(|row| Flat(row)))
}

fn paths<S: Serializer>(paths: &[(u32, Vec<f64>)], serializer: S) -> Result<S::Ok, S::Error> {
    /// `[id, prob, prob, …]`
    struct Path<'a>(&'a (u32, Vec<f64>));
    impl Serialize for Path<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let (id, probs) = self.0;
            let mut list = serializer.serialize_seq(Some(1 + probs.len()))?;
            list.serialize_element(id)?;
            for &prob in probs {
                list.serialize_element(&short(prob))?;
            }
            list.end()
        }
    }
    serializer.collect_seq(paths.iter().map(Path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_short_and_pairs_flat() {
        let position = Position {
            before: (17, 1.0 / 3.0),
            after: (12, 1.0),
            entropy: vec![2.0 / 3.0, 0.0],
            jsd: vec![1e-9 / 3.0, 0.0],
            top: vec![vec![(12, 0.123456), (17, 0.1)], vec![]],
            paths: vec![(12, vec![0.123456, 5e-7 / 3.0])],
            votes: Some(Votes { tokens: vec![12], layers: vec![0], shares: vec![vec![2.0 / 3.0]] }),
            margins: Some([-1.0 / 3.0, f64::INFINITY, 0.0]),
            carried: vec![(3, 2.0 / 3.0)],
            ..Position::default()
        };
        let written = serde_json::to_value(&position).unwrap();
        assert_eq!(written["before"], json!([17, 0.3333]));
        assert_eq!(written["after"], json!([12, 1.0]));
        assert_eq!(written["entropy"], json!([0.6667, 0.0]));
        assert_eq!(written["jsd"], json!([3.333e-10, 0.0]));
        assert_eq!(written["top"], json!([[12, 0.1235, 17, 0.1], []]));
        assert_eq!(written["paths"], json!([[12, 0.1235, 1.667e-7]]));
        assert_eq!(written["votes"]["shares"], json!([[0.6667]]));
        assert_eq!(written["margins"], json!([-0.3333, null, 0.0]));
        assert_eq!(written["carried"], json!([[3, 0.6667]]));
        assert_eq!(written["next"], json!(null));
    }
}
