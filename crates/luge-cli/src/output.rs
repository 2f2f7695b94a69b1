//! Standard output and standard error: colour, marks, JSON.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use serde::Serialize;

use crate::failure::Failure;

/// How a token that the method changed is shown where there is colour.
const CHANGED: Style = AnsiColor::Cyan.on_default().bold().underline();

/// What is said beside the text: dimmed.
pub const ASIDE: Style = Style::new().dimmed();

/// A heading.
pub const HEADING: Style = Style::new().bold();

/// Sets colour and logging for the whole process. `verbose` 1 shows what
/// llama.cpp says, 2 all of it.
pub fn set_up(color: ColorChoice, verbose: u8) {
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let level = match verbose {
        0 => return,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .without_time()
        .init();
}

/// Says something on standard error, in one line behind the program's name. If
/// no one listens there, so be it.
pub fn say(message: Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "luge: {message}");
}

/// Whether standard output shows colour.
pub fn has_color() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Whether standard error is a terminal.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Text, marked if the method changed it: in colour, or between ‹ and › where
/// there is none.
pub fn marked(text: &str, changed: bool) -> String {
    match (changed && !text.is_empty(), has_color()) {
        (false, _) => text.to_owned(),
        (true, true) => {
            // Styles end at a line's end: terminals would underline the margin.
            let lines = text.split('\n').map(|line| match line {
                "" => String::new(),
                line => format!("{CHANGED}{line}{CHANGED:#}"),
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        (true, false) => format!("‹{text}›"),
    }
}

/// Prints one JSON object on a line of its own.
pub fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, object).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}
