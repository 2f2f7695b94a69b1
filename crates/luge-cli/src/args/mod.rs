//! The command line as plain data. Parsing reads nothing and does nothing.

mod chat;
mod definition;
mod eval;
mod examples;
mod given;
mod grammar;
mod lens;
mod method;
mod model;
mod models;
mod prompt;
mod sampling;
mod serve;
mod tools;
mod tune;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ColorChoice, Parser, Subcommand, ValueEnum};

pub use chat::{CHAT_TEMPLATES, ChatArgs, ChatSettingArgs, TemplateArgs};
pub use definition::{default_of, definition, negation, visible, with_negations};
pub use eval::{EvalArgs, EvalMergeArgs, QuestionArgs, ScoringArg};
pub use given::Given;
pub use grammar::GrammarArgs;
pub use lens::{LensArgs, LensFormat};
pub use method::{MethodArgs, MethodParams, PRESET, PresetArg, is_of_method};
pub use model::{ContextArgs, FlashAttn, ModelArgs};
pub use models::{FetchArgs, ListArgs, PullArgs, RmArgs, ShowArgs};
pub use prompt::{IdList, PromptArgs};
pub use sampling::{ChoiceArgs, ExitArgs, Exits, SamplingArgs};
pub use serve::{LogFormat, ServeArgs};
pub use tools::{CompletionsArgs, ConfigArgs, ManArgs, ManFormat};
pub use tune::TuneArgs;

use crate::output;

/// Text from open-weights models, decoded with every layer.
///
/// Ordinary decoding reads the last layer only. luge also asks the layers
/// before it: SLED, DoLa and the layer ensemble, on GGUF models.
#[derive(Debug, Parser)]
#[command(name = "luge", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub global: GlobalArgs,
}

/// The flags of all commands.
#[derive(Debug, Clone, clap::Args)]
pub struct GlobalArgs {
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,

    /// Show what llama.cpp reports and how long things took; -vv for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing on standard error but what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Configuration file to read in place of the user's own
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read no configuration file
    #[arg(long, global = true, conflicts_with = "config")]
    pub no_config: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a prompt, with the text printed as it is decoded; without one, chat
    Run(RunArgs),
    /// Chat with a model
    Chat(Box<ChatArgs>),
    /// Serve a model: the OpenAI API, and a page to chat on
    Serve(Box<ServeArgs>),
    /// Score a given continuation of a prompt, token by token
    Score(ScoreArgs),
    /// Continue a prompt with several methods and show the answers side by side
    Compare(CompareArgs),
    /// Show what every layer says at each position of a text
    Lens(LensArgs),
    /// Measure what methods cost on this machine with a model: time and memory
    Bench(BenchArgs),
    /// Find out whether methods help a model on a task: benchmarks and questions of your own
    Eval(Box<EvalArgs>),
    /// Put the parts of an evaluation together: luge eval merge
    EvalMerge(EvalMergeArgs),
    /// Tune a method on one half of a task's questions, and test it on the other
    Tune(Box<TuneArgs>),
    /// Download models from Hugging Face, and print where they are
    Pull(PullArgs),
    /// List the models on this machine
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show what a model's file says about it, and what reading its layers costs
    Show(ShowArgs),
    /// Remove a model from the cache of Hugging Face's models
    Rm(RmArgs),
    /// Show the settings in force and where each comes from
    Config(ConfigArgs),
    /// Print a script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Print or write the manual pages
    Man(ManArgs),
}

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,

    #[command(flatten)]
    pub method: MethodArgs,

    /// Mark each token where the method chose otherwise than the final layer
    #[arg(long, help_heading = "Output")]
    pub show_changes: bool,
    /// Output: text as it is decoded, or one JSON object at the end
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub exits: ExitArgs,
    #[command(flatten)]
    pub grammar: GrammarArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}

