//! Choosing layers: `all`, `low`, `high`, or a list of indices and ranges.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A choice of early exits, written without knowing the model.
///
/// | text | layers |
/// |---|---|
/// | `all` | every early exit, 0 to L−1 |
/// | `low`, `high` | DoLa's buckets, every second layer of the lower or upper half |
/// | `0,2,4` | these |
/// | `0..16` | 0 to 15 |
/// | `0..16:2` | every second one of them |
/// | `-4..` | the last four |
/// | `0,8..,-1` | any of these together |
///
/// Negative indices count from the end: −1 is the last early exit, L−1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSelection {
    /// Every early exit.
    All,
    /// DoLa's lower bucket.
    Low,
    /// DoLa's upper bucket.
    High,
    /// Indices and ranges.
    List(Vec<LayerRange>),
}

/// Indices `start..end` in steps of `step`; negative ones count from the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRange {
    /// First index; `None` means 0.
    pub start: Option<i64>,
    /// One past the last index; `None` means L.
    pub end: Option<i64>,
    /// Distance between indices, at least 1.
    pub step: usize,
}

impl LayerSelection {
    /// The chosen layers of a model whose exits are 0 to `exits`−1, ascending
    /// and without repeats. `tied` says whether the head is the embedding
    /// matrix: exit 0 then only repeats the input token, and `low` leaves it
    /// out, as Hugging Face's DoLa does.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`] and [`Error::NoLayers`].
    pub fn resolve(&self, exits: usize, tied: bool) -> Result<Vec<usize>, Error> {
        let last = exits.saturating_sub(1);
        let mut layers: Vec<usize> = match self {
            LayerSelection::All => (0..exits).collect(),
            LayerSelection::Low => low_bucket(exits, tied),
            LayerSelection::High => high_bucket(exits),
            LayerSelection::List(ranges) => {
                let mut layers = Vec::new();
                for range in ranges {
                    layers.extend(range.resolve(exits)?);
                }
                layers
            }
        };
        layers.sort_unstable();
        layers.dedup();
        if layers.is_empty() {
            return Err(Error::NoLayers { selection: self.to_string(), last });
        }
        Ok(layers)
    }
}

/// Hugging Face's `dola_layers="low"`: 0, 2, … below N/2, or below 20 in models
/// of more than 40 layers; from 2 where the embeddings are tied.
fn low_bucket(exits: usize, tied: bool) -> Vec<usize> {
    let start = match exits {
        _ if !tied => 0,
        0 | 1 => 0,
        2 => 1,
        _ => 2,
    };
    let end = if exits <= 40 { exits / 2 } else { 20 };
    (start..end.max(start + 1)).step_by(2).filter(|&layer| layer < exits).collect()
}

/// Hugging Face's `dola_layers="high"`: N/2, N/2+2, … below N, or from N−20 in
/// models of more than 40 layers.
fn high_bucket(exits: usize) -> Vec<usize> {
    let start = if exits <= 40 { exits / 2 } else { exits - 20 };
    (start..exits).step_by(2).collect()
}

impl LayerRange {
    fn single(layer: i64) -> Self {
        LayerRange {
            start: Some(layer),
            end: layer.checked_add(1).filter(|&end| end != 0),
            step: 1,
        }
    }

    fn is_single(&self) -> bool {
        *self == LayerRange::single(self.start.unwrap_or(0)) && self.start.is_some()
    }

    fn resolve(&self, exits: usize) -> Result<impl Iterator<Item = usize> + use<>, Error> {
        let count = exits as i64;
        let out_of_range = |layer| Error::LayerOutOfRange { layer, last: exits.saturating_sub(1) };
        let from_end = |index: i64| if index < 0 { index + count } else { index };

        let start = from_end(self.start.unwrap_or(0));
        if !(0..count).contains(&start) {
            return Err(out_of_range(self.start.unwrap_or(0)));
        }
        let end = from_end(self.end.unwrap_or(count));
        if !(0..=count).contains(&end) {
            // The range's end is exclusive, so the layer meant is one before it.
            let end = self.end.unwrap_or(count);
            return Err(out_of_range(if end > 0 { end - 1 } else { end }));
        }
        Ok((start as usize..end as usize).step_by(self.step))
    }
}

