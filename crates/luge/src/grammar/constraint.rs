//! A grammar at work on a text.

use llguidance::{Matcher, TokenParser};
use luge_decoding::TokenMask;

use super::report;
use crate::Error;

/// Where a text stands in its grammar.
pub(crate) struct Constraint {
    matcher: Matcher,
    /// The size of the vocabulary, in tokens.
    vocab: usize,
}

impl Constraint {
    pub(super) fn new(parser: TokenParser, vocab: usize) -> Self {
        Constraint { matcher: Matcher::new(Ok(parser)), vocab }
    }

    /// Whether there is a way to begin a text, or to end it at once.
    pub(super) fn can_begin(&mut self) -> bool {
        // What else there is to complain about shows where it comes up.
        !matches!(self.allowed(), Err(Error::GrammarStuck))
    }

    /// The tokens that may come next, those that end a text among them where it may
    /// end; `None` where nothing may come.
    ///
    /// # Errors
    /// [`Error::GrammarStuck`] where the vocabulary cannot write what must come, and
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn allowed(&mut self) -> Result<Option<TokenMask>, Error> {
        if self.matcher.is_stopped() {
            return Ok(None);
        }
        let may_end = self.may_end()?;
        match self.matcher.compute_mask() {
            Ok(mask) => Ok(Some(TokenMask::new(mask.into(), self.vocab))),
            Err(error) if report::is_dead_end(&error) && may_end => Ok(None),
            Err(error) if report::is_dead_end(&error) => Err(Error::GrammarStuck),
            Err(error) => Err(too_complex(&error)),
        }
    }

    /// Whether the text so far is one that the grammar describes.
    ///
    /// # Errors
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn may_end(&mut self) -> Result<bool, Error> {
        self.matcher.is_accepting().map_err(|error| too_complex(&error))
    }

    /// Takes a token that was allowed; tells whether the text must end behind it.
    ///
    /// # Errors
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn accept(&mut self, token: u32) -> Result<bool, Error> {
        self.matcher.consume_token(token).map_err(|error| too_complex(&error))?;
        Ok(self.matcher.is_stopped())
    }
}

fn too_complex(error: &anyhow::Error) -> Error {
    Error::GrammarTooComplex(report::plain(&error.to_string()))
}
