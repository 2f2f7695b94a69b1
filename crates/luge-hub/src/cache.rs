//! The cache that Hugging Face's tools share: what is there, and removing from it.
//!
//! ```text
//! hub/models--org--name/refs/main                 the commit that main was at
//!                      /snapshots/COMMIT/a.gguf   a link to
//!                      /blobs/CHECKSUM            the content
//! hub/.locks/models--org--name/CHECKSUM.lock      held while it is fetched
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::there_are;
use crate::files::{FileGroup, choose, groups};
use crate::name::{FileChoice, HubName, nearest};
use crate::source::Source;
use crate::{Error, Hub};

/// What the names of files end in that are being fetched.
pub(crate) const PART: &str = "luge-part";

/// How deep folders in a repository may lie in each other, for its models to be found.
const DEPTH: usize = 4;

/// Where all files matter, however deep they lie.
pub(crate) const ALL: usize = usize::MAX;

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// A name that finds it.
    pub name: HubName,
    /// Its files, of which some may be missing.
    pub group: FileGroup,
    /// The snapshot that they lie in.
    snapshot: PathBuf,
}

impl CachedModel {
    /// The path of its first file.
    pub fn path(&self) -> PathBuf {
        self.snapshot.join(self.group.first())
    }

    /// The paths of all its files.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.group.files.iter().map(|file| self.snapshot.join(file))
    }
}

/// What removing a model will do.
#[derive(Debug)]
pub struct Removal {
    /// The model.
    pub name: HubName,
    /// The links and files to remove.
    files: Vec<PathBuf>,
    /// The contents to remove, with their sizes in bytes.
    blobs: Vec<(PathBuf, u64)>,
    /// Bytes that stay, as other snapshots use them.
    pub shared: u64,
    /// Whether it is no model but what interrupted downloads left.
    pub is_rest: bool,
    repo: PathBuf,
}

/// A snapshot of a repository in the cache.
struct Snapshot {
    commit: String,
    folder: PathBuf,
    groups: Vec<FileGroup>,
}

impl Hub {
    /// The folder of a repository.
    pub(crate) fn repo_folder(&self, source: &Source) -> PathBuf {
        self.cache.path().join(source.cached().folder_name())
    }

    /// The folder of a repository's locks.
    pub(crate) fn locks_folder(&self, source: &Source) -> PathBuf {
        self.cache.path().join(".locks").join(source.cached().folder_name())
    }

    /// Notes that a revision is at a commit.
    pub(crate) fn point_to(&self, source: &Source, commit: &str) -> Result<(), Error> {
        // A commit stays where it is.
        if source.revision.as_deref().is_some_and(|revision| is_short_for(revision, commit)) {
            return Ok(());
        }
        let repo = source.cached();
        let path = self.repo_folder(source).join("refs").join(repo.revision());
        // A cache that others own can be read only, and have all.
        if fs::read_to_string(&path).is_ok_and(|known| known.trim() == commit) {
            return Ok(());
        }
        self.cache.repo(repo).create_ref(commit).map_err(|source| Error::Io {
            what: "write",
            path,
            source,
        })
    }

