//! How a method came to its result at a position: for people who look.

use std::collections::BTreeSet;

/// What a stage of a pipeline read of the layers at one position.
#[derive(Debug, Clone, PartialEq)]
pub enum Trace {
    /// Each layer voted for some tokens, as in SLED.
    Votes(Votes),
    /// The result was contrasted with one layer, as in DoLa.
    Contrast {
        /// The premature layer.
        layer: usize,
    },
}

/// Each layer's share of a vote among some tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Votes {
    /// The tokens voted on.
    pub tokens: Vec<u32>,
    /// The layers that voted, ascending.
    pub layers: Vec<usize>,
    /// `[layers × tokens]`, each in 0..=1. All together they make 1, or 0 where no
    /// layer voted for anything.
    pub shares: Vec<Vec<f64>>,
    /// What the whole vote adds to logits: a layer adds its share of it to each token's.
    /// 0 where a later stage of a pipeline puts others in the logits' place.
    pub weight: f64,
}

impl Votes {
    /// What each layer gave to `to` beyond what it gave to `from`: the layers for
    /// which that is more than nothing, the largest first. Tokens that were not
    /// voted on received nothing.
    pub fn carried(&self, from: u32, to: u32) -> Vec<(usize, f64)> {
        let place = |token| self.tokens.iter().position(|&own| own == token);
        let (from, to) = (place(from), place(to));
        let gain = |shares: &Vec<f64>| {
            let share = |place: Option<usize>| place.map_or(0.0, |place| shares[place]);
            share(to) - share(from)
        };
        let layers = self.layers.iter().copied().zip(self.shares.iter().map(gain));
        let mut carried: Vec<_> = layers.filter(|(_, gain)| *gain > 0.0).collect();
        carried.sort_by(|a, b| b.1.total_cmp(&a.1));
        carried
    }

    /// The votes of several stages as one: what each adds to logits counts, or, where
    /// none adds anything, each for the same. `None` without any.
    pub fn merged(all: &[&Votes]) -> Option<Votes> {
        if let [] | [_] = all {
            return all.first().map(|&votes| votes.clone());
        }
        let weight: f64 = all.iter().map(|votes| votes.weight).sum();
        let part = |votes: &Votes| match weight > 0.0 {
            true => votes.weight / weight,
            false => 1.0 / all.len() as f64,
        };
        let mut tokens: Vec<u32> = Vec::new();
        for &token in all.iter().flat_map(|votes| &votes.tokens) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        let layers: BTreeSet<usize> = all.iter().flat_map(|votes| votes.layers.clone()).collect();
        let share = |layer: usize, token: u32| -> f64 {
            all.iter().map(|votes| part(votes) * votes.share(layer, token)).sum()
        };
        let shares = layers
            .iter()
            .map(|&layer| tokens.iter().map(|&token| share(layer, token)).collect())
            .collect();
        Some(Votes { tokens, layers: layers.into_iter().collect(), shares, weight })
    }

    /// A layer's share for a token; 0 where it did not vote, or not on the token.
    pub fn share(&self, layer: usize, token: u32) -> f64 {
        let layer = self.layers.binary_search(&layer).ok();
        let token = self.tokens.iter().position(|&own| own == token);
        layer.zip(token).map_or(0.0, |(layer, token)| self.shares[layer][token])
    }

    /// Each layer's share of the whole vote, `[layers]`.
    pub fn of_layers(&self) -> Vec<f64> {
        self.shares.iter().map(|shares| shares.iter().sum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_carried_by_the_layers_that_gave_more_to_the_new_token() {
        let votes = Votes {
            tokens: vec![7, 9, 4],
            layers: vec![0, 2, 5],
            weight: 2.0,
            shares: vec![vec![0.1, 0.2, 0.0], vec![0.3, 0.1, 0.0], vec![0.0, 0.3, 0.0]],
        };
        let carried = votes.carried(7, 9);
        assert_eq!(carried.iter().map(|(layer, _)| *layer).collect::<Vec<_>>(), [5, 0]);
        assert!((carried[1].1 - 0.1).abs() < 1e-12);
        // Token 8 was not voted on.
        assert_eq!(votes.carried(8, 7), [(2, 0.3), (0, 0.1)]);
        assert!(votes.carried(9, 8).is_empty());
        assert!((votes.of_layers()[1] - 0.4).abs() < 1e-12);
    }

    #[test]
    fn votes_of_several_stages_count_for_what_they_add() {
        let votes = |layers: [usize; 2], tokens: [u32; 2], weight: f64| Votes {
            tokens: tokens.into(),
            layers: layers.into(),
            shares: vec![vec![0.1, 0.2], vec![0.3, 0.4]],
            weight,
        };
        let (a, b) = (votes([0, 2], [7, 9], 3.0), votes([2, 5], [9, 4], 1.0));
        assert_eq!(Votes::merged(&[]), None);
        assert_eq!(Votes::merged(&[&a]), Some(a.clone()));
        let both = Votes::merged(&[&a, &b]).unwrap();
        assert_eq!((&both.layers[..], &both.tokens[..]), (&[0, 2, 5][..], &[7, 9, 4][..]));
        assert_eq!(both.weight, 4.0);
        for (layer, token) in [(0, 7), (2, 9), (2, 4), (5, 9), (5, 7)] {
            // What the layer adds to the token's logit is what both add.
            let wanted = 3.0 * a.share(layer, token) + b.share(layer, token);
            assert!((both.weight * both.share(layer, token) - wanted).abs() < 1e-12);
        }
        let none = Votes::merged(&[&votes([0, 2], [7, 9], 0.0), &votes([0, 2], [7, 9], 0.0)]);
        assert!((none.unwrap().share(2, 9) - 0.4).abs() < 1e-12);
    }
}
