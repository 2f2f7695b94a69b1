//! Reading the grammars of requests, away from where texts are written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use luge_llama::Model;

use super::TextRequest;
use crate::Error;
use crate::grammar::{Constraint, Vocabulary};

/// Reads the grammars of a batcher's requests. That may take seconds, in which no text
/// would be written: clones do it on any thread.
#[derive(Clone)]
pub struct Grammars {
    model: Model,
    /// The vocabulary as grammars see it, once there was one.
    vocabulary: Arc<Mutex<Option<Arc<Vocabulary>>>>,
}

/// A request whose grammar has been read, if it has one.
pub struct ReadRequest {
    pub(super) request: TextRequest,
    pub(super) constraint: Option<Constraint>,
    /// How long that took.
    pub(super) setup: Duration,
}

impl Grammars {
    pub(super) fn new(model: &Model) -> Self {
        Grammars { model: model.clone(), vocabulary: Arc::default() }
    }

    /// Reads a request's grammar.
    ///
    /// # Errors
    /// [`Error::Grammar`] and [`Error::GrammarVocabulary`].
    pub fn read(&self, request: TextRequest) -> Result<ReadRequest, Error> {
        let Some(grammar) = &request.options.grammar else {
            return Ok(ReadRequest { request, constraint: None, setup: Duration::ZERO });
        };
        let start = Instant::now();
        let constraint = Some(self.vocabulary()?.constraint(grammar)?);
        Ok(ReadRequest { request, constraint, setup: start.elapsed() })
    }

    fn vocabulary(&self) -> Result<Arc<Vocabulary>, Error> {
        // Whoever comes second waits for it, and does not make another one.
        let mut vocabulary = self.vocabulary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vocabulary) = &*vocabulary {
            return Ok(Arc::clone(vocabulary));
        }
        Ok(Arc::clone(vocabulary.insert(Arc::new(Vocabulary::new(&self.model)?))))
    }
}
