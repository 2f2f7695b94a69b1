//! From `sled+dola` to next-token logits: pipelines and decoders.

use std::fmt;
use std::str::FromStr;

use crate::bounds::Bounds;
use crate::exits::{ExitDetail, ExitPlan, Exits};
use crate::method::{Method, MethodInfo, ModelShape, Params, Position, Purpose, Stage, Trace};
use crate::{Error, numeric};

/// One method or several in a row, independent of a model.
///
/// As text, methods are joined by `+` and may carry parameters in parentheses:
/// `sled`, `sled+dola`, `sled(evolution-rate=1,layers=0..16:2)+dola`.
///
/// Every stage sees the same exits and the same final logits; the first works
/// on a copy of the final logits, each later one on the result before it.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<Box<dyn Method>>,
}

impl Pipeline {
    /// A pipeline of one method.
    pub fn single(method: impl Method + 'static) -> Self {
        Pipeline { stages: vec![Box::new(method)] }
    }

    /// The pipeline with one more stage behind it.
    #[must_use]
    pub fn then(mut self, method: impl Method + 'static) -> Self {
        self.stages.push(Box::new(method));
        self
    }

    /// Parses a pipeline. `defaults` are parameters for every stage that has
    /// them; a stage's own win.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], [`Error::UnknownParameter`],
    /// [`Error::BadValue`] and [`Error::Syntax`].
    pub fn parse(text: &str, defaults: &Params) -> Result<Self, Error> {
        let mut stages = Vec::new();
        for stage in split_outside_parentheses(text, '+')? {
            let (info, own) = parse_stage(stage)?;
            let mut params = Params::default();
            for name in defaults.names().filter(|name| info.has_param(name)) {
                params.set(name, defaults.get(name).unwrap_or_default());
            }
            stages.push((info.build)(&params.merged(&own))?);
        }
        Ok(Pipeline { stages })
    }

    /// The methods that a text names, without making them: for finding out
    /// which parameters would be used.
    ///
    /// # Errors
    /// As [`Pipeline::parse`], less the values.
    pub fn methods(text: &str) -> Result<Vec<&'static MethodInfo>, Error> {
        split_outside_parentheses(text, '+')?
            .into_iter()
            .map(|stage| parse_stage(stage).map(|(info, _)| info))
            .collect()
    }

    /// Splits a list such as `greedy,dola,sled(layers=0,2)` at the commas that
    /// are not inside parentheses.
    ///
    /// # Errors
    /// [`Error::Syntax`], where parentheses do not match or an entry is empty.
    pub fn split_list(text: &str) -> Result<Vec<&str>, Error> {
        split_outside_parentheses(text, ',')
    }

    /// Fits the pipeline to a model.
    ///
    /// # Errors
    /// Where a stage does not fit the model ([`Error::LayerOutOfRange`],
    /// [`Error::ScaleTooLarge`], …), or two stages want different exits
    /// ([`Error::ExitsDiffer`]).
    pub fn bind(&self, shape: &ModelShape) -> Result<Decoder, Error> {
        let mut forms = self.stages.iter().filter_map(|stage| stage.exit_form());
        let form = forms.next().unwrap_or_default();
        if forms.any(|other| other != form) {
            return Err(Error::ExitsDiffer);
        }
        let stages =
            self.stages.iter().map(|stage| stage.bind(shape)).collect::<Result<Vec<_>, _>>()?;
        let mut layers: Vec<usize> =
            stages.iter().flat_map(|stage| stage.layers().iter().copied()).collect();
        layers.sort_unstable();
        layers.dedup();
        let readers = || stages.iter().filter(|stage| !stage.layers().is_empty());
        let detail = match readers().all(|stage| stage.detail() == ExitDetail::Sums) {
            true => ExitDetail::Sums,
            false => ExitDetail::Logits,
        };
        Ok(Decoder { stages, plan: ExitPlan { layers, form, detail }, shape: *shape })
    }
}

impl FromStr for Pipeline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Pipeline::parse(text, &Params::default())
    }
}

/// `name` or `name(key=value,…)`.
fn parse_stage(text: &str) -> Result<(&'static MethodInfo, Params), Error> {
    let syntax = |reason| Error::Syntax { text: text.to_owned(), reason };
    let text_trimmed = text.trim();
    let (name, list) = match text_trimmed.split_once('(') {
        None => (text_trimmed, ""),
        Some((name, rest)) => {
            let list =
                rest.strip_suffix(')').ok_or_else(|| syntax("a ')' is missing at its end"))?;
            (name.trim(), list.trim())
        }
    };
    if name.is_empty() {
        return Err(syntax("a method's name is missing"));
    }
    let info = MethodInfo::find(name)?;
    let mut params = Params::default();
    // A piece without '=' goes on with the value before it: layers=0,2,4.
    let mut pair: Option<(&str, String)> = None;
    for piece in list.split(',').filter(|_| !list.is_empty()) {
        match (piece.split_once('='), &mut pair) {
            (Some((key, value)), _) => {
                if let Some((key, value)) = pair.replace((key.trim(), value.trim().to_owned())) {
                    params.set(key, value);
                }
            }
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(piece.trim());
            }
            (None, None) => return Err(syntax("parameters are written key=value")),
        }
    }
    if let Some((key, value)) = pair {
        params.set(key, value);
    }
    for name in params.names() {
        if !info.has_param(name) {
            let names = || info.params.iter().map(|param| param.name);
            return Err(Error::UnknownParameter {
                method: info.name,
                name: name.to_owned(),
                nearest: crate::error::nearest(name, names()),
                known: match names().collect::<Vec<_>>().join(", ") {
                    none if none.is_empty() => "none".to_owned(),
                    known => known,
                },
            });
        }
    }
    Ok((info, params))
}

