//! `luge list`: the models on this machine.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use comfy_table::{CellAlignment, Table, presets};
use luge::Description;
use luge_hub::{Hub, Ollama, Settings, human_bytes};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::args::{Format, ListArgs};
use crate::commands::cells::shown;
use crate::commands::show::human_count;
use crate::failure::Failure;
use crate::output::{self, ASIDE, page, print_json};

/// A model, and where it is from.
struct Model {
    /// As it is written behind -m.
    name: String,
    from: From,
    /// Its file, or why there is none.
    path: Result<PathBuf, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum From {
    #[cfg(feature = "atlas")]
    BuiltIn,
    HuggingFace,
    Ollama,
}

impl From {
    fn text(self) -> &'static str {
        match self {
            #[cfg(feature = "atlas")]
            From::BuiltIn => "built in",
            From::HuggingFace => "Hugging Face",
            From::Ollama => "ollama",
        }
    }
}

/// What the files say of a model, or what is wrong with them.
type Read = Result<Description, String>;

#[derive(Serialize)]
struct ListObject<'a> {
    models: Vec<RowObject<'a>>,
}

#[derive(Serialize)]
struct RowObject<'a> {
    name: &'a str,
    from: From,
    path: Option<&'a PathBuf>,
    architecture: Option<&'a str>,
    parameters: Option<u64>,
    quantisation: Option<&'a str>,
    bytes: Option<u64>,
    layers: Option<u64>,
    vocab: Option<u64>,
    error: Option<&'a str>,
}

pub fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::from_env()?;
    let mut models = Vec::new();
    // Its file lies in a cache or is temporary, and is there as long as this is.
    #[cfg(feature = "atlas")]
    let built_in = luge::builtin::unpack();
    #[cfg(feature = "atlas")]
    models.push(Model {
        name: luge::builtin::NAME.to_owned(),
        from: From::BuiltIn,
        path: built_in.as_deref().map(PathBuf::from).map_err(ToString::to_string),
    });
    let ollama = Ollama::new(&settings);
    models.extend(Hub::new(settings).cached().iter().map(|model| {
        let (found, parts) = (model.group.files.len(), model.group.parts);
        let path = if model.group.is_whole() {
            Ok(model.path())
        } else {
            Err(format!("{found} of {parts} parts are there; luge pull fetches the others"))
        };
        Model { name: model.name.to_string(), from: From::HuggingFace, path }
    }));
    models.extend(ollama.models().into_iter().map(|(name, model)| Model {
        name: format!("ollama:{name}"),
        from: From::Ollama,
        path: model.map(|model| model.path).map_err(|error| error.to_string()),
    }));
    let read = read_all(&models);
    match args.format {
        Format::Text => page(&table(&models, &read))?,
        Format::Json => print_json(&ListObject {
            models: models.iter().zip(&read).map(|(model, read)| row(model, read)).collect(),
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the headers of all models, on as many threads as there are cores: a large
/// vocabulary takes its milliseconds.
fn read_all(models: &[Model]) -> Vec<Read> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(models.len());
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Option<Read>>> = Mutex::new(models.iter().map(|_| None).collect());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(model) = models.get(index) else { break };
            let read = model
                .path
                .clone()
                .and_then(|path| Description::read(&path).map_err(|error| error.to_string()));
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found[index] = Some(read);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found
        .into_iter()
        .map(|read| read.unwrap_or_else(|| Err("it was not read".to_owned())))
        .collect()
}

fn row<'a>(model: &'a Model, read: &'a Read) -> RowObject<'a> {
    let about = read.as_ref().ok();
    RowObject {
        name: &model.name,
        from: model.from,
        path: model.path.as_ref().ok(),
        architecture: about.map(|about| about.architecture.as_str()),
        parameters: about.map(|about| about.parameters),
        quantisation: about.map(|about| about.quantisation.as_str()),
        bytes: about.map(|about| about.bytes),
        layers: about.and_then(|about| about.layers),
        vocab: about.and_then(|about| about.vocab),
        error: read.as_ref().err().map(String::as_str),
    }
}

/// What a column holds.
type Column = (&'static str, fn(&Model, &Description) -> String);

/// The columns behind the name, those that a narrow terminal leaves out last.
const COLUMNS: [Column; 7] = [
    ("from", |model, _| model.from.text().to_owned()),
    ("size", |_, about| human_bytes(about.bytes)),
    ("quantisation", |_, about| about.quantisation.clone()),
    ("parameters", |_, about| human_count(about.parameters)),
    ("architecture", |_, about| shown(&about.architecture)),
    ("layers", |_, about| count(about.layers)),
    ("vocabulary", |_, about| count(about.vocab)),
];

fn count(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// The table with as many columns as the terminal has room for, and what is wrong with
/// whom. Names are never cut: they are to be copied.
fn table(models: &[Model], read: &[Read]) -> String {
    let width = if io::stdout().is_terminal() { output::width() } else { usize::MAX };
    let fits = |table: &String| table.lines().all(|line| line.width() <= width);
    let mut tables = (1..=COLUMNS.len()).rev().map(|columns| table_of(models, read, columns));
    let table = tables.find(fits).unwrap_or_else(|| table_of(models, read, 1));
    let problems = models.iter().zip(read).filter_map(|(model, read)| {
        Some(format!("{ASIDE}{}: {}{ASIDE:#}\n", model.name, read.as_ref().err()?))
    });
    format!("{table}\n{}", problems.collect::<String>())
}

fn table_of(models: &[Model], read: &[Read], columns: usize) -> String {
    let columns = &COLUMNS[..columns];
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["model"].into_iter().chain(columns.iter().map(|(name, _)| *name)));
    for (model, read) in models.iter().zip(read) {
        let cell = |(name, text): &Column| match (read, *name) {
            (Ok(about), _) => text(model, about),
            (Err(_), "from") => model.from.text().to_owned(),
            (Err(_), "size") => "unusable".to_owned(),
            (Err(_), _) => String::new(),
        };
        table.add_row([model.name.clone()].into_iter().chain(columns.iter().map(cell)));
    }
    for (number, (name, _)) in columns.iter().enumerate() {
        if ["size", "parameters", "layers", "vocabulary"].contains(name)
            && let Some(column) = table.column_mut(number + 1)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}
