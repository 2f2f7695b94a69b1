//! The flags of evaluations.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use luge_eval::Shard;

use super::{ContextArgs, Format, MethodParams, ModelArgs, SamplingArgs};

/// What is said of flags that have another meaning where answers are judged.
pub const PREDICT: &str = "The most tokens of a written answer; -1 for as many as its task says";
pub const SEED: &str =
    "Seed of the bootstrap, and of sampling where --temp asks for it; -1 for a random one";
pub const STOP: &str =
    "End a written answer in front of this, in place of what its task says; may be repeated";
pub const YES: &str = "Download a model or data that are not on this machine without asking";

#[derive(Debug, Args)]
// A task says itself how long its answers are, and runs are to be the same every time.
#[command(
    mut_arg("predict", |arg| arg.default_value("-1").help(PREDICT)),
    mut_arg("seed", |arg| arg.default_value("0").help(SEED)),
    mut_arg("stop", |arg| arg.help(STOP)),
    mut_arg("yes", |arg| arg.help(YES)),
)]
pub struct EvalArgs {
    /// What to ask: tasks that are built in (--list), definitions of your own (.toml), or
    /// files of questions (.jsonl, .csv, .json, .parquet)
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,

    /// Show the tasks that are built in
    #[arg(long, conflicts_with_all = ["tasks", "dry_run"])]
    pub list: bool,
    /// Ask a few documents, and say what all of them will take: tokens, time, memory
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub questions: QuestionArgs,

    /// Decoding methods, separated by commas; each may be a pipeline with
    /// parameters, as in 'greedy,sled(evolution-rate=1),sled+dola'. Greedy is among them
    /// in any case
    #[arg(
        long,
        value_name = "METHODS",
        default_value = "greedy,dola,sled",
        help_heading = "Method"
    )]
    pub methods: String,
    #[command(flatten)]
    pub params: MethodParams,
    /// Leave out the controls: SLED with rate 0 beside each SLED, which shows what its
    /// top-k cut does alone
    #[arg(long, help_heading = "Method")]
    pub no_controls: bool,

    /// Folder for the log, which the same command goes on from, and for the report
    /// [default: luge-eval/ and the names of tasks and model]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Ask only this part of the documents, as 2/8; luge eval merge puts the parts together
    #[arg(long, value_name = "I/N", help_heading = "Output")]
    pub shard: Option<Shard>,
    /// Output: tables, or one JSON object, the same as results.json
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}

/// What is asked, and how it is counted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Questions")]
pub struct QuestionArgs {
    /// File of a task's data, or a folder that has it under its published name; with
    /// several tasks a folder, or NAME=PATH for each [default: from Hugging Face, where it
    /// is published there]
    #[arg(long, value_name = "PATH")]
    pub data: Vec<String>,
    /// Ask the first N rows of each task alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub limit: Option<u64>,
    /// Text file to put in front of every question, in place of the task's own examples
    #[arg(long, value_name = "FILE")]
    pub primer: Option<PathBuf>,
    /// Put the questions into the model's chat template, examples as turns before them
    #[arg(long)]
    pub apply_chat_template: bool,
    /// What is compared: normalised log-probabilities, or what the public scripts of SLED
    /// and DoLa compare, such as raw sums
    #[arg(long, value_name = "WHICH", default_value = "normalised")]
    pub scoring: ScoringArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoringArg {
    /// Log-softmax of the method's output, summed over the answer
    #[value(alias = "normalized")]
    Normalised,
    /// As the public scripts
    Reference,
}

#[derive(Debug, Args)]
// As it is written.
#[command(override_usage = "luge eval merge [OPTIONS] <DIR>...")]
pub struct EvalMergeArgs {
    /// Folders of the parts, or their logs
    #[arg(value_name = "DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// Folder for the report [default: the first one that is given]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Output: tables, or one JSON object, the same as results.json
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,
}
