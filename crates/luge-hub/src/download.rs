//! Fetching files into the cache: those of a model, or one of a dataset.
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

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::cache::PART;
use crate::client::{Info, Meta, Sibling, Trouble, is_hash, sleep};
use crate::files::{choose, groups};
use crate::name::HubName;
use crate::source::Source;
use crate::{Error, Hub};

/// How much is read at a time, in bytes.
const CHUNK: usize = 1 << 18;

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is: a name with the quantisation or the file that was chosen.
    pub chosen: String,
    /// The repository that its files are in.
    pub(crate) source: Source,
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

/// What happens while files are fetched.
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

/// Who hears what happens while files are fetched. `()` hears nothing.
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
        let source = name.source();
        let info = self.info(&source, progress, stop)?;
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
        Ok(self.plan_of(source, chosen.to_string(), &group.files, &info))
    }

    /// The plan for some files of a repository that says this of itself.
    pub(crate) fn plan_of(
        &self,
        source: Source,
        chosen: String,
        files: &[String],
        info: &Info,
    ) -> Plan {
        let files = files.iter().map(|path| {
            let file = info.siblings.iter().find(|file| file.rfilename == *path);
            let etag = file.and_then(Sibling::etag).filter(|etag| is_hash(etag));
            RemoteFile {
                path: path.clone(),
                size: file.and_then(|file| file.size),
                present: etag.map_or(0, |etag| self.present(&source, etag)),
            }
        });
        Plan { chosen, files: files.collect(), commit: info.sha.clone(), source }
    }

    /// Fetches what is not there yet, and returns the path of the first file.
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
            let url = self.url(&plan.source, &plan.commit, &file.path);
            let meta = self.meta(&plan.source, &url, progress, stop)?;
            let download = Download { hub: self, plan, file: &file.path, url, meta };
            paths.push(download.fetch(progress, stop)?);
        }
        // Only now: a revision never points to half a model.
        self.point_to(&plan.source, &plan.commit)?;
        paths.into_iter().next().ok_or_else(|| Error::NoGguf { repo: plan.source.path() })
    }

    /// How much of a blob there is, in bytes.
    fn present(&self, source: &Source, etag: &str) -> u64 {
        let blobs = self.repo_folder(source).join("blobs");
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
    checksum: Checksum,
}

impl Download<'_> {
    fn fetch(&self, progress: &mut dyn Progress, stop: &AtomicBool) -> Result<PathBuf, Error> {
        let source = &self.plan.source;
        let folder = self.hub.repo_folder(source);
        let blob = folder.join("blobs").join(&self.meta.etag);
        let place = folder.join("snapshots").join(&self.plan.commit).join(self.file);
        let write =
            |path: &Path, source| Error::Io { what: "write", path: path.to_owned(), source };
        let locks = self.hub.locks_folder(source);
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
        let mut part = Part::open(&path, &self.meta, stop)?;
        if part.done > size {
            part.clear(&self.meta).map_err(failed)?;
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
        let Part { file: content, checksum, .. } = part;
        if let Some(found) = checksum.finish()
            && !self.meta.etag.eq_ignore_ascii_case(&found)
        {
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
        let opened = self.hub.open(&self.plan.source, &self.url, part.done, self.meta.size)?;
        // The file ends before the part does: it is another file's.
        let Some((reader, begins)) = opened else {
            part.clear(&self.meta).map_err(|error| write(&part.path, error))?;
            return Err(self.cut("the file is shorter"));
        };
        if begins != part.done {
            part.clear(&self.meta).map_err(|error| write(&part.path, error))?;
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
    fn open(path: &Path, meta: &Meta, stop: &AtomicBool) -> Result<Self, Error> {
        let failed = |source| Error::Io { what: "write", path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let mut checksum = Checksum::new(meta);
        let mut done = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match file.read(&mut chunk).map_err(failed)? {
                0 => return Ok(Part { path: path.to_owned(), file, done, checksum }),
                count => {
                    checksum.update(&chunk[..count]);
                    done += count as u64;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.done))?;
        self.file.write_all(bytes)?;
        self.checksum.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    fn clear(&mut self, meta: &Meta) -> io::Result<()> {
        self.file.set_len(0)?;
        self.checksum = Checksum::new(meta);
        self.done = 0;
        Ok(())
    }
}

/// The checksum that the hub gives for a file.
enum Checksum {
    Sha256(Sha256),
    /// Of files so small that git itself keeps them: as git computes it.
    Git(Sha1),
    /// One of another kind, which says nothing here.
    Unknown,
}

impl Checksum {
    fn new(meta: &Meta) -> Self {
        let is_hex = meta.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match meta.etag.len() {
            64 if is_hex => Checksum::Sha256(Sha256::new()),
            40 if is_hex => {
                let head = format!("blob {}\0", meta.size);
                Checksum::Git(Sha1::new_with_prefix(head))
            }
            _ => Checksum::Unknown,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(digest) => digest.update(bytes),
            Checksum::Git(digest) => digest.update(bytes),
            Checksum::Unknown => {}
        }
    }

    /// In hexadecimal.
    fn finish(self) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Checksum::Sha256(digest) => Some(hex(&digest.finalize())),
            Checksum::Git(digest) => Some(hex(&digest.finalize())),
            Checksum::Unknown => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    #[test]
    fn sizes_that_cannot_be_are_told_and_added_up() {
        let file = || RemoteFile { path: "a.gguf".to_owned(), size: Some(u64::MAX), present: 1 };
        let source = Source { kind: Kind::Model, repo: "org/name".to_owned(), revision: None };
        let (chosen, commit) = (source.to_string(), "0".repeat(40));
        let plan = Plan { chosen, source, commit, files: vec![file(), file()] };
        assert_eq!((plan.size(), plan.missing()), (u64::MAX, u64::MAX));
    }

    /// As `git hash-object` has it for a file with `hello` and a line break.
    #[test]
    fn small_files_have_the_checksum_that_git_gives_them() {
        let etag = "ce013625030ba8dba906f756967f9e9ca394464a".to_owned();
        let mut checksum = Checksum::new(&Meta { etag: etag.clone(), size: 6 });
        checksum.update(b"hel");
        checksum.update(b"lo\n");
        assert_eq!(checksum.finish(), Some(etag));
        let other = Meta { etag: "0123456789abcdef".to_owned(), size: 6 };
        assert_eq!(Checksum::new(&other).finish(), None);
    }
}
