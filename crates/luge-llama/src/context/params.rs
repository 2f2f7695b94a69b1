//! What a context is made of: sizes, threads, the KV cache's types.

use std::str::FromStr;

use llama_cpp_sys_2 as sys;

/// How to make a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextParams {
    /// Room for a text, in tokens; 0 for what the model was trained with.
    pub n_ctx: u32,
    /// How many texts of that length the KV cache has room for, at least 1.
    pub texts: u32,
    /// The most tokens in a batch.
    pub n_batch: u32,
    /// The most tokens computed at once; larger batches are taken in pieces.
    pub n_ubatch: u32,
    /// How many sequences the KV cache may hold.
    pub n_sequences: u32,
    /// Worker threads, at least 1.
    pub threads: u32,
    /// The type of the K cache.
    pub type_k: CacheType,
    /// The type of the V cache. Quantised ones need flash attention.
    pub type_v: CacheType,
    /// Whether to use flash attention.
    pub flash_attention: FlashAttention,
}

impl Default for ContextParams {
    fn default() -> Self {
        ContextParams {
            n_ctx: 0,
            texts: 1,
            n_batch: 2048,
            n_ubatch: 512,
            n_sequences: 1,
            threads: 1,
            type_k: CacheType::F16,
            type_v: CacheType::F16,
            flash_attention: FlashAttention::Auto,
        }
    }
}

/// The type of the numbers in a KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are ggml's and say it all")]
pub enum CacheType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
    Q4_1,
    Iq4Nl,
    Q5_0,
    Q5_1,
}

impl CacheType {
    /// Every type and its name.
    pub const ALL: [(CacheType, &'static str); 9] = [
        (CacheType::F32, "f32"),
        (CacheType::F16, "f16"),
        (CacheType::Bf16, "bf16"),
        (CacheType::Q8_0, "q8_0"),
        (CacheType::Q4_0, "q4_0"),
        (CacheType::Q4_1, "q4_1"),
        (CacheType::Iq4Nl, "iq4_nl"),
        (CacheType::Q5_0, "q5_0"),
        (CacheType::Q5_1, "q5_1"),
    ];

    pub(super) fn raw(self) -> sys::ggml_type {
        match self {
            CacheType::F32 => sys::GGML_TYPE_F32,
            CacheType::F16 => sys::GGML_TYPE_F16,
            CacheType::Bf16 => sys::GGML_TYPE_BF16,
            CacheType::Q8_0 => sys::GGML_TYPE_Q8_0,
            CacheType::Q4_0 => sys::GGML_TYPE_Q4_0,
            CacheType::Q4_1 => sys::GGML_TYPE_Q4_1,
            CacheType::Iq4Nl => sys::GGML_TYPE_IQ4_NL,
            CacheType::Q5_0 => sys::GGML_TYPE_Q5_0,
            CacheType::Q5_1 => sys::GGML_TYPE_Q5_1,
        }
    }
}

impl FromStr for CacheType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = CacheType::ALL.iter().find(|(_, name)| *name == text);
        found.map(|&(kind, _)| kind).ok_or_else(|| {
            let names: Vec<_> = CacheType::ALL.iter().map(|&(_, name)| name).collect();
            format!("the types are {}", names.join(", "))
        })
    }
}

/// Whether to use flash attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum FlashAttention {
    /// Where the device supports it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
