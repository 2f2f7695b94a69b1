//! The model that is part of the library, unpacked to a file: llama.cpp maps
//! its models from files.
//!
//! The file is kept in the user's cache, as in
//! `~/.cache/luge/atlas-0123456789abcdef.gguf`. The digits are the beginning of
//! the model's checksum, so that versions never meet. Where the cache cannot be
//! used, each use unpacks a temporary file.
//!
//! A file in the cache is compared with the bytes in the program before each
//! use, and written anew if it differs. Comparing misses nothing and needs no
//! trust in a checksum, and it is faster: for eight megabytes 3 to 4 ms, where
//! SHA-256 takes 7, or 20 on a processor without instructions for it. Files are
//! written under another name and then renamed, so that no process finds half a
//! file, and one that has the old file mapped keeps it. As with any cache,
//! whoever may write to it is trusted.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use luge_llama::{Model, ModelParams};
use tempfile::{NamedTempFile, TempPath};

use crate::Error;

/// The questions that the model was not trained on, a line of JSON each: the data of the
/// evaluation task `atlas`.
pub const QUESTIONS: &str = luge_atlas::QUESTIONS;

/// The model's name.
pub const NAME: &str = luge_atlas::NAME;

/// How much of a file is compared at a time, in bytes.
const CHUNK: usize = 1 << 16;

/// Loads the model that is built in.
///
/// # Errors
/// [`Error::Unpack`], and what [`Model::load`] reports.
pub fn load(params: &ModelParams) -> Result<Model, Error> {
    let file = unpack()?;
    // A temporary file goes when this function ends. Only Windows does not
    // delete what is mapped, so there it is read.
    let mmap = params.mmap && !(cfg!(windows) && file.is_temporary());
    Ok(Model::load(&file, &ModelParams { mmap, ..params.clone() })?)
}

/// The model that is built in, as a file.
///
/// # Errors
/// [`Error::Unpack`] if there is no place for it.
pub fn unpack() -> Result<ModelFile, Error> {
    let (checksum, _) = luge_atlas::SHA256.split_at(16);
    let name = format!("{NAME}-{checksum}.gguf");
    // A relative one would be another in every folder.
    let cache = dirs::cache_dir().filter(|cache| cache.is_absolute());
    let cache = cache.map(|cache| cache.join("luge"));
    unpack_into(luge_atlas::GGUF, &name, cache.as_deref(), &env::temp_dir())
}

/// The path of an unpacked model.
///
/// A temporary file is deleted when this is dropped. A model that has been
/// loaded from it stays whole, except on Windows, where the file cannot be
/// deleted as long as the model has it mapped, and stays behind.
#[derive(Debug)]
pub struct ModelFile(Place);

#[derive(Debug)]
enum Place {
    Cache(PathBuf),
    Temporary(TempPath),
}

impl ModelFile {
    /// Whether the file is deleted in the end, as the cache could not be used.
    pub fn is_temporary(&self) -> bool {
        matches!(self.0, Place::Temporary(_))
    }
}

impl Deref for ModelFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        match &self.0 {
            Place::Cache(path) => path,
            Place::Temporary(path) => path,
        }
    }
}

impl AsRef<Path> for ModelFile {
    fn as_ref(&self) -> &Path {
        self
    }
}

/// Bytes as a file: of this name in the cache, or else among the temporary
/// files.
fn unpack_into(
    bytes: &[u8],
    name: &str,
    cache: Option<&Path>,
    temporary: &Path,
) -> Result<ModelFile, Error> {
    let reason = match cache.map(|cache| (cache, cached(bytes, name, cache))) {
        Some((_, Ok(path))) => return Ok(ModelFile(Place::Cache(path))),
        Some((cache, Err(error))) => format!("'{}': {error}", cache.join(name).display()),
        None => "there is no home directory".to_owned(),
    };
    tracing::debug!("{NAME} goes into a temporary file, as the cache cannot be used ({reason})");
    let mut builder = tempfile::Builder::new();
    // Only for this user: others may write where this lies.
    builder.prefix(name.trim_end_matches("gguf")).suffix(".gguf");
    let file = written(bytes, &builder, temporary);
    let file = file.map_err(|source| Error::Unpack { cache: reason, source })?;
    Ok(ModelFile(Place::Temporary(file.into_temp_path())))
}

