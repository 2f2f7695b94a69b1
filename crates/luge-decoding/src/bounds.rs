//! What can be known of a decoder's logits before its exits are computed.

use crate::sampling::TokenMask;

/// Between which two numbers a logit lies, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The least that it can be.
    pub low: f32,
    /// The most that it can be.
    pub high: f32,
}

impl Limits {
    /// A logit that is known.
    pub fn exactly(logit: f32) -> Self {
        Limits { low: logit, high: logit }
    }
}

/// Limits of all logits at one position, whatever the exits hold.
///
/// They hold for the numbers as they are computed, rounding included, so that
/// what follows from them needs no tolerance.
///
/// Few tokens have limits of their own, as methods that can be bounded keep few
/// tokens: the vocabulary is not copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The size of the vocabulary, in tokens.
    pub vocab: usize,
    /// Tokens with limits of their own, ascending.
    pub tokens: Vec<(u32, Limits)>,
    /// The logit that every other token has.
    pub rest: f32,
}

impl Bounds {
    /// The limits of one token.
    pub fn of(&self, token: u32) -> Limits {
        match self.tokens.binary_search_by_key(&token, |(token, _)| *token) {
            Ok(place) => self.tokens[place].1,
            Err(_) => Limits::exactly(self.rest),
        }
    }

    /// Whether there are tokens without limits of their own.
    pub fn has_rest(&self) -> bool {
        self.tokens.len() < self.vocab
    }

    /// Whether a token's logit certainly lies above that of some other.
    pub fn is_above_another(&self, token: u32) -> bool {
        let low = self.of(token).low;
        self.has_rest() && self.rest < low || self.tokens.iter().any(|(_, other)| other.high < low)
    }

    /// Whether a mask certainly leaves no token whose logit is above the least: every
    /// token that may be is ruled out.
    pub fn is_spent(&self, allowed: &TokenMask) -> bool {
        let is_floor = self.tokens.iter().all(|(_, limits)| limits.low >= self.rest);
        let is_out =
            |(token, limits): &(u32, Limits)| limits.high <= self.rest || !allowed.allows(*token);
        self.has_rest() && is_floor && self.tokens.iter().all(is_out)
    }
}
