//! Loading a model.

use std::collections::HashSet;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use crate::Error;
use crate::backend::{self, with_log};
use crate::gguf::{Gguf, TensorInfo};

/// How to load a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelParams {
    /// Blocks to put on the GPU; `None` for all. Without effect in a build
    /// without a GPU back end.
    pub gpu_layers: Option<u32>,
    /// Map the file instead of reading it.
    pub mmap: bool,
    /// Keep the weights in memory, never in swap.
    pub mlock: bool,
}

impl Default for ModelParams {
    fn default() -> Self {
        ModelParams { gpu_layers: None, mmap: true, mlock: false }
    }
}

/// A loaded model: weights and vocabulary. Cheap to clone; clones share the
/// weights.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

struct Shared {
    model: NonNull<sys::llama_model>,
    path: PathBuf,
    architecture: String,
    tied: bool,
    positions: Option<u32>,
}

// SAFETY: after loading, llama.cpp only reads the model; contexts on several
// threads may share one.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the model is live, and every context holds a clone of the
        // `Arc`, so none is left.
        unsafe { sys::llama_model_free(self.model.as_ptr()) }
    }
}

impl Model {
    /// Loads a GGUF file, or a split model by its first part.
    ///
    /// # Errors
    /// What [`Gguf::open`] reports, [`Error::NotFirstPart`],
    /// [`Error::NoLmHead`] and [`Error::Load`].
    pub fn load(path: &Path, params: &ModelParams) -> Result<Self, Error> {
        backend::init();
        let gguf = Gguf::open(path)?;
        let (architecture, mut tensors) = examine(&gguf)?;
        for part in gguf.other_parts()? {
            tensors.extend(Gguf::open(&part)?.tensors());
        }
        let tensor = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
        let tied = tensor("output.weight").is_none();
        let positions = tensor("position_embd.weight").map(|tensor| tensor.shape[1] as u32);
        if tied && tensor("token_embd.weight").is_none() {
            return Err(Error::NoLmHead {
                path: path.to_owned(),
                reason: "it holds neither output.weight nor token_embd.weight".to_owned(),
            });
        }

        let refused = |reason: String| Error::Load { path: path.to_owned(), reason };
        let c_path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| refused("its path contains a NUL byte".to_owned()))?;
        // SAFETY: the parameters are plain values, the path is NUL-terminated
        // and outlives the call. The file has been examined.
        let (model, reason) = with_log(|| unsafe {
            let mut raw = sys::llama_model_default_params();
            raw.n_gpu_layers = params.gpu_layers.map_or(-1, |layers| layers as i32);
            raw.load_mode = match (params.mmap, params.mlock) {
                // Maps the file unless a device cannot use it so.
                (true, false) => sys::LLAMA_LOAD_MODE_AUTO,
                (true, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
                (false, false) => sys::LLAMA_LOAD_MODE_NONE,
                (false, true) => sys::LLAMA_LOAD_MODE_MLOCK,
            };
            sys::llama_model_load_from_file(c_path.as_ptr(), raw)
        });
        let model = NonNull::new(model).ok_or_else(|| {
            refused(reason.unwrap_or_else(|| "llama.cpp gave no reason".to_owned()))
        })?;
        let model = Model {
            shared: Arc::new(Shared {
                model,
                path: path.to_owned(),
                architecture,
                tied,
                positions,
            }),
        };
        model.check_causal()?;
        Ok(model)
    }

    /// Refuses what llama.cpp knows to be no causal language model.
    fn check_causal(&self) -> Result<(), Error> {
        let model = self.as_ptr();
        // SAFETY: the model is live.
        let (encoder, decoder, diffusion) = unsafe {
            (
                sys::llama_model_has_encoder(model),
                sys::llama_model_has_decoder(model),
                sys::llama_model_is_diffusion(model),
            )
        };
        let reason = match (encoder, decoder, diffusion) {
            (_, false, _) => "it is an encoder",
            (true, true, _) => "it is an encoder and a decoder, and luge reads decoders",
            (_, _, true) => "it is a diffusion model",
            _ if self.n_vocab() == 0 => "it has no vocabulary",
            _ => return Ok(()),
        };
        Err(Error::NoLmHead { path: self.path().to_owned(), reason: reason.to_owned() })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::llama_model {
        self.shared.model.as_ptr()
    }

    pub(crate) fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is live; its vocabulary lives as long.
        unsafe { sys::llama_model_get_vocab(self.as_ptr()) }
    }

    /// The file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The architecture, such as `llama` or `gemma2`.
    pub fn architecture(&self) -> &str {
        &self.shared.architecture
    }

