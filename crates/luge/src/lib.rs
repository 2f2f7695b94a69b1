//! Text from open-weights models, decoded with every layer.
//!
//! A transformer forms an opinion about the next token at every layer; ordinary
//! decoding reads only the last, which leans to what is frequent. luge reads
//! more of them, on GGUF models whose graph in llama.cpp shows its layers: SLED,
//! DoLa and the layer ensemble, alone or in a pipeline. Ordinary decoding works
//! on all that llama.cpp runs.
//!
//! ```no_run
//! use luge::{GenerateOptions, Model, ModelParams, Pipeline, Session, SessionOptions};
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut session = Session::new(&model, &SessionOptions::default())?;
//! let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
//!
//! let prompt = model.tokenize_prompt("The capital of British Columbia is")?;
//! let mut generation = session.generate(&sled, &prompt, &GenerateOptions::default())?;
//! for piece in &mut generation {
//!     print!("{}", piece?.text);
//! }
//! let completion = generation.finish()?;
//! println!("\n{} tokens, changed: {:?}", completion.tokens.len(), completion.changed);
//!
//! let (prompt, answer) =
//!     session.tokenize_pair("The capital of British Columbia is", " Victoria")?;
//! println!("{:.3}", session.score(&sled, &prompt, &answer)?.sum_logprob);
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! With the feature `atlas`, which is on by default, a small model is part of the
//! library: `luge::builtin::load` loads it.
//!
//! Exits are computed when a method asks for them and not before; a method that
//! asks for none costs what ordinary decoding costs. Where the next token is the same
//! whatever the exits are, they are not computed either ([`ExitPolicy`]).
//!
//! A [`Grammar`] holds what is generated to a JSON schema, to a grammar or to a regular
//! expression, with any method.

pub mod batching;
#[cfg(feature = "atlas")]
pub mod builtin;
pub mod chat;
mod chooser;
pub mod description;
mod error;
mod exits;
mod generate;
pub mod grammar;
pub mod lens;
mod output;
pub mod presets;
mod score;
mod session;
mod text;
mod together;
mod writing;

pub use chat::{ChatTemplate, Message, ToolCall};
pub use description::Description;
pub use error::Error;
pub use generate::{
    Completion, ExitPolicy, FinishReason, GenerateOptions, Generation, Piece, Timings,
};
pub use grammar::Grammar;
pub use lens::{Candidate, Lens, LensOptions, LensPosition, Opinion};
pub use luge_decoding::{
    Decoder, Dola, Ensemble, Error as DecodingError, ExitForm, ExitNorm, Greedy, LayerSelection,
    METHODS, Method, MethodInfo, ModelShape, ParamSpec, Params, Pipeline, SamplerOptions, Sled,
    Stage, Trace, Value, Votes, nearest,
};
pub use luge_llama::{
    CacheType, Error as LlamaError, FlashAttention, Gguf, MetadataValue, Model, ModelParams,
    release_freed_memory, set_abort_hook,
};
pub use score::{Score, TokenScore};
pub use session::{ExitCounts, Session, SessionOptions, shape_of};
pub use together::{Cost, ScoreSums, Together};
