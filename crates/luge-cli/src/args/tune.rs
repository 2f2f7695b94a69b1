//! The flags of tuning.

use std::path::PathBuf;

use clap::Args;

use super::eval::{PREDICT, SEED, STOP, YES};
use super::{ContextArgs, Format, MethodParams, ModelArgs, QuestionArgs, SamplingArgs};

#[derive(Debug, Args)]
#[command(
    mut_arg("predict", |arg| arg.default_value("-1").help(PREDICT)),
    mut_arg("seed", |arg| arg.default_value("0").help(SEED)),
    mut_arg("stop", |arg| arg.help(STOP)),
    mut_arg("yes", |arg| arg.help(YES)),
    mut_arg("data", |arg| arg.help(
        "File of the task's data, or a folder that has it under its published name [default: from \
         Hugging Face, where it is published there]"
    )),
    mut_arg("limit", |arg| arg.help("Take the first N rows alone, and part these into halves")),
)]
pub struct TuneArgs {
    /// What to tune for: a task that is built in (luge eval --list), a definition of your
    /// own (.toml), or a file of questions (.jsonl, .csv, .json, .parquet)
    pub task: String,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub questions: QuestionArgs,

    /// Method to tune: sled, dola or ensemble. A parameter of it that is given here as a
    /// flag stays so, and the others are searched
    #[arg(long, value_name = "METHOD", default_value = "sled", help_heading = "Method")]
    pub method: String,
    #[command(flatten)]
    pub params: MethodParams,
    /// Values to try for a parameter in place of the usual ones, as in
    /// evolution-rate=0.5,1,2; values with commas are parted by semicolons, as in
    /// 'layers=0,2,4;high'; may be repeated
    #[arg(long, value_name = "NAME=VALUES", help_heading = "Method")]
    pub grid: Vec<String>,
    /// Leave out the controls of the report: SLED with rate 0, which shows what its top-k
    /// cut does alone
    #[arg(long, help_heading = "Method")]
    pub no_controls: bool,

    /// Folder for the logs, which the same command goes on from, the report and the
    /// profile [default: luge-tune/ and the names of task and model]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Output: tables and the profile, or one JSON object, the same as results.json
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}
