//! What every handler of a request has at hand.

use std::sync::Arc;

use crate::{Engine, Metrics, Served};

/// A model at work, and what is counted.
pub struct AppState {
    /// The model, with the server's defaults.
    pub served: Served,
    /// Writes the texts.
    pub engine: Engine,
    /// What the server counts.
    pub metrics: Arc<Metrics>,
}
