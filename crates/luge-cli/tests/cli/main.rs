//! The command `luge`, from its arguments to what it prints.
//!
//! Everything here runs the binary on the tiny models in `testdata/parity`
//! (see the README there), on copies of them that have been tampered with, or on
//! the model that is built in.

#[cfg(feature = "atlas")]
mod atlas;
mod bad_models;
mod bad_usage;
mod bench;
#[cfg(all(unix, feature = "atlas"))]
mod builtin;
mod changes;
#[cfg(all(unix, feature = "atlas"))]
mod chat;
mod compare;
#[cfg(all(unix, feature = "atlas"))]
mod eval;
mod gguf;
mod grammar;
mod help;
#[path = "../../../luge-hub/tests/support/mod.rs"]
mod hub;
mod lens;
mod models;
mod mutations;
mod ollama;
mod parity;
mod pull;
mod run;
mod sampling;
mod score;
#[cfg(unix)]
mod serve;
#[cfg(all(unix, feature = "atlas"))]
mod serve_docs;
mod settings;
#[cfg(unix)]
mod stopping;
mod support;
#[cfg(unix)]
mod terminal;
mod tools;
#[cfg(feature = "atlas")]
mod tune;
