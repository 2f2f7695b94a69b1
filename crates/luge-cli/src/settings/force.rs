//! Which settings are in force for a command line, and where each comes from.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use luge::presets::{PARAMS, Preset, TASKS, choose};
use luge::{DecodingError, METHODS, Params, Pipeline};
use luge_hub::Name;

use super::file::{ConfigFile, Entry, Value};
use super::{ATLAS, ONE_CALL, OTHER_VARIABLES, glob, has_settings, is_setting, variable};
use crate::args::{PRESET, default_of, is_of_method};
use crate::failure::Failure;

/// Where a value comes from. The first wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag,
    /// A variable of this name.
    Variable(String),
    /// A line of the file, in the table of a model.
    Model {
        line: usize,
        pattern: String,
    },
    /// In that of the command.
    Command {
        line: usize,
    },
    /// Above all tables.
    Top {
        line: usize,
    },
    /// Published for the model, as `preset` asks for.
    Preset,
    Default,
}

impl Origin {
    /// Its place in the order: of two, the lower one wins.
    fn rank(&self) -> Rank {
        let place = match self {
            Origin::Flag => 0,
            Origin::Variable(_) => 1,
            Origin::Model { .. } => 2,
            Origin::Command { .. } => 3,
            Origin::Top { .. } => 4,
            Origin::Preset => 5,
            Origin::Default => 6,
        };
        let exactness = match self {
            Origin::Model { pattern, .. } => glob::exactness(pattern),
            _ => Default::default(),
        };
        (place, Reverse(exactness))
    }
}

/// A place in the order, and of models' tables how exact they are.
type Rank = (usize, Reverse<(bool, usize)>);

/// A flag and what is in force for it.
#[derive(Debug, Clone)]
pub struct Setting {
    id: String,
    /// The flag's name.
    pub name: String,
    /// None for several that can be given, one for most flags.
    pub values: Vec<String>,
    pub origin: Origin,
    /// Whether it is a switch, or a count, that is off.
    is_off: bool,
}

/// Settings as one would write them for a call: flags, and what must not be one. A
/// parameter that is a flag is refused where no method has it, and `luge tune` lets it be;
/// one that is a variable waits, as a setting does.
#[derive(Debug, Default)]
pub struct Line {
    /// By name, with their values.
    pub variables: Vec<(String, String)>,
    pub flags: Vec<String>,
}

/// All settings of a command.
pub struct Force {
    pub command: String,
    /// In the order of the flags.
    pub settings: Vec<Setting>,
    /// What in the environment is there to no effect, a line each.
    pub notes: Vec<String>,
}

impl Force {
    /// What is in force for `name`, a command of `command`, with what was given to it.
    ///
    /// # Errors
    /// Where a value that is in force is none that the flag takes.
    pub fn new(
        command: &Command,
        name: &str,
        given: &ArgMatches,
        file: Option<&ConfigFile>,
    ) -> Result<Self, Failure> {
        let args = args(command, name);
        let models = model_names(&args, name, given, file)?;
        let mut settings = Vec::new();
        for arg in &args {
            settings.push(setting(arg, name, given, file, &models)?);
        }
        let mut force = Force { command: name.to_owned(), settings, notes: unknown(command) };
        force.drop_conflicting(command, given, file)?;
        force.drop_below_preset();
        force.fill_defaults(&args);
        for setting in &force.settings {
            force.check(command, setting, file)?;
        }
        Ok(force)
    }

    /// The command line with what is in force for defaults.
    pub fn applied(&self, command: Command) -> Command {
        let set = self
            .settings
            .iter()
            .filter(|setting| !matches!(setting.origin, Origin::Flag | Origin::Default));
        set.fold(command, |command, setting| {
            let values = setting.values.clone();
            let is_global = command.get_arguments().any(|arg| *arg.get_id() == *setting.id);
            let with =
                |command: Command| command.mut_arg(&setting.id, |arg| arg.default_values(values));
            if is_global { with(command) } else { command.mut_subcommand(&self.command, with) }
        })
    }

