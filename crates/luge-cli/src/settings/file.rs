//! The configuration file: TOML, with the names of the flags for keys.
//!
//! A key at the top holds for every command that has the flag, one in a table named
//! after a command for that command. `[aliases]` gives names to models, and
//! `[models."PATTERN"]` holds what is in force with a model.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;

use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{ATLAS, ONE_CALL, has_settings, is_setting, nearest};
use crate::failure::Failure;

/// What a file says, with keys that are known to be settings; their values are not
/// looked into before they are in force.
#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// For all commands.
    pub top: Vec<Entry>,
    /// For one command each.
    pub commands: BTreeMap<String, Vec<Entry>>,
    /// For models whose name matches a pattern.
    pub models: Vec<(String, Vec<Entry>)>,
    pub aliases: BTreeMap<String, String>,
}

/// One setting.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub value: Value,
    /// Where it stands, from 1.
    pub line: usize,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Switch(bool),
    /// A text or a number.
    Text(String),
    List(Vec<String>),
}

/// What may be set.
pub struct Names {
    /// The settings of each command.
    commands: Vec<(String, Vec<String>)>,
    /// Other names of settings, with the one that they go by here.
    others: Vec<(String, String)>,
}

/// Tables that are not named after a command.
const ALIASES: &str = "aliases";
const MODELS: &str = "models";

impl Names {
    /// The settings of the commands of a command line.
    pub fn of(command: &Command) -> Self {
        let global: Vec<&Arg> = command.get_arguments().filter(|arg| is_setting(arg)).collect();
        let mut names = Names { commands: Vec::new(), others: Vec::new() };
        for command in command.get_subcommands().filter(|command| has_settings(command)) {
            let own = command.get_arguments().filter(|arg| is_setting(arg));
            let args: Vec<&Arg> = own.chain(global.iter().copied()).collect();
            let long = |arg: &&Arg| arg.get_long().map(str::to_owned);
            names
                .commands
                .push((command.get_name().to_owned(), args.iter().filter_map(long).collect()));
            for arg in args {
                let name = arg.get_long().unwrap_or_default();
                for other in arg.get_all_aliases().unwrap_or_default() {
                    names.others.push((other.to_owned(), name.to_owned()));
                }
            }
        }
        names
    }

    /// All settings, those of several commands several times.
    fn all(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().flat_map(|(_, names)| names).map(String::as_str)
    }

    /// What is wrong with a key at the top, in the table of a command, or in that of a
    /// model.
    fn check(&self, key: &str, command: Option<&str>, of_model: bool) -> Result<(), String> {
        if of_model && key == "model" {
            return Err("a model's settings cannot choose the model".to_owned());
        }
        let of_command = |name: &str| self.commands.iter().find(|(command, _)| command == name);
        let known = match command.and_then(of_command) {
            Some((_, names)) => names.iter().any(|name| name == key),
            None => self.all().any(|name| name == key),
        };
        if known {
            return Ok(());
        }
        if of_command(key).is_some() {
            return Err(format!("'{key}' is a command: its settings stand in a table, [{key}]"));
        }
        if ONE_CALL.contains(&key) {
            return Err(format!("'{key}' is about one call: give --{key} on the command line"));
        }
        if let Some((_, name)) = self.others.iter().find(|(other, _)| other == key) {
            return Err(format!("'{key}' is called '{name}' here"));
        }
        if let (Some(command), true) = (command, self.all().any(|name| name == key)) {
            let has = |(_, names): &&(String, Vec<String>)| names.iter().any(|name| name == key);
            let owners: Vec<_> =
                self.commands.iter().filter(has).map(|(name, _)| name.as_str()).collect();
            return Err(format!("{command} has no '{key}', which is of {}", owners.join(", ")));
        }
        Err(match nearest(key, self.all()) {
            Some(name) => format!("there is no setting '{key}'; did you mean '{name}'?"),
            None => {
                format!("there is no setting '{key}'; they have the flags' names, see luge config")
            }
        })
    }
}

impl ConfigFile {
    /// Reads a file; `None` where there is none and none was named.
    ///
    /// # Errors
    /// Where it cannot be read, is no TOML, or sets what is no setting.
    pub fn read(path: PathBuf, is_named: bool, names: &Names) -> Result<Option<Self>, Failure> {
        match fs::read_to_string(&path) {
            Ok(text) => ConfigFile::parse(path, &text, names).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => Ok(None),
            Err(error) => Err(Failure::Run(format!(
                "cannot read the settings in '{}': {error}; --no-config goes without",
                path.display()
            ))),
        }
    }

