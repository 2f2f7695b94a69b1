//! What can go wrong.

use std::io;
use std::path::PathBuf;

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
}