    /// What the environment and the file have put in force, for another call to have it.
    pub fn line(&self, command: &Command) -> Line {
        let mut line = Line::default();
        // The settings are in the order of the flags.
        for (setting, arg) in self.settings.iter().zip(args(command, &self.command)) {
            let is_given = matches!(setting.origin, Origin::Flag | Origin::Default);
            match arg.get_action() {
                _ if is_given || setting.is_off => {}
                ArgAction::SetTrue | ArgAction::Count => {
                    line.flags.push(format!("--{}", setting.name));
                }
                _ => {
                    let name = &setting.name;
                    let values = setting.values.iter();
                    match is_of_method(&setting.id) {
                        true => line
                            .variables
                            .extend(values.map(|value| (variable(name), value.clone()))),
                        false => line.flags.extend(values.map(|value| format!("--{name}={value}"))),
                    }
                }
            }
        }
        line
    }

    /// The values in force for a flag; none where the command does not have it.
    pub fn values(&self, name: &str) -> &[String] {
        let setting = self.settings.iter().find(|setting| setting.name == name);
        setting.map_or(&[], |setting| setting.values.as_slice())
    }

    /// Puts what was published for the model in the place of defaults, where that is in
    /// force: the rows for it are these.
    pub fn publish(&mut self, rows: &[&'static Preset]) {
        let Some(preset) = self.settings.iter().find(|setting| setting.name == PRESET) else {
            return;
        };
        if !preset.is_preset() {
            return;
        }
        let task = preset
            .values
            .iter()
            .map(String::as_str)
            .find(|task| TASKS.iter().any(|known| known.name == *task));
        let Some(row) = choose(rows, task) else { return };
        let params = row.params();
        for setting in self.settings.iter_mut().filter(|set| set.origin == Origin::Default) {
            if let Some(value) = params.get(&setting.name) {
                setting.values = vec![value.to_owned()];
                setting.origin = Origin::Preset;
            }
        }
    }

    /// Leaves out what does not go together with what wins over it.
    ///
    /// # Errors
    /// Where neither of two wins.
    fn drop_conflicting(
        &mut self,
        command: &Command,
        given: &ArgMatches,
        file: Option<&ConfigFile>,
    ) -> Result<(), Failure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for holder in command.find_subcommand(&self.command).into_iter().chain([command]) {
            for arg in holder.get_arguments() {
                for other in holder.get_arg_conflicts_with(arg) {
                    let (one, other) = (arg.get_id().to_string(), other.get_id().to_string());
                    pairs.push((one.clone(), other.clone()));
                    pairs.push((other, one));
                }
            }
        }
        let ranks: BTreeMap<String, Rank> = self
            .settings
            .iter()
            // What is off stands in no one's way.
            .filter(|setting| !setting.is_off)
            .map(|setting| (setting.id.clone(), setting.origin.rank()))
            .collect();
        // Not all that conflicts is a setting.
        let rank = |id: &str| match ranks.get(id) {
            Some(&rank) => Some(rank),
            None => (!self.has(id) && is_given(given, id)).then(|| Origin::Flag.rank()),
        };
        let best: Vec<_> = self
            .settings
            .iter()
            .map(|setting| {
                let rivals = pairs.iter().filter(|(one, _)| *one == setting.id);
                rivals.filter_map(|(_, other)| rank(other)).min()
            })
            .collect();
        for (setting, best) in self.settings.iter_mut().zip(best) {
            if best.is_some_and(|best| best < setting.origin.rank()) {
                setting.reset();
            }
        }
        let in_force = |id: &str| {
            let setting = self.settings.iter().find(|setting| setting.id == id);
            setting.filter(|setting| {
                !setting.is_off && !matches!(setting.origin, Origin::Flag | Origin::Default)
            })
        };
        for (one, other) in &pairs {
            if let (Some(one), Some(other)) = (in_force(one), in_force(other)) {
                let place = one.origin.place(file.map(|file| file.path.as_path()));
                let (one, other) = (&one.name, &other.name);
                return Err(Failure::Usage(format!(
                    "{place}: {one} does not go together with {other}, which is set too: leave \
                     one of them out"
                )));
            }
        }
        Ok(())
    }

    fn has(&self, id: &str) -> bool {
        self.settings.iter().any(|setting| setting.id == id)
    }

