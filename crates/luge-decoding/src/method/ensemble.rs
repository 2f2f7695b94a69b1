//! The all-layer ensemble: decode from the average of the layers' opinions.
//!
//! The LM head is applied to every chosen layer and the distributions are
//! mixed with the final one: out = ln Σ a_i p_i, Σ a_i = 1. The plainest way of
//! reading every layer, and the control that SLED and DoLa are to beat.

use super::params::{EXIT_NORM, EXIT_SOFTCAP, LAYERS};
use super::{Method, MethodInfo, ModelShape, ParamSpec, Params, Position, Stage, Value};
use crate::Error;
use crate::exits::ExitForm;
use crate::layers::LayerSelection;
use crate::numeric::{exp, log_sum_exp};

pub(super) const INFO: MethodInfo = MethodInfo {
    name: "ensemble",
    about: "Layer ensemble: the average of the layers' distributions",
    params: &[
        LAYERS,
        ParamSpec {
            name: "ensemble-weights",
            value: "WEIGHTS",
            help: "Weights of the ensemble: uniform, linear (layer i weighs i+1), or one number for each chosen exit and then the final layer [default: uniform]",
        },
        EXIT_NORM,
        EXIT_SOFTCAP,
    ],
    build: |params| Ok(Box::new(Ensemble::from_params(params)?)),
};

/// How much each layer counts. Weights are scaled to sum to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Weights {
    /// All the same.
    #[default]
    Uniform,
    /// A ramp towards the last layer: layer i weighs i+1, the final layer L+1.
    Linear,
    /// One for each chosen exit in ascending order, then the final layer's;
    /// finite, none negative, not all 0.
    Given(Vec<f32>),
}

/// The settings of the ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// The early exits in it, beside the final layer.
    pub layers: LayerSelection,
    /// How much each layer counts.
    pub weights: Weights,
    /// How exits are made.
    pub form: ExitForm,
}

impl Default for Ensemble {
    fn default() -> Self {
        Ensemble {
            layers: LayerSelection::All,
            weights: Weights::Uniform,
            form: ExitForm::default(),
        }
    }
}

impl Ensemble {
    fn from_params(params: &Params) -> Result<Self, Error> {
        let d = Ensemble::default();
        Ok(Ensemble {
            layers: params.get(LAYERS.name).map_or(Ok(d.layers), str::parse)?,
            weights: params.get("ensemble-weights").map_or(Ok(d.weights), parse_weights)?,
            form: params.exit_form()?,
        })
    }
}

fn parse_weights(text: &str) -> Result<Weights, Error> {
    match text.trim() {
        "uniform" => Ok(Weights::Uniform),
        "linear" => Ok(Weights::Linear),
        list => list
            .split(',')
            .map(|weight| weight.trim().parse().ok().filter(|&w: &f32| w >= 0.0 && w.is_finite()))
            .collect::<Option<Vec<f32>>>()
            .filter(|weights| weights.iter().any(|&weight| weight > 0.0))
            .map(Weights::Given)
            .ok_or_else(|| Error::BadValue {
                name: "ensemble-weights",
                value: text.to_owned(),
                expected: "uniform, linear, or a list of numbers of at least 0, not all 0"
                    .to_owned(),
            }),
    }
}

impl Method for Ensemble {
    fn bind(&self, shape: &ModelShape) -> Result<Box<dyn Stage>, Error> {
        let layers = self.layers.resolve(shape.layers, shape.tied)?;
        let members = layers.len() + 1;
        let weights: Vec<f64> = match &self.weights {
            Weights::Uniform => vec![1.0; members],
            Weights::Linear => {
                layers.iter().chain([&shape.layers]).map(|&layer| (layer + 1) as f64).collect()
            }
            Weights::Given(given) if given.len() == members => {
                given.iter().map(|&weight| f64::from(weight)).collect()
            }
            Weights::Given(given) => {
                return Err(Error::WeightCount { given: given.len(), wanted: members });
            }
        };
        let sum: f64 = weights.iter().sum();
        let weights = weights.iter().map(|weight| (weight / sum) as f32).collect();
        Ok(Box::new(EnsembleStage { layers, weights }))
    }

    fn exit_form(&self) -> Option<ExitForm> {
        Some(self.form)
    }
}

#[derive(Debug)]
struct EnsembleStage {
    layers: Vec<usize>,
    /// One for each layer, then the final layer's; they sum to 1.
    weights: Vec<f32>,
}