/// The path of a file in the cache that holds these bytes; it is written unless
/// it does.
fn cached(bytes: &[u8], name: &str, cache: &Path) -> io::Result<PathBuf> {
    let path = cache.join(name);
    if is_copy(&path, bytes)? {
        return Ok(path);
    }
    fs::create_dir_all(cache)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".tmp");
    // Temporary files are for their owner alone. A cache may be shared, and the
    // model is no secret: whoever may read new files may read this one.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = written(bytes, &builder, cache)?;
    // Otherwise the new name may be on the disk before the bytes are.
    file.as_file().sync_all()?;
    match file.persist(&path) {
        Ok(_) => Ok(path),
        // Windows does not replace a file that is mapped: perhaps another
        // process was quicker and already works with it.
        Err(_) if is_copy(&path, bytes)? => Ok(path),
        Err(refused) => Err(refused.error),
    }
}

/// A new file with these bytes.
fn written(
    bytes: &[u8],
    builder: &tempfile::Builder<'_, '_>,
    folder: &Path,
) -> io::Result<NamedTempFile> {
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Whether a file holds these bytes. If not, it may be replaced; an error says
/// that it may not, as it is something that was not put there by us.
fn is_copy(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !there.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    if there.len() != bytes.len() as u64 {
        return Ok(false);
    }
    // What cannot be read is no better than what is damaged.
    Ok(File::open(path).and_then(|file| holds(file, bytes)).unwrap_or(false))
}

/// Whether a file holds these bytes and no more.
fn holds(mut file: impl Read, bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    for chunk in bytes.chunks(CHUNK) {
        let read = &mut buffer[..chunk.len()];
        file.read_exact(read)?;
        if read != chunk {
            return Ok(false);
        }
    }
    Ok(file.read(&mut buffer)? == 0)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::{TempDir, tempdir};

    use super::*;

    const FILE: &str = "model-0123456789abcdef.gguf";

    /// Several chunks and a bit.
    fn bytes() -> Vec<u8> {
        (0..3 * CHUNK + 1234).map(|index| (index * 31 % 251) as u8).collect()
    }

    /// Folders for one test: one for the cache, which is not there yet, and one
    /// for temporary files.
    struct Folders {
        root: TempDir,
        temporary: TempDir,
    }

    impl Folders {
        fn new() -> Self {
            Folders { root: tempdir().unwrap(), temporary: tempdir().unwrap() }
        }

        fn cache(&self) -> PathBuf {
            self.root.path().join("cache/luge")
        }

        fn unpack(&self) -> Result<ModelFile, Error> {
            unpack_into(&bytes(), FILE, Some(&self.cache()), self.temporary.path())
        }

        /// Unpacks it into the cache.
        #[track_caller]
        fn cached(&self) -> ModelFile {
            let file = self.unpack().unwrap();
            assert!(!file.is_temporary(), "{file:?}");
            assert_eq!(&*file, self.cache().join(FILE));
            assert_eq!(listing(&self.cache()), [FILE]);
            assert!(fs::read(&file).unwrap() == bytes());
            file
        }

        /// Unpacks it into a temporary file, which is gone in the end.
        #[track_caller]
        fn not_cached(&self) {
            let file = self.unpack().unwrap();
            assert!(file.is_temporary(), "{file:?}");
            assert_eq!(file.parent(), Some(self.temporary.path()));
            assert!(fs::read(&file).unwrap() == bytes());
            drop(file);
            assert!(listing(self.temporary.path()).is_empty());
        }
    }

    /// The names in a folder.
    fn listing(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[cfg(unix)]
    fn inode(path: &Path) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
    }

    #[test]
    fn the_first_use_writes_and_the_second_does_not() {
        let folders = Folders::new();
        let file = folders.cached();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        #[cfg(unix)]
        let inode_before = inode(&file);
        assert_eq!(&*folders.cached(), &*file);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
        #[cfg(unix)]
        assert_eq!(inode(&file), inode_before);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let flipped = |index: usize| {
            let mut bytes = bytes();
            bytes[index] ^= 1;
            bytes
        };
        let length = bytes().len();
        let damaged = [
            flipped(0),
            flipped(CHUNK),
            flipped(length - 1),
            bytes()[..length - 1].to_vec(),
            bytes()[..CHUNK].to_vec(),
            [bytes(), vec![0]].concat(),
            Vec::new(),
        ];
        let folders = Folders::new();
        fs::create_dir_all(folders.cache()).unwrap();
        for bytes in damaged {
            fs::write(folders.cache().join(FILE), bytes).unwrap();
            folders.cached();
        }
    }

    #[test]
    fn a_file_that_grows_or_shrinks_while_it_is_read_is_no_copy() {
        let bytes = bytes();
        assert!(holds(&bytes[..], &bytes).unwrap());
        assert!(!holds(&[&bytes[..], &[0]].concat()[..], &bytes).unwrap());
        assert!(holds(&bytes[..CHUNK], &bytes).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_open_stays_as_it_was() {
        let folders = Folders::new();
        let path = folders.cached().to_path_buf();
        fs::write(&path, "damaged").unwrap();
        let mut open = File::open(&path).unwrap();
        let inode_before = inode(&path);
        folders.cached();
        assert_ne!(inode(&path), inode_before);
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "damaged");
    }

    #[test]
    fn many_threads_at_once_leave_one_file() {
        let folders = Folders::new();
        for _ in 0..4 {
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        let file = folders.unpack().unwrap();
                        assert!(!file.is_temporary());
                        assert!(fs::read(&file).unwrap() == bytes());
                    });
                }
            });
            folders.cached();
            fs::write(folders.cache().join(FILE), "damaged").unwrap();
        }
    }

    #[test]
    fn without_a_home_the_file_is_temporary() {
        let temporary = tempdir().unwrap();
        let file = unpack_into(&bytes(), FILE, None, temporary.path()).unwrap();
        assert!(file.is_temporary());
        assert!(fs::read(&file).unwrap() == bytes());
    }

    #[test]
    fn something_else_in_the_place_is_left_alone() {
        let folders = Folders::new();
        let place = folders.cache().join(FILE);
        fs::create_dir_all(&place).unwrap();
        folders.not_cached();
        assert!(place.is_dir());

        #[cfg(unix)]
        {
            fs::remove_dir(&place).unwrap();
            let target = folders.root.path().join("target");
            fs::write(&target, "a file of the user's").unwrap();
            std::os::unix::fs::symlink(&target, &place).unwrap();
            folders.not_cached();
            assert_eq!(fs::read_link(&place).unwrap(), target);
            assert_eq!(fs::read_to_string(&target).unwrap(), "a file of the user's");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_made_is_done_without() {
        let folders = Folders::new();
        // No permissions needed, which would not stop an administrator.
        fs::write(folders.root.path().join("cache"), "a file").unwrap();
        folders.not_cached();
    }

    #[cfg(unix)]
    #[test]
    fn a_cache_that_cannot_be_written_to_is_read_and_otherwise_done_without() {
        use std::os::unix::fs::PermissionsExt;

        let folders = Folders::new();
        folders.cached();
        let set = |mode| fs::set_permissions(folders.cache(), PermissionsExt::from_mode(mode));
        set(0o555).unwrap();
        folders.cached();
        // An administrator may write all the same.
        if File::create(folders.cache().join("probe")).is_err() {
            fs::write(folders.cache().join(FILE), "damaged").unwrap();
            folders.not_cached();
        }
        set(0o755).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn whoever_may_read_new_files_may_read_the_cached_one() {
        let folders = Folders::new();
        let mode = |path: &Path| {
            let permissions = fs::metadata(path).unwrap().permissions();
            std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
        };
        let file = folders.cached();
        let new = folders.root.path().join("new");
        File::create(&new).unwrap();
        assert_eq!(mode(&file), mode(&new));

        let temporary = unpack_into(&bytes(), FILE, None, folders.temporary.path()).unwrap();
        assert_eq!(mode(&temporary), 0o600);
    }

    #[test]
    fn no_place_at_all_is_an_error_that_says_both_reasons() {
        let folders = Folders::new();
        fs::write(folders.root.path().join("cache"), "a file").unwrap();
        let nowhere = folders.root.path().join("nowhere");
        let error = unpack_into(&bytes(), FILE, Some(&folders.cache()), &nowhere).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(FILE) && message.contains("nowhere"), "{message}");
        assert!(!message.contains('\n') && !error.is_usage(), "{message}");
    }
}
