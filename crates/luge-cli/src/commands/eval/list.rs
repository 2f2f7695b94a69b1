//! `luge eval --list`: the tasks that are built in.

use std::io::Write;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use luge_eval::Task;
use luge_eval::task::Kind;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING};

#[derive(Serialize)]
struct TaskObject<'a> {
    name: &'a str,
    title: &'a str,
    about: &'a str,
    kind: &'static str,
    metrics: Vec<&'static str>,
    /// Where the data are: in words, and as the names by which they are had.
    data: &'static str,
    repo: Option<&'a str>,
    url: Option<&'a str>,
    paper: Option<&'a str>,
    licence: Option<&'a str>,
}

impl<'a> TaskObject<'a> {
    fn new(task: &'a Task) -> Self {
        TaskObject {
            name: &task.name,
            title: &task.title,
            about: task.about(),
            kind: match task.kind() {
                Kind::Choice => "choice",
                Kind::Answer => "answer",
            },
            metrics: task.judge().metrics.iter().map(|metric| metric.name()).collect(),
            data: place(task),
            repo: task.source().repo.as_deref(),
            url: task.source().url.as_deref(),
            paper: task.paper(),
            licence: task.licence(),
        }
    }
}

/// Where the data are, in a word or two.
fn place(task: &Task) -> &'static str {
    let source = task.source();
    match (&source.builtin, &source.repo, &source.url) {
        (Some(_), _, _) => "built in",
        (None, Some(_), _) => "Hugging Face",
        (None, None, Some(_)) => "a file",
        (None, None, None) => "yours",
    }
}

pub fn print(format: Format) -> Result<ExitCode, Failure> {
    let tasks = Task::all()?;
    let objects: Vec<TaskObject<'_>> = tasks.iter().map(TaskObject::new).collect();
    if format == Format::Json {
        output::print_json(&objects)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(output::width()).unwrap_or(u16::MAX))
        .set_header(
            ["task", "metrics", "data", "about"].map(|head| format!("{HEADING}{head}{HEADING:#}")),
        );
    for object in &objects {
        table.add_row([object.name, &object.metrics.join(" "), object.data, object.about]);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(
        out,
        "\n{ASIDE}Data from Hugging Face are fetched, once you agree; a file is named with --data.\n\
         A task may also be a file of questions, or a definition (docs/tasks.md).{ASIDE:#}"
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
