//! `luge completions`: a script that completes in a shell.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap::builder::PossibleValuesParser;
use luge::{CacheType, METHODS};

use crate::args::{CHAT_TEMPLATES, CompletionsArgs, definition};
use crate::failure::Failure;
use crate::settings::has_settings;

pub fn run(args: CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut completed(definition()), "luge", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The command line with the values that a free text most often has.
fn completed(command: Command) -> Command {
    let names = |commands: Vec<&Command>| -> Vec<String> {
        commands.iter().map(|command| command.get_name().to_owned()).collect()
    };
    let all = names(command.get_subcommands().collect());
    let with_settings = names(command.get_subcommands().filter(|c| has_settings(c)).collect());
    let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let values = |command: &str, name: &str| -> Vec<String> {
        match (command, name) {
            ("config", "line") => with_settings.clone(),
            ("man", "command") => all.clone(),
            // Of a list, its beginning.
            (_, "method" | "methods") => METHODS.iter().map(|method| method.name.into()).collect(),
            (_, "exit-norm") => list(&["raw", "final"]),
            (_, "exit-softcap") => list(&["on", "off"]),
            (_, "layers") => list(&["all", "low", "high"]),
            (_, "cache-type-k" | "cache-type-v") => {
                CacheType::ALL.iter().map(|&(_, name)| name.to_owned()).collect()
            }
            (_, "chat-template") => list(&CHAT_TEMPLATES),
            _ => Vec::new(),
        }
    };
    command.mut_subcommands(|command| {
        let owner = command.get_name().to_owned();
        command.mut_args(|arg| {
            match values(&owner, arg.get_long().unwrap_or(arg.get_id().as_str())) {
                none if none.is_empty() => arg,
                values => arg.value_parser(PossibleValuesParser::new(values)),
            }
        })
    })
}
