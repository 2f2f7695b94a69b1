//! DoLa, Decoding by Contrasting Layers.
//!
//! Chuang et al., *DoLa: Decoding by Contrasting Layers Improves Factuality in
//! Large Language Models*, ICLR 2024, arXiv:2309.03883, section 2.
//!
//! What the last layer adds over an earlier one is taken as what the model
//! knows. Among candidate *premature* layers, the one whose distribution
//! differs most from the *mature* layer's is chosen anew at every position, by
//! the Jensen–Shannon divergence with the arguments in the order of the public
//! codes: JSD = ½[KL(M‖p_mature) + KL(M‖p_l)], M = (p_mature + p_l)/2. The new
//! logits are log p_mature − log p_l over the *plausible* tokens, those with
//! p_mature ≥ relative_top · max p_mature; the others get the floor: −1000 in
//! a score, −∞ when generating.
//!
//! With one candidate there is nothing to choose: static DoLa. Where an early
//! exit is made the mature layer, it takes the final layer's place, and with it
//! the place of whatever a stage in front has made of that.

use super::params::{EXIT_NORM, EXIT_SOFTCAP, LAYERS};
use super::{Method, MethodInfo, ModelShape, ParamSpec, Params, Position, Purpose, Stage, Value};
use crate::Error;
use crate::exits::{ExitForm, ExitLogits};
use crate::layers::LayerSelection;
use crate::numeric::{BLOCK, LANES, all_numbers, exp, ln, log_sum_exp, max};

/// The score of an implausible token, as in the public codes.
const SCORE_FLOOR: f32 = -1000.0;

pub(super) const INFO: MethodInfo = MethodInfo {
    name: "dola",
    about: "DoLa: contrasts the final layer with the earlier one that differs most (ICLR 2024)",
    params: &[
        LAYERS,
        ParamSpec {
            name: "mature-layer",
            value: "LAYER",
            help: "DoLa's mature layer: 'final', or an early exit above the candidates [default: final]",
        },
        ParamSpec {
            name: "relative-top",
            value: "SHARE",
            help: "DoLa's plausibility: tokens below this share of the best probability are ruled out, 0 to 1, 0 for none [default: 0.1]",
        },
        EXIT_NORM,
        EXIT_SOFTCAP,
    ],
    build: |params| Ok(Box::new(Dola::from_params(params)?)),
};

/// The settings of DoLa.
#[derive(Debug, Clone, PartialEq)]
pub struct Dola {
    /// The candidate premature layers; a single one makes it static DoLa.
    pub layers: LayerSelection,
    /// The mature layer: an early exit above all candidates, or `None` for the
    /// final layer.
    pub mature: Option<usize>,
    /// The plausibility threshold, 0 to 1; 0 turns it off.
    pub relative_top: f32,
    /// How exits are made.
    pub form: ExitForm,
}

impl Default for Dola {
    fn default() -> Self {
        Dola {
            layers: LayerSelection::Low,
            mature: None,
            relative_top: 0.1,
            form: ExitForm::default(),
        }
    }
}

impl Dola {
    fn from_params(params: &Params) -> Result<Self, Error> {
        let d = Dola::default();
        let mature = match params.get("mature-layer") {
            None | Some("final") => None,
            Some(_) => Some(params.parse(
                "mature-layer",
                0,
                "'final' or the index of an early exit",
                |_| true,
            )?),
        };
        Ok(Dola {
            layers: params.get(LAYERS.name).map_or(Ok(d.layers), str::parse)?,
            mature,
            relative_top: params.parse(
                "relative-top",
                d.relative_top,
                "a number from 0 to 1",
                |share| (0.0..=1.0).contains(share),
            )?,
            form: params.exit_form()?,
        })
    }
}

impl Method for Dola {
    fn bind(&self, shape: &ModelShape) -> Result<Box<dyn Stage>, Error> {
        let mature = self.mature.unwrap_or(shape.layers);
        if self.mature.is_some_and(|layer| layer >= shape.layers || layer == 0) {
            return Err(Error::LayerOutOfRange {
                layer: mature as i64,
                last: shape.layers.saturating_sub(1),
            });
        }
        // Candidates lie below the mature layer, which takes the place of L.
        let candidates = self.layers.resolve(mature, shape.tied)?;
        let mut layers = candidates.clone();
        layers.extend(self.mature);
        Ok(Box::new(DolaStage { settings: self.clone(), candidates, layers }))
    }

    fn exit_form(&self) -> Option<ExitForm> {
        Some(self.form)
    }
}

#[derive(Debug)]
struct DolaStage {
    settings: Dola,
    /// The premature layers to choose from, ascending.
    candidates: Vec<usize>,
    /// The candidates and, if it is an early exit, the mature layer.
    layers: Vec<usize>,
}

impl Stage for DolaStage {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn params(&self) -> Vec<(&'static str, Value)> {
        let mature = self.settings.mature.map_or(Value::Word("final"), Value::Count);
        vec![
            ("layers", Value::Layers(self.candidates.clone())),
            ("mature-layer", mature),
            ("relative-top", Value::Real(self.settings.relative_top)),
        ]
    }

    fn layers(&self) -> &[usize] {
        &self.layers
    }

