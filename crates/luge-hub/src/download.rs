//! Fetching a model's files into the cache.
//!
//! The cache has the layout of `huggingface_hub`: a file's content in `blobs`, under its
//! checksum, and links to it in `snapshots/COMMIT`, under its name. What is being fetched
//! is a file beside the blobs, `CHECKSUM.luge-part`. It grows in order, so whatever is
//! there is good to go on from; it becomes the blob when it is whole and has been
//! checked. (Other tools write their parts in other orders, hence a name of our own.)
//!
//! Each file is fetched under a lock, the one that `huggingface_hub` takes for it: who
//! comes second waits, and then finds the file there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::cache::PART;
use crate::client::{Meta, Trouble, is_hash, sleep};
use crate::files::{choose, groups};
use crate::name::HubName;
use crate::{Error, Hub};

/// How much is read at a time, in bytes.
const CHUNK: usize = 1 << 18;

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The model as it was named.
    pub name: HubName,
    /// The name with the quantisation or the file that was chosen.
    pub chosen: HubName,
    /// The commit that its files are of.
    pub commit: String,
    /// Its files, the first part first.
    pub files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path inside the repository.
    pub path: String,
    /// In bytes, if the hub tells.
    pub size: Option<u64>,
    /// How much of it is on this machine, in bytes, if that is known.
    pub present: u64,
}

impl Plan {
    /// The size of all files, in bytes, as far as the hub tells.
    pub fn size(&self) -> u64 {
        self.files.iter().filter_map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// How much is to come, in bytes, as far as the hub tells.
    pub fn missing(&self) -> u64 {
        let missing = |file: &RemoteFile| Some(file.size?.saturating_sub(file.present));
        self.files.iter().filter_map(missing).fold(0, u64::saturating_add)
    }
}

/// What happens while a model is fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A file is fetched from now on.
    Begin {
        /// Its path inside the repository.
        file: &'a str,
        /// In bytes.
        size: u64,
        /// Bytes that were there from an earlier time.
        done: u64,
    },
    /// So many bytes of the file are there.
    At(u64),
    /// The file is there, whole and checked.
    End {
        /// Its path inside the repository.
        file: &'a str,
        /// In bytes.
        size: u64,
    },
    /// The file was there already.
    Present {
        /// Its path inside the repository.
        file: &'a str,
    },
    /// Another process fetches the file; this one waits for it.
    Waiting {
        /// Its path inside the repository.
        file: &'a str,
    },
    /// Something went wrong that may pass; the next attempt is after a pause.
    Retry {
        /// What went wrong.
        error: &'a Error,
        /// How long the pause is.
        wait: Duration,
    },
}

/// Who hears what happens while a model is fetched. `()` hears nothing.
pub trait Progress {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);
}

