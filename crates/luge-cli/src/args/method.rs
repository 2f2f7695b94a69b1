//! The methods' parameters as flags, made from the registry: a new method's
//! parameters are flags without a line here.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use luge::{METHODS, ParamSpec, Params};

/// The method of commands that take one.
#[derive(Debug, Args)]
pub struct MethodArgs {
    /// Decoding method, or several in a row: sled, dola, ensemble, greedy,
    /// sled+dola, or with parameters 'sled(layers=0..16)+dola'
    #[arg(long, value_name = "METHOD", default_value = "sled", help_heading = "Method")]
    pub method: String,
    #[command(flatten)]
    pub params: MethodParams,
}

/// Parameters given as flags, for every stage that has them.
#[derive(Debug, Default)]
pub struct MethodParams(pub Params);

/// Every parameter of every method, each name once.
fn specs() -> Vec<&'static ParamSpec> {
    let mut specs: Vec<&ParamSpec> = Vec::new();
    for spec in METHODS.iter().flat_map(|method| method.params) {
        if !specs.iter().any(|known| known.name == spec.name) {
            specs.push(spec);
        }
    }
    specs
}

impl Args for MethodParams {
    fn augment_args(command: Command) -> Command {
        specs().into_iter().fold(command, |command, spec| {
            command.arg(
                Arg::new(spec.name)
                    .long(spec.name)
                    .value_name(spec.value)
                    .help(spec.help)
                    .help_heading("Method")
                    .allow_hyphen_values(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MethodParams {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut params = MethodParams::default();
        params.update_from_arg_matches(matches)?;
        Ok(params)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for spec in specs() {
            if let Some(value) = matches.get_one::<String>(spec.name) {
                self.0.set(spec.name, value);
            }
        }
        Ok(())
    }
}
