//! `luge completions`: a script that completes in a shell.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use luge::{CacheType, METHODS};

use crate::args::{CHAT_TEMPLATES, CompletionsArgs, definition};
use crate::failure::Failure;
use crate::settings::has_settings;

pub fn run(args: CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(&script(args.shell))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut completed(definition()), "luge", &mut script);
    script
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

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::args::visible;

    #[test]
    fn every_flag_of_every_command_is_completed() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            let is_in = |word: &str| {
                let is_part = |c: char| c.is_alphanumeric() || c == '-';
                script
                    .match_indices(word)
                    .any(|(at, _)| !script[at + word.len()..].starts_with(is_part))
            };
            for command in definition().get_subcommands() {
                assert!(is_in(command.get_name()), "{shell}: {}", command.get_name());
                for flag in visible(command).filter_map(clap::Arg::get_long) {
                    // fish has them as `-l flag`.
                    let words = [format!("--{flag}"), format!("-l {flag}")];
                    assert!(words.iter().any(|word| is_in(word)), "{shell}: --{flag}");
                }
            }
        }
    }
}
