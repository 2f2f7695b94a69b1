//! What every handler has.

use std::sync::Arc;

use crate::{Engine, Metrics, Served};

/// What every handler has.
pub struct AppState {
    /// What is served.
    pub served: Served,
    /// What writes texts.
    pub engine: Engine,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
