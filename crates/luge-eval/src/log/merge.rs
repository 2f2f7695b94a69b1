//! Putting the parts of a run together.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::log::difference::difference;
use crate::log::read::{Found, Note, asked, place, read};
use crate::log::{Lock, Shard, lock};
use crate::record::Record;
use crate::results::{Setup, TaskSetup};

/// A run that several processes have done.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What was run, as the log of the first part has it.
    pub setup: Setup,
    /// All documents, by task in the order of the setup's, then by row.
    pub records: Vec<Record>,
    /// What was found in the logs that does not count.
    pub notes: Vec<Note>,
}

/// A log with its place.
struct Part {
    path: PathBuf,
    found: Found,
}

/// Puts the logs of a run's parts together. Each path is a log, or a folder with logs: of
/// a folder all parts are taken, and where there are none its `documents.jsonl`. The logs
/// are not changed.
///
/// # Errors
/// [`Error::NoLogs`] for a folder without any, [`Error::LogInUse`] for a part that is still
/// at work, [`Error::NoLog`], [`Error::OtherVersion`], [`Error::LogRead`];
/// [`Error::Mixed`] if they are not parts of one run, [`Error::Disagree`] if two have
/// something else of the same document, and [`Error::Incomplete`] if documents are missing.
pub fn merge(paths: &[impl AsRef<Path>]) -> Result<Merged, Error> {
    let mut parts = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        for path in logs(path.as_ref())? {
            let failed = |source| Error::LogRead { path: path.clone(), source };
            // The same log may have been named twice.
            if !seen.insert(fs::canonicalize(&path).map_err(failed)?) {
                continue;
            }
            let mut file = File::open(&path).map_err(failed)?;
            lock(&file, &path, Lock::Read)?;
            // Without a whole first line nothing has been asked yet.
            if let Some(found) = read(&mut file, &path, None)? {
                parts.push(Part { path, found });
            }
        }
    }
    parts.sort_by_key(|part| part.found.shard);
    let Some(first) = parts.first() else {
        let path = paths.first().map_or_else(PathBuf::new, |path| path.as_ref().to_owned());
        return Err(Error::NoLogs { path });
    };
    let (setup, of) = (first.found.setup.clone(), first.found.shard.of());
    for part in &parts[1..] {
        let (its, own) = (part.found.shard.of(), of);
        let division = (its != own).then(|| format!("one has {own} parts, the other {its}"));
        if let Some(difference) = difference(&part.found.setup, &setup).or(division) {
            let [first, second] = [first, part].map(|part| part.path.clone());
            return Err(Error::Mixed { first, second, difference });
        }
    }
    let mut notes = Vec::new();
    // By task and row, with the number of the part that it is from.
    let mut records: BTreeMap<(usize, usize), (Record, PathBuf)> = BTreeMap::new();
    for Part { path, found } in parts {
        notes.extend(found.notes);
        for record in found.records {
            let Some(place) = place(&setup.tasks, found.shard, &record) else { continue };
            match records.get(&place) {
                None => drop(records.insert(place, (record, path.clone()))),
                Some((other, first)) if !is_same(other, &record) => {
                    let (first, second) = (first.clone(), path);
                    return Err(Error::Disagree {
                        id: record.id,
                        task: record.task,
                        first,
                        second,
                    });
                }
                Some(_) => {}
            }
        }
    }
    let missing = missing(&setup, of, &records);
    if !missing.is_empty() {
        return Err(Error::Incomplete { missing });
    }
    let records = records.into_values().map(|(record, _)| record).collect();
    Ok(Merged { setup, records, notes })
}

/// The logs that a path stands for.
fn logs(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| Error::LogRead { path: path.to_owned(), source };
    let mut parts = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(|name| Shard::of_file_name(name).is_some()) {
            parts.push(entry.path());
        }
    }
    let whole = path.join(Shard::WHOLE.file_name());
    match parts.is_empty() {
        false => {
            parts.sort();
            Ok(parts)
        }
        true if whole.is_file() => Ok(vec![whole]),
        true => Err(Error::NoLogs { path: path.to_owned() }),
    }
}

/// Whether two records of a document say the same, however long they took.
fn is_same(one: &Record, other: &Record) -> bool {
    *one == Record { seconds: one.seconds, ..other.clone() }
}

/// The parts that lack documents: how many, and of how many.
fn missing(
    setup: &Setup,
    of: usize,
    records: &BTreeMap<(usize, usize), (Record, PathBuf)>,
) -> Vec<(Shard, usize, usize)> {
    let parts = (1..=of).filter_map(|number| Shard::new(number, of));
    let lacking = parts.filter_map(|part| {
        // A half is not parted any further.
        let of_task = |task: &TaskSetup| match task.half {
            Some(half) => half.rows,
            None => part.count(asked(task)),
        };
        let wanted: usize = setup.tasks.iter().map(of_task).sum();
        let there = records.keys().filter(|(_, index)| part.has(*index)).count();
        (there < wanted).then(|| (part, wanted - there, wanted))
    });
    lacking.collect()
}
