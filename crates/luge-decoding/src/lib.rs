//! Layer-aware decoding as pure functions from layer logits to next-token
//! logits.
//!
//! A transformer forms an opinion about the next token at every layer; ordinary
//! decoding reads only the last one. The methods here read more of them:
//!
//! * [`Sled`] lets the final logits take a step towards what all layers know;
//! * [`Dola`] contrasts the final layer with the earlier one that differs most;
//! * [`Ensemble`] averages the layers' distributions;
//! * [`Greedy`] is ordinary decoding.
//!
//! This crate knows no model and does no input or output. An engine supplies
//! the final logits of a position and, through the [`Exits`] trait, the logits
//! of earlier layers when they are asked for.
//!
//! # From text to a token
//! ```
//! use luge_decoding::{ComputedExits, ModelShape, Pipeline, Purpose, Sampler, SamplerOptions};
//!
//! // The settings, from code or from text; then bound to a model's shape.
//! let pipeline: Pipeline = "sled(evolution-scale=3)".parse()?;
//! let shape = ModelShape { layers: 2, vocab: 4, tied: false };
//! let decoder = pipeline.bind(&shape)?;
//! assert_eq!(decoder.plan().layers, [0, 1]);
//!
//! // One position. The final layer leans to token 0, the layer below to 1.
//! let final_logits = [2.0, 1.9, 0.0, -1.0];
//! let mut exits = ComputedExits::new(
//!     vec![0, 1],
//!     &[vec![0.1, 0.0, 0.2, 0.0], vec![2.5, 0.5, 0.0, 0.0]],
//! );
//! let mut logits = final_logits.to_vec();
//! decoder.apply(&final_logits, &mut exits, Purpose::Generate, &mut logits)?;
//!
//! let token = Sampler::new(SamplerOptions::default()).choose(&mut logits, &[], 0);
//! assert_eq!(token, 1);
//! # Ok::<(), luge_decoding::Error>(())
//! ```
//!
//! # Layers
//! With L blocks, layer 0 is the embedding as the first block receives it,
//! layer i the output of block i−1, and layer L the output of the last block
//! after the final norm: the indices of Hugging Face's `hidden_states`.

mod bounds;
mod divergence;
mod error;
mod exits;
mod layers;
mod method;
mod numeric;
mod pipeline;
mod sampling;
mod sums;

pub use bounds::{Bounds, Limits};
pub use divergence::{entropy, jensen_shannon};
pub use error::{Error, nearest};
pub use exits::{ComputedExits, ExitDetail, ExitForm, ExitLogits, ExitNorm, ExitPlan, Exits};
pub use layers::{LayerRange, LayerSelection};
pub use method::{
    Dola, Ensemble, Greedy, METHODS, Method, MethodInfo, ModelShape, ParamSpec, Params, Position,
    Purpose, Sled, Stage, Trace, Value, Votes, Weights, layer_vote,
};
pub use numeric::{all_numbers, argmax, log_sum_exp, top_k};
pub use pipeline::{Decoder, Pipeline};
pub use sampling::{Sampler, SamplerOptions, TokenMask, gumbel};
pub use sums::{ExitSums, LayerSums};
