//! The model and its context.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use luge::CacheType;

use super::FetchArgs;

#[cfg(feature = "atlas")]
const MODEL_HELP: &str = "GGUF file (a split model by its first part); a model of Hugging Face, as \
                          org/name, org/name:Q4_K_M or org/name/file.gguf; one of ollama's, as \
                          ollama:name:tag; or 'atlas', the small model that is built in, and a \
                          file of that name is ./atlas [default: atlas]";
#[cfg(not(feature = "atlas"))]
const MODEL_HELP: &str = "GGUF file (a split model by its first part); a model of Hugging Face, as \
                          org/name, org/name:Q4_K_M or org/name/file.gguf; or one of ollama's, as \
                          ollama:name:tag";

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    #[arg(short, long, value_name = "MODEL", help = MODEL_HELP)]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Transformer blocks to put on the GPU, in a build with a GPU back end: a
    /// number, or all [-ngl]
    #[arg(
        long = "gpu-layers",
        visible_alias = "n-gpu-layers",
        value_name = "N",
        default_value = "all",
        value_parser = gpu_layers
    )]
    pub gpu_layers: GpuLayers,

    /// Read the file into memory instead of mapping it
    #[arg(long)]
    pub no_mmap: bool,

    /// Keep the weights in memory, never in swap
    #[arg(long)]
    pub mlock: bool,
}

/// How many blocks go to the GPU; `None` for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuLayers(pub Option<u32>);

fn gpu_layers(text: &str) -> Result<GpuLayers, String> {
    match text {
        "all" | "auto" | "-1" => Ok(GpuLayers(None)),
        number => number
            .parse()
            .ok()
            .filter(|&layers: &u32| layers <= i32::MAX as u32)
            .map(|layers| GpuLayers(Some(layers)))
            .ok_or_else(|| "it takes a number of blocks, or all".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Context")]
pub struct ContextArgs {
    /// Room for prompt and text together, in tokens; 0 for what the model was
    /// trained with [default: as trained, but at most 4096]
    #[arg(short, long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(0..=1 << 24))]
    pub ctx_size: Option<u32>,

    /// Worker threads [default: one for each physical core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub threads: Option<u32>,

    /// Type of the K cache: f32, f16, bf16, q8_0, q4_0, … [-ctk]
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub cache_type_k: CacheType,

    /// Type of the V cache; quantised ones need flash attention [-ctv]
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub cache_type_v: CacheType,

    /// Flash attention [-fa]
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub flash_attn: FlashAttn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlashAttn {
    On,
    Off,
    Auto,
}
