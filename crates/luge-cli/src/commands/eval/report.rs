//! What an evaluation has found: as files, and on the terminal.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use luge_eval::{Record, Results, report};

use super::super::file::OutputFile;
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING};

/// Writes `results.json`, `report.md` and `report.html`.
pub fn write(results: &Results, records: &[Record], folder: &Path) -> Result<(), Failure> {
    let file = |name: &str, text: &str| OutputFile::create(&folder.join(name))?.write(text);
    file("results.json", &results.to_json())?;
    file("report.md", &report::markdown(results))?;
    file("report.html", &report::html(results, &report::shown(results, records)))
}

/// Prints the tables, or all of it as JSON.
pub fn print(results: &Results, folder: &Path, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::print_json(results);
    }
    let mut out = anstream::stdout().lock();
    for own in report::tables(results) {
        writeln!(out, "{HEADING}{}{HEADING:#}", own.title)?;
        if !own.rows.is_empty() {
            writeln!(out, "{}", table(&own).trim_fmt())?;
        }
        for note in &own.notes {
            writeln!(out, "{ASIDE}{note}{ASIDE:#}")?;
        }
        writeln!(out)?;
    }
    if let Some(speed) = report::speed(results) {
        let time = report::duration(results.times.seconds);
        writeln!(out, "{ASIDE}{time} at work: {speed}{ASIDE:#}")?;
    }
    writeln!(out, "{ASIDE}'{}' has all of it{ASIDE:#}", folder.join("report.html").display())?;
    out.flush()?;
    Ok(())
}

fn table(own: &report::Table) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(output::width()).unwrap_or(u16::MAX))
        .set_header(own.header.iter().map(|head| format!("{ASIDE}{head}{ASIDE:#}")));
    for row in &own.rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// Ends in a failure where there is not one document to say anything about, however many
/// rows there were.
pub fn checked(results: &Results, folder: &Path) -> Result<ExitCode, Failure> {
    let problem = results.tasks.iter().find_map(|task| task.problems.first());
    match problem {
        Some(problem) if results.tasks.iter().all(|task| task.documents == 0) => {
            Err(Failure::Run(format!(
                "none of the rows could be asked ({}: {}); '{}' names them all",
                problem.place,
                problem.what,
                folder.join("results.json").display(),
            )))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
