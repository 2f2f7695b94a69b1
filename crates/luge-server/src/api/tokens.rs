//! `/tokenize` and `/detokenize`, as llama.cpp's server has them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use luge::Model;
use serde_json::{Value, json};

use super::error::ApiError;
use super::fields::{Fields, integer, wrong};
use super::{Body, body, work};
use crate::state::AppState;

/// A text to tokenize.
#[derive(Debug)]
pub struct Tokenize {
    content: String,
    add_special: bool,
    parse_special: bool,
    with_pieces: bool,
}

impl Tokenize {
    /// Reads the fields that it knows.
    ///
    /// # Errors
    /// 400 with the field that is wrong.
    pub fn read_fields(fields: &mut Fields) -> Result<Self, ApiError> {
        let content = fields.string("content")?;
        Ok(Tokenize {
            content: content.ok_or_else(|| fields.missing("content", "the text"))?,
            add_special: fields.flag("add_special")?.unwrap_or(false),
            parse_special: fields.flag("parse_special")?.unwrap_or(true),
            with_pieces: fields.flag("with_pieces")?.unwrap_or(false),
        })
    }

    /// The answer, written out at once: as a [`Value`], that to a large text took gigabytes.
    fn tokens(&self, model: &Model) -> Result<String, ApiError> {
        let tokens = model
            .tokenize(&self.content, self.add_special, self.parse_special)
            .map_err(|error| ApiError::invalid("content", error.to_string()))?;
        // A piece that is no whole text comes as its bytes.
        let piece = |id: u32| match String::from_utf8(model.label(id).unwrap_or_default()) {
            Ok(text) => json!(text),
            Err(error) => json!(error.as_bytes()),
        };
        let mut answer = r#"{"tokens":["#.to_owned();
        for (index, &id) in tokens.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = match self.with_pieces {
                true => write!(answer, r#"{comma}{{"id":{id},"piece":{}}}"#, piece(id)),
                false => write!(answer, "{comma}{id}"),
            };
        }
        answer.push_str("]}");
        Ok(answer)
    }
}

/// Reads the tokens of `/detokenize`.
///
/// # Errors
/// 400 with the field that is wrong.
pub fn read_tokens(fields: &mut Fields) -> Result<Vec<(String, u32)>, ApiError> {
    let list = fields.list("tokens")?;
    let list = list.ok_or_else(|| fields.missing("tokens", "a list of token ids"))?;
    let token = |(path, value): (String, Value)| {
        let id = integer(&value).and_then(|id| u32::try_from(id).ok());
        id.map(|id| (path.clone(), id)).ok_or_else(|| wrong(&path, &value, "a token id"))
    };
    list.into_iter().map(token).collect()
}

/// The text of tokens; control tokens have none.
pub fn text(model: &Model, tokens: &[u32]) -> String {
    let pieces = tokens.iter().flat_map(|&token| model.piece(token).unwrap_or_default());
    String::from_utf8_lossy(&pieces.collect::<Vec<u8>>()).into_owned()
}

pub async fn tokenize(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = body::bytes(&headers, body)?;
    let tokens = move |served: &crate::Served| {
        let mut fields = body::object(&body)?;
        let request = Tokenize::read_fields(&mut fields)?;
        fields.finish()?;
        request.tokens(&served.model)
    };
    let answer = work(&state, tokens).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

pub async fn detokenize(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let body = body::bytes(&headers, body)?;
    let content = move |served: &crate::Served| {
        let mut fields = body::object(&body)?;
        let tokens = read_tokens(&mut fields)?;
        fields.finish()?;
        for (path, token) in &tokens {
            let check = served.model.check_token(*token);
            check.map_err(|error| ApiError::invalid(path, error.to_string()))?;
        }
        let tokens: Vec<u32> = tokens.into_iter().map(|(_, token)| token).collect();
        Ok(json!({"content": text(&served.model, &tokens)}))
    };
    work(&state, content).await.map(Json)
}
