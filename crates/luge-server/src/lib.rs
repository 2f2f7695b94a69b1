//! luge as a server: the OpenAI API, with a choice of decoding in each request.
//!
//! * [`engine`] writes the texts: one thread owns the model's cache, and computes all
//!   requests together ([`luge::batching`]).
//! * [`api`] reads requests and writes answers.
//! * [`page`] is what a browser shows of it.
//! * [`served`] is what every request needs to know of the model.

pub mod api;
pub mod engine;
mod metrics;
pub mod page;
pub mod served;
mod state;

pub use engine::{Busy, Engine, EngineOptions, TextStream};
pub use metrics::Metrics;
pub use served::{Limits, Served};
pub use state::AppState;
