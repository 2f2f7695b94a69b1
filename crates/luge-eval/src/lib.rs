//! Does a decoding method help *this* model on *this* task?
//!
//! * [`task`]: what is asked and how it is judged, as data files.
//! * [`data`]: rows of CSV, JSON, JSONL and Parquet files, each with its place.
//! * [`judge`]: how answers are judged.
//! * [`document`]: one question, ready to be asked.
//! * [`engine`]: what answers; the seam to a model.
//! * [`run`]: asks every document, and keeps a [`log`] from which it goes on.
//! * [`record`]: what came of one document.
//! * [`metric`]: from a record to numbers.
//! * [`statistics`]: from many numbers to what one may say about them.
//! * [`tune`]: settings chosen on one half of the documents and tested on the other.
//! * [`results`]: all of it, as `results.json` has it.
//! * [`report`]: the same for people.
//!
//! There is no model in it.

pub mod data;
pub mod document;
pub mod engine;
mod error;
pub mod judge;
pub mod log;
pub mod metric;
pub mod record;
pub mod report;
pub mod results;
pub mod run;
pub mod statistics;
pub mod task;
pub mod tune;

pub use data::{DataFile, Row};
pub use document::{Ask, Candidate, Document, Documents, Header, Problem, Shot};
pub use engine::{Engine, EngineError, Generate, Prompt};
pub use error::Error;
pub use judge::{Compare, Extract, Judge, Metric, Norm, Reference};
pub use log::{Log, Merged, Shard, merge};
pub use record::{Answered, Cost, Layers, Outcome, Record, Scored, Sums};
pub use results::{Results, Setup};
pub use run::{Ended, Planned, Run};
pub use task::{Kind, Source, Task};
pub use tune::{Half, Tuning};
