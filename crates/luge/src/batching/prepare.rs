//! Getting requests ready, on any thread: what takes a while must not keep the texts
//! waiting that are being written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use luge_decoding::Decoder;
use luge_llama::Model;

use super::TextRequest;
use super::text::Text;
use crate::Error;
use crate::grammar::Vocabulary;
use crate::session::shape_of;

/// Gets requests ready for a batcher: checks them, and compiles their grammars, which may
/// take seconds. Clones share what they know of the vocabulary.
#[derive(Clone)]
pub struct Preparer {
    model: Model,
    ctx_size: usize,
    /// The vocabulary as grammars see it, once there was one.
    vocabulary: Arc<Mutex<Option<Arc<Vocabulary>>>>,
}

/// A request that is ready to be written: see [`Preparer::prepare`].
pub struct Prepared {
    pub(super) text: Text,
    pub(super) reuse: bool,
    pub(super) ctx_size: usize,
}

impl Prepared {
    /// The method.
    pub fn decoder(&self) -> &Decoder {
        &self.text.decoder
    }
}

impl Preparer {
    pub(super) fn new(model: &Model, ctx_size: usize) -> Self {
        Preparer { model: model.clone(), ctx_size, vocabulary: Arc::default() }
    }

    /// Gets a request ready.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], [`Error::OtherModel`],
    /// [`Error::Grammar`]; [`luge_llama::Error::TokenOutOfRange`].
    pub fn prepare(&self, request: TextRequest) -> Result<Prepared, Error> {
        let Preparer { model, ctx_size, .. } = self;
        if *request.decoder.shape() != shape_of(model) {
            return Err(Error::OtherModel);
        }
        let (tokens, context) = (request.prompt.len(), *ctx_size);
        if tokens == 0 {
            return Err(Error::EmptyPrompt);
        }
        if tokens > context {
            return Err(Error::TooLong { what: "the prompt", tokens, context });
        }
        let biased = request.options.sampler.logit_bias.iter().map(|(token, _)| token);
        request.prompt.iter().chain(biased).try_for_each(|&token| model.check_token(token))?;
        let start = Instant::now();
        let grammar = request.options.grammar.as_ref();
        let constraint =
            grammar.map(|grammar| self.vocabulary()?.constraint(grammar)).transpose()?;
        let grammar_setup = constraint.as_ref().map_or(Duration::ZERO, |_| start.elapsed());
        let reuse = request.reuse;
        let text = Text::new(model, context, request, constraint, grammar_setup)?;
        Ok(Prepared { text, reuse, ctx_size: context })
    }

    fn vocabulary(&self) -> Result<Arc<Vocabulary>, Error> {
        let mut known = self.vocabulary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vocabulary) = &*known {
            return Ok(Arc::clone(vocabulary));
        }
        let vocabulary = Arc::new(Vocabulary::new(&self.model)?);
        Ok(Arc::clone(known.insert(vocabulary)))
    }
}
