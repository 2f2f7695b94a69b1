//! The settings of a chat that goes on: the command line that it began with, and what was
//! changed since.

use std::ffi::OsString;

use clap::{ArgMatches, Command, FromArgMatches};

use super::{is_setting, with_settings};
use crate::args::{self, ChatArgs, Cli};
use crate::failure::Failure;

/// Flags in front of a command that take a value.
const VALUED: [&str; 2] = ["--color", "--config"];

/// A setting that can be changed while a chat goes on.
pub struct ChatSetting {
    pub name: String,
    pub help: String,
    /// Its value; `None` where it has none of its own.
    pub value: Option<String>,
}

/// Parses the command line of a chat, or of `luge run` that became one, with settings
/// behind it that take the place of its own. Returns the arguments, and what can be set.
///
/// # Errors
/// Where a setting is not possible.
pub fn parse_chat(
    line: impl Iterator<Item = OsString>,
    changed: &[(String, String)],
) -> Result<(ChatArgs, Vec<ChatSetting>), Failure> {
    let mut line: Vec<OsString> = args::with_long_names(line).collect();
    // The first that is no value of a flag in front of it.
    let is_command = |at: &usize| {
        (line[*at] == "run" || line[*at] == "chat")
            && !VALUED.iter().any(|flag| line[at - 1] == *flag)
    };
    if let Some(at) = (1..line.len()).find(is_command) {
        line[at] = "chat".into();
    }
    let end = line.iter().position(|arg| arg == "--").unwrap_or(line.len());
    line.splice(end..end, changed.iter().map(|(name, value)| format!("--{name}={value}").into()));
    let command = args::with_negations(args::definition(), is_setting).args_override_self(true);
    let given = command.clone().try_get_matches_from(&line).map_err(|error| refused(&error))?;
    let (command, _) = with_settings(command, &given)?;
    let matches = command.clone().try_get_matches_from(&line);
    let mut matches = matches.map_err(|error| refused(&error))?;
    let chat = command.find_subcommand("chat").zip(matches.subcommand_matches("chat"));
    let settings = chat.map(|(command, matches)| settings(command, matches));
    match Cli::from_arg_matches_mut(&mut matches).map_err(|error| refused(&error))?.command {
        args::Command::Chat(args) => Ok((*args, settings.unwrap_or_default())),
        _ => Err(Failure::Usage("this is no chat".to_owned())),
    }
}

fn refused(error: &clap::Error) -> Failure {
    let line = args::one_line(&error.render().to_string());
    Failure::Usage(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
}

/// What can be set: how tokens are chosen.
fn settings(chat: &Command, matches: &ArgMatches) -> Vec<ChatSetting> {
    args::visible(chat)
        .filter(|arg| matches!(arg.get_help_heading(), Some("Method" | "Sampling")))
        .filter(|arg| arg.get_action().takes_values())
        .filter_map(|arg| {
            let values = matches.get_raw(arg.get_id().as_str()).map(|values| {
                let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                values.join(" ")
            });
            Some(ChatSetting {
                name: arg.get_long()?.to_owned(),
                help: arg
                    .get_long_help()
                    .or(arg.get_help())
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                value: values,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_named_like_a_command_is_none() {
        let line = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        let set = |value: &str| [("temp".to_owned(), value.to_owned())];
        let given = line("luge --no-config run --temp 1 -m x.gguf --");
        let (args, settings) = parse_chat(given.clone().into_iter(), &set("0.5")).unwrap();
        assert_eq!(args.settings.sampling.choice.temp, 0.5);
        let temp = settings.iter().find(|setting| setting.name == "temp").unwrap();
        assert_eq!(temp.value.as_deref(), Some("0.5"));
        assert!(parse_chat(given.into_iter(), &set("hot")).is_err());
        // It is looked for, and not there.
        let missing = parse_chat(line("luge --config run run").into_iter(), &[]).err().unwrap();
        assert!(missing.to_string().contains("'run'"), "{missing}");
    }
}
