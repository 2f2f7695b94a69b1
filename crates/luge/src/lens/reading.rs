//! The exits of one position, read on all threads.

use luge_decoding::{Exits, entropy, jensen_shannon, log_sum_exp, top_k};
use luge_llama::ExitTile;

use crate::Error;
use crate::exits::PositionExits;

/// What is wanted of the exits.
pub(super) struct Wanted<'a> {
    /// The layers, ascending: those of the plan or some of them. The final layer
    /// comes behind them by itself.
    pub layers: &'a [usize],
    /// How many of the most probable tokens.
    pub top: usize,
    /// Tokens whose probabilities and ranks are wanted.
    pub pinned: &'a [u32],
}

/// What was read, a row a layer, the final one last.
pub(super) struct Reading {
    pub rows: Vec<Row>,
    /// ln Σ e^z of each row.
    norms: Vec<f64>,
}

/// What was read of one layer.
#[derive(Default)]
pub(super) struct Row {
    /// Tokens and their probabilities, the best first.
    pub top: Vec<(u32, f64)>,
    pub entropy: f64,
    pub jsd_to_final: f64,
    /// Probability and rank of each pinned token.
    pub pinned: Vec<(f64, usize)>,
}

/// A layer's part in a tile, measured against the norm of the whole layer.
struct Part {
    entropy: f64,
    jsd_to_final: f64,
    /// For each pinned token, how many come before it.
    before: Vec<usize>,
}

impl Reading {
    /// Reads the exits of a position whose final logits are `last`, `[vocab]`. Their
    /// logits are computed once, and passed over tile by tile for the norms and then for
    /// what is measured against these.
    pub fn of(
        exits: &mut PositionExits<'_>,
        last: &[f32],
        wanted: &Wanted<'_>,
    ) -> Result<Self, Error> {
        // Computed and kept, for both passes and for whoever comes later.
        exits.logits().map_err(luge_decoding::Error::Exits)?;
        let places = exits.places(wanted.layers);
        let row_count = places.len() + 1;

        let tiles = exits.each_tile(|tile| -> Vec<f64> {
            let layers = places.iter().map(|&place| tile.exit(place)).chain([part(tile, last).1]);
            layers.map(log_sum_exp).collect()
        })?;
        let norm = |row: usize| merged(tiles.iter().map(|tile| tile[row]));
        let norms: Vec<f64> = (0..row_count).map(norm).collect();
        if let Some(row) = norms.iter().position(|norm| !norm.is_finite()) {
            let layer = wanted.layers.get(row);
            let whose = layer.map_or("the final layer".to_owned(), |layer| format!("exit {layer}"));
            return Err(luge_decoding::Error::NotANumber { whose }.into());
        }

        // Over whole layers: almost all of a layer is below the best of its first tile.
        let logits = exits.logits().map_err(luge_decoding::Error::Exits)?;
        let layers = wanted.layers.iter().map(|&layer| logits.of(layer)).chain([last]);
        let best = |(logits, norm): (&[f32], &f64)| {
            let tokens = top_k(logits, wanted.top).into_iter();
            let prob = |token: u32| (f64::from(logits[token as usize]) - norm).exp();
            Row { top: tokens.map(|token| (token, prob(token))).collect(), ..Row::default() }
        };
        let mut rows: Vec<Row> = layers.zip(&norms).map(best).collect();

        let pinned = pinned_logits(exits, last, wanted)?;
        let parts = exits.each_tile(|tile| -> Vec<Part> {
            let (start, own) = part(tile, last);
            let layers = places.iter().map(|&place| tile.exit(place)).chain([own]);
            let read = |(row, logits): (usize, &[f32])| {
                let (norm, final_norm) = (norms[row] as f32, norms[row_count - 1] as f32);
                let before = wanted.pinned.iter().zip(&pinned[row]);
                Part {
                    entropy: entropy(logits, norm),
                    jsd_to_final: jensen_shannon(own, final_norm, logits, norm),
                    before: before
                        .map(|(&token, &logit)| count_before(logits, start, token, logit))
                        .collect(),
                }
            };
            layers.enumerate().map(read).collect()
        })?;
        for (number, row) in rows.iter_mut().enumerate() {
            let is_final = number + 1 == row_count;
            let tiles = || parts.iter().map(|tile| &tile[number]);
            row.entropy = tiles().map(|tile| tile.entropy).sum::<f64>().max(0.0);
            if !is_final {
                row.jsd_to_final = tiles().map(|tile| tile.jsd_to_final).sum::<f64>().max(0.0);
            }
            for (place, &logit) in pinned[number].iter().enumerate() {
                let before: usize = tiles().map(|tile| tile.before[place]).sum();
                row.pinned.push(((f64::from(logit) - norms[number]).exp(), before + 1));
            }
        }
        Ok(Reading { rows, norms })
    }

