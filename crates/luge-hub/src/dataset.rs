//! Files of datasets: `org/name/path/to/file.parquet` on Hugging Face, in the same cache
//! as models, and fetched in the same way.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::cache::{ALL, walk};
use crate::download::{Plan, Progress};
use crate::error::there_are;
use crate::files::is_inside;
use crate::name::{address, hub_address, is_word, nearest, revision_and_path};
use crate::source::{Kind, Source};
use crate::{Error, Hub};

/// A file of a dataset on Hugging Face. Shown, it is a name that [`DatasetFile::parse`]
/// reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFile {
    source: Source,
    file: String,
}

impl DatasetFile {
    /// This file of this repository, `org/name`, at a branch, a tag or a commit; without
    /// one, at what is newest.
    ///
    /// # Errors
    /// [`Error::DatasetName`].
    pub fn new(repo: &str, revision: Option<&str>, file: &str) -> Result<Self, Error> {
        let source = Source {
            kind: Kind::Dataset,
            repo: repo.to_owned(),
            revision: revision.map(str::to_owned),
        };
        let name = DatasetFile { source, file: file.to_owned() };
        match name.fault() {
            None => Ok(name),
            Some(reason) => Err(Error::DatasetName { name: name.to_string(), reason }),
        }
    }

    /// Reads `org/name/path/to/file.csv` or `org/name@revision/path/to/file.csv`, as it is
    /// or behind `datasets/`, and addresses of the site.
    ///
    /// # Errors
    /// [`Error::DatasetName`] for what can be no such name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::DatasetName { name: text.to_owned(), reason };
        let form = || wrong(FORM.to_owned());
        let behind = hub_address(text);
        let is_address = behind.is_some();
        let path = behind.unwrap_or(text);
        if path.contains("://") {
            let reason = "only addresses of huggingface.co are known; download the file, and \
                          give its path";
            return Err(wrong(reason.to_owned()));
        }
        let path = path.strip_prefix("datasets/").unwrap_or(path);
        let mut parts = path.splitn(3, '/');
        let (Some(org), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let (name, revision, file) = match name.split_once('@') {
            Some((name, begin)) => {
                let behind = format!("{begin}/{rest}");
                let (revision, file) = revision_and_path(&behind);
                (name, Some(revision.to_owned()), file.map(str::to_owned))
            }
            None => {
                let (revision, file) = address(rest, is_address);
                (name, revision, file)
            }
        };
        let file = file.ok_or_else(form)?;
        let source = Source { kind: Kind::Dataset, repo: format!("{org}/{name}"), revision };
        let name = DatasetFile { source, file };
        match name.fault() {
            None => Ok(name),
            Some(reason) => Err(wrong(reason)),
        }
    }

    /// The repository, `org/name`.
    pub fn repo(&self) -> &str {
        &self.source.repo
    }

    /// A branch, a tag, or a commit; `None` for what is newest.
    pub fn revision(&self) -> Option<&str> {
        self.source.revision.as_deref()
    }

    /// The file's path inside the repository.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let is_repo = self
            .source
            .repo
            .split_once('/')
            .is_some_and(|(org, name)| is_word(org) && is_word(name));
        if !is_repo {
            return Some(FORM.to_owned());
        }
        if self.revision().is_some_and(|revision| !revision.split('/').all(is_word)) {
            return Some("behind the @ stands a branch, a tag or a commit".to_owned());
        }
        (!is_inside(&self.file)).then(|| format!("'{}' is no path of a file", self.file))
    }
}

const FORM: &str = "files of datasets are written as datasets/org/name/path/to/file.parquet";

impl fmt::Display for DatasetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.file)
    }
}

impl Hub {
    /// Looks for a dataset's file in the cache. Without a revision, main as it was last
    /// fetched comes first, then the other snapshots, the newest first.
    pub fn find_dataset(&self, name: &DatasetFile) -> Option<PathBuf> {
        let snapshots = self.snapshot_folders(&name.source).into_iter();
        snapshots.map(|folder| folder.join(&name.file)).find(|path| path.is_file())
    }

