//! The decoding methods.
//!
//! A method comes in two forms. A [`Method`] is its settings, made from code or
//! text, without a model. Bound to a model's shape it becomes a [`Stage`]: a
//! pure function from the logits at a position to new logits.
//!
//! To add a method, write one file beside these with a type that implements
//! both and a [`MethodInfo`], and add a line to [`METHODS`]. Parsing, the
//! command line's flags, help and JSON follow from that.

mod dola;
mod ensemble;
mod greedy;
mod params;
mod sled;
mod trace;

use std::fmt;

pub use dola::Dola;
pub use ensemble::{Ensemble, Weights};
pub use greedy::Greedy;
pub use params::{ParamSpec, Params, Value};
pub use sled::{Sled, layer_vote};
pub use trace::{Trace, Votes};

use crate::bounds::Bounds;
use crate::error::{Error, nearest};
use crate::exits::{ExitDetail, ExitForm, ExitLogits, Exits};
use crate::sums::ExitSums;

/// Every method there is.
pub const METHODS: &[MethodInfo] = &[greedy::INFO, sled::INFO, dola::INFO, ensemble::INFO];

/// What is known of a method by name: its parameters and how to make it.
#[derive(Debug, Clone, Copy)]
pub struct MethodInfo {
    /// The name, as in `--method NAME`.
    pub name: &'static str,
    /// One line on what it does.
    pub about: &'static str,
    /// Its parameters.
    pub params: &'static [ParamSpec],
    /// Makes the method from its parameters as text.
    pub build: fn(&Params) -> Result<Box<dyn Method>, Error>,
}

impl MethodInfo {
    /// The method of this name.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], with the nearest name.
    pub fn find(name: &str) -> Result<&'static MethodInfo, Error> {
        METHODS.iter().find(|method| method.name == name).ok_or_else(|| Error::UnknownMethod {
            name: name.to_owned(),
            nearest: nearest(name, METHODS.iter().map(|method| method.name)),
            known: METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether the method has a parameter of this name.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.iter().any(|param| param.name == name)
    }
}

/// What a method must know of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelShape {
    /// L, the number of transformer blocks; the early exits are 0 to L−1.
    pub layers: usize,
    /// The size of the vocabulary, in tokens.
    pub vocab: usize,
    /// Whether the LM head is the embedding matrix.
    pub tied: bool,
}

/// The settings of a decoding method, independent of a model.
pub trait Method: fmt::Debug + Send + Sync {
    /// Fits the settings to a model: layer selections become indices, ranges
    /// are checked.
    ///
    /// # Errors
    /// Where the settings do not fit the model, such as a layer out of range.
    fn bind(&self, shape: &ModelShape) -> Result<Box<dyn Stage>, Error>;

    /// How the exits it reads are made; `None` for a method that reads none.
    fn exit_form(&self) -> Option<ExitForm>;
}

/// A method bound to a model: a stage of a [`Decoder`](crate::Decoder).
pub trait Stage: fmt::Debug + Send + Sync {
    /// The method's name.
    fn name(&self) -> &'static str;

    /// The resolved parameters, for people and JSON. Names are those of the
    /// method's [`ParamSpec`]s.
    fn params(&self) -> Vec<(&'static str, Value)>;

    /// The exits it may ask for, ascending.
    fn layers(&self) -> &[usize];

    /// What it reads of them.
    fn detail(&self) -> ExitDetail {
        ExitDetail::Logits
    }

    /// Whether it never changes the logits, so that there is no need to copy
    /// them for it.
    fn is_identity(&self) -> bool {
        false
    }

    /// Replaces `current` (`[vocab]`): the model's final logits in the first
    /// stage, the previous stage's result in later ones.
    ///
    /// # Errors
    /// [`Error::Exits`] and [`Error::NotANumber`].
    fn apply(&self, position: &mut Position<'_>, current: &mut [f32]) -> Result<(), Error>;

    /// Whether what the stages before it added to a token's logit is in its result as
    /// well, as added, for the tokens that it keeps.
    fn is_additive(&self) -> bool {
        self.is_identity()
    }

    /// How the result of [`Stage::apply`] comes from the layers, for people who
    /// look; `None` where there is nothing to tell.
    ///
    /// # Errors
    /// [`Error::Exits`] and [`Error::NotANumber`].
    fn trace(&self, _position: &mut Position<'_>) -> Result<Option<Trace>, Error> {
        Ok(None)
    }

    /// Whether [`Stage::bounds`] can say anything.
    fn is_bounded(&self) -> bool {
        false
    }

    /// Limits of what [`Stage::apply`] makes, whatever the exits hold; `None`
    /// where there are none to tell, or where it might fail.
    ///
    /// `final_logits` are numbers, not all of them −∞. `before` are the limits of
    /// the vector that the stage would receive; `None` for the first stage, which
    /// receives the final logits themselves.
    fn bounds(&self, _final_logits: &[f32], _before: Option<&Bounds>) -> Option<Bounds> {
        None
    }
}

/// What a stage sees at one position.
pub struct Position<'a> {
    /// z_L: the model's own final logits, `[vocab]`.
    pub final_logits: &'a [f32],
    /// The plan's early exits, computed when first asked for.
    pub exits: &'a mut dyn Exits,
    /// What the result is for.
    pub purpose: Purpose,
}

impl Position<'_> {
    /// The final logits and all exits of the plan.
    ///
    /// # Errors
    /// [`Error::Exits`], if the engine fails.
    pub fn layers(&mut self) -> Result<(&[f32], ExitLogits<'_>), Error> {
        Ok((self.final_logits, self.exits.logits().map_err(Error::Exits)?))
    }

    /// How far the exits of `layers` are from a layer whose logits are `mature`,
    /// `[vocab]`: see [`Exits::divergences`].
    ///
    /// # Errors
    /// [`Error::Exits`], if the engine fails.
    pub fn divergences(&mut self, mature: &[f32], layers: &[usize]) -> Result<Vec<f64>, Error> {
        self.exits.divergences(mature, layers).map_err(Error::Exits)
    }

    /// The sums over the vocabulary of all exits of the plan, and their logits of
    /// `tokens`.
    ///
    /// # Errors
    /// [`Error::Exits`], if the engine fails.
    pub fn sums(&mut self, tokens: &[u32]) -> Result<ExitSums, Error> {
        self.exits.sums(self.final_logits, tokens).map_err(Error::Exits)
    }
}

/// What a decoder's output is for. Tokens ruled out by DoLa get a floor of
/// −1000 in a score, so that sums stay finite, and −∞ in generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Choosing the next token.
    Generate,
    /// Scoring a given token.
    Score,
}