    /// ln Σ e^z of the final layer.
    pub fn final_norm(&self) -> f64 {
        self.norms[self.norms.len() - 1]
    }

    /// The probabilities of tokens in every row, `[tokens × rows]`.
    pub fn probs(
        &self,
        exits: &mut PositionExits<'_>,
        last: &[f32],
        wanted: &Wanted<'_>,
        tokens: &[u32],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let wanted = Wanted { pinned: tokens, ..*wanted };
        let logits = pinned_logits(exits, last, &wanted)?;
        let path = |place: usize| {
            let probs = logits.iter().zip(&self.norms);
            probs.map(|(row, norm)| (f64::from(row[place]) - norm).exp() as f32).collect()
        };
        Ok((0..tokens.len()).map(path).collect())
    }
}

/// The logits of the pinned tokens, `[rows × pinned]`.
fn pinned_logits(
    exits: &mut PositionExits<'_>,
    last: &[f32],
    wanted: &Wanted<'_>,
) -> Result<Vec<Vec<f32>>, Error> {
    let exits = exits.logits().map_err(luge_decoding::Error::Exits)?;
    let layers = wanted.layers.iter().map(|&layer| exits.of(layer)).chain([last]);
    let of = |logits: &[f32]| wanted.pinned.iter().map(|&token| logits[token as usize]).collect();
    Ok(layers.map(of).collect())
}

/// Where a tile begins, and the part of the final logits that belongs to it.
fn part<'a>(tile: &ExitTile<'_>, last: &'a [f32]) -> (usize, &'a [f32]) {
    (tile.start(), &last[tile.start()..tile.start() + tile.len()])
}

/// ln Σ e^x of the norms of pieces.
fn merged(norms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = norms.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = norms.map(|norm| (norm - largest).exp()).sum();
    largest + sum.ln()
}

/// How many tokens of a piece that begins at `start` come before a token of this
/// logit: the more probable ones, and of equal ones those with a lower number.
fn count_before(logits: &[f32], start: usize, token: u32, logit: f32) -> usize {
    let above = logits.iter().filter(|&&other| other > logit).count();
    let lower = (token as usize).saturating_sub(start).min(logits.len());
    above + logits[..lower].iter().filter(|&&other| other == logit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_pieces_make_that_of_the_whole() {
        let logits: Vec<f32> = (0..100).map(|i| (i as f32 * 0.9).sin() * 30.0).collect();
        let pieces = logits.chunks(7).map(log_sum_exp);
        assert!((merged(pieces) - log_sum_exp(&logits)).abs() < 1e-6);
        // A piece that the model rules out, and a layer that is not one.
        assert_eq!(merged([f64::NEG_INFINITY, 2.0].into_iter()), 2.0);
        assert!(merged([f64::NAN, 2.0].into_iter()).is_nan());
        assert!(!merged([f64::NEG_INFINITY; 2].into_iter()).is_finite());
    }

    #[test]
    fn ranks_count_equals_of_a_lower_number() {
        let logits = [1.0, 3.0, 1.0, 0.0, 1.0];
        let before = |token: u32| count_before(&logits, 10, token, logits[token as usize - 10]);
        assert_eq!([10, 11, 12, 13, 14].map(before), [1, 0, 2, 4, 3]);
        // A token of another piece.
        assert_eq!(count_before(&logits, 10, 4, 1.0), 1);
        assert_eq!(count_before(&logits, 10, 40, 1.0), 4);
    }
}
