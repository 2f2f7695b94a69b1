//! The models on this machine: fetching, listing, describing and removing them.

use std::path::PathBuf;

use clap::Args;

use super::Format;

/// Whether a model that is not on this machine may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct FetchArgs {
    /// Download a model that is not on this machine without asking
    #[arg(short, long, help_heading = "Model", conflicts_with = "offline")]
    pub yes: bool,

    /// Use only what is on this machine, as HF_HUB_OFFLINE=1
    #[arg(long, help_heading = "Model")]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// Models of Hugging Face: org/name, org/name:Q4_K_M, org/name/file.gguf
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<PathBuf>,

    /// Fetch nothing: print where the models are on this machine, as HF_HUB_OFFLINE=1
    #[arg(long, help_heading = "Model")]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Output: a table, or one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A model, named as for -m
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub fetch: FetchArgs,

    /// The chat template, whole
    #[arg(long, conflicts_with_all = ["metadata", "format"], help_heading = "Output")]
    pub template: bool,
    /// Every key of the file's metadata; of arrays, how long they are
    #[arg(long, help_heading = "Output")]
    pub metadata: bool,
    /// Output: lines of text, or one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// A model of Hugging Face, named as luge list does
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Remove it without asking
    #[arg(short, long)]
    pub yes: bool,
}
