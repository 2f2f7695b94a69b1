//! Texts with places for fields: `Q: {question}\nA:`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A text with places for fields. `{{` and `}}` stand for braces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            plain += &rest[..at];
            let brace = &rest[at..=at];
            let behind = &rest[at + 1..];
            if let Some(behind) = behind.strip_prefix(brace) {
                plain += brace;
                rest = behind;
                continue;
            }
            let field = (brace == "{").then(|| behind.split_once('}')).flatten();
            let Some((name, behind)) = field else {
                return Err(format!("a brace stands alone: write {brace}{brace} for one"));
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(name.trim().to_owned()));
            rest = behind;
        }
        plain += rest;
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }
}

impl Template {
    /// The names of its places, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with the fields in their places. A field that is not there leaves nothing:
    /// a task's definition is checked for that.
    pub(super) fn render(&self, fields: &BTreeMap<&str, &str>) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Field(name) => fields.get(name.as_str()).copied().unwrap_or_default(),
        });
        pieces.collect()
    }
}
