//! `luge rm`: remove a model from the cache of Hugging Face's models.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use luge_hub::{Hub, Removal, Settings, human_bytes};

use crate::args::{FetchArgs, RmArgs};
use crate::failure::Failure;
use crate::locate::{self, Place, Source};
use crate::output;

pub fn run(args: &RmArgs) -> Result<ExitCode, Failure> {
    let source = locate::source(Some(&args.model), FetchArgs { yes: false, offline: true })?;
    let refused = |reason: String| Err(Failure::Usage(reason));
    let name = match &source {
        Source::Stored(stored) => match &stored.place {
            Place::Hub(name) => name,
            Place::Ollama(name) => {
                return refused(format!(
                    "ollama's models are ollama's to remove: ollama rm {name}"
                ));
            }
        },
        Source::File(path) if !path.exists() => {
            let (path, hint) = (path.clone(), String::new());
            return Err(luge_hub::Error::NoFile { path, hint }.into());
        }
        Source::File(path) => {
            return refused(format!(
                "'{}' is a file of yours: luge rm removes models of Hugging Face's cache",
                path.display()
            ));
        }
        #[cfg(feature = "atlas")]
        Source::BuiltIn { .. } => {
            return refused(format!("{} is built in: it cannot be removed", source.name()));
        }
    };
    let removed = Hub::new(Settings::from_env()?).removal(name)?;
    if !args.yes {
        if !(io::stdin().is_terminal() && output::is_watched()) {
            return refused(format!(
                "no one is here to be asked whether {} is to be removed: give --yes",
                what(&removed)
            ));
        }
        if !locate::ask(&format!("Remove {} ({})?", what(&removed), freed(&removed)), false)? {
            return Err(Failure::Run("nothing was removed".to_owned()));
        }
    }
    let (what, freed) = (what(&removed), freed(&removed));
    removed.remove()?;
    output::say(format_args!("{what} is removed: {freed}"));
    Ok(ExitCode::SUCCESS)
}

fn what(removed: &Removal) -> String {
    match removed.is_rest {
        true => format!("what an interrupted download left of {}", removed.name),
        false => removed.name.to_string(),
    }
}

/// "frees 770 MB", and what it does not.
fn freed(removed: &Removal) -> String {
    let frees = format!("it frees {}", human_bytes(removed.bytes()));
    match removed.shared {
        0 => frees,
        shared => {
            format!("{frees}; {} stay, as another revision has them too", human_bytes(shared))
        }
    }
}
