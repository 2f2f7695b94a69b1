//! The OpenAI API, with a choice of decoding in each request.
//!
//! A body is read strictly (`fields.rs`): what is not known is refused by name. Reading knows
//! no model; fitting the request to the model (`prepare`) gives texts to write and the answer
//! that comes of them, and `reply.rs` brings the two together. The document of all routes
//! and fields is in `openapi.json`; a test holds it to what is read.
//!
//! What is decided here:
//! * What a request does not say is as the server was started. Of temperature, too: OpenAI's
//!   default of 1 would take from SLED what it is for.
//! * `max_tokens` beyond what the server grants is cut to that, and the answer says
//!   `"finish_reason": "length"`. A prompt beyond the context is refused.
//! * Choice number i has the seed `seed` + i. Without a seed, or with −1, it is random.
//! * What takes longer than the server allows ends with 504, or, in a stream that has begun,
//!   with an error as its last event.
//! * Answers have no fields beyond OpenAI's but `reasoning_content`, which is as other
//!   servers have it, and, where `layers` is asked for, `layers` and `decoding`.

mod answer;
mod body;
mod chat;
mod common;
mod completions;
mod decoding;
mod docs;
mod error;
mod fields;
mod layers;
mod messages;
mod models;
mod openapi;
mod reply;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::time::Instant;

use crate::state::AppState;
use crate::{Served, account};
use answer::Names;
use chat::ChatRequest;
use completions::CompletionRequest;
pub use error::ApiError;
use reply::Job;

/// All routes of the API: those under `/v1`, `/tokenize`, `/detokenize`, `/tokenizer_info`,
/// `/openapi.json` and `/docs`.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::one))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::tokenizer_info))
        .route("/openapi.json", get(document))
        .route("/docs", get(docs::page))
}

type Body = Result<Bytes, BytesRejection>;

async fn chat_completions(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let prepare =
        |body: &[u8], served: &Served| ChatRequest::read(body, &served.sampling)?.prepare(served);
    write(state, &headers, body, prepare).await
}

async fn completions(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let prepare = |body: &[u8], served: &Served| {
        CompletionRequest::read(body, &served.sampling)?.prepare(served)
    };
    write(state, &headers, body, prepare).await
}

async fn document(State(state): State<Arc<AppState>>) -> Response {
    Json(openapi::document(&state.served)).into_response()
}

/// Has what a body asks for written.
async fn write(
    state: Arc<AppState>,
    headers: &HeaderMap,
    body: Body,
    prepare: fn(&[u8], &Served) -> Result<Job, ApiError>,
) -> Result<Response, ApiError> {
    let timeout = state.served.limits.timeout;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let body = body::bytes(headers, body)?;
    let engine = state.engine.clone();
    let begin = move |served: &Served| prepare(&body, served)?.begin(&engine);
    reply::reply(work(&state, begin).await?, deadline).await
}

/// Does what takes a while on a thread for that: reading a grammar may take seconds.
async fn work<T: Send + 'static>(
    state: &Arc<AppState>,
    work: impl FnOnce(&Served) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let state = Arc::clone(state);
    let account = account::current();
    let work = move || account::within(account, || work(&state.served));
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(ApiError::server("the request could not be read: the server's log says why"))
    })
}

/// How tokens without a text are called.
fn names(served: &Served) -> Names {
    let model = served.model.clone();
    Arc::new(move |id| {
        let label = model.label(id).unwrap_or_default();
        String::from_utf8_lossy(&label).into_owned()
    })
}

/// What an answer calls its model: as the request does.
fn model_name(served: &Served, asked: Option<&str>) -> String {
    asked.filter(|name| !name.is_empty()).unwrap_or(&served.name).to_owned()
}

/// That a prompt has a token, and fits the context.
fn check_prompt(param: &str, tokens: &[u32], served: &Served) -> Result<(), ApiError> {
    let context = served.limits.ctx_size;
    if tokens.is_empty() {
        let message = "the prompt is empty: there is no token to continue from, give some text";
        return Err(ApiError::invalid(param, message));
    }
    if tokens.len() > context {
        return Err(ApiError::too_long(param, tokens.len(), context));
    }
    Ok(())
}
