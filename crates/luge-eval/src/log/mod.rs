//! The log of a run: `documents.jsonl`, from which it goes on after whatever ended it.
//!
//! A line is an object in JSON: first what is run ([`Setup`]) and which part of it
//! ([`Shard`]), then a [`Record`] for each document. Lines are only ever added, each with
//! one write, so that what ends a process leaves at most the beginning of one line behind.
//! The last key of each line is its checksum; `line` says what that covers. Nothing that
//! fails it is believed.
//!
//! ```no_run
//! # fn run(setup: &luge_eval::Setup, ask: impl Fn() -> luge_eval::Record) -> Result<(), luge_eval::Error> {
//! use luge_eval::{Log, Shard};
//!
//! let part: Shard = "2/8".parse()?;
//! let path = std::path::Path::new("out").join(part.file_name());
//! let (mut log, records) = Log::open(&path, setup, part)?;
//! log.notes().iter().for_each(|note| eprintln!("{note}"));
//! // Ask what `records` does not have.
//! log.append(&ask())?;
//! log.finish()
//! # }
//! ```

mod difference;
mod line;
mod merge;
mod read;
mod shard;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::record::Record;
use crate::results::Setup;

use line::First;
pub use merge::{Merged, merge};
pub use read::{Doubt, Note};
pub use shard::Shard;

/// A log that is being written. Its file is locked as long as this lives.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// The length of the file, in bytes: that of whole lines.
    end: u64,
    notes: Vec<Note>,
}

impl Log {
    /// Opens the log of this part of a run, or begins one, with its folder. Returns what
    /// it holds: one record a document, in the order of the file.
    ///
    /// What is not to be believed is left out, and [`Log::notes`] says where: a last line
    /// without an end, which is cut off the file; lines that are damaged; records of
    /// documents that this part does not have; and records of one document after the
    /// first.
    ///
    /// Names and places do not make another run: a model or a data file may lie elsewhere
    /// the next time, as long as it is the same, byte by byte.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if the log is another run's, [`Error::LogInUse`] if another
    /// process has it open, [`Error::NoLog`] if it cannot be told what run it is of,
    /// [`Error::Folder`], [`Error::LogRead`] and [`Error::LogWrite`].
    pub fn open(path: &Path, setup: &Setup, shard: Shard) -> Result<(Log, Vec<Record>), Error> {
        let failed = |source| Error::LogWrite { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        }
        // Not for adding alone: Windows then refuses to cut off what is torn.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        lock(&file, path, Lock::Write)?;
        let first = line::sealed(&First { shard, setup: setup.clone() }).map_err(failed)?;
        let Some(found) = read::read(&mut file, path, Some(&first))? else {
            let mut log = Log { path: path.to_owned(), file, end: 0, notes: Vec::new() };
            // Whatever is there is the beginning of this very line.
            log.cut()?;
            log.write(&first)?;
            return Ok((log, Vec::new()));
        };
        if let Some(difference) = difference::difference(&found.setup, setup) {
            return Err(Error::OtherRun { path: path.to_owned(), difference });
        }
        if found.shard != shard {
            let difference = format!("it is part {}, not {shard}", found.shard);
            return Err(Error::OtherRun { path: path.to_owned(), difference });
        }
        let mut log = Log { path: path.to_owned(), file, end: found.end, notes: found.notes };
        log.cut()?;
        Ok((log, found.records))
    }

    /// What was found in the log that does not count.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Adds a document.
    ///
    /// The system has the line when this returns, so that it outlives the process however
    /// that ends. It is not forced onto the disk, as that would take longer than a small
    /// model does for an answer: after a power cut the last documents may be asked again.
    ///
    /// # Errors
    /// [`Error::LogWrite`], for a full disk too. The log then is as it was before.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let line = line::sealed(record)
            .map_err(|source| Error::LogWrite { path: self.path.clone(), source })?;
        self.write(&line)
    }

    /// Ends the log, once all of it is on the disk. Only this tells whether a disk in the
    /// network has taken what it was given.
    ///
    /// # Errors
    /// [`Error::LogWrite`].
    pub fn finish(self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::LogWrite { path: self.path, source })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        match self.file.write_all(line) {
            Ok(()) => {
                self.end += line.len() as u64;
                Ok(())
            }
            Err(source) => {
                // A part of the line may be there. If it stays, it is cut off the next time.
                let _ = self.cut();
                Err(Error::LogWrite { path: self.path.clone(), source })
            }
        }
    }

    /// Cuts off what is behind the last whole line.
    fn cut(&mut self) -> Result<(), Error> {
        let cut = |file: &mut File, end: u64| -> io::Result<()> {
            if file.metadata()?.len() > end {
                file.set_len(end)?;
            }
            file.seek(SeekFrom::Start(end)).map(drop)
        };
        cut(&mut self.file, self.end)
            .map_err(|source| Error::LogWrite { path: self.path.clone(), source })
    }
}

/// What a log is locked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// By many at once, but not while it is written.
    Read,
    Write,
}

/// Locks a log, until its file is closed.
fn lock(file: &File, path: &Path, how: Lock) -> Result<(), Error> {
    let locked = match how {
        Lock::Read => file.try_lock_shared(),
        Lock::Write => file.try_lock(),
    };
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::LogInUse { path: path.to_owned() }),
        // Some network drives have no locks: then there is one process, or luck.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(Error::LogRead { path: path.to_owned(), source }),
    }
}
