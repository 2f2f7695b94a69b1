//! Which setting is the best.

use std::cmp::Ordering;

/// How far a setting is from the usual one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Away {
    /// How many of its parameters have another value.
    pub parameters: usize,
    /// How far those that are numbers are off, as ratios: the sum of |ln(value / usual)|.
    pub ratios: f64,
}

impl Away {
    /// From the names and values of all parameters of a setting, and those of the usual
    /// one, as text.
    pub fn between<'a>(
        setting: impl IntoIterator<Item = (&'a str, &'a str)>,
        usual: &[(&str, &str)],
    ) -> Self {
        let mut away = Away { parameters: 0, ratios: 0.0 };
        for (name, value) in setting {
            let other = usual.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            if other == Some(value) {
                continue;
            }
            away.parameters += 1;
            let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
            if let (Some(own), Some(other)) = (number(value), other.and_then(number)) {
                // Of two zeros the texts may differ.
                let ratio = if own == other { 1.0 } else { own / other };
                away.ratios += ratio.ln().abs();
            }
        }
        away
    }

    fn order(&self, other: &Self) -> Ordering {
        self.parameters.cmp(&other.parameters).then(self.ratios.total_cmp(&other.ratios))
    }
}

/// The numbers of settings from the best to the worst: by their means, of equals the one
/// that is nearest to the usual setting, of those the one that was tried first. Nearest is
/// the one with the fewest parameters that have another value, and of those the one whose
/// numbers are off by the smallest ratios.
pub fn ranked(means: &[f64], away: &[Away]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..means.len().min(away.len())).collect();
    // Stable, so that equals stay in their order.
    numbers.sort_by(|&a, &b| means[b].total_cmp(&means[a]).then(away[a].order(&away[b])));
    numbers
}
