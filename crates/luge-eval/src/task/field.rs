//! Which columns of the data are what, and how they are read.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

/// Where a field is found in a row, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// One of these columns, the first that the row has; with `all`, all of them.
    pub(super) columns: Vec<String>,
    all: bool,
    json: bool,
    split: Option<String>,
    close: Option<String>,
    trim: Trim,
}

/// What is taken off a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trim {
    /// White space at both ends.
    #[default]
    Both,
    /// Blanks at the end, but no line breaks.
    Blanks,
    /// Nothing.
    None,
}

/// A field as it is written in full.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    column: Option<Names>,
    columns: Option<Vec<String>>,
    #[serde(default)]
    json: bool,
    split: Option<String>,
    close: Option<String>,
    #[serde(default)]
    trim: Trim,
}

/// One name or several.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let field = deserializer.deserialize_any(Short { allow_table: false })?;
        Ok(Self(field.columns))
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Short { allow_table: true })
    }
}

/// Reads a name, a list of names, or a table.
struct Short {
    allow_table: bool,
}

impl<'de> Visitor<'de> for Short {
    type Value = Field;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of a column or a list of names")?;
        if self.allow_table { f.write_str(", or a table with the key column") } else { Ok(()) }
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
        field(Long {
            column: Some(Names(vec![name.to_owned()])),
            columns: None,
            json: false,
            split: None,
            close: None,
            trim: Trim::Both,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Field, A::Error> {
        let names = Vec::deserialize(SeqAccessDeserializer::new(names))?;
        field(Long {
            column: Some(Names(names)),
            columns: None,
            json: false,
            split: None,
            close: None,
            trim: Trim::Both,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Field, A::Error> {
        if !self.allow_table {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        field(Long::deserialize(MapAccessDeserializer::new(table))?)
    }
}

fn field<E: de::Error>(long: Long) -> Result<Field, E> {
    let (columns, all) = match (long.column, long.columns) {
        (Some(Names(columns)), None) => (columns, false),
        (None, Some(columns)) => (columns, true),
        _ => return Err(E::custom("a field has either the key column or the key columns")),
    };
    if columns.is_empty() {
        return Err(E::custom("a field needs a column"));
    }
    if long.split.as_deref() == Some("") {
        return Err(E::custom("split is empty"));
    }
    Ok(Field {
        columns,
        all,
        json: long.json,
        split: long.split,
        close: long.close,
        trim: long.trim,
    })
}

/// Why a field has no value in a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The row has none of its columns, or has them without a value.
    None,
    /// What is wrong with the value, with the column's name.
    Wrong(String),
}

impl Field {
    /// Its columns, for people: `Question or question`.
    pub(super) fn names(&self) -> String {
        self.columns.join(if self.all { ", " } else { " or " })
    }

    /// The columns that it wants of a file, where the file lacks them: none of several
    /// that are the same thing, or any of those that are wanted together.
    pub(super) fn lacks(&self, columns: &[String]) -> bool {
        let is_there = |name: &String| {
            columns.iter().any(|column| {
                column == name || name.split_once('.').is_some_and(|(top, _)| column == top)
            })
        };
        if self.all {
            !self.columns.iter().all(is_there)
        } else {
            !self.columns.iter().any(is_there)
        }
    }

    /// Its value in a row, as it stands there.
    pub(super) fn value<'a>(&self, row: &'a Map<String, Value>) -> Option<&'a Value> {
        self.columns.iter().find_map(|column| look_up(row, column))
    }

    /// Its texts in a row: none empty, at least one.
    pub(super) fn texts(&self, row: &Map<String, Value>) -> Result<Vec<String>, Missing> {
        let mut texts = Vec::new();
        for column in &self.columns {
            let value = look_up(row, column);
            let is_blank = value.is_none_or(|v| v.as_str().is_some_and(|t| t.trim().is_empty()));
            if self.all && is_blank {
                return Err(Missing::Wrong(format!("the column {column} is empty")));
            }
            let Some(value) = value else { continue };
            self.add(value, true, &mut texts)
                .map_err(|what| Missing::Wrong(format!("the column {column} {what}")))?;
            if !self.all {
                break;
            }
        }
        if texts.is_empty() { Err(Missing::None) } else { Ok(texts) }
    }

    /// Whether one of its texts in a row is empty, but for the last of a split one.
    pub(super) fn has_gap(&self, row: &Map<String, Value>) -> bool {
        let is_empty = |text: &str| text.trim().is_empty();
        match (self.value(row), &self.split) {
            (Some(Value::Array(values)), _) => {
                values.iter().any(|value| value.is_null() || value.as_str().is_some_and(is_empty))
            }
            (Some(Value::String(text)), Some(separator)) => {
                let text = text.trim().strip_suffix(separator.as_str()).unwrap_or(text);
                text.split(separator.as_str()).any(is_empty)
            }
            _ => false,
        }
    }

    /// Its one text in a row.
    pub(super) fn text(&self, row: &Map<String, Value>) -> Result<String, Missing> {
        let mut texts = self.texts(row)?;
        match (texts.pop(), texts.len()) {
            (Some(text), 0) => Ok(text),
            (_, others) => Err(Missing::Wrong(format!(
                "the column {} has {} values instead of one",
                self.names(),
                others + 1
            ))),
        }
    }

    /// Adds the texts of a value. A list has them apart already.
    fn add(&self, value: &Value, is_cell: bool, texts: &mut Vec<String>) -> Result<(), String> {
        match value {
            Value::Null => {}
            Value::Bool(true) => texts.push("yes".to_owned()),
            Value::Bool(false) => texts.push("no".to_owned()),
            Value::Number(number) => texts.push(number.to_string()),
            Value::String(text) if self.json && is_cell => {
                let value =
                    serde_json::from_str(text).map_err(|error| format!("is no JSON ({error})"))?;
                self.add(&value, false, texts)?;
            }
            Value::String(text) => match self.split.as_ref().filter(|_| is_cell) {
                Some(separator) => {
                    texts.extend(text.split(separator.as_str()).filter_map(|t| self.tidy(t)));
                }
                None => texts.extend(self.tidy(text)),
            },
            Value::Array(values) => {
                for value in values {
                    if matches!(value, Value::Array(_)) {
                        return Err("is a list of lists, not of answers".to_owned());
                    }
                    self.add(value, false, texts)?;
                }
            }
            Value::Object(_) => {
                return Err("is an object: name what is wanted of it, behind a dot".to_owned());
            }
        }
        Ok(())
    }

    /// A text without the white space around it, and closed; `None` for an empty one.
    fn tidy(&self, text: &str) -> Option<String> {
        if text.trim().is_empty() {
            return None;
        }
        let mut text = match self.trim {
            Trim::Both => text.trim(),
            Trim::Blanks => text.trim_end_matches(' '),
            Trim::None => text,
        }
        .to_owned();
        if let Some(close) = self.close.as_ref().filter(|close| !text.ends_with(*close)) {
            text += close;
        }
        Some(text)
    }
}

/// A column by its name, or what lies inside of one behind a dot; `None` where it is null
/// too.
fn look_up<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = row.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        match row.get(first)? {
            Value::Object(inner) => look_up(inner, rest),
            _ => None,
        }
    });
    found.filter(|value| !value.is_null())
}
