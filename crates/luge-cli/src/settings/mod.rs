//! What stands where the command line says nothing: flags from the environment and
//! from a configuration file.
//!
//! The command line is parsed twice. Once as it is, which tells the command, the model
//! and the file, and refuses what is wrong there. Then with every setting that is in
//! force in the place of its flag's default, so that clap stays the one parser, and
//! what is given wins.
//!
//! * [`file`] reads the configuration file.
//! * [`force`] finds what is in force, and where it comes from.

mod chat;
pub mod file;
mod force;
mod glob;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::args::{self, Cli};
use crate::failure::Failure;
use crate::output;
pub use chat::{ChatSetting, parse_chat};
use file::ConfigFile;
pub use force::{Force, Line, Origin, Setting};

/// Names the configuration file.
pub const CONFIG_VARIABLE: &str = "LUGE_CONFIG";

/// The model that is built in, whose name no alias can have.
const ATLAS: &str = "atlas";

/// Variables that are no flags.
const OTHER_VARIABLES: [&str; 3] = [CONFIG_VARIABLE, output::LOG_VARIABLE, "LUGE_EXIT_KERNEL"];

/// Flags about one call, which no setting stands for.
const ONE_CALL: [&str; 23] = [
    "config",
    "no-config",
    "prompt",
    "file",
    "prompt-ids",
    "continuation-ids",
    "prompts",
    "interactive",
    "position",
    "pin",
    "pin-ids",
    "html",
    "svg",
    "chat-template-file",
    "yes",
    "template",
    "metadata",
    "list",
    "dry-run",
    "data",
    "primer",
    "out",
    "shard",
];

/// Commands about `luge` itself, whose flags are no settings.
const TOOLS: [&str; 4] = ["config", "completions", "man", "eval-merge"];

static LINE: OnceLock<Line> = OnceLock::new();

/// What the environment and the configuration file have put in force for the command, for
/// a call that has neither; none where it has no settings.
pub fn as_line() -> Option<&'static Line> {
    LINE.get()
}

static ALIASES: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Names that the configuration file gives to models: from the name to the model.
pub fn aliases() -> &'static BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    ALIASES.get().unwrap_or(&NONE)
}

/// Whether an argument may be set in the environment and in a file: a flag with a name,
/// about more than one call.
pub fn is_setting(arg: &Arg) -> bool {
    let is_kept = |name: &str| !ONE_CALL.contains(&name);
    let action = arg.get_action();
    !arg.is_hide_set()
        && arg.get_long().is_some_and(is_kept)
        && matches!(
            action,
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::Count
        )
}

/// Whether a command's flags may be set.
pub fn has_settings(command: &Command) -> bool {
    !TOOLS.contains(&command.get_name())
}

/// The variable that stands for a flag.
pub fn variable(name: &str) -> String {
    format!("LUGE_{}", name.to_uppercase().replace('-', "_"))
}

/// Parses the command line, with settings where it says nothing; also returns what is to
/// be remarked on, a line each. What is not to be run, such as `--help` or a mistake, has
/// been printed, and the exit code is returned.
pub fn parse(line: impl Iterator<Item = OsString>) -> Result<(Cli, Vec<String>), ExitCode> {
    let line: Vec<_> = args::with_long_names(line).collect();
    let command = args::with_negations(args::definition(), is_setting);
    let given = command.clone().try_get_matches_from(&line);
    let given = given.map_err(|error| args::report(&error))?;
    let (command, notes) = with_settings(command, &given).map_err(|failure| {
        output::complain(format_args!("error: {failure}"));
        failure.exit_code()
    })?;
    let cli = command
        .try_get_matches_from(&line)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    cli.map(|cli| (cli, notes)).map_err(|error| args::report(&error))
}

/// The command line with settings for defaults, and what is to be remarked on.
fn with_settings(command: Command, given: &ArgMatches) -> Result<(Command, Vec<String>), Failure> {
    let given = given.subcommand().filter(|(name, _)| !TOOLS.contains(name));
    let Some((name, given)) = given else { return Ok((command, Vec::new())) };
    let file = read(&command, given)?;
    let force = Force::new(&command, name, given, file.as_ref())?;
    file.map(keep_aliases);
    // Once: there is one command a process.
    let _ = LINE.set(force.line(&command));
    Ok((force.applied(command), force.notes))
}

