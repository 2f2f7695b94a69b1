//! What can go wrong between a model file and its logits.

use std::io;
use std::path::PathBuf;

/// An error of this crate. Every message is one sentence that names the thing
/// and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read model '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The file is of another kind.
    #[error("'{}' is not a GGUF file: it begins with {found}, not with GGUF", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its first bytes, for display.
        found: String,
    },

    /// The file's header or tensor table is damaged.
    #[error("'{}' is a damaged GGUF file: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The file ends before its tensors do.
    #[error(
        "'{}' is cut short: its tensors need {needed} bytes, the file has {actual}; download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the tensor table calls for.
        needed: u64,
        /// Bytes there are.
        actual: u64,
    },

    /// A split model was named by a part other than its first.
    #[error("'{}' is part {part} of a split model: name its first part, '{}'", path.display(), first.display())]
    NotFirstPart {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        part: u32,
        /// The file to name instead.
        first: PathBuf,
    },

    /// The model is no causal language model.
    #[error("'{}' has no causal LM head to decode with: {reason}", path.display())]
    NoLmHead {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },

    /// llama.cpp refused to load the model.
    #[error("cannot load '{}': {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What llama.cpp said.
        reason: String,
    },

    /// llama.cpp refused to make a context.
    #[error("cannot make a context: {reason}")]
    Context {
        /// What llama.cpp said.
        reason: String,
    },

    /// The architecture's graph does not show its layers.
    #[error(
        "the architecture '{architecture}' has no layer taps that luge knows ({missing}): only the method 'greedy' works with it, and no lens"
    )]
    NoTaps {
        /// The architecture, as in `general.architecture`.
        architecture: String,
        /// What is missing.
        missing: String,
    },

    /// The architecture's LM head does something that cannot be replayed.
    #[error(
        "the LM head of architecture '{architecture}' cannot be applied to early layers ({reason}): only the method 'greedy' works with it, and no lens"
    )]
    UnknownHead {
        /// The architecture.
        architecture: String,
        /// What stands in the way.
        reason: String,
    },

    /// A token id lies outside the vocabulary.
    #[error("token {token} is out of range: this model's vocabulary has ids 0 to {}", vocab - 1)]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },

    /// The model has no tokenizer, or the text is too long for it.
    #[error("cannot tokenize: {0}")]
    Tokenize(&'static str),

    /// A batch does not fit the context's limits.
    #[error("{0}")]
    Batch(String),

    /// No room is left in the KV cache.
    #[error("the context of {0} tokens is full")]
    ContextFull(u32),

    /// The computation was interrupted by the caller.
    #[error("interrupted")]
    Interrupted,

    /// The environment asks for an exit kernel that is not there.
    #[error("LUGE_EXIT_KERNEL is '{name}': this processor has {}", known.join(", "))]
    Kernel {
        /// What the variable holds.
        name: String,
        /// What there is.
        known: Vec<String>,
    },

    /// llama.cpp could not compute a batch or the exits.
    #[error("llama.cpp failed to compute: {0}")]
    Compute(String),
}
