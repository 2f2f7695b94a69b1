//! What can go wrong.

use std::io;
use std::path::PathBuf;

use crate::log::Shard;

/// What can go wrong, in one sentence with the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file of questions that cannot be used as a whole.
    #[error("the data '{name}' cannot be used: {what}")]
    Data {
        /// The file's name.
        name: String,
        /// What is wrong, and the way out.
        what: String,
    },

    /// A task's definition that is none.
    #[error(
        "the task '{file}'{} is not right: {what}",
        line.map(|line| format!(", line {line},")).unwrap_or_default()
    )]
    Definition {
        /// The file's name.
        file: String,
        /// The line, from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong, with the name of the key.
        what: String,
    },

    /// A task that is not built in.
    #[error("there is no task '{name}'{hint}: there are {}, or give a .toml file", names.join(", "))]
    UnknownTask {
        /// As it was written.
        name: String,
        /// What may have been meant: nothing, or a part of the sentence.
        hint: String,
        /// The built-in ones.
        names: Vec<String>,
    },

    /// A file that is no `results.json`.
    #[error(
        "{name} is not a results.json of this version of luge ({why}); give the one that luge \
         eval wrote, or make it again from its documents with luge eval merge"
    )]
    NotResults {
        /// What the file is called.
        name: String,
        /// What is wrong with it.
        why: String,
    },

    /// What should be a part of a run is none.
    #[error("'{text}' is no part of a run: {reason}")]
    Shard {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },

    /// What should be a parameter with the values to try is none.
    #[error("the grid '{text}' is none: {what}; write NAME=VALUE,VALUE, as in evolution-rate=1,2")]
    Grid {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        what: String,
    },

    /// A log cannot be read.
    #[error("cannot read the log '{}': {source}", path.display())]
    LogRead {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A folder for a run that cannot be made.
    #[error("cannot make the folder '{}' ({source}): choose another --out", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A log cannot be written.
    #[error(
        "cannot write the log '{}' ({source}): what is in it stays, and the same command goes on from there",
        path.display()
    )]
    LogWrite {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Another process has the log.
    #[error(
        "another luge is writing '{}': wait until it has ended, or choose another --out",
        path.display()
    )]
    LogInUse {
        /// The log.
        path: PathBuf,
    },

    /// A file that lies where the log would, or is given as one.
    #[error(
        "'{}' is no log of luge eval, or its first line is damaged: remove it, or choose another --out",
        path.display()
    )]
    NoLog {
        /// The file.
        path: PathBuf,
    },

    /// A log whose first line this version cannot read.
    #[error(
        "'{}' is the log of luge {version}: go on with that version, or choose another --out",
        path.display()
    )]
    OtherVersion {
        /// The log.
        path: PathBuf,
        /// The version that wrote it.
        version: String,
    },

    /// The log of another run lies where this one's would.
    #[error(
        "'{}' is the log of another run ({difference}): choose another --out, or remove it",
        path.display()
    )]
    OtherRun {
        /// The log.
        path: PathBuf,
        /// The first part in which they differ.
        difference: String,
    },

    /// Nothing to merge.
    #[error(
        "there is no log of luge eval in '{}': give the folder that its --out named",
        path.display()
    )]
    NoLogs {
        /// The folder.
        path: PathBuf,
    },

    /// Logs that are not of one run.
    #[error(
        "'{}' and '{}' are not parts of one run ({difference}): merge those that are",
        first.display(), second.display()
    )]
    Mixed {
        /// A log.
        first: PathBuf,
        /// One that does not fit it.
        second: PathBuf,
        /// The first part in which the second differs.
        difference: String,
    },

    /// Two logs say different things of one document.
    #[error(
        "'{}' and '{}' disagree on '{id}' of the task {task}: leave out the one that is wrong",
        first.display(), second.display()
    )]
    Disagree {
        /// The task.
        task: String,
        /// The document.
        id: String,
        /// A log.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },

    /// Documents that no log has.
    #[error("{}", incomplete(.missing))]
    Incomplete {
        /// The parts that lack some: how many, and of how many. At least one.
        missing: Vec<(Shard, usize, usize)>,
    },
}

impl Error {
    /// Whether the request was at fault, rather than a file or the machine.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::UnknownTask { .. }
                | Error::Shard { .. }
                | Error::Grid { .. }
                | Error::OtherRun { .. }
        )
    }
}

fn incomplete(missing: &[(Shard, usize, usize)]) -> String {
    const NAMED: usize = 8;
    if let [(part, lacking, all)] = missing
        && part.is_whole()
    {
        return format!(
            "{lacking} of the run's {all} documents are missing: the same command goes on with it"
        );
    }
    let named = missing.iter().take(NAMED);
    let named = named.map(|(part, lacking, all)| format!("{lacking} of {all} of part {part}"));
    let others = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        others => format!(", and some of {others} other parts"),
    };
    format!(
        "documents are missing ({}{others}): run each of these parts once more, with --shard",
        named.collect::<Vec<_>>().join(", ")
    )
}