impl Progress for () {
    fn event(&mut self, _event: Event<'_>) {}
}

impl Hub {
    /// Asks the hub which files a model has, and how large they are.
    ///
    /// # Errors
    /// Where the hub does not know the repository, the revision or the model, does not
    /// let this user in, or is not to be reached; [`Error::Interrupted`] once `stop` is
    /// true.
    pub fn plan(
        &self,
        name: &HubName,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Plan, Error> {
        if self.settings.offline {
            return Err(self.offline(name));
        }
        let info = self.info(name, progress, stop)?;
        let groups = groups(info.siblings.iter().map(|file| file.rfilename.as_str()));
        let group = choose(&name.repo, &groups, &name.file)?;
        let chosen = HubName { file: group.choice(&groups), ..name.clone() };
        if !group.is_whole() {
            return Err(Error::MissingParts {
                name: chosen.to_string(),
                found: group.files.len(),
                parts: group.parts,
                hint: " in its repository: choose another".to_owned(),
            });
        }
        let files = group.files.iter().map(|path| {
            let file = info.siblings.iter().find(|file| file.rfilename == *path);
            let etag = file.and_then(|file| file.lfs.as_ref()?.sha256.as_deref());
            let etag = etag.filter(|etag| is_hash(etag));
            RemoteFile {
                path: path.clone(),
                size: file.and_then(|file| file.size),
                present: etag.map_or(0, |etag| self.present(&name.repo, etag)),
            }
        });
        Ok(Plan { name: name.clone(), chosen, files: files.collect(), commit: info.sha })
    }

    /// Fetches what is not there yet, and returns the path of the model's first file.
    ///
    /// What an earlier attempt left is gone on from. Attempts that fail for a cut
    /// connection or a hub that is busy are repeated some times.
    ///
    /// # Errors
    /// As for [`Hub::plan`]; [`Error::Cut`], after which the same call goes on from there;
    /// [`Error::Checksum`], [`Error::NoSpace`], and [`Error::Io`]. After
    /// [`Error::Interrupted`], too, the same call goes on.
    pub fn fetch(
        &self,
        plan: &Plan,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<PathBuf, Error> {
        let mut paths = Vec::new();
        for file in &plan.files {
            let url = self.url(&plan.name, &plan.commit, &file.path);
            let meta = self.meta(&plan.name, &url, progress, stop)?;
            let download = Download { hub: self, plan, file: &file.path, url, meta };
            paths.push(download.fetch(progress, stop)?);
        }
        // Only now: a revision never points to half a model.
        self.point_to(&plan.name, &plan.commit)?;
        paths.into_iter().next().ok_or_else(|| Error::NoGguf { repo: plan.name.repo.clone() })
    }

    /// How much of a blob there is, in bytes.
    fn present(&self, repo: &str, etag: &str) -> u64 {
        let blobs = self.repo_folder(repo).join("blobs");
        let size = |path: PathBuf| fs::metadata(path).ok().map(|data| data.len());
        size(blobs.join(etag)).or_else(|| size(blobs.join(format!("{etag}.{PART}")))).unwrap_or(0)
    }
}

/// One file on its way.
struct Download<'a> {
    hub: &'a Hub,
    plan: &'a Plan,
    file: &'a str,
    url: String,
    meta: Meta,
}

/// The part of a file that is there.
struct Part {
    path: PathBuf,
    file: File,
    /// Its length, in bytes.
    done: u64,
    /// Of all of it.
    digest: Sha256,
}

impl Download<'_> {
    fn fetch(&self, progress: &mut dyn Progress, stop: &AtomicBool) -> Result<PathBuf, Error> {
        let repo = &self.plan.name.repo;
        let folder = self.hub.repo_folder(repo);
        let blob = folder.join("blobs").join(&self.meta.etag);
        let place = folder.join("snapshots").join(&self.plan.commit).join(self.file);
        let write =
            |path: &Path, source| Error::Io { what: "write", path: path.to_owned(), source };
        let locks = self.hub.locks_folder(repo);
        let make =
            |folder: &Path| fs::create_dir_all(folder).map_err(|source| write(folder, source));
        let has_size =
            |path: &Path| fs::metadata(path).is_ok_and(|data| data.len() == self.meta.size);
        // Where there are no links, the content lies in its place and nowhere else.
        let is_whole = || has_size(&blob) || has_size(&place);
        if is_whole() {
            progress.event(Event::Present { file: self.file });
        } else {
            make(&locks)?;
            let lock = locks.join(format!("{}.lock", self.meta.etag));
            let _lock = self.lock(&lock, progress, stop)?;
            if is_whole() {
                progress.event(Event::Present { file: self.file });
            } else {
                // Only now: while this waited, the repository may have been removed.
                make(&folder.join("blobs"))?;
                self.fetch_blob(&blob, progress, stop)?;
            }
        }
        if has_size(&blob) {
            // Only now, too: empty folders are tidied up.
            place.parent().map_or(Ok(()), make)?;
            link(&blob, &place).map_err(|source| write(&place, source))?;
        }
        Ok(place)
    }

    /// Takes the file's lock, for as long as the handle lives.
    fn lock(
        &self,
        path: &Path,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<File, Error> {
        let failed = |source| Error::Io { what: "lock", path: path.to_owned(), source };
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed)?;
        let mut is_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !is_told {
                        progress.event(Event::Waiting { file: self.file });
                        is_told = true;
                    }
                    sleep(Duration::from_millis(100), stop)?;
                }
                // Some network drives have no locks: then there is one process, or luck.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Fetches the content to its place among the blobs.
    fn fetch_blob(
        &self,
        blob: &Path,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let path = blob.with_file_name(format!("{}.{PART}", self.meta.etag));
        let failed = |source| Error::Io { what: "write", path: path.clone(), source };
        let (file, size) = (self.file, self.meta.size);
        let there = fs::metadata(&path).map_or(0, |data| data.len());
        let done = if there > size { 0 } else { there };
        self.check_space(blob, size - done)?;
        // Before the part is read: that of a large model takes its time.
        progress.event(Event::Begin { file, size, done });
        let mut part = Part::open(&path, stop)?;
        if part.done > size {
            part.clear().map_err(failed)?;
        }
        let mut tries = 0;
        let mut furthest = part.done;
        while part.done < size {
            if let Err(trouble) = self.receive(&mut part, progress, stop) {
                // An attempt that brought something was a good one. What comes a second
                // time is nothing: it could go on like that for ever.
                tries = if part.done > furthest { 1 } else { tries + 1 };
                furthest = furthest.max(part.done);
                let trouble = match trouble {
                    // The hub was there a moment ago.
                    Trouble::Final(error @ Error::Unreachable { .. }) => {
                        Trouble::Passing(error, None)
                    }
                    trouble => trouble,
                };
                self.hub.pause(trouble, tries, progress, stop).map_err(|error| match error {
                    Error::Unreachable { reason, .. } => {
                        Error::Cut { file: file.to_owned(), done: part.done, size, reason }
                    }
                    error => error,
                })?;
            }
        }
        let Part { file: content, digest, .. } = part;
        let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // Files that git itself keeps have a hash of another kind. Models are too large.
        if self.meta.etag.len() == found.len() && !self.meta.etag.eq_ignore_ascii_case(&found) {
            drop(content);
            fs::remove_file(&path).map_err(failed)?;
            let wanted = self.meta.etag.clone();
            return Err(Error::Checksum { file: file.to_owned(), found, wanted });
        }
        // A blob is whole even after the power went.
        content.sync_all().map_err(|error| self.write_error(&path, error))?;
        drop(content);
        fs::rename(&path, blob).map_err(failed)?;
        progress.event(Event::End { file, size });
        Ok(())
    }

