//! The methods' parameters as flags, made from the registry: a new method's
//! parameters are flags without a line here.

use clap::builder::PossibleValue;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use luge::presets::TASKS;
use luge::{METHODS, ParamSpec, Params};

use super::Given;

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

/// Parameters given as flags or settings, for every stage that has them.
#[derive(Debug, Default)]
pub struct MethodParams {
    pub values: Params,
    /// Published settings in place of SLED's defaults.
    pub preset: Option<PresetArg>,
    /// Which of these are from the command line, and not mere settings.
    pub given: Given,
}

/// Which published settings to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetArg {
    /// Those of the first task that the model has some for.
    Auto,
    /// Those of this task.
    Task(&'static str),
}

/// The id and the name of the flag for published settings.
pub const PRESET: &str = "preset";

/// Whether the flag of this id is about methods: a parameter, or published ones. As a
/// setting it waits for a method that has it, as a flag it does not.
pub fn is_of_method(id: &str) -> bool {
    id == PRESET || specs().iter().any(|spec| spec.name == id)
}

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
        // In a settings file `preset = true` says enough.
        let any = [PossibleValue::new("auto").alias("true")];
        let none = [PossibleValue::new("none").alias("false")];
        let tasks = TASKS.map(|task| PossibleValue::new(task.name).help(task.about));
        let preset = Arg::new(PRESET)
            .long(PRESET)
            .value_name("TASK")
            .value_parser(clap::builder::PossibleValuesParser::new(
                any.into_iter().chain(tasks).chain(none),
            ))
            .help(
                "SLED's settings as published for this model and a task, in place of its \
                 defaults; auto takes the task most like continuing a text [default: none]",
            )
            .help_heading("Method");
        let command = command.arg(preset);
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
        self.given = Given::from_arg_matches(matches)?;
        for spec in specs() {
            if let Some(value) = matches.get_one::<String>(spec.name) {
                self.values.set(spec.name, value);
            }
        }
        if let Some(text) = matches.get_one::<String>(PRESET) {
            let task = TASKS.iter().find(|task| task.name == text);
            self.preset = match (task, text.as_str()) {
                (Some(task), _) => Some(PresetArg::Task(task.name)),
                (None, "auto" | "true") => Some(PresetArg::Auto),
                (None, _) => None,
            };
        }
        Ok(())
    }
}
