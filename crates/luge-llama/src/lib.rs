//! A small safe wrapper around llama.cpp, with what llama.cpp does not have:
//! layer taps, and the model's own LM head as an exit head.
//!
//! llama.cpp runs the transformer, on any architecture, quantisation and device
//! it knows. On top of that, a [`Context`] lets one look inside:
//!
//! ```no_run
//! use luge_llama::{Batch, Context, ContextParams, ExitSpec, Model, ModelParams};
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut context = Context::new(&model, &ContextParams { threads: 4, ..Default::default() })?;
//! context.set_exits(&ExitSpec { layers: vec![0, 8], final_norm: false, softcap: true })?;
//!
//! let tokens = model.tokenize("The capital of British Columbia is", true, false)?;
//! let last = tokens.len() - 1;
//! context.decode(&Batch::run(&tokens, 0, 0, |index| index == last))?;
//! let _final_logits = context.logits(last); // [vocab]
//! let _exits = context.exit_logits(last)?; // [2 × vocab], computed by this call
//! # Ok::<(), luge_llama::Error>(())
//! ```
//!
//! Files are examined before llama.cpp sees them ([`Gguf`]). All `unsafe` of
//! the project is in this crate.

mod backend;
mod batch;
#[cfg(feature = "bench")]
pub mod bench;
mod context;
mod error;
mod exit_head;
mod gguf;
mod graph;
mod guard;
mod memory;
mod model;
mod taps;
mod vocab;

pub use backend::set_abort_hook;
pub use batch::{Batch, BatchToken};
pub use context::{CacheType, Context, ContextParams, ExitSpec, ExitsAt, FlashAttention, HeadForm};
pub use error::Error;
pub use exit_head::{ExitSum, ExitTile};
pub use gguf::{Gguf, MetadataValue, TensorInfo};
pub use memory::release_freed_memory;
pub use model::{Model, ModelParams};