fn split_outside_parentheses(text: &str, separator: char) -> Result<Vec<&str>, Error> {
    let unmatched =
        || Error::Syntax { text: text.to_owned(), reason: "its parentheses do not match" };
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(unmatched)?,
            _ if character == separator && depth == 0 => {
                parts.push(&text[start..index]);
                start = index + separator.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(unmatched());
    }
    parts.push(&text[start..]);
    if parts.iter().any(|part| part.trim().is_empty()) {
        let reason = "a method's name is missing";
        return Err(Error::Syntax { text: text.to_owned(), reason });
    }
    Ok(parts)
}

/// A pipeline bound to a model: computes next-token logits position by
/// position. Has no state; one decoder may serve any number of sequences.
#[derive(Debug)]
pub struct Decoder {
    stages: Vec<Box<dyn Stage>>,
    plan: ExitPlan,
    shape: ModelShape,
}

impl Decoder {
    /// The model it is bound to.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// The exits it may ask for.
    pub fn plan(&self) -> &ExitPlan {
        &self.plan
    }

    /// The stages, in order.
    pub fn stages(&self) -> impl ExactSizeIterator<Item = &dyn Stage> {
        self.stages.iter().map(|stage| &**stage)
    }

    /// Whether the result is always the final logits themselves.
    pub fn is_identity(&self) -> bool {
        self.stages.iter().all(|stage| stage.is_identity())
    }

    /// Writes the decoder's logits at a position over `current`, which holds a
    /// copy of the position's final logits, `[vocab]`.
    ///
    /// # Errors
    /// [`Error::NotANumber`] where the final logits or an exit hold NaN or +∞,
    /// [`Error::Overflow`] where a method's result does, [`Error::Exits`] where
    /// the engine fails.
    pub fn apply(
        &self,
        final_logits: &[f32],
        exits: &mut dyn Exits,
        purpose: Purpose,
        current: &mut [f32],
    ) -> Result<(), Error> {
        if !is_usable(final_logits) {
            return Err(Error::NotANumber { whose: "the final layer".to_owned() });
        }
        let mut position = Position { final_logits, exits, purpose };
        for stage in &self.stages {
            stage.apply(&mut position, current)?;
            if !stage.is_identity() && !numeric::all_numbers(current) {
                return Err(Error::Overflow { method: stage.name() });
            }
        }
        Ok(())
    }

    /// How the stages come to what [`Decoder::apply`] gives: for each that has
    /// something to tell, in their order.
    ///
    /// # Errors
    /// As [`Decoder::apply`].
    pub fn traces(&self, final_logits: &[f32], exits: &mut dyn Exits) -> Result<Vec<Trace>, Error> {
        let mut position = Position { final_logits, exits, purpose: Purpose::Generate };
        let mut traces = Vec::new();
        for stage in &self.stages {
            if !stage.is_additive() {
                // What was added before is no more in the result.
                for trace in &mut traces {
                    if let Trace::Votes(votes) = trace {
                        votes.weight = 0.0;
                    }
                }
            }
            traces.extend(stage.trace(&mut position)?);
        }
        Ok(traces)
    }

    /// Limits of what [`Decoder::apply`] gives for these final logits, whatever
    /// the exits hold. What follows from them needs no exits, such as the token
    /// where [`Sampler::decided`](crate::Sampler::decided) names one.
    ///
    /// `None` where there are no limits to tell: for a pipeline with a method that
    /// cannot be bounded, for one without a method that changes anything, and
    /// where `apply` might fail for its final logits or its parameters.
    pub fn bounds(&self, final_logits: &[f32]) -> Option<Bounds> {
        let changing = || self.stages.iter().filter(|stage| !stage.is_identity());
        if !changing().all(|stage| stage.is_bounded()) || !is_usable(final_logits) {
            return None;
        }
        let mut bounds = None;
        for stage in changing() {
            bounds = Some(stage.bounds(final_logits, bounds.as_ref())?);
        }
        bounds
    }
}

/// Whether final logits are numbers and leave a token.
fn is_usable(final_logits: &[f32]) -> bool {
    numeric::all_numbers(final_logits) && numeric::max(final_logits) > f32::NEG_INFINITY
}