    /// Looks for a model in the cache. Without a revision, main as it was last fetched
    /// comes first, then the other snapshots, the newest first.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] if the name fits several.
    pub fn find(&self, name: &HubName) -> Result<Option<CachedModel>, Error> {
        for snapshot in self.snapshots(name) {
            let whole: Vec<_> = snapshot.groups.into_iter().filter(FileGroup::is_whole).collect();
            match choose(&name.repo, &whole, &name.file) {
                Ok(group) => {
                    return Ok(Some(CachedModel {
                        name: name.clone(),
                        group: group.clone(),
                        snapshot: snapshot.folder,
                    }));
                }
                Err(error @ Error::Ambiguous { .. }) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// All models in the cache, by name.
    pub fn cached(&self) -> Vec<CachedModel> {
        let mut repos: Vec<String> = entries(self.cache.path())
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.strip_prefix("models--")?.to_owned();
                let (org, name) = name.split_once("--")?;
                Some(format!("{org}/{name}"))
            })
            .collect();
        repos.sort();
        repos.iter().flat_map(|repo| self.cached_of(repo)).collect()
    }

    /// The models of one repository in the cache.
    pub fn cached_of(&self, repo: &str) -> Vec<CachedModel> {
        let plain = HubName { repo: repo.to_owned(), revision: None, file: FileChoice::Default };
        let mut models: Vec<CachedModel> = Vec::new();
        // The same content in two snapshots is one model; the same name is not.
        let mut contents = BTreeSet::new();
        let mut names = BTreeSet::new();
        for Snapshot { commit, folder, groups } in self.snapshots(&plain) {
            for group in &groups {
                let content = fs::canonicalize(folder.join(group.first())).ok();
                if !contents.insert((content, group.files.len())) {
                    continue;
                }
                let file = group.choice(&groups);
                let mut name = HubName { file, ..plain.clone() };
                if !names.insert(name.to_string()) {
                    name.revision = Some(commit.chars().take(12).collect());
                }
                models.push(CachedModel { name, group: group.clone(), snapshot: folder.clone() });
            }
        }
        models
    }

    /// Why a model cannot be had offline, with what there is of its repository.
    pub(crate) fn offline(&self, name: &HubName) -> Error {
        let models = self.cached_of(&name.repo);
        let (whole, broken): (Vec<_>, Vec<_>) =
            models.into_iter().partition(|model| model.group.is_whole());
        if let (FileChoice::Tag(_) | FileChoice::Default, Some(model)) =
            (&name.file, broken.first())
            && (whole.is_empty() || model.name.to_string().eq_ignore_ascii_case(&name.to_string()))
        {
            return Error::MissingParts {
                name: model.name.to_string(),
                found: model.group.files.len(),
                parts: model.group.parts,
                hint: " on this machine, and luge is offline".to_owned(),
            };
        }
        let there: Vec<String> = whole.iter().map(|model| model.name.to_string()).collect();
        let there: Vec<&str> = there.iter().map(String::as_str).collect();
        let name = name.to_string();
        Error::Offline { hint: there_are(&nearest(&name, &there, 5)), name }
    }

    /// Finds what removing a model comes to: its links, and the contents that no other
    /// link leads to. Without a revision these are its links in every snapshot that has
    /// the same contents under the same names; with one, those of that snapshot.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] if the repository has several models and the name tells no
    /// one of them; [`Error::NotCached`] if it is not there.
    pub fn removal(&self, name: &HubName) -> Result<Removal, Error> {
        let source = name.source();
        let repo = self.repo_folder(&source);
        let snapshots = self.snapshots(name);
        let models = self.cached_of(&name.repo);
        if name.file == FileChoice::Default && name.revision.is_none() && models.len() > 1 {
            return Err(Error::Ambiguous {
                name: name.to_string(),
                choices: models.iter().map(|model| model.name.to_string()).collect(),
            });
        }
        let mut found = None;
        for snapshot in &snapshots {
            match choose(&name.repo, &snapshot.groups, &name.file) {
                Ok(group) => {
                    found = Some((snapshot, group));
                    break;
                }
                Err(error @ Error::Ambiguous { .. }) => return Err(error),
                Err(_) => {}
            }
        }
        let Some((snapshot, group)) = found else {
            let parts = parts(&repo, &self.locks_folder(&source));
            if models.is_empty() && !parts.is_empty() {
                let name = HubName { file: FileChoice::Default, ..name.clone() };
                return Ok(Removal {
                    name,
                    files: Vec::new(),
                    blobs: parts,
                    shared: 0,
                    is_rest: true,
                    repo,
                });
            }
            let there: Vec<String> =
                self.cached().iter().map(|model| model.name.to_string()).collect();
            let there: Vec<&str> = there.iter().map(String::as_str).collect();
            let hint = there_are(&nearest(&name.to_string(), &there, 3));
            return Err(Error::NotCached { name: name.to_string(), hint });
        };
        let mut files: BTreeSet<PathBuf> =
            group.files.iter().map(|file| snapshot.folder.join(file)).collect();
        let contents: BTreeSet<PathBuf> = files.iter().filter_map(|path| content(path)).collect();
        if name.revision.is_none() {
            let others = snapshots
                .iter()
                .flat_map(|other| group.files.iter().map(|file| other.folder.join(file)));
            let is_same = |path: &PathBuf| content(path).is_some_and(|it| contents.contains(&it));
            files.extend(others.filter(is_same));
        }
        let mut others = Vec::new();
        walk(&repo.join("snapshots"), ALL, &mut others);
        let others: BTreeSet<PathBuf> = others
            .iter()
            .filter(|path| !files.contains(*path))
            .filter_map(|path| content(path))
            .collect();
        // What lies elsewhere is someone's own, however it came that a link leads there.
        let root = fs::canonicalize(&repo).ok();
        let is_own = |path: &PathBuf| root.as_ref().is_some_and(|root| path.starts_with(root));
        let mut blobs = Vec::new();
        let mut shared = 0;
        for content in contents.into_iter().filter(is_own) {
            let size = fs::symlink_metadata(&content).map_or(0, |data| data.len());
            if others.contains(&content) {
                shared += size;
            } else {
                blobs.push((content, size));
            }
        }
        let files = files.into_iter().collect();
        let models_left = models.len() > 1;
        if !models_left && shared == 0 {
            blobs.extend(parts(&repo, &self.locks_folder(&source)));
        }
        let file = group.choice(&snapshot.groups);
        let name = HubName { file, ..name.clone() };
        Ok(Removal { name, files, blobs, shared, is_rest: false, repo })
    }

    /// The folders of snapshots that a source may mean, in the order in which they are
    /// looked at.
    pub(crate) fn snapshot_folders(&self, source: &Source) -> Vec<PathBuf> {
        let repo = self.repo_folder(source);
        let at = |revision: &str| {
            let commit = fs::read_to_string(repo.join("refs").join(revision)).ok()?;
            Some(commit.trim().to_owned())
        };
        let mut folders: Vec<PathBuf> = entries(&repo.join("snapshots")).collect();
        match &source.revision {
            Some(revision) => {
                let wanted = at(revision).unwrap_or_else(|| revision.clone());
                folders.retain(|folder| {
                    let commit = commit(folder).unwrap_or_default();
                    commit == wanted || is_short_for(&wanted, &commit)
                });
            }
            None => {
                let main = at("main");
                let age =
                    |folder: &PathBuf| fs::metadata(folder).and_then(|data| data.modified()).ok();
                folders.sort_by_key(|folder| {
                    let is_main = main.is_some() && commit(folder) == main;
                    (!is_main, std::cmp::Reverse(age(folder)), folder.clone())
                });
            }
        }
        folders
    }

    /// The snapshots with models that a name may mean, in the same order.
    fn snapshots(&self, name: &HubName) -> Vec<Snapshot> {
        let snapshot = |folder: PathBuf| {
            let mut files = Vec::new();
            walk(&folder, DEPTH, &mut files);
            // A link that leads nowhere is no file.
            let files: Vec<String> = files
                .iter()
                .filter(|path| path.is_file())
                .filter_map(|path| {
                    Some(path.strip_prefix(&folder).ok()?.to_str()?.replace('\\', "/"))
                })
                .collect();
            let groups = groups(files.iter().map(String::as_str));
            Some(Snapshot { commit: commit(&folder)?, groups, folder })
        };
        self.snapshot_folders(&name.source()).into_iter().filter_map(snapshot).collect()
    }
}

impl Removal {
    /// How much will be free, in bytes.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }

