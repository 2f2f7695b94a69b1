//! `luge completions`: a script that completes in a shell.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap::builder::PossibleValuesParser;
use luge::METHODS;

use crate::args::{CompletionsArgs, definition};
use crate::failure::Failure;

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
    let methods = || METHODS.iter().map(|method| method.name);
    let values = |name: &str| -> Vec<&'static str> {
        match name {
            "method" => methods().collect(),
            "exit-norm" => vec!["raw", "final"],
            "exit-softcap" => vec!["on", "off"],
            "layers" => vec!["all", "low", "high"],
            _ => Vec::new(),
        }
    };
    command.mut_subcommands(|command| {
        command.mut_args(|arg| match values(arg.get_long().unwrap_or_default()).as_slice() {
            [] => arg,
            values => arg.value_parser(PossibleValuesParser::new(values.iter().copied())),
        })
    })
}