    /// Asks the hub for a dataset's file, for [`Hub::fetch`].
    ///
    /// # Errors
    /// As for [`Hub::plan`]; [`Error::NoEntry`] names the nearest of the files that there
    /// are.
    pub fn plan_dataset(
        &self,
        name: &DatasetFile,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Plan, Error> {
        if self.settings.offline {
            let there = self.files_of(&name.source);
            let there: Vec<&str> = there.iter().map(String::as_str).collect();
            let hint = there_are(&nearest(&name.file, &there, 3));
            return Err(Error::Offline { name: name.to_string(), hint });
        }
        let info = self.info(&name.source, progress, stop)?;
        let files: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        if !files.contains(&name.file.as_str()) {
            return Err(Error::NoEntry {
                repo: name.source.path(),
                what: format!("file '{}'", name.file),
                hint: there_are(&nearest(&name.file, &files, 3)),
            });
        }
        let files = [name.file.clone()];
        Ok(self.plan_of(name.source.clone(), name.to_string(), &files, &info))
    }

    /// The files of a repository that are in the cache.
    fn files_of(&self, source: &Source) -> Vec<String> {
        let mut names = Vec::new();
        for folder in self.snapshot_folders(source) {
            let mut files = Vec::new();
            walk(&folder, ALL, &mut files);
            let inside = files.iter().filter_map(|path| path.strip_prefix(&folder).ok()?.to_str());
            names.extend(inside.map(|path| path.replace('\\', "/")));
        }
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_datasets_are_written_in_many_ways() {
        let ways = [
            ("org/name/a.csv", "datasets/org/name/a.csv"),
            ("datasets/org/name/main/test-00000-of-00001.parquet", ""),
            ("org/name@v1.0/folder/a.jsonl", "datasets/org/name@v1.0/folder/a.jsonl"),
            ("hf://datasets/org/name@dev/a.csv", "datasets/org/name@dev/a.csv"),
            ("hf:org/name/a b.csv", "datasets/org/name/a b.csv"),
            (
                "datasets/org/name@refs/convert/parquet/default/test/0000.parquet",
                "datasets/org/name@refs/convert/parquet/default/test/0000.parquet",
            ),
            (
                "https://huggingface.co/datasets/org/name/blob/main/a%20b.csv",
                "datasets/org/name/a b.csv",
            ),
            (
                "https://huggingface.co/datasets/org/name/resolve/dev/b/a.csv?download=true",
                "datasets/org/name@dev/b/a.csv",
            ),
            (
                "https://huggingface.co/datasets/org/name/blob/refs%2Fconvert%2Fparquet/a/0.parquet",
                "datasets/org/name@refs/convert/parquet/a/0.parquet",
            ),
        ];
        for (written, meant) in ways {
            let name = DatasetFile::parse(written).unwrap();
            let meant = if meant.is_empty() { written } else { meant };
            assert_eq!(name.to_string(), meant, "{written}");
            let again = DatasetFile::new(name.repo(), name.revision(), name.file()).unwrap();
            assert_eq!(again, name);
        }
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        let wrong = [
            ("", "are written as"),
            ("a.csv", "are written as"),
            ("org/name", "are written as"),
            ("datasets/org/name", "are written as"),
            ("https://huggingface.co/datasets/org/name", "are written as"),
            ("https://huggingface.co/datasets/org/name/tree/main", "are written as"),
            ("https://example.com/org/name/a.csv", "only addresses of huggingface.co"),
            ("../org/name/a.csv", "are written as"),
            ("org/na me/a.csv", "are written as"),
            ("org/name/../../a.csv", "is no path of a file"),
            ("org/name/b//a.csv", "is no path of a file"),
            ("org/name/C:/a.csv", "is no path of a file"),
            ("org/name@a..b/a.csv", "behind the @"),
            ("org/name@/a.csv", "behind the @"),
        ];
        for (name, reason) in wrong {
            let message = DatasetFile::parse(name).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains(name), "{message}");
        }
        assert!(DatasetFile::new("org", None, "a.csv").is_err());
        assert!(DatasetFile::new("a/b/c", None, "a.csv").is_err());
        assert!(DatasetFile::new("org/name", Some("a b"), "a.csv").is_err());
        assert!(DatasetFile::new("org/name", None, "../a.csv").is_err());
    }

    proptest::proptest! {
        /// Whatever is written, a name is shown as it can be written again.
        #[test]
        fn names_mean_what_they_show(
            prefix in "(hf://|https://huggingface.co/)?(datasets/)?(o/n)?",
            text in "[a-z0-9A-Z/:@.#?%~ é-]{0,20}",
        ) {
            if let Ok(name) = DatasetFile::parse(&format!("{prefix}{text}")) {
                proptest::prop_assert_eq!(DatasetFile::parse(&name.to_string()).unwrap(), name);
            }
        }
    }
}
