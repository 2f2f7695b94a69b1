//! Pages of invented runs, for the tests in `tests/page` and for looking at them:
//!
//! ```sh
//! cargo run --release -p luge-eval --example sample_report -- FOLDER
//! ```

mod found;
mod layers;
mod sample;

use std::path::Path;
use std::process::ExitCode;

use luge_eval::report;

use crate::sample::Run;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("a folder for the pages is missing");
        return ExitCode::FAILURE;
    };
    let runs = [
        ("usual", sample::usual()),
        ("many", sample::many(38, 1000)),
        ("large", sample::many(3, 10_000)),
        ("hostile", sample::hostile()),
        ("empty", sample::empty()),
    ];
    for (name, run) in runs {
        if let Err(error) = write(Path::new(&folder), name, &run) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write(folder: &Path, name: &str, run: &Run) -> std::io::Result<()> {
    let page = report::html(&run.results(), &run.shown());
    std::fs::write(folder.join(format!("{name}.html")), page)
}