    /// Receives from where the part ends until the file or the connection does.
    fn receive(
        &self,
        part: &mut Part,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<(), Trouble> {
        let write = |path: &Path, error| Trouble::Final(self.write_error(path, error));
        let opened = self.hub.open(&self.plan.name, &self.url, part.done, self.meta.size)?;
        // The file ends before the part does: it is another file's.
        let Some((reader, begins)) = opened else {
            part.clear().map_err(|error| write(&part.path, error))?;
            return Err(self.cut("the file is shorter"));
        };
        if begins != part.done {
            part.clear().map_err(|error| write(&part.path, error))?;
        }
        let mut reader = reader.take(self.meta.size - part.done);
        let mut chunk = vec![0; CHUNK];
        while part.done < self.meta.size {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Err(self.cut("the connection was closed")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.cut(&error.to_string())),
            };
            // A read may have waited for long.
            if stop.load(Ordering::Relaxed) {
                return Err(Trouble::Final(Error::Interrupted));
            }
            part.append(&chunk[..count]).map_err(|error| write(&part.path, error))?;
            progress.event(Event::At(part.done));
        }
        Ok(())
    }

    fn cut(&self, reason: &str) -> Trouble {
        let (host, reason) = (self.hub.settings.host().to_owned(), reason.to_owned());
        Trouble::Passing(Error::Unreachable { host, reason }, None)
    }

    /// Refuses what cannot fit. Where the system does not tell, writing will.
    fn check_space(&self, blob: &Path, needed: u64) -> Result<(), Error> {
        match blob.parent().map(fs4::available_space) {
            Some(Ok(free)) if free < needed => Err(self.no_space(needed, free)),
            _ => Ok(()),
        }
    }

    fn no_space(&self, needed: u64, free: u64) -> Error {
        let folder = self.hub.settings.cache.clone();
        Error::NoSpace { file: self.file.to_owned(), folder, needed, free }
    }

    fn write_error(&self, path: &Path, source: io::Error) -> Error {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let done = fs::metadata(path).map_or(0, |data| data.len());
            return self.no_space(self.meta.size.saturating_sub(done), 0);
        }
        Error::Io { what: "write", path: path.to_owned(), source }
    }
}

impl Part {
    /// Opens the part that is there, or an empty one, and reads it for its checksum.
    fn open(path: &Path, stop: &AtomicBool) -> Result<Self, Error> {
        let failed = |source| Error::Io { what: "write", path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let mut digest = Sha256::new();
        let mut done = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match file.read(&mut chunk).map_err(failed)? {
                0 => return Ok(Part { path: path.to_owned(), file, done, digest }),
                count => {
                    digest.update(&chunk[..count]);
                    done += count as u64;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.done))?;
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.digest = Sha256::new();
        self.done = 0;
        Ok(())
    }
}

/// Puts a link to a blob in its place in a snapshot, relative, so that the cache can be
/// moved. Where there are no links the blob itself goes there, as in `huggingface_hub`.
fn link(blob: &Path, place: &Path) -> io::Result<()> {
    let same =
        |place: &Path| Ok::<_, io::Error>(fs::canonicalize(place)? == fs::canonicalize(blob)?);
    if same(place).unwrap_or(false) {
        return Ok(());
    }
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Up from the file's folder to the repository's: its depth below `snapshots`, and one.
    let (repo, name) = match (blob.parent().and_then(Path::parent), blob.file_name()) {
        (Some(repo), Some(name)) => (repo, name),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let depth = place.strip_prefix(repo).map_or(0, |inside| inside.components().count() - 1);
    let mut target: PathBuf = (0..depth).map(|_| "..").collect();
    target.extend([Path::new("blobs"), Path::new(name)]);
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&target, place);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_file(&target, place);
    match linked {
        Ok(()) => Ok(()),
        // Another process has been here in between.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::rename(blob, place),
    }
}
