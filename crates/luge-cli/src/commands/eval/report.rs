//! What an evaluation has found: as files, and on the terminal.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use luge_eval::{Record, Results, report};

use super::super::file::OutputFile;
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING};

/// The column of names, which may be long.
const NAMES: usize = 1;

/// The least characters of a name in a line.
const LEAST: usize = 11;

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

/// The table in the terminal's width. Where that is too little, the names of methods are
/// broken first: numbers read badly in pieces.
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
    let cells = |at: usize| own.rows.iter().chain([&own.header]).filter_map(move |row| row.get(at));
    let needed = |at: usize| cells(at).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let others = (0..own.header.len()).filter(|at| *at != NAMES);
    for gap in [2, 1] {
        let taken: usize = others.clone().map(|at| needed(at) + gap).sum();
        let least = needed(NAMES).min(LEAST) + gap;
        if taken + least > output::width() {
            continue;
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((1, gap as u16 - 1));
            if at != NAMES {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        break;
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
