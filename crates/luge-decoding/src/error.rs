//! What can be wrong with a method, its parameters or its input.

use std::error::Error as StdError;

/// An error of this crate. Every message is one sentence that names the thing
/// and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No method of that name is registered.
    #[error("unknown method '{name}'{}; the methods are {known}", did_you_mean(.nearest))]
    UnknownMethod {
        /// The name as it was given.
        name: String,
        /// The registered name closest to it, if one is close.
        nearest: Option<&'static str>,
        /// All registered names.
        known: String,
    },

    /// The method has no parameter of that name.
    #[error("method '{method}' has no parameter '{name}'{}; it has {known}", did_you_mean(.nearest))]
    UnknownParameter {
        /// The method.
        method: &'static str,
        /// The name as it was given.
        name: String,
        /// The method's parameter closest to it, if one is close.
        nearest: Option<&'static str>,
        /// All parameters of the method.
        known: String,
    },

    /// A parameter's value is malformed or out of its range.
    #[error("'{value}' is not a value for {name}: it takes {expected}")]
    BadValue {
        /// The parameter.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// What would have been accepted.
        expected: String,
    },

    /// The text of a method is not of the form `name(key=value,…)+name…`.
    #[error("'{text}' is not a method: {reason}")]
    Syntax {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A layer index lies outside the model.
    #[error("layer {layer} is out of range: this model's early exits are layers 0 to {last}")]
    LayerOutOfRange {
        /// The index as it was given, possibly negative.
        layer: i64,
        /// The last layer with an early exit.
        last: usize,
    },

    /// A layer selection selects nothing.
    #[error("the layers '{selection}' select none of this model's early exits, 0 to {last}")]
    NoLayers {
        /// The selection as it was given.
        selection: String,
        /// The last layer with an early exit.
        last: usize,
    },

    /// SLED's evolution scale exceeds the vocabulary.
    #[error("evolution-scale {scale} is larger than the vocabulary of {vocab} tokens")]
    ScaleTooLarge {
        /// The scale, in tokens.
        scale: usize,
        /// The size of the vocabulary, in tokens.
        vocab: usize,
    },

    /// The number of ensemble weights does not match the number of layers.
    #[error(
        "ensemble-weights has {given} weights, but there are {wanted} layers: the chosen exits and then the final layer"
    )]
    WeightCount {
        /// Weights given.
        given: usize,
        /// Weights needed.
        wanted: usize,
    },

    /// Two stages of a pipeline want different exits.
    #[error("the stages of a pipeline share their exits: give exit-norm and exit-softcap once")]
    ExitsDiffer,

    /// Logits contain NaN or +∞.
    #[error(
        "the logits of {whose} contain NaN or infinity: the model file is damaged, or its weights do not suit this quantisation or cache type"
    )]
    NotANumber {
        /// Whose logits: "the final layer" or "exit 3".
        whose: String,
    },

    /// A method's own arithmetic overflowed.
    #[error("the logits of {method} overflowed: its parameters are too extreme")]
    Overflow {
        /// The method.
        method: &'static str,
    },

    /// The engine could not compute the exits.
    #[error("the early exits could not be computed")]
    Exits(#[source] Box<dyn StdError + Send + Sync>),
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"))
}

/// The candidate nearest to `name`, if it is near enough to be a slip of the
/// hand.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