    fn parse(path: PathBuf, text: &str, names: &Names) -> Result<Self, Failure> {
        let line = |span: Range<usize>| {
            let before = text.as_bytes().iter().take(span.start);
            1 + before.filter(|&&byte| byte == b'\n').count()
        };
        let place = path.display().to_string();
        let wrong = |span: Range<usize>, what: String| {
            Failure::Usage(format!("{place}:{}: {what}", line(span)))
        };
        let table = DeTable::parse(text).map_err(|error| {
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            wrong(error.span().unwrap_or_default(), format!("this is no TOML: {what}"))
        })?;
        let entry = |key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>| {
            let value = Value::new(value.get_ref()).ok_or_else(|| {
                wrong(
                    key.span(),
                    format!(
                        "'{}' takes a text, a number, true or false, or a list of \
                                           them",
                        key.get_ref()
                    ),
                )
            })?;
            let key_line = line(key.span());
            Ok::<_, Failure>(Entry { key: key.get_ref().to_string(), value, line: key_line })
        };
        let entries = |table: &DeTable<'_>, command: Option<&str>| {
            let mut entries = Vec::new();
            for (key, value) in table {
                names
                    .check(key.get_ref(), command, command.is_none())
                    .map_err(|what| wrong(key.span(), what))?;
                entries.push(entry(key, value)?);
            }
            Ok::<_, Failure>(entries)
        };

        let mut file = ConfigFile {
            path: path.clone(),
            top: Vec::new(),
            commands: BTreeMap::new(),
            models: Vec::new(),
            aliases: BTreeMap::new(),
        };
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(aliases) if name == ALIASES => {
                    for (alias, model) in aliases {
                        let model = model.get_ref().as_str().ok_or_else(|| {
                            wrong(
                                alias.span(),
                                format!("the alias '{}' takes a model's name", alias.get_ref()),
                            )
                        })?;
                        if alias.get_ref() == ATLAS {
                            let what = "'atlas' is the model that is built in, and no alias";
                            return Err(wrong(alias.span(), what.to_owned()));
                        }
                        file.aliases.insert(alias.get_ref().to_string(), model.to_owned());
                    }
                }
                DeValue::Table(models) if name == MODELS => {
                    for (pattern, table) in models {
                        let table = table.get_ref().as_table().ok_or_else(|| {
                            let what =
                                "here stand tables named after models, as in [models.\"llama-2*\"]";
                            wrong(pattern.span(), what.to_owned())
                        })?;
                        file.models.push((pattern.get_ref().to_string(), entries(table, None)?));
                    }
                }
                DeValue::Table(table) => {
                    let commands = || names.commands.iter().map(|(name, _)| name.as_str());
                    if names.all().any(|setting| setting == name) {
                        return Err(wrong(key.span(), format!("'{name}' takes a value, no table")));
                    }
                    if !commands().any(|command| command == name) {
                        let tables = commands().chain([ALIASES, MODELS]);
                        let hint = match nearest(name, tables.clone()) {
                            Some(name) => format!("did you mean [{name}]?"),
                            None => format!("there are {}", tables.collect::<Vec<_>>().join(", ")),
                        };
                        let what = format!("there is no command for the table [{name}]; {hint}");
                        return Err(wrong(key.span(), what));
                    }
                    file.commands.insert(name.to_owned(), entries(table, Some(name))?);
                }
                _ if name == ALIASES || name == MODELS => {
                    return Err(wrong(key.span(), format!("'{name}' takes a table, [{name}]")));
                }
                _ => {
                    names.check(name, None, false).map_err(|what| wrong(key.span(), what))?;
                    file.top.push(entry(key, value)?);
                }
            }
        }
        // The most exact first, and of equals the one that stands first.
        file.models.sort_by_key(|(pattern, _)| std::cmp::Reverse(super::glob::exactness(pattern)));
        Ok(file)
    }
}

impl Value {
    fn new(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::Boolean(switch) => Some(Value::Switch(*switch)),
            DeValue::Array(list) => {
                list.iter().map(|item| text(item.get_ref())).collect::<Option<_>>().map(Value::List)
            }
            other => text(other).map(Value::Text),
        }
    }
}

/// A text or a number as a flag takes it.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}
