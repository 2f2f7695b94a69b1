//! A model that is served.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sampling::count_or_all;
use super::{ChoiceArgs, ContextArgs, MethodArgs, ModelArgs, TemplateArgs};

#[derive(Debug, Args)]
#[command(mut_arg("ctx_size", |arg| arg.help(
    "Room for each text, its prompt included, in tokens; 0 for what the model was trained with \
     [default: as trained, but at most 4096]"
)))]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Name of the model in requests and answers [default: as it is named with -m]
    #[arg(short, long, value_name = "NAME", help_heading = "Model", value_parser = alias)]
    pub alias: Option<String>,

    #[command(flatten)]
    pub address: AddressArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub choice: ChoiceArgs,
    #[command(flatten)]
    pub template: TemplateArgs,

    /// Access log on standard error: a line of text for each request, or a JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub log_format: LogFormat,

    #[command(flatten)]
    pub context: ContextArgs,
}

/// Where the server listens, and to whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct AddressArgs {
    /// Address to listen at, or the name of one; 0.0.0.0 for all of this machine's
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen at; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Key that requests need, all but those for /health; may be repeated
    #[arg(long, value_name = "KEY")]
    pub api_key: Vec<String>,

    /// File with such keys, one a line
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Listen at an address that other machines can reach without any key
    #[arg(long)]
    pub insecure: bool,

    /// Pages that may use the server beside its own, as in https://chat.example.org, or * for
    /// all; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Vec<String>,

    /// Name that the server goes by beside localhost; requests that name another host are
    /// then refused, as they are without a key; may be repeated
    #[arg(long, value_name = "NAME")]
    pub allowed_host: Vec<String>,

    /// How long requests may go on when the server is to end, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub grace: u32,
}

/// How much the server does at a time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// How many texts are written at the same time, each with room for --ctx-size tokens
    /// [-np]
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub parallel: u32,

    /// The most tokens computed in one step [-ub]
    #[arg(long, value_name = "TOKENS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    pub ubatch_size: u32,

    /// How many texts may wait for room; requests beyond that are told to come back later
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    pub max_queue: u32,

    /// The most tokens written for a text, and how many an answer in a chat gets where a
    /// request does not say; -1 for as many as the context holds
    #[arg(
        short = 'n',
        long = "predict",
        visible_aliases = ["n-predict", "max-tokens"],
        value_name = "TOKENS",
        default_value_t = -1,
        allow_negative_numbers = true,
        value_parser = count_or_all
    )]
    pub predict: i64,

    /// How long a request may take, waiting included, in seconds; 0 for as long as it takes
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(0..=1 << 24))]
    pub timeout: u32,

    /// Compute every prompt from its beginning, whatever is left of texts before it
    #[arg(long)]
    pub no_cache_prompt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

fn alias(text: &str) -> Result<String, String> {
    let is_name = !text.trim().is_empty() && !text.contains(|c: char| c == '@' || c.is_control());
    // Behind an @ stands a method.
    if is_name { Ok(text.to_owned()) } else { Err("it takes a name without an @".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_leaves_room_for_a_method() {
        assert_eq!(alias("org/model:Q4").as_deref(), Ok("org/model:Q4"));
        for wrong in ["", " ", "a@sled", "a\nb"] {
            assert!(alias(wrong).is_err(), "{wrong:?}");
        }
    }
}