impl fmt::Display for Decoder {
    /// The names of the stages, joined by `+`; in the alternate form (`{:#}`)
    /// with all their parameters, as [`Pipeline::parse`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.stages.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            f.write_str(stage.name())?;
            if f.alternate() && !stage.params().is_empty() {
                let mut params: Vec<String> =
                    stage.params().iter().map(|(name, value)| format!("{name}={value}")).collect();
                if !stage.layers().is_empty() {
                    let softcap = if self.plan.form.softcap { "on" } else { "off" };
                    params.push(format!("exit-norm={}", self.plan.form.norm.as_str()));
                    params.push(format!("exit-softcap={softcap}"));
                }
                write!(f, "({})", params.join(","))?;
            }
        }
        Ok(())
    }
}

/// `{"name", "exit_norm", "exit_softcap", "stages": [{"name", …parameters}]}`;
/// the exits' form is left out where no exit is read.
#[cfg(feature = "serde")]
impl serde::Serialize for Decoder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        struct StageParams<'a>(&'a dyn Stage);
        impl serde::Serialize for StageParams<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("name", self.0.name())?;
                for (name, value) in self.0.params() {
                    map.serialize_entry(&name.replace('-', "_"), &value)?;
                }
                map.end()
            }
        }

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.to_string())?;
        if !self.plan.layers.is_empty() {
            map.serialize_entry("exit_norm", self.plan.form.norm.as_str())?;
            map.serialize_entry("exit_softcap", &self.plan.form.softcap)?;
        }
        let stages: Vec<_> = self.stages().map(StageParams).collect();
        map.serialize_entry("stages", &stages)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exits::ExitNorm;

    const SHAPE: ModelShape = ModelShape { layers: 6, vocab: 100, tied: false };

    fn error(text: &str) -> String {
        match text.parse::<Pipeline>().and_then(|pipeline| pipeline.bind(&SHAPE)) {
            Ok(decoder) => panic!("{text} is {decoder:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn stages_take_their_own_parameters_and_then_the_defaults() {
        let mut defaults = Params::default();
        defaults.set("evolution-rate", "0.5");
        defaults.set("relative-top", "0.3");
        defaults.set("exit-norm", "final");
        let text = "sled(evolution-rate=1, layers=0,2,4)+dola";
        let decoder = Pipeline::parse(text, &defaults).unwrap().bind(&SHAPE).unwrap();
        assert_eq!(decoder.to_string(), "sled+dola");
        assert_eq!(decoder.plan().form.norm, ExitNorm::Final);
        assert_eq!(decoder.plan().layers, [0, 2, 4]);
        let params: Vec<String> = decoder
            .stages()
            .flat_map(|stage| stage.params())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert!(params.contains(&"evolution-rate=1".to_owned()));
        assert!(params.contains(&"layers=0..5:2".to_owned()));
        assert!(params.contains(&"relative-top=0.3".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_nearest_name() {
        assert!(error("sledd").contains("did you mean 'sled'"));
        assert!(error("sled(evolution_rate=1)").contains("did you mean 'evolution-rate'"));
        assert!(error("sled(evolution-rate=fast)").contains("a number of at least 0"));
        assert!(error("sled(evolution-rate=-1)").contains("a number of at least 0"));
        assert!(error("sled(evolution-scale=101)").contains("vocabulary of 100"));
        assert!(error("sled(layers=9)").contains("0 to 5"));
        assert!(error("greedy(x=1)").contains("it has none"));
        assert!(error("sled(").contains("do not match"));
        assert!(error("sled)").contains("do not match"));
        assert!(error("sled(1)").contains("key=value"));
        assert!(error("sled+").contains("missing"));
        assert!(error("").contains("missing"));
        assert!(error("dola(mature-layer=6)").contains("0 to 5"));
        assert!(error("dola(mature-layer=2,layers=2)").contains("0 to 1"));
        assert!(error("sled(exit-norm=final)+dola").contains("share their exits"));
        assert!(error("sled(exit-norm=none)").contains("raw or final"));
    }

    #[test]
    fn the_long_form_reads_as_the_same_decoder() {
        let text = "sled(layers=0..4:2,evolution-rate=0.5,exit-norm=final)\
                    +dola(layers=1,mature-layer=5,exit-norm=final)\
                    +ensemble(ensemble-weights=linear,layers=3,exit-norm=final)+greedy";
        let decoder = text.parse::<Pipeline>().unwrap().bind(&SHAPE).unwrap();
        let long = format!("{decoder:#}");
        assert!(long.starts_with("sled(evolution-rate=0.5,evolution-scale=10,"), "{long}");
        let again = long.parse::<Pipeline>().unwrap().bind(&SHAPE).unwrap();
        assert_eq!(format!("{again:#}"), long);
        assert_eq!(again.plan(), decoder.plan());
    }

    #[test]
    fn lists_split_outside_parentheses() {
        let list = Pipeline::split_list("greedy,sled(layers=0,2),dola+sled").unwrap();
        assert_eq!(list, ["greedy", "sled(layers=0,2)", "dola+sled"]);
        assert!(Pipeline::split_list("sled(").is_err());
    }
}
