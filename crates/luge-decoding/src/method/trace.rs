//! How a method came to its result at a position: for people who look.

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
}