    fn apply(&self, position: &mut Position<'_>, current: &mut [f32]) -> Result<(), Error> {
        let floor = match position.purpose {
            Purpose::Score => SCORE_FLOOR,
            Purpose::Generate => f32::NEG_INFINITY,
        };
        let (final_logits, exits) = position.layers()?;
        if let Some(layer) = self.layers.iter().find(|&&layer| !all_numbers(exits.of(layer))) {
            return Err(Error::NotANumber { whose: format!("exit {layer}") });
        }
        let own = self.settings.mature.map_or(final_logits, |layer| exits.of(layer));
        let premature = exits.of(self.premature(own, &exits));

        // The choice above is the model's own; from here on, a stage in front
        // of this one takes the place of the final layer.
        if let Some(layer) = self.settings.mature {
            current.copy_from_slice(exits.of(layer));
        }
        contrast(current, premature, self.settings.relative_top, floor);
        Ok(())
    }
}

impl DolaStage {
    /// The candidate that differs most from the mature layer, the lowest of
    /// several that tie.
    fn premature(&self, mature: &[f32], exits: &ExitLogits<'_>) -> usize {
        if let [only] = self.candidates[..] {
            return only;
        }
        let mature_norm = log_sum_exp(mature) as f32;
        let mut best = (f64::NEG_INFINITY, self.candidates[0]);
        for &layer in &self.candidates {
            let divergence = jensen_shannon(mature, mature_norm, exits.of(layer));
            if divergence > best.0 {
                best = (divergence, layer);
            }
        }
        best.1
    }
}

/// ½[KL(M‖p) + KL(M‖q)] in nats, with M = (p + q)/2, p and q the softmaxes of
/// two `[vocab]` logits; `p_norm` is the log-sum-exp of `p`.
fn jensen_shannon(p: &[f32], p_norm: f32, q: &[f32]) -> f64 {
    let q_norm = log_sum_exp(q) as f32;
    let term = |p: f32, q: f32| {
        let (log_p, log_q) = (p - p_norm, q - q_norm);
        let m = 0.5 * (exp(log_p) + exp(log_q));
        let term = m * (ln(m) - 0.5 * (log_p + log_q));
        // 0 · (−∞) where neither has any probability to speak of.
        if m > 0.0 { term } else { 0.0 }
    };
    let mut sum = 0.0f64;
    for (p, q) in p.chunks(BLOCK).zip(q.chunks(BLOCK)) {
        let mut lanes = [0.0f32; LANES];
        let (p, q) = (p.chunks_exact(LANES), q.chunks_exact(LANES));
        let rest: f32 = p.remainder().iter().zip(q.remainder()).map(|(&p, &q)| term(p, q)).sum();
        for (p, q) in p.zip(q) {
            for lane in 0..LANES {
                lanes[lane] += term(p[lane], q[lane]);
            }
        }
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

/// Turns the mature layer's logits into log p_mature − log p_premature over the
/// plausible tokens, and `floor` elsewhere.
fn contrast(mature: &mut [f32], premature: &[f32], relative_top: f32, floor: f32) {
    let threshold = max(mature) + relative_top.ln();
    let offset = (log_sum_exp(premature) - log_sum_exp(mature)) as f32;
    for (logit, &other) in mature.iter_mut().zip(premature) {
        let plausible = *logit >= threshold && *logit > f32::NEG_INFINITY;
        // A premature layer that rules the token out makes the contrast
        // enormous, but not infinite.
        *logit = if plausible { *logit - other.max(f32::MIN) + offset } else { floor };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_definition_and_zero_between_equals() {
        let p = [1.0f32, -2.0, 0.5, 3.0, 0.0];
        let q = [0.0f32, 1.0, -1.5, 0.25, 2.0];
        let softmax = |z: &[f32]| {
            let sum: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            z.iter().map(|&z| f64::from(z).exp() / sum).collect::<Vec<_>>()
        };
        let (sp, sq) = (softmax(&p), softmax(&q));
        let literal: f64 = sp
            .iter()
            .zip(&sq)
            .map(|(p, q)| {
                let m = (p + q) / 2.0;
                0.5 * (m * (m / p).ln() + m * (m / q).ln())
            })
            .sum();
        let ours = |q: &[f32]| jensen_shannon(&p, log_sum_exp(&p) as f32, q);
        assert!((ours(&q) - literal).abs() < 1e-6);
        assert!(ours(&p).abs() < 1e-6);
        let shifted: Vec<f32> = q.iter().map(|z| z + 5.0).collect();
        assert!((ours(&shifted) - literal).abs() < 1e-6);
    }

    #[test]
    fn implausible_tokens_get_the_floor_and_zero_turns_that_off() {
        let premature = [0.0f32, 0.0, 0.0];
        let mut logits = [5.0f32, 4.0, 0.0];
        contrast(&mut logits, &premature, 0.1, SCORE_FLOOR);
        assert!(logits[0] > logits[1] && logits[1] > SCORE_FLOOR);
        assert_eq!(logits[2], SCORE_FLOOR);

        let mut all = [5.0f32, 4.0, 0.0];
        contrast(&mut all, &premature, 0.0, SCORE_FLOOR);
        assert!(all[2] > SCORE_FLOOR);
    }
}
