//! Standard output and standard error: colour, marks, JSON.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use comfy_table::Table;
use serde::Serialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::failure::Failure;

/// How a token that the method changed is shown where there is colour.
pub const CHANGED: Style = AnsiColor::Cyan.on_default().bold().underline();

/// What is said beside the text: dimmed.
pub const ASIDE: Style = Style::new().dimmed();

/// A heading.
pub const HEADING: Style = Style::new().bold();

/// Whether nothing is said but what went wrong.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether what is said on standard error is said in JSON.
static IN_JSON: AtomicBool = AtomicBool::new(false);

/// The variable that chooses what is logged, as in `llama.cpp=debug` or `warn`.
pub const LOG_VARIABLE: &str = "LUGE_LOG";

/// Sets colour, speech and logging for the whole process. `verbose` 1 shows what
/// llama.cpp says, 2 all of it; `LUGE_LOG` chooses more exactly.
pub fn set_up(color: ColorChoice, verbose: u8, quiet: bool) {
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    QUIET.store(quiet, Ordering::Relaxed);
    let level = match verbose {
        0 => None,
        1 => Some(LevelFilter::DEBUG),
        _ => Some(LevelFilter::TRACE),
    };
    let chosen = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = match (level, chosen) {
        (Some(level), _) => Targets::new().with_default(level),
        (None, Some(text)) if !quiet => match text.parse() {
            Ok(filter) => filter,
            Err(_) => {
                return say(format_args!(
                    "{LOG_VARIABLE} is passed over: '{text}' is none of error, warn, info, debug, \
                     trace, or one of a part, such as llama.cpp=debug"
                ));
            }
        },
        // A server says what went wrong.
        (None, _) => Targets::new()
            .with_target("luge_server", if quiet { LevelFilter::ERROR } else { LevelFilter::WARN }),
    };
    let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).without_time();
    let lines = match IN_JSON.load(Ordering::Relaxed) {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.with_ansi(ansi).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// From now on, each line on standard error is a JSON object. To be called first.
pub fn speak_json() {
    IN_JSON.store(true, Ordering::Relaxed);
}

/// Says something on standard error, in one line behind the program's name, unless
/// nothing is to be said. If no one listens there, so be it.
pub fn say(message: Arguments<'_>) {
    if !is_quiet() {
        complain(message);
    }
}

/// Says what went wrong, in any case.
pub fn complain(message: Arguments<'_>) {
    if IN_JSON.load(Ordering::Relaxed) {
        return log_json("message", &serde_json::json!({ "message": message.to_string() }));
    }
    let _ = writeln!(anstream::stderr().lock(), "luge: {message}");
}

/// A line of a log in JSON: `event` says what it is about.
#[derive(Serialize)]
struct LogObject<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    about: &'a T,
}

/// Writes a JSON object with what there is to say of an event on standard error.
pub fn log_json<T: Serialize>(event: &'static str, about: &T) {
    // Plain data is always JSON.
    if let Ok(line) = serde_json::to_string(&LogObject { event, about }) {
        log_line(&line);
    }
}

/// A line on standard error, in one piece. If no one listens there, so be it.
pub fn log_line(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Whether nothing is to be said but what went wrong.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A text that others have written, for a terminal: without the control characters that
/// could clear it, rename it or write over what is there.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    // A carriage return is part of some line breaks, and needs no sign.
    let shown = text.chars().filter(|&c| c != '\r');
    shown.map(|c| if is_bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Text for standard output: as it is, but for a terminal's own good.
pub fn for_stdout(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { harmless(text) } else { Cow::Borrowed(text) }
}

/// Whether standard output shows colour.
pub fn has_color() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Whether there is someone to show progress to: standard error is a terminal.
pub fn is_watched() -> bool {
    io::stderr().is_terminal() && !is_quiet()
}

/// The columns of the terminal that standard output is, or 100.
pub fn width() -> usize {
    let terminal = if io::stdout().is_terminal() { Table::new().width() } else { None };
    usize::from(terminal.unwrap_or(100))
}

/// Prints a text that may be longer than the screen: on a terminal through the
/// program named in `PAGER`, or `less`, which shows it at once where it fits.
pub fn page(text: &str) -> Result<(), Failure> {
    let plain;
    let text = if has_color() {
        text
    } else {
        let stripped = anstream::adapter::strip_str(text).to_string();
        // Colour would have filled the lines up.
        plain = stripped.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
        &plain
    };
    if io::stdout().is_terminal() && show_in_pager(text)? {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Whether a pager has the terminal, and with it Ctrl-C.
static PAGING: AtomicBool = AtomicBool::new(false);

/// Whether a pager has the terminal: Ctrl-C is for the pager, then.
pub fn is_paging() -> bool {
    PAGING.load(Ordering::Relaxed)
}

/// Whether a pager has shown a text.
fn show_in_pager(text: &str) -> Result<bool, Failure> {
    PAGING.store(true, Ordering::Relaxed);
    let Some(mut pager) = pager() else {
        PAGING.store(false, Ordering::Relaxed);
        return Ok(false);
    };
    if let Some(mut input) = pager.stdin.take() {
        // Who has seen enough closes it; what else goes wrong, its end tells.
        let _ = input.write_all(text.as_bytes());
    }
    let status = pager.wait();
    PAGING.store(false, Ordering::Relaxed);
    Ok(status?.success())
}

/// The user's pager at work, if there is one, and a terminal that it can work on.
fn pager() -> Option<Child> {
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return None;
    }
    let named = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    let mut words = named.split_whitespace();
    let program = words.next().filter(|&program| program != "cat")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Leave at once where it fits, show colour, keep the screen.
        command.env("LESS", "FRX");
    }
    command.spawn().ok()
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
