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
use super::{
    Method, MethodInfo, ModelShape, ParamSpec, Params, Position, Purpose, Stage, Trace, Value,
};
use crate::Error;
use crate::exits::ExitForm;
use crate::layers::LayerSelection;
use crate::numeric::{all_numbers, log_sum_exp, max};

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
        let premature = self.choose(position)?;
        let (_, exits) = position.layers()?;
        let premature = exits.of(premature);

        // The choice above is the model's own; from here on, a stage in front
        // of this one takes the place of the final layer.
        if let Some(layer) = self.settings.mature {
            current.copy_from_slice(exits.of(layer));
        }
        contrast(current, premature, self.settings.relative_top, floor);
        Ok(())
    }

    /// It takes logits of the premature layer away, unless an early mature layer
    /// replaces what it receives.
    fn is_additive(&self) -> bool {
        self.settings.mature.is_none()
    }

    fn trace(&self, position: &mut Position<'_>) -> Result<Option<Trace>, Error> {
        Ok(Some(Trace::Contrast { layer: self.choose(position)? }))
    }
}

impl DolaStage {
    /// The premature layer at a position.
    fn choose(&self, position: &mut Position<'_>) -> Result<usize, Error> {
        let (final_logits, exits) = position.layers()?;
        if let Some(layer) = self.layers.iter().find(|&&layer| !all_numbers(exits.of(layer))) {
            return Err(Error::NotANumber { whose: format!("exit {layer}") });
        }
        if let [only] = self.candidates[..] {
            return Ok(only);
        }
        let own = self.settings.mature.map_or(final_logits, |layer| exits.of(layer)).to_vec();
        self.premature(position, &own)
    }

    /// The candidate that differs most from the mature layer's own logits, the
    /// lowest of several that tie.
    fn premature(&self, position: &mut Position<'_>, mature: &[f32]) -> Result<usize, Error> {
        let divergences = position.divergences(mature, &self.candidates)?;
        let mut best = (f64::NEG_INFINITY, self.candidates[0]);
        for (divergence, &layer) in divergences.into_iter().zip(&self.candidates) {
            if divergence > best.0 {
                best = (divergence, layer);
            }
        }
        Ok(best.1)
    }
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
