//! `luge man`: manual pages, and the reference of all commands.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::args::{ManArgs, ManFormat};
use crate::failure::Failure;
use crate::{output, reference};

pub fn run(args: ManArgs) -> Result<ExitCode, Failure> {
    match (args.out, args.format) {
        (Some(folder), ManFormat::Man) => {
            let pages = reference::pages();
            fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
            for (name, page) in &pages {
                write(&folder.join(name), page)?;
            }
            output::say(format_args!("{} pages are in '{}'", pages.len(), folder.display()));
        }
        (Some(folder), ManFormat::Markdown) => {
            fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
            write(&folder.join("commands.md"), reference::markdown().as_bytes())?;
        }
        (None, ManFormat::Man) => print(&reference::page(args.command.as_deref())?)?,
        (None, ManFormat::Markdown) if args.command.is_none() => {
            print(reference::markdown().as_bytes())?;
        }
        (None, ManFormat::Markdown) => {
            return Err(Failure::Usage(
                "as Markdown all commands are one text: leave the command out".to_owned(),
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}

fn write(file: &Path, text: &[u8]) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| failed(file, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Run(format!("cannot write '{}': {error}", path.display()))
}
