//! Reading a log, and believing no more of it than its checksums do.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::log::Shard;
use crate::log::line::{First, is_sound};
use crate::record::Record;
use crate::results::{Setup, TaskSetup};

/// How many lines a note names.
const NAMED: usize = 8;

/// Lines of a log that do not count. Shown, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The log.
    pub path: PathBuf,
    /// The lines, from 1.
    pub lines: Vec<usize>,
    /// Why they do not count.
    pub doubt: Doubt,
}

/// Why a line of a log does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It is the last, and has no end.
    Torn,
    /// It is not as it was written.
    Damaged,
    /// It is sound, and no document of this part of this run.
    Foreign,
    /// Its document is in an earlier line.
    Repeated,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.lines.iter().take(NAMED).map(usize::to_string).collect();
        let others = match self.lines.len().saturating_sub(NAMED) {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        let (lines, are, do_not) = match self.lines.len() {
            1 => ("line", "is", "does not"),
            _ => ("lines", "are", "do not"),
        };
        let what = match self.doubt {
            Doubt::Torn => format!("{are} cut off in the middle"),
            Doubt::Damaged => format!("{are} damaged"),
            Doubt::Foreign => format!("{are} of documents that are not in this part of the run"),
            Doubt::Repeated => format!("{are} of documents that earlier lines have"),
        };
        let path = self.path.display();
        write!(f, "{lines} {}{others} of '{path}' {what}, and {do_not} count", shown.join(", "))
    }
}

/// What a log holds.
pub struct Found {
    pub setup: Setup,
    pub shard: Shard,
    /// Its documents, each once, in the order of the file.
    pub records: Vec<Record>,
    pub notes: Vec<Note>,
    /// Bytes up to the end of its last whole line.
    pub end: u64,
}

/// Reads a log from its beginning. Nothing where there is not even a whole first line:
/// then there is nothing at all, or the beginning of `first`, if that is given.
///
/// # Errors
/// [`Error::NoLog`], [`Error::OtherVersion`] and [`Error::LogRead`].
pub fn read(
    file: &mut impl Read,
    path: &Path,
    first: Option<&[u8]>,
) -> Result<Option<Found>, Error> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let read = reader.read_until(b'\n', line);
        read.map_err(|source| Error::LogRead { path: path.to_owned(), source })
    };
    next(&mut line)?;
    let no_log = || Error::NoLog { path: path.to_owned() };
    let Some(content) = line.strip_suffix(b"\n") else {
        return match first {
            Some(first) if !first.starts_with(&line) => Err(no_log()),
            _ => Ok(None),
        };
    };
    if !is_sound(content) {
        return Err(no_log());
    }
    let First { shard, setup } = match serde_json::from_slice(content) {
        Ok(first) => first,
        Err(_) => {
            let object: Value = serde_json::from_slice(content).unwrap_or_default();
            let version = object.pointer("/setup/luge").and_then(Value::as_str);
            let version = version.ok_or_else(no_log)?.to_owned();
            return Err(Error::OtherVersion { path: path.to_owned(), version });
        }
    };
    let mut end = line.len() as u64;
    let mut records = Vec::new();
    let mut there = HashSet::new();
    let [mut torn, mut damaged, mut foreign, mut repeated] = [const { Vec::new() }; 4];
    for number in 2.. {
        if next(&mut line)? == 0 {
            break;
        }
        let Some(content) = line.strip_suffix(b"\n") else {
            torn.push(number);
            break;
        };
        end += line.len() as u64;
        let record = match is_sound(content) {
            true => serde_json::from_slice::<Record>(content).ok(),
            false => {
                damaged.push(number);
                continue;
            }
        };
        match record.and_then(|record| Some((place(&setup.tasks, shard, &record)?, record))) {
            None => foreign.push(number),
            Some((place, record)) if there.insert(place) => records.push(record),
            Some(_) => repeated.push(number),
        }
    }
    let doubts = [
        (Doubt::Damaged, damaged),
        (Doubt::Foreign, foreign),
        (Doubt::Repeated, repeated),
        (Doubt::Torn, torn),
    ];
    let doubts = doubts.into_iter().filter(|(_, lines)| !lines.is_empty());
    let notes = doubts.map(|(doubt, lines)| Note { path: path.to_owned(), lines, doubt }).collect();
    Ok(Some(Found { setup, shard, records, notes, end }))
}

/// The number of a record's task, and its document's row; none where this part of the
/// run has no such document.
pub fn place(tasks: &[TaskSetup], shard: Shard, record: &Record) -> Option<(usize, usize)> {
    let task = tasks.iter().position(|task| task.name == record.task)?;
    let is_asked = record.index < asked(&tasks[task]) && shard.has(record.index);
    is_asked.then_some((task, record.index))
}

/// How many of a task's rows are asked.
pub fn asked(task: &TaskSetup) -> usize {
    task.limit.min(task.rows)
}