    /// The value of a metadata key as text, such as that of `general.name`; `None`
    /// where the file does not have it, or has a list of values for it.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        // SAFETY: the model is live and the key NUL-terminated; without a buffer
        // nothing is written.
        let length = unsafe {
            sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), std::ptr::null_mut(), 0)
        };
        let length = usize::try_from(length).ok()?;
        let mut text = vec![0u8; length + 1];
        // SAFETY: as above; at most the buffer's length is written, with a NUL.
        unsafe {
            sys::llama_model_meta_val_str(
                self.as_ptr(),
                key.as_ptr(),
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        text.truncate(length);
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether the LM head is the embedding matrix.
    pub fn tied(&self) -> bool {
        self.shared.tied
    }

    /// How many positions the model has learned embeddings for: a hard limit
    /// for the context. `None` for models without such embeddings.
    pub fn positions(&self) -> Option<u32> {
        self.shared.positions
    }

    /// L, the number of transformer blocks.
    pub fn n_layers(&self) -> usize {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_layer(self.as_ptr()) as usize }
    }

    /// The width of a hidden state.
    pub fn n_embd(&self) -> usize {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_embd(self.as_ptr()) as usize }
    }

    /// The size of the vocabulary, in tokens.
    pub fn n_vocab(&self) -> usize {
        // SAFETY: the vocabulary is live.
        unsafe { sys::llama_vocab_n_tokens(self.vocab()) as usize }
    }

    /// The context length the model was trained with, in tokens.
    pub fn n_ctx_train(&self) -> u32 {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_ctx_train(self.as_ptr()) as u32 }
    }

    /// Whether its state cannot be cut back to an earlier position, as with
    /// recurrent models and hybrids.
    pub fn is_recurrent(&self) -> bool {
        // SAFETY: the model is live.
        unsafe {
            sys::llama_model_is_recurrent(self.as_ptr())
                || sys::llama_model_is_hybrid(self.as_ptr())
        }
    }

    /// Whether some of its blocks look back at the last tokens only. llama.cpp may then
    /// give the cache's cells of older ones to other sequences, although a sequence that
    /// is cut back would look at them again.
    pub fn has_sliding_window(&self) -> bool {
        // SAFETY: the model is live.
        unsafe { sys::llama_model_n_swa(self.as_ptr()) > 0 }
    }
}

/// The architecture and the tensors, if the metadata is that of a causal
/// language model with plausible sizes.
fn examine(gguf: &Gguf) -> Result<(String, Vec<TensorInfo>), Error> {
    let damaged = |reason: String| Error::Damaged { path: gguf.path().to_owned(), reason };
    let no_head = |reason: String| Error::NoLmHead { path: gguf.path().to_owned(), reason };
    let architecture = gguf
        .string("general.architecture")
        .ok_or_else(|| damaged("it does not name its architecture".to_owned()))?;
    if matches!(gguf.string("general.type").as_deref(), Some(kind) if kind != "model") {
        let kind = gguf.string("general.type").unwrap_or_default();
        return Err(no_head(format!("it is of type '{kind}'")));
    }
    let key = |name: &str| format!("{architecture}.{name}");
    if gguf.bool(&key("attention.causal")) == Some(false) {
        return Err(no_head(format!("'{architecture}' is an encoder")));
    }
    // Pooling 0 is none, 4 a reranker; anything else makes an embedding of a text.
    if gguf.u32(&key("pooling_type")).is_some_and(|pooling| pooling != 0) {
        return Err(no_head("it is an embedding model".to_owned()));
    }
    check_sizes(gguf, &architecture).map_err(damaged)?;
    Ok((architecture, gguf.tensors().collect()))
}

/// What llama.cpp takes for granted in a model's sizes, and would abort on.
fn check_sizes(gguf: &Gguf, architecture: &str) -> Result<(), String> {
    /// llama.cpp's `LLAMA_MAX_LAYERS`.
    const MAX_BLOCKS: u32 = 512;
    let size = |name: &str| gguf.u32(&format!("{architecture}.{name}"));

    for name in ["block_count", "embedding_length", "context_length"] {
        if size(name) == Some(0) {
            return Err(format!("its {architecture}.{name} is 0"));
        }
    }
    for name in ["layer_norm_rms_epsilon", "layer_norm_epsilon", "group_norm_epsilon"] {
        let key = format!("{architecture}.attention.{name}");
        if gguf.f32(&key).is_some_and(|epsilon| epsilon.is_nan() || epsilon < 0.0) {
            return Err(format!("its {key} is negative"));
        }
    }
    if let Some(blocks) = size("block_count").filter(|&blocks| blocks > MAX_BLOCKS) {
        return Err(format!("it claims to have {blocks} blocks"));
    }
    let head = size("attention.key_length")
        // Recurrent models have 0 attention heads.
        .or_else(|| size("embedding_length")?.checked_div(size("attention.head_count")?));
    if let (Some(rotated), Some(head)) = (size("rope.dimension_count"), head)
        && rotated > head
    {
        return Err(format!("it rotates {rotated} of a head's {head} dimensions"));
    }
    if let Some(tokens) = gguf.strings("tokenizer.ggml.tokens") {
        let mut seen = HashSet::new();
        if let Some(twice) =
            tokens.filter(|token| !token.is_empty()).find(|&token| !seen.insert(token))
        {
            return Err(format!("its vocabulary lists \"{}\" twice", twice.escape_ascii()));
        }
    }
    Ok(())
}
