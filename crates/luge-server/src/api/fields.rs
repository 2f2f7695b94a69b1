//! Reading JSON strictly: each field is asked for by name, with what it may be, and what is
//! left over is unknown.
//!
//! A field that is null counts as not there.

use std::ops::RangeInclusive;

use luge::nearest;
use serde_json::{Map, Value};

use super::error::ApiError;

/// The fields of an object.
#[derive(Debug)]
pub struct Fields {
    /// Where the object is: empty for the body itself.
    path: String,
    map: Map<String, Value>,
    /// All names that were asked for.
    known: Vec<String>,
}

/// The path of a field of an object.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A value as part of a sentence: short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// That a value is not what its field takes.
pub fn wrong(path: &str, value: &Value, expected: &str) -> ApiError {
    ApiError::invalid(path, format!("{path} is {}: it takes {expected}", shown(value)))
}

/// The entries of a list, each with its path.
pub fn entries(path: &str, value: Value, expected: &str) -> Result<Vec<(String, Value)>, ApiError> {
    match value {
        Value::Array(values) => {
            let entries = values.into_iter().enumerate();
            Ok(entries.map(|(index, value)| (format!("{path}[{index}]"), value)).collect())
        }
        value => Err(wrong(path, &value, expected)),
    }
}

impl Fields {
    /// The fields of the object at `path`.
    pub fn new(path: String, map: Map<String, Value>) -> Self {
        Fields { path, map, known: Vec::new() }
    }

    /// The fields of a value that must be an object.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn of(path: String, value: Value, expected: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Fields::new(path, map)),
            value => Err(wrong(&path, &value, expected)),
        }
    }

    /// The path of a field.
    pub fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// All names that were asked for so far.
    #[cfg(test)]
    pub fn known(&self) -> &[String] {
        &self.known
    }

    /// A field, whatever it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.to_owned());
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// That a field must be given.
    pub fn missing(&self, name: &str, expected: &str) -> ApiError {
        let path = self.path(name);
        ApiError::invalid(path.clone(), format!("{path} is missing: give {expected}"))
    }

    /// A field that changes nothing.
    pub fn ignore(&mut self, name: &str) {
        self.take(name);
    }

    /// A field that cannot be done, unless it has the one value that asks for nothing.
    ///
    /// # Errors
    /// 400 with the reason.
    pub fn refuse(&mut self, name: &str, harmless: Value, reason: &str) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if value != harmless => {
                let path = self.path(name);
                Err(ApiError::invalid(path.clone(), format!("{path} cannot be used: {reason}")))
            }
            _ => Ok(()),
        }
    }

    /// A field that is read by `read`, which gives `None` where it is not what is expected.
    fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| wrong(&self.path(name), &value, expected))
    }

    /// A text.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.read(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// True or false.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// A number that `accept` takes.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn real(
        &mut self,
        name: &str,
        expected: &str,
        accept: impl Fn(f32) -> bool,
    ) -> Result<Option<f32>, ApiError> {
        let read = |value: &Value| {
            let number = value.as_f64()? as f32;
            (number.is_finite() && accept(number)).then_some(number)
        };
        self.read(name, expected, read)
    }

    /// A whole number in a range.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let expected = match (*range.start(), *range.end()) {
            (start, i64::MAX) => format!("a whole number of at least {start}"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        self.read(name, &expected, |value| integer(value).filter(|number| range.contains(number)))
    }

    /// An object.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| Fields::of(path, value, "an object")).transpose()
    }

    /// A list: its entries with their paths.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<(String, Value)>>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| entries(&path, value, "a list")).transpose()
    }

    /// All that is left, each with its path.
    pub fn rest(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.map).into_iter().collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 for a field that was not asked for, with the nearest one that was.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.map.keys().next() else { return Ok(()) };
        let near = nearest(name, self.known.iter().map(String::as_str));
        let path = self.path(name);
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None if self.path.is_empty() => "/openapi.json lists those there are".to_owned(),
            None => format!("those there are: {}", self.known.join(", ")),
        };
        Err(ApiError::invalid(path.clone(), format!("unknown field {path}: {hint}")))
    }
}

/// A whole number, perhaps written with a point.
pub fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        // Up to 2⁵³ every whole number has its own float.
        (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
    })
}