    /// Published settings go before what ranks behind the place that asks for them.
    fn drop_below_preset(&mut self) {
        let preset = self.settings.iter().find(|setting| setting.name == PRESET);
        let Some(preset) = preset.filter(|preset| preset.is_preset()) else { return };
        let rank = preset.origin.rank();
        for setting in &mut self.settings {
            if PARAMS.contains(&setting.name.as_str()) && setting.origin.rank() > rank {
                setting.reset();
            }
        }
    }

    fn fill_defaults(&mut self, args: &[&Arg]) {
        for (setting, arg) in self.settings.iter_mut().zip(args) {
            if setting.origin == Origin::Default {
                setting.values = default_of(arg).into_iter().collect();
            }
        }
    }

    /// Whether the flag takes a value from elsewhere.
    fn check(
        &self,
        command: &Command,
        setting: &Setting,
        file: Option<&ConfigFile>,
    ) -> Result<(), Failure> {
        if matches!(setting.origin, Origin::Flag | Origin::Default) {
            return Ok(());
        }
        for value in &setting.values {
            if let Some(reason) = refusal(command, &self.command, &setting.name, value) {
                let place = setting.origin.place(file.map(|file| file.path.as_path()));
                let name = &setting.name;
                let value = value.replace(char::is_control, " ");
                let hint = match self.other_command(command, setting, &value) {
                    Some(other) => format!("; for {other} alone, put it into [{other}]"),
                    None => String::new(),
                };
                let message = format!("{place}: {name} = '{value}': {reason}{hint}");
                return Err(Failure::Usage(message));
            }
        }
        Ok(())
    }
}

impl Force {
    /// Another command that takes the value, where it is said for all.
    fn other_command<'a>(
        &self,
        command: &'a Command,
        setting: &Setting,
        value: &str,
    ) -> Option<&'a str> {
        let is_for_all = matches!(setting.origin, Origin::Top { .. });
        let takes = |name: &str| {
            let args = args(command, name);
            args.iter().any(|arg| arg.get_long() == Some(&setting.name))
                && refusal(command, name, &setting.name, value).is_none()
        };
        let commands = command.get_subcommands().filter(|command| has_settings(command));
        commands.map(Command::get_name).find(|name| is_for_all && takes(name))
    }
}

impl Setting {
    /// As if nothing had set it.
    fn reset(&mut self) {
        self.values.clear();
        self.origin = Origin::Default;
    }

    fn is_preset(&self) -> bool {
        self.values.iter().any(|value| value != "none" && value != "false")
    }
}

impl Origin {
    /// The place as a message begins with it.
    fn place(&self, file: Option<&Path>) -> String {
        let in_file = |line: usize| {
            file.map_or_else(String::new, |file| format!("{}:{line}", file.display()))
        };
        match self {
            Origin::Flag => "the command line".to_owned(),
            Origin::Variable(name) => name.clone(),
            Origin::Model { line, .. } | Origin::Command { line } | Origin::Top { line } => {
                in_file(*line)
            }
            Origin::Preset => "the published settings".to_owned(),
            Origin::Default => "the default".to_owned(),
        }
    }
}

/// The arguments of a command that may be set, with those of all commands.
fn args<'a>(command: &'a Command, name: &str) -> Vec<&'a Arg> {
    let own = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
    own.chain(command.get_arguments()).filter(|arg| is_setting(arg)).collect()
}

fn is_given(given: &ArgMatches, id: &str) -> bool {
    // Asked for an argument that it does not know, clap would panic.
    given.ids().any(|known| known == id) && given.value_source(id) == Some(ValueSource::CommandLine)
}

