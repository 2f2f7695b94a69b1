//! What the layers said of each token: the field `layers`, and what it brings.

use luge::{LayerSelection, LensOptions, LensPosition, Model, Votes};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::fields::{Fields, entries, integer, wrong};
use crate::Served;

/// How many of a layer's tokens there may be, and how many may be pinned.
pub const MOST: usize = 20;

/// What of the layers is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    top: usize,
    paths: bool,
    layers: LayerSelection,
    pins: Vec<Pin>,
}

#[derive(Debug, Clone, PartialEq)]
enum Pin {
    Id(u32),
    Text(String),
}

impl Wanted {
    /// Reads the field `layers`.
    ///
    /// # Errors
    /// 400 for values that it does not take.
    pub fn read(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let path = fields.path("layers");
        let mut wanted =
            Wanted { top: 5, paths: false, layers: LayerSelection::All, pins: Vec::new() };
        match fields.take("layers") {
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(Value::Bool(true)) => return Ok(Some(wanted)),
            Some(value) => {
                let mut fields = Fields::of(path, value, "true, false or an object")?;
                wanted.read_object(&mut fields)?;
                fields.finish()?;
            }
        }
        Ok(Some(wanted))
    }

    /// Reads the field as an object.
    pub fn read_object(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        if let Some(top) = fields.whole("top", 1..=MOST as i64)? {
            self.top = top as usize;
        }
        self.paths = fields.flag("paths")?.unwrap_or(false);
        let path = fields.path("layers");
        if let Some(value) = fields.take("layers") {
            self.layers = selection(&path, &value)?;
        }
        let path = fields.path("pin");
        for (path, value) in fields.list("pin")?.unwrap_or_default() {
            let id = integer(&value).and_then(|id| u32::try_from(id).ok());
            self.pins.push(match (value, id) {
                (_, Some(id)) => Pin::Id(id),
                (Value::String(text), None) => Pin::Text(text),
                (value, None) => {
                    return Err(wrong(&path, &value, "the text of a token, or its id"));
                }
            });
        }
        if self.pins.len() > MOST {
            let message = format!("{path} has {} tokens: give at most {MOST}", self.pins.len());
            return Err(ApiError::invalid(path, message));
        }
        Ok(())
    }

    /// Fits it to the model.
    ///
    /// # Errors
    /// 400 for layers and tokens that the model does not have.
    pub fn options(&self, served: &Served) -> Result<LensOptions, ApiError> {
        let shape = served.shape();
        self.layers
            .resolve(shape.layers, shape.tied)
            .map_err(|error| ApiError::invalid("layers.layers", error.to_string()))?;
        let pinned = self.pins.iter().enumerate().map(|(index, pin)| {
            find(&served.model, pin).map_err(|error| {
                ApiError::invalid(format!("layers.pin[{index}]"), error.to_string())
            })
        });
        Ok(LensOptions {
            layers: self.layers.clone(),
            form: served.params.exit_form().unwrap_or_default(),
            top: self.top,
            pinned: pinned.collect::<Result<_, _>>()?,
            paths: self.paths,
        })
    }
}

/// A selection of layers: text, or a list of indices.
fn selection(path: &str, value: &Value) -> Result<LayerSelection, ApiError> {
    let expected = "a selection such as \"all\", \"low\" or \"0..16:2\", or a list of layers";
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => {
            let layers = entries(path, value.clone(), expected)?;
            let layers = layers.iter().map(|(path, value)| {
                integer(value)
                    .map(|layer| layer.to_string())
                    .ok_or_else(|| wrong(path, value, "the number of a layer"))
            });
            layers.collect::<Result<Vec<_>, _>>()?.join(",")
        }
        value => return Err(wrong(path, value, expected)),
    };
    text.parse().map_err(|_| wrong(path, value, expected))
}

/// The token that is pinned.
fn find(model: &Model, pin: &Pin) -> Result<u32, luge::Error> {
    match pin {
        Pin::Id(id) => Ok(model.check_token(*id).map(|()| *id)?),
        Pin::Text(text) => luge::lens::find_token(model, text),
    }
}

/// What the layers said of a written token.
pub fn token(id: u32, text: &str, changed: bool, seen: &LensPosition) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
    set("id", json!(id));
    set("text", json!(text));
    set("changed", json!(changed));
    set("before", json!(seen.before));
    set("after", json!(seen.after));
    set("settling_depth", json!(seen.settling_depth));
    set("layers", json!(seen.layers));
    if !seen.paths.is_empty() {
        let path = |path: &luge::lens::TokenPath| json!({"id": path.token.id, "text": path.token.text, "probs": path.probs});
        set("paths", seen.paths.iter().map(path).collect());
    }
    if let Some(margins) = seen.margins {
        set("margins", json!(margins));
        let carried = seen.carried().into_iter();
        set("carried", carried.map(|(layer, by)| json!({"layer": layer, "votes": by})).collect());
    }
    if let Some(Votes { tokens, layers, shares, .. }) = seen.votes() {
        let layers = layers.into_iter().zip(shares);
        let layers: Value =
            layers.map(|(layer, shares)| json!({"layer": layer, "shares": shares})).collect();
        set("votes", json!({"token_ids": tokens, "layers": layers}));
    }
    if let Some(layer) = seen.contrast() {
        set("contrast", json!(layer));
    }
    Value::Object(object)
}
