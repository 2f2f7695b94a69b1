//! What the layers say: at each position of a text, the distribution over the next
//! token that the model's own head reads out of each layer's hidden state.
//!
//! With the exits' norm `final` this is the logit lens (nostalgebraist, 2020);
//! with `raw` it is what the methods see.
//!
//! A [`Lens`] says what to look at. [`Session::look`] reads a given text through
//! it, and [`Generation::look`](crate::Generation::look) a text as it is
//! generated. Both come to one [`LensPosition`] for each token of the text: what
//! was to follow that token, layer by layer, and what the method made of it.
//!
//! ```no_run
//! use luge::{LensOptions, Model, ModelParams, Pipeline, Session, SessionOptions};
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut session = Session::new(&model, &SessionOptions::default())?;
//! let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
//! let lens = session.lens(&sled, &LensOptions::default())?;
//!
//! let text = model.tokenize_prompt("The capital of British Columbia is")?;
//! session.look(&lens, &text, text.len() - 1..text.len(), |position| {
//!     for opinion in position.layers.iter().rev() {
//!         println!("{:>3} {:?}", opinion.layer, opinion.top[0]);
//!     }
//! })?;
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! # Memory
//! The exits of one position are held at a time, `[layers × vocab]` floats, and the
//! final logits of [`CHUNK`] positions, however long the text is. A [`LensPosition`]
//! holds some tens of bytes for each candidate of each layer.

mod position;
mod reading;
mod view;

use std::borrow::Cow;
use std::ops::Range;

use luge_decoding::{Decoder, ExitDetail, ExitForm, ExitPlan, LayerSelection};
use luge_llama::Model;

use crate::{Error, Session};
pub(crate) use position::{Choice, Place};
pub use view::{Candidate, LensPosition, Margins, Opinion, Pinned, Token, TokenPath};

/// How many positions of a given text are computed at a time.
pub const CHUNK: usize = 32;

/// What to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct LensOptions {
    /// Which early exits; the final layer is always among the layers shown.
    pub layers: LayerSelection,
    /// How an exit is read from a hidden state, for a method that reads none. One
    /// that does is shown what it reads.
    pub form: ExitForm,
    /// How many of a layer's most probable tokens to show.
    pub top: usize,
    /// Tokens whose probability and rank are wanted from every layer.
    pub pinned: Vec<u32>,
    /// Whether to follow the tokens that matter at a position through all layers:
    /// [`LensPosition::paths`].
    pub paths: bool,
}

impl Default for LensOptions {
    fn default() -> Self {
        LensOptions {
            layers: LayerSelection::All,
            form: ExitForm::default(),
            top: 5,
            pinned: Vec::new(),
            paths: false,
        }
    }
}

/// A choice of what to look at, bound to a model and to a method.
#[derive(Debug)]
pub struct Lens<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) view: Cow<'a, View>,
}

/// What a lens looks at, without its method.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The exits to show and those of the method.
    pub plan: ExitPlan,
    /// The early exits to show, ascending.
    rows: Vec<usize>,
    top: usize,
    pinned: Vec<u32>,
    paths: bool,
}

impl View {
    /// What `options` ask for, with a method of this model.
    ///
    /// # Errors
    /// Where a layer or a pinned token is not in the model.
    pub(crate) fn new(
        model: &Model,
        decoder: &Decoder,
        options: &LensOptions,
    ) -> Result<Self, Error> {
        let shape = decoder.shape();
        options.pinned.iter().try_for_each(|&token| model.check_token(token))?;
        let rows = options.layers.resolve(shape.layers, shape.tied)?;
        let own = decoder.plan();
        let mut layers = [&rows[..], &own.layers].concat();
        layers.sort_unstable();
        layers.dedup();
        let form = if own.layers.is_empty() { options.form } else { own.form };
        Ok(View {
            plan: ExitPlan { layers, form, detail: ExitDetail::Logits },
            rows,
            top: options.top,
            pinned: options.pinned.clone(),
            paths: options.paths,
        })
    }
}

impl Lens<'_> {
    /// The layers shown, ascending, the final one last.
    pub fn layers(&self) -> Vec<usize> {
        let last = self.decoder.shape().layers;
        self.view.rows.iter().copied().chain([last]).collect()
    }

    /// How exits are read.
    pub fn form(&self) -> ExitForm {
        self.view.plan.form
    }
}

