//! `/v1/models`: the model, once by its name and once with each method behind it, for clients
//! that can choose a model and nothing else.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use luge::{Decoder, METHODS, MethodInfo, Pipeline};
use serde_json::{Value, json};

use super::decoding::{self, json_name};
use super::error::ApiError;
use crate::Served;
use crate::state::AppState;

/// A method with the server's parameters; `None` where these do not fit the model.
fn bound(served: &Served, method: &str) -> Option<Decoder> {
    Pipeline::parse(method, &served.params).ok()?.bind(&served.shape()).ok()
}

/// A method with its parameters, as a page may show it.
pub fn method(served: &Served, info: &MethodInfo) -> Option<Value> {
    let decoder = serde_json::to_value(bound(served, info.name)?).ok()?;
    let params = info.params.iter().map(|param| {
        let name = json_name(param.name);
        let own = decoder.pointer(&format!("/stages/0/{name}"));
        json!({
            "name": name,
            "default": own.or_else(|| decoder.get(&name)),
            "help": param.help,
            "value": param.value,
        })
    });
    let params: Vec<Value> = params.collect();
    Some(json!({"name": info.name, "summary": info.about, "params": params}))
}

fn model(served: &Served, id: &str, decoder: &Decoder) -> Value {
    let methods: Vec<Value> = METHODS.iter().filter_map(|info| method(served, info)).collect();
    json!({
        "id": id,
        "object": "model",
        "created": served.created,
        "owned_by": "luge",
        "context_length": served.limits.ctx_size,
        "max_tokens": served.limits.max_tokens,
        "layers": served.shape().layers,
        "default_decoding": decoder,
        "methods": methods,
    })
}

pub async fn list(State(state): State<Arc<AppState>>) -> Json<Value> {
    let served = &state.served;
    let mut models = vec![model(served, &served.name, &served.method)];
    models.extend(METHODS.iter().filter_map(|info| {
        let decoder = bound(served, info.name)?;
        Some(model(served, &format!("{}@{}", served.name, info.name), &decoder))
    }));
    Json(json!({"object": "list", "data": models}))
}

pub async fn one(
    State(state): State<Arc<AppState>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let decoder = decoding::decoder(&state.served, Some(&id), None)?;
    Ok(Json(model(&state.served, &id, &decoder)))
}