/// The model that is asked for, by the names that a pattern may stand for: as it is
/// named, what an alias stands for, and the name of the file, or the repository.
fn model_names(
    args: &[&Arg],
    command: &str,
    given: &ArgMatches,
    file: Option<&ConfigFile>,
) -> Result<Vec<String>, Failure> {
    let Some(arg) = args.iter().find(|arg| arg.get_long() == Some("model")) else {
        return Ok(Vec::new());
    };
    let model = setting(arg, command, given, file, &[])?.values.into_iter().next();
    let model = model.unwrap_or_else(|| ATLAS.to_owned());
    let mut names = Vec::new();
    let mut next = Some(model);
    // A file goes before an alias, and a circle of aliases is remarked on where it matters.
    while let Some(name) = next.filter(|name| !names.contains(name)) {
        let is_file = Path::new(&name).is_file();
        next = file.filter(|_| !is_file).and_then(|file| file.aliases.get(&name)).cloned();
        names.push(name);
    }
    for name in names.clone() {
        names.extend(Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned()));
        match Name::parse(Path::new(&name), &BTreeMap::new()) {
            Ok(Name::Hub(name)) => names.push(name.repo),
            Ok(Name::Ollama(name)) => {
                names.extend([format!("{}:{}", name.model, name.tag), name.model]);
            }
            _ => {}
        }
    }
    Ok(names)
}

/// What is in force for one argument. The values of a default are left out.
fn setting(
    arg: &Arg,
    command: &str,
    given: &ArgMatches,
    file: Option<&ConfigFile>,
    models: &[String],
) -> Result<Setting, Failure> {
    let id = arg.get_id().as_str();
    let name = arg.get_long().unwrap_or_default();
    let setting = |values: Vec<String>, origin: Origin| Setting {
        id: id.to_owned(),
        name: name.to_owned(),
        is_off: match arg.get_action() {
            ArgAction::SetTrue => values == ["false"],
            ArgAction::Count => values == ["0"],
            _ => false,
        },
        values,
        origin,
    };
    if is_given(given, id) {
        let raw = given.get_raw(id).into_iter().flatten();
        let values = match arg.get_action() {
            ArgAction::SetTrue => vec!["true".to_owned()],
            ArgAction::Count => vec![given.get_count(id).to_string()],
            _ => raw.map(|value| value.to_string_lossy().into_owned()).collect(),
        };
        return Ok(setting(values, Origin::Flag));
    }
    if is_given(given, &format!("!{id}")) {
        return Ok(setting(vec!["false".to_owned()], Origin::Flag));
    }
    let variable = variable(name);
    if let Some(text) = std::env::var_os(&variable).filter(|text| !text.is_empty()) {
        let text = text
            .into_string()
            .map_err(|_| Failure::Usage(format!("{variable}: its value is not UTF-8")))?;
        let values = from_variable(arg, &text)
            .map_err(|what| Failure::Usage(format!("{variable}: {name} = '{text}': {what}")))?;
        return Ok(setting(values, Origin::Variable(variable)));
    }
    let Some(file) = file else { return Ok(setting(Vec::new(), Origin::Default)) };
    let find = |entries: &[Entry]| entries.iter().find(|entry| entry.key == name).cloned();
    let of_model = file.models.iter().find_map(|(pattern, entries)| {
        let is_meant = models.iter().any(|model| glob::matches(pattern, model));
        let entry = find(entries).filter(|_| is_meant)?;
        let origin = Origin::Model { line: entry.line, pattern: pattern.clone() };
        Some((entry, origin))
    });
    let of_command = || {
        let entry = find(file.commands.get(command)?)?;
        let origin = Origin::Command { line: entry.line };
        Some((entry, origin))
    };
    let of_all = || {
        let entry = find(&file.top)?;
        let origin = Origin::Top { line: entry.line };
        Some((entry, origin))
    };
    match of_model.or_else(of_command).or_else(of_all) {
        None => Ok(setting(Vec::new(), Origin::Default)),
        Some((entry, origin)) => {
            let values = from_file(arg, &entry.value).map_err(|what| {
                let place = origin.place(Some(&file.path));
                Failure::Usage(format!("{place}: {name}: {what}"))
            })?;
            Ok(setting(values, origin))
        }
    }
}

/// A variable's text as the values of a flag: one a line where it can be repeated.
fn from_variable(arg: &Arg, text: &str) -> Result<Vec<String>, String> {
    match arg.get_action() {
        ArgAction::SetTrue => switch(text)
            .map(|switch| vec![switch.to_string()])
            .ok_or_else(|| "it takes true or false".to_owned()),
        ArgAction::Count => count(text),
        ArgAction::Append => Ok(text.lines().map(str::to_owned).collect()),
        _ => Ok(vec![text.to_owned()]),
    }
}

