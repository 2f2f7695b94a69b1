//! llguidance's reports, as part of one sentence.

use std::panic::AssertUnwindSafe;
use std::thread;

use llguidance::api::StopReason;
use llguidance::panic_utils;

use super::Source;

/// How a report of a panic begins.
const PANIC: &str = "panic: ";

/// The stack that compiling a grammar gets, in bytes. llguidance follows rules into rules
/// by recursion, and the length of a grammar limits how many there are. What is not used
/// of it takes no memory.
const STACK: usize = 256 << 20;

/// Runs what may fail, or panic, inside llguidance; its report if it did.
pub(super) fn caught<T: Send>(
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> Result<T, String> {
    let work = || panic_utils::catch_unwind(AssertUnwindSafe(work));
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| error.to_string())?;
        thread.join().map_err(|_| PANIC.to_owned())
    })?;
    result.map_err(|error| error.to_string())
}

/// Whether an error says that no token may come next.
pub(super) fn is_dead_end(error: &anyhow::Error) -> bool {
    first_line(&error.to_string()) == StopReason::NoExtensionBias.to_string()
}

/// What a report says before its excerpts and its stack, on one line.
pub(super) fn plain(report: &str) -> String {
    let line = first_line(report);
    if line.starts_with(PANIC) {
        return "it is more than luge's grammar engine can take".to_owned();
    }
    // It may quote what someone else has written.
    line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn first_line(report: &str) -> &str {
    report.lines().next().unwrap_or_default().trim()
}

/// Why a grammar cannot be used.
pub(super) fn reason(report: &str, source: &Source) -> String {
    let line = &plain(report)[..];
    if line.starts_with("oneOf constraints are not supported") {
        return "of the members of its oneOf more than one may hold: use anyOf".to_owned();
    }
    if let Some(keys) = line.strip_prefix("Unimplemented keys: ") {
        let keys = keys.trim_matches(['[', ']']).replace('"', "");
        return format!("it has keywords that luge cannot follow: {}", shortened(&keys));
    }
    if let Some(why) = line.strip_prefix("Unsatisfiable schema: ") {
        return format!("no JSON satisfies it ({})", shortened(why));
    }
    if let Some((resource, _)) = line.split_once(" is not present in a registry") {
        let name = resource.trim_start_matches("Resource ").replace("json-schema:///", "");
        return format!("it refers to {}, which is not in it", shortened(&name));
    }
    let (place, what) = match (located(line), source) {
        (Some((line, column, what)), Source::Lark(_)) => {
            (format!("in line {line}, column {column}: "), what)
        }
        // The lines are not the user's.
        (Some((_, _, what)), _) => (String::new(), what),
        (None, _) => (String::new(), line),
    };
    if let Some((before, _)) = what.split_once("regex parse error:")
        && let Some(error) = report.lines().find_map(|line| line.trim().strip_prefix("error: "))
    {
        let before = before.trim_end_matches("(in regex): ").trim_end();
        return match source {
            Source::Lark(_) => format!("{place}{}: {error}", shortened(before)),
            Source::JsonSchema(_) => format!("in a pattern: {error}"),
            Source::Regex(_) => error.to_owned(),
        };
    }
    if let Some((unknown, _)) = what.split_once("; following special tokens") {
        let name = unknown.trim_start_matches("unknown special token: ").trim_matches('"');
        return format!("{place}the model has no control token {name}");
    }
    let what = match what.rsplit_once(" (at \"") {
        Some((what, _)) if what.contains(", found ") => what,
        _ if what == "lexer error" => "no grammar has this",
        _ => what,
    };
    format!("{place}{}", shortened(what))
}

/// A text of a length that a sentence can have.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `3(5): what`, perhaps behind an "at ": line, column, what.
fn located(report: &str) -> Option<(usize, usize, &str)> {
    let report = report.strip_prefix("at ").unwrap_or(report);
    let (place, what) = report.split_once("): ")?;
    let (line, column) = place.split_once('(')?;
    Some((line.parse().ok()?, column.parse().ok()?, what))
}
