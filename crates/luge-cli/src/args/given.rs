//! What the command line itself gave, which is not all that has a value: settings
//! come from the environment and a file too.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// The arguments that were given on the command line, by their ids. It goes first in
/// a struct of arguments: the others take theirs away as they are read.
#[derive(Debug, Default)]
pub struct Given(Vec<String>);

impl Given {
    /// Whether the argument of this id was given.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|given| given == id)
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let ids = matches.ids().map(clap::Id::as_str);
        let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Ok(Given(ids.filter(given).map(str::to_owned).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Given::from_arg_matches(matches)?;
        Ok(())
    }
}