#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// The text before the continuation
    #[arg(required_unless_present = "prompt_ids")]
    pub prompt: Option<String>,
    /// The text to score
    #[arg(required_unless_present = "continuation_ids")]
    pub continuation: Option<String>,
    /// The prompt as token ids, such as 1,2,3, taken as they are
    #[arg(long, value_name = "IDS", requires = "continuation_ids", conflicts_with = "prompt")]
    pub prompt_ids: Option<IdList>,
    /// The continuation as token ids
    #[arg(long, value_name = "IDS", requires = "prompt_ids", conflicts_with = "continuation")]
    pub continuation_ids: Option<IdList>,

    #[command(flatten)]
    pub method: MethodArgs,

    /// Output: a table, or one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub context: ContextArgs,
}

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,

    /// Decoding methods, separated by commas; each may be a pipeline with
    /// parameters, as in 'greedy,sled(evolution-rate=1),sled+dola'
    #[arg(
        long,
        value_name = "METHODS",
        default_value = "greedy,dola,sled",
        help_heading = "Method"
    )]
    pub methods: String,
    #[command(flatten)]
    pub params: MethodParams,

    /// Also show what each layer says where the answers part, or, where they
    /// are the same, at the token that was the least probable
    #[arg(long, help_heading = "Output")]
    pub show_layers: bool,
    /// Then read more prompts from standard input, a line each
    #[arg(short, long, help_heading = "Prompt")]
    pub interactive: bool,
    /// Output: columns of text, or one JSON object a prompt
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub exits: ExitArgs,
    #[command(flatten)]
    pub grammar: GrammarArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}

#[derive(Debug, clap::Args)]
// llama-bench's numbers: short texts and several rounds.
#[command(mut_arg("predict", |arg| arg.default_value("32").visible_alias("n-gen")))]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Length of the prompts, which are random tokens, others in each round; a text
    /// behind them does not end before its -n tokens
    #[arg(
        short = 'p',
        long,
        value_name = "TOKENS",
        default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=1 << 24),
        help_heading = "Prompt"
    )]
    pub n_prompt: u32,
    /// File with prompts to take instead, one a line, or objects with a "prompt" if
    /// its name ends in .jsonl; where it has more than there are rounds, they are
    /// taken from all over it
    #[arg(long, value_name = "FILE", conflicts_with = "n_prompt", help_heading = "Prompt")]
    pub prompts: Option<PathBuf>,

    /// Decoding methods, separated by commas; each may be a pipeline with
    /// parameters, as in 'sled(evolution-rate=1),sled+dola'. The others are
    /// compared with greedy, which is measured in any case
    #[arg(
        long,
        value_name = "METHODS",
        default_value = "greedy,dola,sled",
        help_heading = "Method"
    )]
    pub methods: String,
    #[command(flatten)]
    pub params: MethodParams,

    /// How often each method is measured, in turns; a round before them is not counted
    #[arg(
        short,
        long,
        visible_alias = "repetitions",
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        help_heading = "Measurement"
    )]
    pub rounds: u32,
    /// Output: a table, or one JSON object, which has every round
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,

    #[command(flatten)]
    pub exits: ExitArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Says what a parser made of a command line that is not to be run, such as `--help`
/// or a mistake; returns the exit code.
pub fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe while printing help is no failure.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => {
            let mut message = one_line(&error.render().to_string());
            if error.kind() == ErrorKind::InvalidSubcommand && !message.contains(';') {
                message.push_str("; luge --help names those that there are");
            }
            output::complain(format_args!("{message}"));
            ExitCode::from(2)
        }
    }
}

