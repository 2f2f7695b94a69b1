//! Which model and which method a request asks for.
//!
//! `"decoding": "sled+dola"`, or `{"method": "sled", "evolution_rate": 2}` with the method's
//! parameters, or behind the model's name, as in `"model": "atlas@sled"`. What parameters
//! there are is in the registry of methods: a new one needs nothing here.

use std::sync::Arc;

use luge::{Decoder, DecodingError, METHODS, MethodInfo, Params, Pipeline, nearest};
use serde_json::Value;

use super::error::ApiError;
use super::fields::{Fields, wrong};
use crate::Served;

/// The most methods in a row: each takes its time at every token, in which all other texts
/// wait.
const STAGES: usize = 8;

/// A method with parameters, as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// As [`Pipeline::parse`] reads it.
    method: String,
    params: Params,
    /// The field that said so.
    field: &'static str,
}

/// A parameter's name in JSON.
pub fn json_name(name: &str) -> String {
    name.replace('-', "_")
}

const EXPECTED: &str =
    "a method such as \"sled\" or \"sled+dola\", or an object such as {\"method\": \"sled\"}";

impl Wanted {
    /// Reads the field `decoding`.
    ///
    /// # Errors
    /// 400 for what is no method, for parameters that it does not have, and for values
    /// that they do not take.
    pub fn read(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let path = fields.path("decoding");
        let wanted = match fields.take("decoding") {
            None => return Ok(None),
            Some(Value::String(method)) => Wanted::new(&method, "decoding"),
            Some(value) => {
                let mut fields = Fields::of(path, value, EXPECTED)?;
                let method = fields.string("method")?;
                let method =
                    method.ok_or_else(|| fields.missing("method", "the name of a method"))?;
                let mut wanted = Wanted::new(&method, "decoding");
                wanted.read_params(fields)?;
                wanted
            }
        };
        // Values that are wrong for every model.
        wanted.pipeline(&Params::default())?;
        Ok(Some(wanted))
    }

    fn new(method: &str, field: &'static str) -> Self {
        // No name and no value has an underscore.
        Wanted { method: method.replace('_', "-"), params: Params::default(), field }
    }

    fn read_params(&mut self, mut fields: Fields) -> Result<(), ApiError> {
        let methods = Pipeline::methods(&self.method).map_err(|error| self.error(&error))?;
        let known: Vec<String> = params(&methods).iter().map(|name| json_name(name)).collect();
        for (name, value) in fields.rest() {
            let path = fields.path(&name);
            if !known.contains(&name) {
                let hint = match nearest(&name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean {near}?"),
                    None if known.is_empty() => "it has none".to_owned(),
                    None => format!("it has {}", known.join(", ")),
                };
                let message = format!("{} has no parameter {name}: {hint}", self.method);
                return Err(ApiError::invalid(path, message));
            }
            if value.is_null() {
                continue;
            }
            let text = text(&value).ok_or_else(|| {
                wrong(&path, &value, "a number, a string, true or false, or a list of numbers")
            })?;
            self.params.set(name.replace('_', "-"), text);
        }
        Ok(())
    }

    fn pipeline(&self, defaults: &Params) -> Result<Pipeline, ApiError> {
        Pipeline::parse(&self.method, &defaults.merged(&self.params))
            .map_err(|error| self.error(&error))
    }

    fn bind(&self, served: &Served) -> Result<Decoder, ApiError> {
        let bound = self.pipeline(&served.params)?.bind(&served.shape());
        let decoder = bound.map_err(|error| self.error(&error))?;
        let stages = decoder.stages().len();
        if stages > STAGES {
            let message = format!("{stages} methods in a row are too many: give at most {STAGES}");
            return Err(ApiError::invalid(self.field, message));
        }
        Ok(decoder)
    }

    fn error(&self, error: &DecodingError) -> ApiError {
        let name = match error {
            DecodingError::BadValue { name, .. } => Some(*name),
            DecodingError::ScaleTooLarge { .. } => Some("evolution-scale"),
            DecodingError::NoLayers { .. } => Some("layers"),
            // Of two that name layers, either may be meant.
            DecodingError::LayerOutOfRange { .. } if self.params.names().count() == 1 => {
                Some("layers")
            }
            DecodingError::WeightCount { .. } => Some("ensemble-weights"),
            _ => None,
        };
        let is_own = |name: &&str| self.params.get(name).is_some();
        let param = match name.filter(is_own) {
            Some(name) => format!("{}.{}", self.field, json_name(name)),
            None => self.field.to_owned(),
        };
        let all: Vec<&MethodInfo> = METHODS.iter().collect();
        let message = params(&all)
            .iter()
            .fold(error.to_string(), |message, name| message.replace(name, &json_name(name)));
        ApiError::invalid(param, message)
    }
}

/// The parameters of methods, each name once.
fn params(methods: &[&'static MethodInfo]) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for spec in methods.iter().flat_map(|method| method.params) {
        if !names.contains(&spec.name) {
            names.push(spec.name);
        }
    }
    names
}

/// A parameter's value as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "on" } else { "off" }.to_owned()),
        Value::Array(values) if !values.is_empty() => {
            let numbers = values.iter().map(|value| value.as_number().map(ToString::to_string));
            Some(numbers.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

/// The method of a request to `model` (as it was written, perhaps with a method behind an
/// `@`), with what the field `decoding` says.
///
/// # Errors
/// 404 for another model; 400 for a method that does not fit it, and where name and field
/// name different ones.
pub fn decoder(
    served: &Served,
    model: Option<&str>,
    wanted: Option<&Wanted>,
) -> Result<Arc<Decoder>, ApiError> {
    let by_name = suffix(served, model)?.map(|method| Wanted::new(method, "model"));
    let by_name = by_name.map(|wanted| wanted.bind(served)).transpose()?;
    let by_field = wanted.map(|wanted| wanted.bind(served)).transpose()?;
    match (by_name, by_field) {
        (None, None) => Ok(Arc::clone(&served.method)),
        (Some(decoder), None) | (None, Some(decoder)) => Ok(Arc::new(decoder)),
        (Some(name), Some(field)) if format!("{name:#}") == format!("{field:#}") => {
            Ok(Arc::new(field))
        }
        (Some(name), Some(field)) => Err(ApiError::invalid(
            "decoding",
            format!(
                "the model's name asks for {name}, and decoding for {field}, or for other \
                 parameters: give one of them"
            ),
        )),
    }
}

/// The method behind the `@` of a model's name. An empty name, or none, is the served model.
///
/// # Errors
/// 404 for another model.
pub fn suffix<'a>(served: &Served, model: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
    let Some(model) = model.filter(|model| !model.is_empty()) else { return Ok(None) };
    match model.strip_prefix(served.name.as_str()) {
        Some("") => Ok(None),
        Some(rest) if rest.starts_with('@') => Ok(Some(&rest[1..])),
        _ => {
            let name = &served.name;
            let shown: String = model.chars().take(80).collect();
            Err(ApiError::no_model(format!(
                "there is no model '{shown}' here: give '{name}', or with a method '{name}@{}', \
                 or leave model out",
                METHODS
                    .iter()
                    .map(|method| method.name)
                    .find(|&name| name != "greedy")
                    .unwrap_or("greedy")
            )))
        }
    }
}