impl FromStr for LayerSelection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim() {
            "all" => Ok(LayerSelection::All),
            "low" => Ok(LayerSelection::Low),
            "high" => Ok(LayerSelection::High),
            list => list
                .split(',')
                .map(|item| parse_range(item.trim()))
                .collect::<Option<Vec<_>>>()
                .map(LayerSelection::List)
                .ok_or_else(|| Error::BadValue {
                    name: "layers",
                    value: text.to_owned(),
                    expected:
                        "all, low, high, or indices and ranges such as 0,2,4 or 0..16:2 or -4.."
                            .to_owned(),
                }),
        }
    }
}

fn parse_range(item: &str) -> Option<LayerRange> {
    let Some((start, rest)) = item.split_once("..") else {
        return item.parse().ok().map(LayerRange::single);
    };
    let (end, step) = match rest.split_once(':') {
        Some((end, step)) => (end, step.parse().ok().filter(|&step: &usize| step > 0)?),
        None => (rest, 1),
    };
    let bound = |text: &str| match text {
        "" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(LayerRange { start: bound(start)?, end: bound(end)?, step })
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerSelection::All => f.write_str("all"),
            LayerSelection::Low => f.write_str("low"),
            LayerSelection::High => f.write_str("high"),
            LayerSelection::List(ranges) => {
                for (position, range) in ranges.iter().enumerate() {
                    if position > 0 {
                        f.write_str(",")?;
                    }
                    range.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for LayerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound: Option<i64>| bound.map_or_else(String::new, |index| index.to_string());
        if self.is_single() {
            return f.write_str(&bound(self.start));
        }
        write!(f, "{}..{}", bound(self.start), bound(self.end))?;
        if self.step > 1 {
            write!(f, ":{}", self.step)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, exits: usize) -> Vec<usize> {
        text.parse::<LayerSelection>().unwrap().resolve(exits, false).unwrap()
    }

    #[test]
    fn lists_ranges_strides_and_negative_indices() {
        assert_eq!(resolve("all", 4), [0, 1, 2, 3]);
        assert_eq!(resolve("4,0,2,2", 6), [0, 2, 4]);
        assert_eq!(resolve("0..16:4", 20), [0, 4, 8, 12]);
        assert_eq!(resolve("-3..", 6), [3, 4, 5]);
        assert_eq!(resolve("..2", 6), [0, 1]);
        assert_eq!(resolve("1..-1", 6), [1, 2, 3, 4]);
        assert_eq!(resolve("0,-1", 6), [0, 5]);
    }

    #[test]
    fn buckets_are_those_of_hugging_face() {
        assert_eq!(resolve("low", 32), [0, 2, 4, 6, 8, 10, 12, 14]);
        assert_eq!(resolve("high", 32), [16, 18, 20, 22, 24, 26, 28, 30]);
        assert_eq!(resolve("low", 80), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(resolve("high", 80), [60, 62, 64, 66, 68, 70, 72, 74, 76, 78]);
        let tied = |exits| LayerSelection::Low.resolve(exits, true).unwrap();
        assert_eq!(tied(32), [2, 4, 6, 8, 10, 12, 14]);
        // Shallow models: never empty, never out of range.
        assert_eq!(tied(1), [0]);
        assert_eq!(tied(2), [1]);
        assert_eq!(tied(3), [2]);
        assert_eq!(tied(4), [2]);
    }

    #[test]
    fn out_of_range_names_the_layer_and_the_range() {
        let error = |text: &str| {
            text.parse::<LayerSelection>().unwrap().resolve(6, false).unwrap_err().to_string()
        };
        assert!(error("0,6").contains("layer 6 is out of range"));
        assert!(error("0,6").contains("0 to 5"));
        assert!(error("-7").contains("layer -7"));
        assert!(error("0..9").contains("layer 8"));
        assert!(error("3..3").contains("select none"));
    }

    #[test]
    fn nonsense_is_refused_and_text_round_trips() {
        for text in ["", "x", "1,,2", "0..4:0", "1..2..3", "0:4", "1.5"] {
            assert!(text.parse::<LayerSelection>().is_err(), "{text:?}");
        }
        for text in ["all", "low", "high", "0,2,4", "0..16:2", "-4..", "..-2:3", "-1", "5"] {
            assert_eq!(text.parse::<LayerSelection>().unwrap().to_string(), text);
        }
    }
}
