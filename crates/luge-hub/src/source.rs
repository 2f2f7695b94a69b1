//! Repositories of Hugging Face, of models and of datasets. All that tells them apart is
//! here: their addresses, and the names of their folders in the cache.

use std::fmt;

use hf_hub::{Repo, RepoType};

/// A repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub kind: Kind,
    /// `org/name`.
    pub repo: String,
    /// A branch, a tag, or a commit; `None` for what is newest.
    pub revision: Option<String>,
}

/// What is in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

impl Source {
    /// Its path on the hub, which is its name for people, too.
    pub fn path(&self) -> String {
        match self.kind {
            Kind::Model => self.repo.clone(),
            Kind::Dataset => format!("datasets/{}", self.repo),
        }
    }

    /// Its path behind `/api/`.
    pub fn api(&self) -> String {
        match self.kind {
            Kind::Model => format!("models/{}", self.repo),
            Kind::Dataset => format!("datasets/{}", self.repo),
        }
    }

    /// What hf-hub's cache knows it as.
    pub fn cached(&self) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        match &self.revision {
            Some(revision) => Repo::with_revision(self.repo.clone(), kind, revision.clone()),
            None => Repo::new(self.repo.clone(), kind),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}