/// A value of the file as those of a flag. A list for a flag that is given once is the
/// text with commas that the flag takes.
fn from_file(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Switch(switch)) => Ok(vec![switch.to_string()]),
        (ArgAction::SetTrue, _) => Err("it takes true or false".to_owned()),
        (ArgAction::Count, Value::Switch(switch)) => Ok(vec![u8::from(*switch).to_string()]),
        (ArgAction::Count, Value::Text(text)) => count(text),
        (ArgAction::Count, Value::List(_)) => Err("it takes a number".to_owned()),
        (_, Value::Switch(switch)) => Ok(vec![switch.to_string()]),
        (_, Value::Text(text)) => Ok(vec![text.clone()]),
        (ArgAction::Append, Value::List(list)) => Ok(list.clone()),
        (_, Value::List(list)) => Ok(vec![list.join(",")]),
    }
}

fn count(text: &str) -> Result<Vec<String>, String> {
    match (text.parse::<u8>(), switch(text)) {
        (Ok(count), _) => Ok(vec![count.to_string()]),
        (_, Some(switch)) => Ok(vec![u8::from(switch).to_string()]),
        _ => Err("it takes a small number".to_owned()),
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Why a flag does not take a value, by its own parser.
fn refusal(command: &Command, name: &str, flag: &str, value: &str) -> Option<String> {
    if let Some(reason) = method_refusal(flag, value) {
        return Some(reason);
    }
    let owner = command.find_subcommand(name).into_iter().chain([command]);
    let mut args = owner.flat_map(Command::get_arguments);
    let arg = args.find(|arg| arg.get_long() == Some(flag))?;
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count) {
        return None;
    }
    let line = ["luge".to_owned(), name.to_owned(), format!("--{flag}={value}")];
    // What else is missing from such a line is of no interest.
    let error = command.clone().try_get_matches_from(line).err()?;
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(values))) => {
            Some(format!("it takes {}", values.join(", ")))
        }
        (ErrorKind::InvalidValue, _) => Some("it takes a value".to_owned()),
        (ErrorKind::ValueValidation, _) => Some(
            error.source().map_or_else(|| "it is no such value".to_owned(), ToString::to_string),
        ),
        _ => None,
    }
}

/// Why a method or a parameter of one is none: their flags take any text, and what it
/// says is looked into with the model's help later.
fn method_refusal(flag: &str, value: &str) -> Option<String> {
    let error = if let Some(method) = METHODS.iter().find(|method| method.has_param(flag)) {
        let mut params = Params::default();
        params.set(flag, value);
        Pipeline::parse(method.name, &params).err()
    } else if flag == "method" {
        value.parse::<Pipeline>().err()
    } else if flag == "methods" {
        let list = Pipeline::split_list(value);
        list.and_then(|list| {
            list.into_iter().try_for_each(|text| text.parse::<Pipeline>().map(drop))
        })
        .err()
    } else {
        None
    };
    error.map(|error| match error {
        DecodingError::BadValue { expected, .. } => format!("it takes {expected}"),
        other => other.to_string(),
    })
}

/// What in the environment is named like a setting or a flag, and is no setting.
fn unknown(command: &Command) -> Vec<String> {
    let global = command.get_arguments();
    let own =
        command.get_subcommands().filter(|c| has_settings(c)).flat_map(Command::get_arguments);
    let names: Vec<String> = global
        .chain(own)
        .filter(|arg| is_setting(arg))
        .filter_map(Arg::get_long)
        .map(variable)
        .collect();
    let known: Vec<&str> = names.iter().map(String::as_str).chain(OTHER_VARIABLES).collect();
    let mut notes = Vec::new();
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("LUGE_")) else { continue };
        if known.contains(&name) {
            continue;
        }
        if let Some(flag) = ONE_CALL.iter().find(|flag| variable(flag) == name) {
            notes.push(format!("{name} does nothing: give --{flag} on the command line"));
            continue;
        }
        // What is near nothing may be another program's: one slip of the hand, or two.
        let near = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
        if let Some((_, near)) = near.filter(|(slips, _)| *slips <= 2).min() {
            notes.push(format!("{name} is no setting; did you mean {near}?"));
        }
    }
    notes.sort();
    notes
}
