//! What every request needs to know of the model.

use std::sync::Arc;
use std::time::Duration;

use luge::{ChatTemplate, Decoder, Model, ModelShape, Params, SamplerOptions};

/// A model that is served, with the server's defaults.
pub struct Served {
    /// The model.
    pub model: Model,
    /// What requests call it; methods may be added behind an `@`.
    pub name: String,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// How chats become text.
    pub template: ChatTemplate,
    /// The method of requests that name none.
    pub method: Arc<Decoder>,
    /// Parameters of methods, where a request does not give them.
    pub params: Params,
    /// How tokens are chosen, where a request does not say.
    pub sampling: SamplerOptions,
    /// What a request may ask for.
    pub limits: Limits,
}

impl Served {
    /// What methods are bound to.
    pub fn shape(&self) -> ModelShape {
        luge::shape_of(&self.model)
    }
}

/// What a request may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Room for one text, prompt included, in tokens.
    pub ctx_size: usize,
    /// The most tokens that a request may have written, for each of its choices.
    pub max_tokens: usize,
    /// The most choices of a request (`n`, and prompts of a completion).
    pub max_choices: usize,
    /// How long a request may take, from its arrival on; `None` for as long as it takes.
    pub timeout: Option<Duration>,
}
