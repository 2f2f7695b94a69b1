//! What to look at, and where to show it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ContextArgs, GrammarArgs, IdList, MethodArgs, ModelArgs, PromptArgs, SamplingArgs};

#[derive(Debug, Args)]
#[command(
    mut_arg("predict", |arg| arg.default_value("0").help(
        "Then generate so many tokens with the method, and look at them too; -1 for as many as \
         the context holds",
    )),
    mut_arg("layers", |arg| arg.help(
        "Layers to show, and early exits of a method that names none of its own: all, low, high, \
         or indices and ranges such as 0,2,4 or 0..16:2 or -4.. [default: all; dola: low]",
    )),
)]
pub struct LensArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,

    /// Show one position in depth: 0 for the first token, -1 for the last
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Lens")]
    pub position: Option<i64>,
    /// How many of each layer's most probable tokens to show
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        help_heading = "Lens"
    )]
    pub top: u32,
    /// Follow a token through the layers, written exactly, as in ' Victoria'; may be
    /// repeated
    #[arg(long, value_name = "TEXT", help_heading = "Lens")]
    pub pin: Vec<String>,
    /// Follow tokens by their ids
    #[arg(long, value_name = "IDS", help_heading = "Lens")]
    pub pin_ids: Option<IdList>,

    /// Write a page to look at it in a browser, complete in one file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Write a picture; of one position with --position
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub svg: Option<PathBuf>,
    /// Output: a table, one JSON object, or CSV with a row a token of a layer
    /// [default: text, and nothing with --html or --svg]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<LensFormat>,

    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub grammar: GrammarArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LensFormat {
    Text,
    Json,
    Csv,
}