/// What is in force for a command line behind the program's name, of which what is
/// required may be missing, with the file that it comes from.
pub fn of(line: Vec<OsString>) -> Result<(Force, Option<PathBuf>), Failure> {
    let command = args::with_negations(args::definition(), is_setting);
    let line = [OsString::from("luge")].into_iter().chain(line);
    let optional = command.clone().mut_subcommands(|command| {
        command.mut_args(|arg| {
            let none = || Resettable::<clap::Id>::Reset;
            arg.required(false).requires(none()).required_unless_present(none())
        })
    });
    let matches = optional.try_get_matches_from(args::with_long_names(line));
    let matches = matches.map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Failure::Usage(
                "--help and --version use no settings: leave them out".to_owned(),
            );
        }
        let report = args::one_line(&error.render().to_string());
        Failure::Usage(report.trim_start_matches("error: ").to_owned())
    })?;
    let Some((name, given)) = matches.subcommand() else {
        return Err(Failure::Usage("name a command, as in luge config run".to_owned()));
    };
    if TOOLS.contains(&name) {
        return Err(Failure::Usage(format!("the command {name} has no settings")));
    }
    let file = read(&command, given)?;
    let force = Force::new(&command, name, given, file.as_ref())?;
    Ok((force, file.map(keep_aliases)))
}

/// Keeps the names that a file gives to models; returns where it is.
fn keep_aliases(file: ConfigFile) -> PathBuf {
    // Once: there is one command a process.
    let _ = ALIASES.set(file.aliases);
    file.path
}

/// The configuration file, if there is one.
fn read(command: &Command, given: &ArgMatches) -> Result<Option<ConfigFile>, Failure> {
    if given.get_flag("no_config") {
        return Ok(None);
    }
    let place = Place::of(given.get_one::<PathBuf>("config").cloned());
    let Some(place) = place else { return Ok(None) };
    ConfigFile::read(place.path, place.is_named, &file::Names::of(command))
}

/// Where the configuration file is.
pub struct Place {
    pub path: PathBuf,
    /// Whether someone said so: then it has to be there.
    pub is_named: bool,
}

impl Place {
    /// The file of `--config`, or of `LUGE_CONFIG`, or the user's own: `luge/config.toml`
    /// in `XDG_CONFIG_HOME`, in `~/.config`, or on Windows in `AppData/Roaming`. None
    /// where there is no home.
    pub fn of(config: Option<PathBuf>) -> Option<Self> {
        let variable = || std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty());
        if let Some(path) = config.or_else(|| variable().map(PathBuf::from)) {
            return Some(Place { path, is_named: true });
        }
        let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let folder = folder.filter(|folder| folder.is_absolute()).or_else(|| {
            // Command-line tools have theirs in ~/.config on macOS too.
            if cfg!(windows) { dirs::config_dir() } else { Some(dirs::home_dir()?.join(".config")) }
        })?;
        Some(Place { path: folder.join("luge").join("config.toml"), is_named: false })
    }
}

/// The candidate nearest to a name, if it is near enough to be a slip of the hand.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_setting_is_a_flag_and_in_the_docs() {
        let command = args::definition();
        let flags: Vec<_> = [&command]
            .into_iter()
            .chain(command.get_subcommands())
            .flat_map(Command::get_arguments)
            .filter_map(Arg::get_long)
            .collect();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let docs = std::fs::read_to_string(file).unwrap();
        for name in ONE_CALL {
            assert!(flags.contains(&name), "{name}");
            assert!(docs.contains(&format!("`--{name}`")), "docs/configuration.md lacks {name}");
        }
        for name in TOOLS {
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_variable_has_the_name_of_its_flag() {
        assert_eq!(variable("ctx-size"), "LUGE_CTX_SIZE");
    }
}
