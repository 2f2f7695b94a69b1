//! The settings that are tried: every combination of some values.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A parameter with the values that are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// The parameter's name, such as `evolution-rate`.
    pub name: String,
    /// Its values as text, at least one.
    pub values: Vec<String>,
}

impl Axis {
    fn new(name: &str, values: &[&str]) -> Self {
        Axis { name: name.to_owned(), values: values.iter().map(|&value| value.into()).collect() }
    }

    /// Reads `NAME=VALUE,VALUE`. Values that have commas in them are parted by semicolons,
    /// as in `layers=0,2,4;high`.
    ///
    /// # Errors
    /// [`Error::Grid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Grid { text: text.to_owned(), what: what.to_owned() };
        let (name, values) = text.split_once('=').ok_or_else(|| wrong("it has no '='"))?;
        let mark = if values.contains(';') { ';' } else { ',' };
        let values: Vec<&str> = values.split(mark).map(str::trim).collect();
        if name.trim().is_empty() || values.iter().any(|value| value.is_empty()) {
            return Err(wrong("a name or a value is empty"));
        }
        Ok(Axis::new(name.trim(), &values))
    }
}

/// What is searched of a method where nothing else is said; nothing for a method that has
/// nothing to search.
///
/// * SLED: rates and scales over what its authors have published and recommend (0.5 to 3, 5
///   to 100), and one rate beyond it; all layers, as in the paper, or every second of the upper
///   half; exits with and without the final norm.
/// * DoLa: its authors' buckets of layers and all of them; plausibility from none, as the
///   authors have it for multiple choice, to 0.3; the norm.
/// * Ensemble: weights that are all the same or grow; all layers, the upper half, the last
///   four, the last one; the norm.
///
/// Scales come in front and the largest first: what is summed over the exits for a scale
/// serves all smaller ones behind it.
pub fn usual_grid(method: &str) -> Option<Vec<Axis>> {
    let norm = Axis::new("exit-norm", &["raw", "final"]);
    Some(match method {
        "sled" => vec![
            Axis::new("evolution-scale", &["100", "50", "20", "10", "5"]),
            Axis::new("evolution-rate", &["0.5", "1", "2", "3", "5"]),
            Axis::new("layers", &["all", "high"]),
            norm,
        ],
        "dola" => vec![
            Axis::new("layers", &["low", "high", "all"]),
            Axis::new("relative-top", &["0", "0.01", "0.1", "0.3"]),
            norm,
        ],
        "ensemble" => vec![
            Axis::new("layers", &["all", "high", "-4..", "-1"]),
            Axis::new("ensemble-weights", &["uniform", "linear"]),
            norm,
        ],
        _ => return None,
    })
}

/// Every combination of values, one of each axis, in the order of the axes: the last one
/// changes fastest. Without an axis there is one, with nothing in it.
pub fn points(axes: &[Axis]) -> impl Iterator<Item = Vec<&str>> {
    // An axis without values has no point; more than there are numbers for is for no one.
    let count = axes.iter().fold(1usize, |count, axis| count.saturating_mul(axis.values.len()));
    (0..count).map(move |number| {
        let mut rest = number;
        let mut point: Vec<&str> = axes
            .iter()
            .rev()
            .map(|axis| {
                let value = &axis.values[rest % axis.values.len()];
                rest /= axis.values.len();
                value.as_str()
            })
            .collect();
        point.reverse();
        point
    })
}
