//! What is about `luge` itself: its settings, completions and manual.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::Format;

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print where the configuration file is looked for, whether there is one or not
    #[arg(long, conflicts_with_all = ["init", "line", "format"])]
    pub path: bool,
    /// Write a configuration file with everything commented out; one that is there
    /// stays as it is
    #[arg(long, conflicts_with_all = ["line", "format"])]
    pub init: bool,
    /// Output: a table, or one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,
    /// Command whose settings to show, and flags as it would be given them
    /// [default: run]
    #[arg(
        value_name = "COMMAND",
        id = "line",
        num_args = 0..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub line: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Command whose page to print [default: luge itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Output: manual pages, or all commands as one Markdown text
    #[arg(long, value_name = "FORMAT", default_value = "man", help_heading = "Output")]
    pub format: ManFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManFormat {
    Man,
    Markdown,
}
