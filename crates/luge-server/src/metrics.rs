//! What the server counts.

use std::time::Duration;

use luge::batching::StepReport;

/// Counts what happens, from any thread.
#[derive(Debug, Default)]
pub struct Metrics {}

/// How a text came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was written to its end.
    Finished,
    /// Whoever asked for it went away, or its time was up.
    Cancelled,
    /// It could not be written.
    Failed,
}

impl Metrics {
    /// A step of the engine, with the texts that are being written and those that wait.
    pub fn step(&self, report: &StepReport, running: usize, waiting: usize) {
        let _ = (report, running, waiting);
    }

    /// A text's prompt: its tokens, and how many of them the cache had.
    pub fn prompt(&self, tokens: usize, cached: usize) {
        let _ = (tokens, cached);
    }

    /// The first token of a text, so long after it was asked for.
    pub fn first_token(&self, after: Duration) {
        let _ = after;
    }

    /// The end of a text, so long after it was asked for.
    pub fn ended(&self, how: Ending, after: Duration) {
        let _ = (how, after);
    }
}