    /// Removes it, and the folders and references that are left with nothing.
    ///
    /// # Errors
    /// [`Error::Io`] for the first file that cannot be removed.
    pub fn remove(self) -> Result<u64, Error> {
        let bytes = self.bytes();
        // The links first: a link that leads nowhere would be worse than a lost blob.
        for path in self.files.iter().chain(self.blobs.iter().map(|(path, _)| path)) {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Io { what: "remove", path: path.clone(), source });
                }
                _ => {}
            }
        }
        for snapshot in entries(&self.repo.join("snapshots")).collect::<Vec<_>>() {
            prune(&snapshot);
            if !snapshot.exists() {
                let commit = snapshot.file_name().and_then(OsStr::to_str).unwrap_or_default();
                remove_refs(&self.repo.join("refs"), commit);
            }
        }
        let is_empty = |folder: &str| entries(&self.repo.join(folder)).next().is_none();
        if is_empty("snapshots") && is_empty("blobs") {
            // What is known of the repository, and of what it does not have. What cannot be
            // tidied up takes no room.
            for known in ["refs", ".no_exist"] {
                let _ = fs::remove_dir_all(self.repo.join(known));
            }
            prune(&self.repo);
        }
        Ok(bytes)
    }
}

/// The commit that a snapshot is of.
fn commit(folder: &Path) -> Option<String> {
    folder.file_name().and_then(OsStr::to_str).map(str::to_owned)
}

/// Whether a revision is a commit, or the first digits of one: seven, as for git.
fn is_short_for(revision: &str, commit: &str) -> bool {
    revision.len() >= 7 && commit.starts_with(revision)
}

/// Where the content of a file in a snapshot lies: among the blobs, or right there where
/// there are no links. A blob may be a link too, to where someone has put it; what that
/// leads to does not belong to the cache.
fn content(path: &Path) -> Option<PathBuf> {
    let place = match fs::read_link(path) {
        Ok(target) => path.parent()?.join(target),
        Err(_) => path.to_owned(),
    };
    Some(fs::canonicalize(place.parent()?).ok()?.join(place.file_name()?))
}

/// Removes a folder and those in it, as far as there are no files.
fn prune(folder: &Path) {
    for path in entries(folder) {
        if fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir()) {
            prune(&path);
        }
    }
    // It may not be empty.
    let _ = fs::remove_dir(folder);
}

/// Removes the references that lead to a commit.
fn remove_refs(folder: &Path, commit: &str) {
    let mut refs = Vec::new();
    walk(folder, DEPTH, &mut refs);
    for path in refs {
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == commit) {
            let _ = fs::remove_file(path);
        }
    }
}

/// What interrupted downloads left in a repository's folder, with sizes in bytes. What is
/// being fetched just now is no rest.
fn parts(repo: &Path, locks: &Path) -> Vec<(PathBuf, u64)> {
    let is_held = |path: &Path| {
        let lock = path.file_stem().and_then(|etag| etag.to_str());
        let lock = lock.and_then(|etag| File::open(locks.join(format!("{etag}.lock"))).ok());
        lock.is_some_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    };
    entries(&repo.join("blobs"))
        .filter(|path| path.extension().is_some_and(|extension| extension == PART))
        .filter(|path| !is_held(path))
        .map(|path| {
            let size = fs::metadata(&path).map_or(0, |data| data.len());
            (path, size)
        })
        .collect()
}

/// What is in a folder; nothing if it cannot be read.
pub(crate) fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// Collects the files below a folder, links included, in order.
pub(crate) fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = entries(folder).collect();
    paths.sort();
    for path in paths {
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir());
        if !is_folder {
            files.push(path);
        } else if depth > 0 {
            walk(&path, depth - 1, files);
        }
    }
}
