//! `/tokenize` and `/detokenize` as llama.cpp's server has them and, by other names, vLLM;
//! `/tokenizer_info` as vLLM has it.
//!
//! What scores texts through the API, such as the LM Evaluation Harness, finds all there that
//! it needs, and no copy of the model's tokenizer has to be loaded beside it.

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
use super::{Body, body, decoding, work};
use crate::Served;
use crate::state::AppState;

/// A text to tokenize.
#[derive(Debug)]
pub struct Tokenize {
    model: Option<String>,
    content: String,
    /// Whether it came as vLLM's `prompt`.
    is_prompt: bool,
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
        let (content, prompt) = (fields.string("content")?, fields.string("prompt")?);
        let is_prompt = prompt.is_some();
        if content.is_some() && is_prompt {
            let message = "content and prompt are two names of the text: give one of them";
            return Err(ApiError::invalid("prompt", message));
        }
        let content = content.or(prompt).ok_or_else(|| fields.missing("content", "the text"))?;
        let add_special = [fields.flag("add_special")?, fields.flag("add_special_tokens")?];
        Ok(Tokenize {
            model: fields.string("model")?,
            content,
            is_prompt,
            // Whose names they are, his is the default.
            add_special: add_special.into_iter().flatten().next().unwrap_or(is_prompt),
            parse_special: fields.flag("parse_special")?.unwrap_or(true),
            with_pieces: fields.flag("with_pieces")?.unwrap_or(false),
        })
    }

    /// The answer, written out at once: as a [`Value`], that to a large text took gigabytes.
    ///
    /// # Errors
    /// 404 for another model, 400 for what it has no tokens for.
    pub fn answer(&self, served: &Served) -> Result<String, ApiError> {
        decoding::suffix(served, self.model.as_deref())?;
        let model = &served.model;
        let tokens = model.tokenize(&self.content, self.add_special, self.parse_special);
        let param = if self.is_prompt { "prompt" } else { "content" };
        let tokens = tokens.map_err(|error| ApiError::invalid(param, error.to_string()))?;
        // A piece that is no whole text comes as its bytes.
        let piece = |id: u32| match String::from_utf8(model.label(id).unwrap_or_default()) {
            Ok(text) => json!(text),
            Err(error) => json!(error.as_bytes()),
        };
        let mut answer = r#"{"tokens":["#.to_owned();
        // Writing to a String cannot fail.
        for (index, &id) in tokens.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = match self.with_pieces {
                true => write!(answer, r#"{comma}{{"id":{id},"piece":{}}}"#, piece(id)),
                false => write!(answer, "{comma}{id}"),
            };
        }
        answer.push(']');
        if self.is_prompt {
            let (count, room) = (tokens.len(), served.limits.ctx_size);
            let _ = write!(answer, r#","count":{count},"max_model_len":{room}"#);
        }
        answer.push('}');
        Ok(answer)
    }
}

/// Tokens to make a text of.
#[derive(Debug)]
pub struct Detokenize {
    model: Option<String>,
    /// With the path of each.
    tokens: Vec<(String, u32)>,
}

impl Detokenize {
    /// Reads the fields that it knows.
    ///
    /// # Errors
    /// 400 with the field that is wrong.
    pub fn read_fields(fields: &mut Fields) -> Result<Self, ApiError> {
        let list = fields.list("tokens")?;
        let list = list.ok_or_else(|| fields.missing("tokens", "a list of token ids"))?;
        let token = |(path, value): (String, Value)| {
            let id = integer(&value).and_then(|id| u32::try_from(id).ok());
            id.map(|id| (path.clone(), id)).ok_or_else(|| wrong(&path, &value, "a token id"))
        };
        let tokens = list.into_iter().map(token).collect::<Result<_, _>>()?;
        Ok(Detokenize { model: fields.string("model")?, tokens })
    }

    /// The answer: the text under both of its names.
    ///
    /// # Errors
    /// 404 for another model, 400 for tokens that the model does not have.
    pub fn answer(&self, served: &Served) -> Result<Value, ApiError> {
        decoding::suffix(served, self.model.as_deref())?;
        for (path, token) in &self.tokens {
            let check = served.model.check_token(*token);
            check.map_err(|error| ApiError::invalid(path, error.to_string()))?;
        }
        let tokens: Vec<u32> = self.tokens.iter().map(|(_, token)| *token).collect();
        let text = text(&served.model, &tokens);
        Ok(json!({"content": text, "prompt": text}))
    }
}

/// The special tokens by their names, and the chat template.
pub fn info(served: &Served) -> Value {
    let model = &served.model;
    let name = |token: Option<u32>| {
        let label = token.and_then(|token| model.label(token).ok());
        label.map(|label| String::from_utf8_lossy(&label).into_owned())
    };
    json!({
        "bos_token": name(model.bos()),
        "eos_token": name(model.eos()),
        "add_bos_token": model.adds_bos(),
        "model_max_length": served.limits.ctx_size,
        "chat_template": served.template.text(),
    })
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
    let answer = move |served: &Served| {
        let mut fields = body::object(&body)?;
        let request = Tokenize::read_fields(&mut fields)?;
        fields.finish()?;
        request.answer(served)
    };
    let answer = work(&state, answer).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

pub async fn detokenize(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let body = body::bytes(&headers, body)?;
    let answer = move |served: &Served| {
        let mut fields = body::object(&body)?;
        let request = Detokenize::read_fields(&mut fields)?;
        fields.finish()?;
        request.answer(served)
    };
    work(&state, answer).await.map(Json)
}

pub async fn tokenizer_info(State(state): State<Arc<AppState>>) -> Json<Value> {
    Json(info(&state.served))
}
