//! What can go wrong between a model's name and its file.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::files::human_bytes;

/// An error of this crate. Every message is one sentence that names the thing
/// and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no name of a model.
    #[error("'{name}' is no name of a model: {reason}")]
    Name {
        /// As it was written.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A name that is no name of a dataset's file.
    #[error("'{name}' is no name of a data file: {reason}")]
    DatasetName {
        /// As it was written.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Aliases that lead to each other.
    #[error("the alias '{}' leads back to itself: {}", .0[0], .0.join(" → "))]
    AliasCycle(Vec<String>),

    /// A file that is not there.
    #[error("there is no model file '{}'{hint}", path.display())]
    NoFile {
        /// As it was written.
        path: PathBuf,
        /// What may have been meant: nothing, or the rest of the sentence.
        hint: String,
    },

    /// There is no home directory, so no cache.
    #[error("there is no home directory for the cache of models: set HF_HOME to a folder")]
    NoHome,

    /// A model that is not on this machine, with nothing to be asked of the network.
    #[error("'{name}' is not on this machine, and luge is offline{hint}")]
    Offline {
        /// The model.
        name: String,
        /// What is there instead: nothing, or the rest of the sentence.
        hint: String,
    },

    /// A model that is not in the cache.
    #[error("'{name}' is not in the cache of Hugging Face's models{hint}")]
    NotCached {
        /// The model.
        name: String,
        /// What is there instead: nothing, or the rest of the sentence.
        hint: String,
    },

    /// The repository does not exist, or is not shown to this user.
    #[error(
        "there is no repository '{repo}' at {host}{}",
        if *.with_token { ", or your HF_TOKEN may not see it" }
        else { "; if it is private, set HF_TOKEN" }
    )]
    NoRepo {
        /// The repository.
        repo: String,
        /// The host that was asked.
        host: String,
        /// Whether a token was sent.
        with_token: bool,
    },

    /// The repository has no such revision.
    #[error("the repository '{repo}' has no revision '{revision}': leave it out for the newest")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },

    /// The repository has no such file, or no model of such a tag.
    #[error("the repository '{repo}' has no {what}{hint}")]
    NoEntry {
        /// The repository.
        repo: String,
        /// What was asked for.
        what: String,
        /// What is there instead: nothing, or the rest of the sentence.
        hint: String,
    },

    /// The repository holds no model that luge can read.
    #[error(
        "the repository '{repo}' has no GGUF model: look for one named {}-GGUF, which others may have made from it",
        .repo.split_once('/').map_or(.repo.as_str(), |(_, name)| name)
    )]
    NoGguf {
        /// The repository.
        repo: String,
    },

    /// A name that fits several models.
    #[error("'{name}' can be several models: name one of {}", some(.choices))]
    Ambiguous {
        /// The name.
        name: String,
        /// What to write instead.
        choices: Vec<String>,
    },

    /// A split model that lacks parts.
    #[error("the split model '{name}' has {found} of {parts} parts{hint}")]
    MissingParts {
        /// The model.
        name: String,
        /// How many parts there are.
        found: usize,
        /// How many there should be.
        parts: usize,
        /// The way out: nothing, or the rest of the sentence.
        hint: String,
    },

    /// The hub does not let this user in.
    #[error("{}", gated(.repo, .page, *.gate))]
    Gated {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// What stands in the way.
        gate: Gate,
    },

    /// The hub wants fewer requests.
    #[error(
        "{host} refuses more requests for now{}: try again later{}",
        .wait.map(|wait| format!(" and asks to wait {} seconds", wait.as_secs())).unwrap_or_default(),
        if *.with_token { "" } else { ", or set HF_TOKEN, which allows for more" }
    )]
    TooMany {
        /// The host.
        host: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
        /// Whether a token was sent.
        with_token: bool,
    },

    /// The hub answered with an error of its own, again and again.
    #[error("{host} answers with error {status}{}: try again later", title(*.status))]
    Server {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
    },

    /// No connection to the hub.
    #[error(
        "cannot reach {host} ({reason}): check the network, or work with what is on this machine (luge list, --offline)"
    )]
    Unreachable {
        /// The host.
        host: String,
        /// What went wrong.
        reason: String,
    },

    /// An address of a hub that is none.
    #[error("HF_ENDPOINT is '{endpoint}', which is no address of a hub: {reason}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The hub says something that luge does not understand.
    #[error("{host} answers with what luge does not understand ({reason}): check HF_ENDPOINT")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong with the answer.
        reason: String,
    },

    /// The connection was cut again and again.
    #[error(
        "the download of '{file}' was cut off at {} of {} ({reason}): the same command goes on from there",
        human_bytes(*.done), human_bytes(*.size)
    )]
    Cut {
        /// The file.
        file: String,
        /// Bytes that are there.
        done: u64,
        /// Bytes of the whole.
        size: u64,
        /// What went wrong.
        reason: String,
    },

    /// What came is not what the hub said would come.
    #[error(
        "the download of '{file}' was damaged on its way (its checksum is {found}, not {wanted}) and has been removed: fetch it again"
    )]
    Checksum {
        /// The file.
        file: String,
        /// SHA-256 of what came.
        found: String,
        /// SHA-256 that the hub gives.
        wanted: String,
    },

    /// The disk is too small.
    #[error(
        "there is no room for '{file}' in '{}': it needs {} more, and {} are free; HF_HOME names another folder",
        folder.display(), human_bytes(*.needed), human_bytes(*.free)
    )]
    NoSpace {
        /// The file.
        file: String,
        /// The cache.
        folder: PathBuf,
        /// Bytes still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// The cache or the store cannot be read or written.
    #[error("cannot {what} '{}': {source}", path.display())]
    Io {
        /// What was tried: "read", "write".
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// ollama has no such model.
    #[error("ollama has no model '{name}'{hint}")]
    NoOllama {
        /// The model.
        name: String,
        /// What is there instead, or how to get it: the rest of the sentence.
        hint: String,
    },

    /// A model of ollama's is not as it should be.
    #[error("ollama's model '{name}' cannot be used: {reason}")]
    Ollama {
        /// The model.
        name: String,
        /// Why not.
        reason: String,
    },

    /// The caller wanted an end.
    #[error("interrupted")]
    Interrupted,
}

/// What stands between a user and a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// No token was sent.
    NoToken,
    /// The token is not valid.
    BadToken,
    /// The licence has not been accepted, or the token has no right to read.
    NotGranted,
}

