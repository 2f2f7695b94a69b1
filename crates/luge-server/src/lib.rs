//! luge as a server: the OpenAI API, with a choice of decoding in each request.
//!
//! * [`engine`] writes the texts: one thread owns the model's cache, and computes all
//!   requests together ([`luge::batching`]).
//! * [`served`] is what every request needs to know of the model.
//! * [`api`] reads requests and writes answers.
//! * [`page`] is what a browser shows of it.
//! * [`http`] takes requests in: who may ask, how much, and what is written down of it.
//! * [`metrics`] counts.

mod account;
pub mod api;
pub mod engine;
pub mod http;
pub mod metrics;
pub mod page;
pub mod served;
mod state;

pub use account::Tokens;
pub use engine::{Busy, Engine, EngineOptions, Refused, TextStream};
pub use http::{Access, AccessLog, Door, Server, ServerError, ServerOptions};
pub use metrics::Metrics;
pub use served::{Limits, Served};
pub use state::AppState;

use std::sync::Arc;

/// All routes that are about a model.
pub fn routes() -> axum::Router<Arc<AppState>> {
    api::routes()
}
