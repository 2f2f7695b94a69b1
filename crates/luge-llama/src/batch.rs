//! What to compute next: tokens with their places.

use std::ops::Range;

/// One token of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchToken {
    /// The token's id.
    pub token: u32,
    /// Its position in its sequences, from 0.
    pub position: u32,
    /// The sequences it belongs to, at least one, below the context's number of
    /// sequences. Several that begin with the same tokens can have them computed once.
    pub sequences: Range<u32>,
    /// Whether its logits (and exits) are wanted.
    pub output: bool,
}

/// Tokens to compute in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<BatchToken>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Batch::default()
    }

    /// A run of tokens of one sequence from `position` on, with outputs where
    /// `output` says so for the index in the run.
    pub fn run(
        tokens: &[u32],
        position: u32,
        sequence: u32,
        output: impl Fn(usize) -> bool,
    ) -> Self {
        let tokens = tokens.iter().enumerate().map(|(index, &token)| BatchToken {
            token,
            position: position + index as u32,
            sequences: sequence..sequence + 1,
            output: output(index),
        });
        Batch { tokens: tokens.collect() }
    }

    /// Adds a token.
    pub fn push(&mut self, token: BatchToken) {
        self.tokens.push(token);
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> &[BatchToken] {
        &self.tokens
    }
}
