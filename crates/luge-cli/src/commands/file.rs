//! A file that is written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::failure::Failure;

/// A file to be written. Until then what is at its place stays there.
pub struct OutputFile<'a> {
    path: &'a Path,
}

impl<'a> OutputFile<'a> {
    /// Finds out whether a file can be written there.
    pub fn create(path: &'a Path) -> Result<Self, Failure> {
        let possible = match is_replaced(path) {
            // It is gone when this is over.
            true => beside(path).map(drop),
            false => itself(path).map(drop),
        };
        possible.map_err(|error| failed(path, &error))?;
        Ok(OutputFile { path })
    }

    pub fn write(self, text: &str) -> Result<(), Failure> {
        let written = match is_replaced(self.path) {
            true => replace(self.path, text),
            false => itself(self.path).and_then(|mut file| file.write_all(text.as_bytes())),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
            Err(error) => Err(failed(self.path, &error)),
            Ok(()) => Ok(()),
        }
    }
}

/// Whether another file is to take its place: not that of a pipe or a device, and not
/// that of a link to what is not there.
fn is_replaced(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(there) => there.is_file(),
        Err(_) => !path.is_symlink(),
    }
}

fn itself(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(path.is_symlink()).truncate(false).open(path)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut file = beside(path)?;
    file.write_all(text.as_bytes())?;
    // Who may read it stays as it is.
    if let Ok(there) = fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    // A link stays one, and the file behind it is replaced.
    file.persist(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))?;
    Ok(())
}

/// A file in the same folder, which is gone when it is dropped.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.file_name().is_none() {
        return Err(io::Error::other("it has no name"));
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match place.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = Builder::new();
    builder.prefix(".luge-");
    // As other files are made, not for their owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let error = error.to_string();
    // That of a temporary file ends with a name that no one has given.
    let cause = error.split(" at path ").next().unwrap_or_default();
    Failure::Run(format!("cannot write '{}': {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        fs::write(&path, "before").unwrap();
        OutputFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        OutputFile::create(&path).unwrap().write("after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let [page, link, lost] = ["page", "link", "lost"].map(|name| folder.path().join(name));
        fs::write(&page, "before").unwrap();
        fs::set_permissions(&page, PermissionsExt::from_mode(0o640)).unwrap();
        symlink(&page, &link).unwrap();
        symlink(folder.path().join("there"), &lost).unwrap();
        for path in [&link, &lost] {
            OutputFile::create(path).unwrap().write("after").unwrap();
            assert!(path.is_symlink());
            assert_eq!(fs::read_to_string(path).unwrap(), "after");
        }
        assert_eq!(fs::read_to_string(&page).unwrap(), "after");
        assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn finding_out_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutputFile::create(&folder.path().join("page")).map(|file| file.path.to_owned());
        assert!(file.is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
