//! `luge pull`: fetch models, whatever their state on this machine.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luge_hub::{Hub, Settings};

use crate::args::{FetchArgs, PullArgs};
use crate::failure::Failure;
use crate::locate::{self, Fetching, Place, Source};
use crate::output;

pub fn run(args: &PullArgs) -> Result<ExitCode, Failure> {
    let mut exit_code = ExitCode::SUCCESS;
    let mut settings = Settings::from_env()?;
    settings.offline |= args.offline;
    let mut fetching = Fetching::begin(Hub::new(settings));
    for model in &args.models {
        match pull(&mut fetching, model) {
            Ok(path) => {
                let mut out = io::stdout().lock();
                writeln!(out, "{}", path.display())?;
                out.flush()?;
            }
            // One that cannot be had is no reason not to fetch the others.
            Err(failure @ (Failure::Run(_) | Failure::Usage(_))) if args.models.len() > 1 => {
                output::say(format_args!("error: {failure}"));
                exit_code = failure.exit_code();
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(exit_code)
}

/// Fetches what there is to fetch of a model; returns the path of its file.
fn pull(fetching: &mut Fetching, model: &Path) -> Result<PathBuf, Failure> {
    let refused = |reason: String| Err(Failure::Usage(reason));
    let source = locate::source(Some(model), FetchArgs { yes: true, offline: false })?;
    match source {
        Source::Stored(stored) => match &stored.place {
            Place::Hub(name) => {
                // Offline, what is there is as new as it gets.
                if fetching.hub.settings().offline
                    && let Some(model) = fetching.hub.find(name)?
                {
                    return Ok(model.path());
                }
                let plan = fetching.plan(name)?;
                fetching.fetch(&plan)
            }
            Place::Ollama(name) => {
                refused(format!("ollama's models are ollama's to fetch: ollama pull {name}"))
            }
        },
        Source::File(path) => refused(format!(
            "'{}' is a file: luge pull takes models of Hugging Face, such as org/name:Q4_K_M",
            path.display()
        )),
        #[cfg(feature = "atlas")]
        Source::BuiltIn { .. } => {
            refused(format!("{} is built in: there is nothing to fetch", source.name()))
        }
    }
}