/// llama.cpp's short names of several letters, which no parser of single-letter
/// flags takes, and their long names.
const SHORT_NAMES: [(&str, &str); 8] = [
    ("-ngl", "--gpu-layers"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-fa", "--flash-attn"),
    ("-sys", "--system-prompt"),
    ("-jf", "--json-schema"),
    ("-np", "--parallel"),
    ("-ub", "--ubatch-size"),
];

/// Commands of two words, and the one word that they are parsed as.
const TWO_WORDS: [([&str; 2], &str); 1] = [(["eval", "merge"], "eval-merge")];

/// The command line with long names in the place of llama.cpp's short ones, and one word in
/// the place of two where they name a command.
pub fn with_long_names(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut flags = true;
    joined(args.collect()).into_iter().map(move |arg| {
        flags &= arg != "--";
        let Some(text) = arg.to_str().filter(|_| flags) else { return arg };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match SHORT_NAMES.iter().find(|(short, _)| *short == name) {
            Some((_, long)) => match value {
                Some(value) => format!("{long}={value}").into(),
                None => OsString::from(long),
            },
            None => arg,
        }
    })
}

fn joined(mut args: Vec<OsString>) -> Vec<OsString> {
    for ([one, other], name) in TWO_WORDS {
        let first = behind_global(&args, 1);
        if args.get(first).is_none_or(|word| word != one) {
            continue;
        }
        let second = behind_global(&args, first + 1);
        if args.get(second).is_some_and(|word| word == other) {
            args.remove(second);
            args[first] = OsString::from(name);
        }
    }
    args
}

/// The place of the first word from `at` on that is no flag of all commands, nor its value.
fn behind_global(args: &[OsString], mut at: usize) -> usize {
    while let Some(word) = args.get(at).and_then(|word| word.to_str()) {
        at += match word {
            "--color" | "--config" => 2,
            "--quiet" | "--verbose" | "--no-config" => 1,
            _ if word.starts_with("--color=") || word.starts_with("--config=") => 1,
            _ if is_q_or_v(word) => 1,
            _ => break,
        };
    }
    at
}

/// Whether a word is `-q`, `-v`, `-vv` and so on.
fn is_q_or_v(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|letter| matches!(letter, b'q' | b'v'))
}

/// A parser's report of several paragraphs as one line: what is wrong, and the
/// tip if there is one.
pub fn one_line(report: &str) -> String {
    let lines = report
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty());
    let mut message = String::new();
    for line in lines {
        if let Some(tip) = line.strip_prefix("tip: ") {
            message.push_str("; ");
            message.push_str(tip);
        } else {
            if !message.is_empty() {
                message.push(' ');
            }
            message.push_str(line);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn short_names_of_llama_cpp_are_known_up_to_a_double_dash() {
        let args = ["luge", "-ngl", "5", "-ctk=f32", "-fa", "off", "-n", "3", "--", "-fa"];
        let long: Vec<_> = with_long_names(args.iter().map(OsString::from)).collect();
        let wanted = [
            "luge",
            "--gpu-layers",
            "5",
            "--cache-type-k=f32",
            "--flash-attn",
            "off",
            "-n",
            "3",
            "--",
            "-fa",
        ];
        assert_eq!(long, wanted);
    }

    #[test]
    fn two_words_are_one_command_wherever_the_flags_of_all_stand() {
        let joined = |line: &str| {
            let words = joined(line.split(' ').map(OsString::from).collect());
            words.join(OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(joined("luge eval merge out"), "luge eval-merge out");
        assert_eq!(joined("luge -q eval merge out"), "luge -q eval-merge out");
        assert_eq!(joined("luge eval -vv merge out"), "luge eval-merge -vv out");
        assert_eq!(
            joined("luge --config eval eval --color never merge out"),
            "luge --config eval eval-merge --color never out"
        );
        for other in ["luge eval --out merge atlas", "luge run eval merge", "luge eval", "luge -q"]
        {
            assert_eq!(joined(other), other);
        }
    }

    #[test]
    fn short_names_of_llama_cpp_are_in_the_help_of_their_flags() {
        let command = definition();
        for (short, long) in SHORT_NAMES {
            let mut args = command.get_subcommands().flat_map(clap::Command::get_arguments);
            let arg = args.find(|arg| arg.get_long() == long.strip_prefix("--"));
            let help = arg.and_then(clap::Arg::get_long_help).map(ToString::to_string);
            assert!(help.is_some_and(|help| help.contains(&format!("[{short}]"))), "{short}");
        }
    }

    #[test]
    fn a_report_becomes_one_line_with_its_tip() {
        let report = "error: unexpected argument '--methd' found\n\n  tip: a similar argument \
                      exists: '--method'\n\nUsage: luge run --method <METHOD>\n\nFor more \
                      information, try '--help'.\n";
        assert_eq!(
            one_line(report),
            "error: unexpected argument '--methd' found; a similar argument exists: '--method'"
        );
    }
}
