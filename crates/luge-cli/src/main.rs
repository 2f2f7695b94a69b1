//! The `luge` command: parse, then resolve, then run.
//!
//! * [`args`] turns the command line into plain data, and does nothing else.
//! * [`settings`] puts the environment and the configuration file in the place of
//!   what the command line does not say.
//! * [`resolve`] turns that into jobs: defaults filled in, prompts read,
//!   methods parsed.
//! * [`locate`] finds models by their names, and fetches them where they are not there.
//! * [`commands`] carries jobs out.

mod args;
mod commands;
mod failure;
mod interrupt;
mod locate;
mod output;
mod reference;
mod resolve;
mod settings;

use std::process::ExitCode;

use args::{Command, LogFormat};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match settings::parse(std::env::args_os()) {
        Ok((cli, notes)) => {
            if matches!(&cli.command, Command::Serve(args) if args.log_format == LogFormat::Json) {
                output::speak_json();
            }
            output::set_up(cli.global.color, cli.global.verbose, cli.global.quiet);
            for note in notes {
                output::say(format_args!("{note}"));
            }
            cli
        }
        Err(exit) => return exit,
    };
    luge::set_abort_hook(|message| {
        // "folder/file:line: what", the folder of the machine it was built on.
        let (place, what) = message.split_once(": ").unwrap_or(("", message));
        let place = place.rsplit('/').next().unwrap_or(place);
        output::complain(format_args!(
            "error: llama.cpp gave up, on a damaged model or a bug: {what} ({place})"
        ));
        std::process::exit(1);
    });
    let result = match cli.command {
        Command::Run(args) if resolve::chat::is_chat(&args) => {
            resolve::chat::run_as_chat().and_then(commands::chat::run)
        }
        Command::Run(args) => resolve::run(args).and_then(commands::run::run),
        Command::Chat(args) => resolve::chat::chat(*args).and_then(commands::chat::run),
        Command::Serve(args) => resolve::serve::serve(*args).and_then(commands::serve::run),
        Command::Score(args) => resolve::score(args).and_then(commands::score::run),
        Command::Compare(args) => resolve::compare(args).and_then(commands::compare::run),
        Command::Lens(args) => resolve::lens(args).and_then(commands::lens::run),
        Command::Bench(args) => resolve::bench(args).and_then(commands::bench::run),
        Command::Eval(args) => resolve::eval::eval(*args).and_then(commands::eval::run),
        Command::EvalMerge(args) => {
            resolve::eval::eval_merge(args).and_then(commands::eval::merge_parts)
        }
        Command::Tune(args) => resolve::tune::tune(*args).and_then(commands::tune::run),
        Command::Pull(args) => commands::pull::run(&args),
        Command::List(args) => commands::list::run(&args),
        Command::Show(args) => commands::show::run(&args),
        Command::Rm(args) => commands::rm::run(&args),
        Command::Config(args) => commands::config::run(args, cli.global),
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args),
    };
    match result {
        Ok(code) => code,
        // Whoever read our output has seen enough: nothing failed.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        // Who pressed Ctrl-C knows.
        Err(failure @ Failure::Interrupted) => failure.exit_code(),
        Err(failure) => {
            output::complain(format_args!("error: {failure}"));
            failure.exit_code()
        }
    }
}
