//! Parameters by name: from text into a method, and from a bound stage to JSON.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::exits::{ExitForm, ExitNorm};

/// A parameter of a method, as the command line and the documentation show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamSpec {
    /// The name, as in `--evolution-rate` and `sled(evolution-rate=2)`.
    pub name: &'static str,
    /// The placeholder for its value in help texts.
    pub value: &'static str,
    /// One line on what it does, with range and default.
    pub help: &'static str,
}

/// The layer selection, shared by the methods that read exits.
pub(crate) const LAYERS: ParamSpec = ParamSpec {
    name: "layers",
    value: "LAYERS",
    help: "Early exits to use: all, low, high, or indices and ranges such as 0,2,4 or 0..16:2 or -4.. [default: all; dola: low]",
};

/// The norm before the head, shared by the methods that read exits.
pub(crate) const EXIT_NORM: ParamSpec = ParamSpec {
    name: "exit-norm",
    value: "raw|final",
    help: "Norm a hidden state passes before the LM head: none, or the model's final norm (logit lens) [default: raw]",
};

/// The softcap after the head, shared by the methods that read exits.
pub(crate) const EXIT_SOFTCAP: ParamSpec = ParamSpec {
    name: "exit-softcap",
    value: "on|off",
    help: "Whether exits pass the model's logit softcap, where it has one [default: on]",
};

/// Named parameters as text, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Sets a parameter; a later value of the same name wins.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The text of a parameter, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All names given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// These parameters with `others` behind them: where both have a name,
    /// the others' value wins.
    pub fn merged(&self, others: &Params) -> Params {
        Params(self.0.iter().chain(&others.0).cloned().collect())
    }

    /// A parameter parsed, or its default if it was not given. `accept` says
    /// which parsed values are in range.
    pub(crate) fn parse<T: FromStr>(
        &self,
        name: &'static str,
        default: T,
        expected: &str,
        accept: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.trim().parse().ok().filter(accept).ok_or_else(|| Error::BadValue {
                name,
                value: text.to_owned(),
                expected: expected.to_owned(),
            }),
        }
    }

    /// The exit form from `exit-norm` and `exit-softcap`.
    ///
    /// # Errors
    /// [`Error::BadValue`].
    pub fn exit_form(&self) -> Result<ExitForm, Error> {
        let bad = |name, text: &str, expected: &str| Error::BadValue {
            name,
            value: text.to_owned(),
            expected: expected.to_owned(),
        };
        let norm = match self.get(EXIT_NORM.name) {
            None | Some("raw") => ExitNorm::Raw,
            Some("final") => ExitNorm::Final,
            Some(other) => return Err(bad(EXIT_NORM.name, other, "raw or final")),
        };
        let softcap = match self.get(EXIT_SOFTCAP.name) {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(bad(EXIT_SOFTCAP.name, other, "on or off")),
        };
        Ok(ExitForm { norm, softcap })
    }
}

/// A resolved parameter's value.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum Value {
    /// A real number.
    Real(f32),
    /// A count or a layer index.
    Count(usize),
    /// Layer indices.
    Layers(Vec<usize>),
    /// Real numbers.
    Reals(Vec<f32>),
    /// A word.
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            f.write_str(&items.join(","))
        }
        match self {
            Value::Real(number) => number.fmt(f),
            Value::Count(count) => count.fmt(f),
            Value::Layers(layers) => match *layers.as_slice() {
                // In even steps: as a range, which reads as the same layers.
                [first, second, .., last]
                    if layers.windows(2).all(|pair| pair[0] + (second - first) == pair[1]) =>
                {
                    write!(f, "{first}..{}", last + 1)?;
                    if second - first > 1 { write!(f, ":{}", second - first) } else { Ok(()) }
                }
                _ => list(f, layers),
            },
            Value::Reals(numbers) => list(f, numbers),
            Value::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::LayerSelection;

    #[test]
    fn layers_in_even_steps_are_written_as_a_range_that_reads_as_the_same() {
        for (layers, text) in [
            (vec![0, 1, 2, 3], "0..4"),
            (vec![2, 4, 6], "2..7:2"),
            (vec![0, 1], "0,1"),
            (vec![0, 1, 3], "0,1,3"),
            (vec![5], "5"),
        ] {
            assert_eq!(Value::Layers(layers.clone()).to_string(), text);
            assert_eq!(text.parse::<LayerSelection>().unwrap().resolve(12, false).unwrap(), layers);
        }
    }
}