impl Error {
    /// Whether the request was at fault, as opposed to files, network or machine.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::Name { .. }
                | Error::DatasetName { .. }
                | Error::AliasCycle(_)
                | Error::Ambiguous { .. }
                | Error::Endpoint { .. }
        )
    }
}

fn gated(repo: &str, page: &str, gate: Gate) -> String {
    match gate {
        Gate::NoToken => format!(
            "the repository '{repo}' is not open to all: accept its licence at {page} if it asks \
             for that, and set HF_TOKEN to a token of your account"
        ),
        Gate::BadToken => format!(
            "the repository '{repo}' was refused for your token: HF_TOKEN (or the token that is \
             stored) is not valid, make another in the settings of your account"
        ),
        Gate::NotGranted => format!(
            "the repository '{repo}' is not open to your token: accept its licence at {page}, and \
             let HF_TOKEN be a token that may read it"
        ),
    }
}

/// What the commonest statuses mean.
fn title(status: u16) -> &'static str {
    match status {
        500 => " (internal error)",
        502 | 504 => " (bad gateway)",
        503 => " (service unavailable)",
        _ => "",
    }
}

/// The names in a line, and how many there are where these are too many.
fn some(names: &[String]) -> String {
    const MOST: usize = 12;
    let shown = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        others => format!("{shown}, or {others} others"),
    }
}

/// The names as the rest of a sentence; nothing where there are none.
pub(crate) fn there_are(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("; there is {name}"),
        names => format!("; there are {}", names.join(", ")),
    }
}
