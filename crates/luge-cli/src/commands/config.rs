//! `luge config`: the settings in force, and where each comes from.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ColorChoice;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::args::{ConfigArgs, Format, GlobalArgs};
use crate::failure::Failure;
use crate::locate;
use crate::output::{self, ASIDE, HEADING, print_json};
use crate::settings::{self, Force, Origin, Place, Setting};

/// What `--init` writes.
pub const STARTER: &str = include_str!("../settings/starter.toml");

#[derive(Serialize)]
struct ConfigObject<'a> {
    command: &'a str,
    file: Option<String>,
    settings: Vec<SettingObject<'a>>,
}

#[derive(Serialize)]
struct SettingObject<'a> {
    name: &'a str,
    /// Null where there is none, a list where there are several.
    value: ValueObject<'a>,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueObject<'a> {
    One(Option<&'a str>),
    Several(&'a [String]),
}

/// `global` stands in front of the command whose settings are shown.
pub fn run(args: ConfigArgs, global: GlobalArgs) -> Result<ExitCode, Failure> {
    if args.path || args.init {
        let place = Place::of(global.config).ok_or_else(|| {
            Failure::Run(
                "there is no home for a configuration file: name one with --config".to_owned(),
            )
        })?;
        if args.init {
            init(&place.path)?;
        } else {
            print(&format!("{}\n", place.path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (mut force, file) = settings::of(line(args.line, global))?;
    // A model that cannot be read says so where it is needed.
    let file_of = |model: &String| locate::on_this_machine(Path::new(model));
    let model = force.values("model").first().and_then(file_of);
    let rows = model.and_then(|model| luge::presets::for_file(&model).ok());
    force.publish(&rows.unwrap_or_default());
    // Keys are not for the screen.
    let keys = force.settings.iter_mut().filter(|setting| setting.name == "api-key");
    keys.flat_map(|setting| &mut setting.values).for_each(|key| "(hidden)".clone_into(key));
    // Behind the command it is the command's own, and means the same.
    let is_json = |setting: &Setting| setting.origin == Origin::Flag && setting.values == ["json"];
    let inner = force.settings.iter().any(|setting| setting.name == "format" && is_json(setting));
    let file = file.map(|file| file.display().to_string());
    if inner || args.format == Format::Json {
        let settings = force.settings.iter().map(|setting| object(&force.command, setting));
        print_json(&ConfigObject { command: &force.command, file, settings: settings.collect() })?;
    } else {
        print(&table(&force, file.as_deref()))?;
        for note in &force.notes {
            output::say(format_args!("{note}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line that the settings are those of.
fn line(given: Vec<OsString>, global: GlobalArgs) -> Vec<OsString> {
    let mut line = Vec::new();
    if let Some(config) = global.config {
        line.extend(["--config".into(), config.into_os_string()]);
    }
    if global.no_config {
        line.push("--no-config".into());
    }
    if global.quiet {
        line.push("--quiet".into());
    }
    line.extend((0..global.verbose).map(|_| "--verbose".into()));
    if global.color != ColorChoice::Auto {
        line.push(format!("--color={}", global.color).into());
    }
    if given.first().is_none_or(|first| first.as_encoded_bytes().starts_with(b"-")) {
        line.push("run".into());
    }
    line.extend(given);
    line
}

/// Writes a file to begin with, if there is none.
fn init(path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::Usage(format!("'{}' is there already, and stays as it is", path.display()))
        }
        _ => Failure::Run(format!("cannot write '{}': {error}", path.display())),
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(STARTER.as_bytes()).map_err(failed)?;
    output::say(format_args!("'{}' is there now; all of it is commented out", path.display()));
    Ok(())
}

fn object<'a>(command: &str, setting: &'a Setting) -> SettingObject<'a> {
    let value = match setting.values.as_slice() {
        [] => ValueObject::One(None),
        [value] => ValueObject::One(Some(value)),
        values => ValueObject::Several(values),
    };
    let (source, variable, line, table) = match &setting.origin {
        Origin::Flag => ("flag", None, None, None),
        Origin::Variable(name) => ("environment", Some(name.as_str()), None, None),
        Origin::Model { line, pattern } => {
            ("file", None, Some(*line), Some(format!("models.{pattern:?}")))
        }
        Origin::Command { line } => ("file", None, Some(*line), Some(command.to_owned())),
        Origin::Top { line } => ("file", None, Some(*line), None),
        Origin::Preset => ("preset", None, None, None),
        Origin::Default => ("default", None, None, None),
    };
    SettingObject { name: &setting.name, value, source, variable, line, table }
}

fn table(force: &Force, file: Option<&str>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
        .set_header(["setting", "value", "from"].map(|head| format!("{HEADING}{head}{HEADING:#}")));
    for setting in &force.settings {
        let is_default = setting.origin == Origin::Default;
        let from = match &setting.origin {
            Origin::Flag => "flag".to_owned(),
            Origin::Variable(name) => name.clone(),
            Origin::Model { line, pattern } => format!("line {line}, [models.{pattern:?}]"),
            Origin::Command { line } => format!("line {line}, [{}]", force.command),
            Origin::Top { line } => format!("line {line}"),
            Origin::Preset => "preset".to_owned(),
            Origin::Default => "default".to_owned(),
        };
        let is_list = setting.values.len() > 1;
        let values: Vec<_> = setting.values.iter().map(|value| shown(value, is_list)).collect();
        let row = [setting.name.clone(), values.join(" "), from];
        table.add_row(row.map(|cell| {
            if is_default && !cell.is_empty() { format!("{ASIDE}{cell}{ASIDE:#}") } else { cell }
        }));
    }
    let file = match file {
        Some(file) => format!("lines are those of {file}"),
        None => "no configuration file is read; luge config --path says where it would be, and \
                 --init writes one"
            .to_owned(),
    };
    format!("{}\n{ASIDE}{file}{ASIDE:#}\n", table.trim_fmt())
}

/// A value on one line, quoted where its blanks would not show, or be those of a list.
fn shown(value: &str, is_in_list: bool) -> String {
    let is_plain = |c: char| !c.is_control();
    let shows = !value.is_empty() && value.trim() == value && value.chars().all(is_plain);
    if shows && !(is_in_list && value.contains(' ')) {
        value.to_owned()
    } else {
        format!("{value:?}")
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn flags_without_a_command_are_those_of_run() {
        let global = GlobalArgs {
            color: ColorChoice::Auto,
            verbose: 0,
            quiet: false,
            config: None,
            no_config: false,
        };
        let line = |given: &[&str], config: Option<&str>| {
            let global = GlobalArgs { config: config.map(PathBuf::from), ..global.clone() };
            super::line(given.iter().map(OsString::from).collect(), global)
        };
        assert_eq!(line(&[], None), ["run"]);
        assert_eq!(line(&["--temp", "1"], None), ["run", "--temp", "1"]);
        assert_eq!(line(&["bench", "-r", "1"], Some("x")), ["--config", "x", "bench", "-r", "1"]);
    }
}