impl Stage for EnsembleStage {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn params(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("layers", Value::Layers(self.layers.clone())),
            ("ensemble-weights", Value::Reals(self.weights.clone())),
        ]
    }

    fn layers(&self) -> &[usize] {
        &self.layers
    }

    fn apply(&self, position: &mut Position<'_>, current: &mut [f32]) -> Result<(), Error> {
        let (_, exits) = position.layers()?;
        // ln a_i − ln Σ e^z: what turns a logit into its share of the mixture.
        let mut members: Vec<(&[f32], f32)> = Vec::with_capacity(self.weights.len());
        for (&layer, &weight) in self.layers.iter().zip(&self.weights) {
            let logits = exits.of(layer);
            let norm = log_sum_exp(logits);
            if !norm.is_finite() {
                return Err(Error::NotANumber { whose: format!("exit {layer}") });
            }
            members.push((logits, (f64::from(weight).ln() - norm) as f32));
        }
        let last = self.weights[self.layers.len()];
        let own = (f64::from(last).ln() - log_sum_exp(current)) as f32;
        mix(current, own, &members);
        Ok(())
    }
}

/// `ln Σ e^(logit + offset)` over the members for each token, written over
/// `current`, itself a member. Works relative to the largest term, so that no
/// probability is too small, and a block of the vocabulary at a time, so that
/// the members' logits are read from memory once.
fn mix(current: &mut [f32], own: f32, members: &[(&[f32], f32)]) {
    const TOKENS: usize = 512;
    let mut largest = [0.0f32; TOKENS];
    let mut sum = [0.0f32; TOKENS];
    for (index, block) in current.chunks_mut(TOKENS).enumerate() {
        let start = index * TOKENS;
        let (largest, sum) = (&mut largest[..block.len()], &mut sum[..block.len()]);
        let rows =
            || members.iter().map(|&(row, offset)| (&row[start..start + block.len()], offset));
        for (most, &logit) in largest.iter_mut().zip(&*block) {
            *most = logit + own;
        }
        for (row, offset) in rows() {
            for (most, &logit) in largest.iter_mut().zip(row) {
                *most = most.max(logit + offset);
            }
        }
        // Where every member rules the token out, nothing is added to −∞.
        let relative =
            |logit: f32, most: f32| if most > f32::NEG_INFINITY { exp(logit - most) } else { 0.0 };
        for ((total, &most), &logit) in sum.iter_mut().zip(&*largest).zip(&*block) {
            *total = relative(logit + own, most);
        }
        for (row, offset) in rows() {
            for ((total, &most), &logit) in sum.iter_mut().zip(&*largest).zip(row) {
                *total += relative(logit + offset, most);
            }
        }
        for ((logit, &most), &total) in block.iter_mut().zip(&*largest).zip(&*sum) {
            *logit = most + total.ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_probabilities_however_small() {
        let exit = [0.0f32, -200.0, 1.0];
        let mut current = [1.0f32, -300.0, 0.0];
        let norm = |z: &[f32]| (0.5f64.ln() - log_sum_exp(z)) as f32;
        let (own, other) = (norm(&current), norm(&exit));
        mix(&mut current, own, &[(&exit, other)]);
        let total: f64 = current.iter().map(|&z| f64::from(z).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
        // Token 1 has e^-201 or so: far below the smallest f32, but not lost.
        assert!((current[1] - (-200.0 + other)).abs() < 1e-4);
    }

    #[test]
    fn weights_are_checked() {
        let shape = ModelShape { layers: 3, vocab: 10, tied: false };
        let bind = |text: &str| {
            let mut params = Params::default();
            params.set("ensemble-weights", text);
            Ensemble::from_params(&params).and_then(|ensemble| ensemble.bind(&shape))
        };
        assert!(bind("1,1,1,3").is_ok());
        assert!(bind("1,1").unwrap_err().to_string().contains("there are 4 layers"));
        for bad in ["0,0,0,0", "-1,1,1,1", "ramp", "1,,1,1", "nan,1,1,1"] {
            assert!(bind(bad).is_err(), "{bad}");
        }
        let Value::Reals(ramp) = &bind("linear").unwrap().params()[1].1 else { panic!() };
        assert_eq!(ramp, &[0.1, 0.2, 0.3, 0.4]);
    }
}
