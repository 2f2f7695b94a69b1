//! The command `luge`, from its arguments to what it prints.
//!
//! Everything here runs the binary on the tiny models in `testdata/parity`
//! (see the README there), or on copies of them that have been tampered with.

mod bad_models;
mod bad_usage;
mod changes;
mod compare;
mod gguf;
mod help;
mod mutations;
mod parity;
mod run;
mod sampling;
mod score;
#[cfg(unix)]
mod stopping;
mod support;
#[cfg(unix)]
mod terminal;
