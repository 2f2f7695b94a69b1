//! The API, from bytes to bytes.

mod answers;
mod document;
mod random;
mod requests;
mod routes;
mod wild;

use std::sync::{Arc, OnceLock};

use luge::batching::BatcherOptions;
use luge::{ChatTemplate, Model, ModelParams, Params, Pipeline, SamplerOptions, SessionOptions};
use serde_json::Value;

use crate::state::AppState;
use crate::{Engine, EngineOptions, Limits, Metrics, Served};

/// The built-in model, loaded once.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| luge::builtin::load(&ModelParams::default()).unwrap())
}

fn served() -> Served {
    let model = model().clone();
    let method = "sled".parse::<Pipeline>().unwrap().bind(&luge::shape_of(&model)).unwrap();
    Served {
        template: ChatTemplate::fallback("chatml").unwrap().with_tokens_of(&model),
        name: "atlas".to_owned(),
        created: 1,
        method: Arc::new(method),
        params: Params::default(),
        sampling: SamplerOptions::default(),
        limits: Limits { ctx_size: 256, max_tokens: 64, max_choices: 8, timeout: None },
        model,
    }
}

/// What the handlers have, with an engine of its own.
fn state(served: Served) -> Arc<AppState> {
    let session =
        SessionOptions { ctx_size: Some(256), threads: Some(1), ..SessionOptions::default() };
    let batcher = BatcherOptions { session, ..BatcherOptions::default() };
    let options = EngineOptions { batcher, queue: 8 };
    let metrics = Arc::new(Metrics::default());
    let engine = Engine::start(&served.model, &options, Arc::clone(&metrics)).unwrap();
    Arc::new(AppState { served, engine, metrics })
}

/// The text at a pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}