impl Session {
    /// Binds a choice of what to look at to the model and to a method.
    ///
    /// # Errors
    /// [`Error::OtherModel`]; where a layer or a pinned token is not in the model.
    pub fn lens<'a>(&self, decoder: &'a Decoder, options: &LensOptions) -> Result<Lens<'a>, Error> {
        self.check_decoder(decoder)?;
        let view = View::new(self.model(), decoder, options)?;
        Ok(Lens { decoder, view: Cow::Owned(view) })
    }

    /// Makes ready for [`Session::look`], which does it by itself: finds out
    /// whether the model's architecture lets its exits be read, and reserves
    /// memory for them.
    ///
    /// # Errors
    /// As [`Session::prepare`] for a decoder that reads exits.
    pub fn prepare_lens(&mut self, lens: &Lens<'_>) -> Result<(), Error> {
        self.check_decoder(lens.decoder)?;
        self.set_exits(&lens.view.plan)
    }

    /// Looks at `positions` of a text, in their order, each handed to `each`: 0 for
    /// what every layer says behind the first token.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a text without tokens, [`Error::TooLong`] where the
    /// context does not hold the last of the positions, [`Error::NoPosition`],
    /// [`luge_llama::Error::TokenOutOfRange`], those of [`Session::prepare_lens`],
    /// [`luge_llama::Error::Interrupted`] after the position at work, and what else the
    /// engine reports.
    pub fn look(
        &mut self,
        lens: &Lens<'_>,
        text: &[u32],
        positions: Range<usize>,
        mut each: impl FnMut(LensPosition),
    ) -> Result<(), Error> {
        if text.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if let Some(position) = positions.clone().last().filter(|&last| last >= text.len()) {
            return Err(Error::NoPosition { position, positions: text.len() });
        }
        self.check_room("the text", positions.end)?;
        self.check_decoder(lens.decoder)?;
        if positions.is_empty() {
            return Ok(());
        }
        text.iter().try_for_each(|&token| self.model().check_token(token))?;
        let before = &text[..positions.start];
        // First, as finding out the graph takes room in the cache.
        self.rewind(before);
        self.prepare_lens(lens)?;
        self.fill(before)?;
        for start in positions.clone().step_by(CHUNK) {
            let end = positions.end.min(start + CHUNK);
            self.extend(&text[start..end], true)?;
            for position in start..end {
                if self.is_interrupted() {
                    return Err(luge_llama::Error::Interrupted.into());
                }
                let next = text.get(position + 1).copied();
                each(self.position(lens, position - start, position, next, None)?);
            }
        }
        Ok(())
    }

    /// A token with its text.
    ///
    /// # Errors
    /// [`luge_llama::Error::TokenOutOfRange`].
    pub fn token(&self, id: u32) -> Result<Token, Error> {
        Token::of(self.model(), id)
    }

    /// As [`find_token`], of the session's model.
    ///
    /// # Errors
    /// As there.
    pub fn find_token(&self, text: &str) -> Result<u32, Error> {
        find_token(self.model(), text)
    }
}

/// The token of a model that is written exactly so, for [`LensOptions::pinned`].
///
/// # Errors
/// [`Error::NoToken`], with the tokens that make up the text, and those of
/// [`Model::tokenize`](crate::Model::tokenize).
pub fn find_token(model: &Model, text: &str) -> Result<u32, Error> {
    let tokens = model.tokenize(text, false, true)?;
    let is_text = |&id: &u32| model.label(id).is_ok_and(|label| label == text.as_bytes());
    // All are searched, as the tokenizer may put a blank in front of a text. Tokens
    // for bytes have the texts of others.
    let all = (0..model.n_vocab() as u32).filter(is_text);
    all.min_by_key(|&id| model.is_byte(id)).ok_or_else(|| {
        let pieces = tokens.iter().map(|&id| model.label(id).unwrap_or_default());
        let pieces = pieces.map(|piece| format!("{:?}", String::from_utf8_lossy(&piece)));
        Error::NoToken { text: text.to_owned(), pieces: pieces.collect() }
    })
}
