//! Names of models, and where they are.
//!
//! A model is named by a path, by a repository of [Hugging Face](https://huggingface.co),
//! by a model that [ollama](https://ollama.com) has stored, or by an alias of any of
//! these:
//!
//! * [`Name`] reads what was written, and touches nothing but to see whether there is
//!   a file of that name.
//! * [`Hub`] knows the cache that Hugging Face's own tools share and, where a model is
//!   not there, fetches it: [`Hub::find`], then [`Hub::plan`], then [`Hub::fetch`].
//! * [`DatasetFile`] names a file of a dataset, which comes into the same cache in the same
//!   way: [`Hub::find_dataset`], [`Hub::plan_dataset`], and [`Hub::fetch`].
//! * [`Ollama`] reads ollama's store. It never changes it.
//!
//! Nothing is printed and no one is asked here: a [`Progress`] hears what happens.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::sync::atomic::AtomicBool;
//! use luge_hub::{Hub, Name, Settings};
//!
//! let hub = Hub::new(Settings::from_env()?);
//! let name = Name::parse("bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M".as_ref(), &BTreeMap::new())?;
//! if let Name::Hub(name) = name {
//!     let stop = AtomicBool::new(false);
//!     let path = match hub.find(&name)? {
//!         Some(model) => model.path().to_owned(),
//!         None => hub.fetch(&hub.plan(&name, &mut (), &stop)?, &mut (), &stop)?,
//!     };
//!     println!("{}", path.display());
//! }
//! # Ok::<(), luge_hub::Error>(())
//! ```

mod cache;
mod client;
mod dataset;
mod download;
mod error;
mod files;
mod name;
mod ollama;
mod settings;
mod source;

pub use cache::{CachedModel, Removal};
pub use client::Hub;
pub use dataset::DatasetFile;
pub use download::{Event, Plan, Progress, RemoteFile};
pub use error::{Error, Gate};
pub use files::{DEFAULT_ORDER, FileGroup, human_bytes, quantisation};
pub use name::{FileChoice, HubName, Name, OllamaName, files_near, nearest};
pub use ollama::{Ollama, OllamaModel};
pub use settings::Settings;
