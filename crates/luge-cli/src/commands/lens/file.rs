//! A file that is written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::failure::Failure;

/// A file to be written. Until then what is at its place stays there.
pub struct OutputFile<'a> {
    path: &'a Path,
    target: Target,
}

enum Target {
    /// Beside its place, to be moved there.
    Beside(NamedTempFile),
    /// What is no file, such as a pipe or a device.
    Itself(fs::File),
}

impl<'a> OutputFile<'a> {
    /// Finds out whether a file can be written there.
    pub fn create(path: &'a Path) -> Result<Self, Failure> {
        let target = match fs::metadata(path) {
            Ok(there) if !there.is_file() => {
                fs::OpenOptions::new().write(true).open(path).map(Target::Itself)
            }
            _ => beside(path).map(Target::Beside),
        };
        let target = target.map_err(|error| failed(path, &error))?;
        Ok(OutputFile { path, target })
    }

    pub fn write(self, text: &str) -> Result<(), Failure> {
        let written = match self.target {
            Target::Itself(mut file) => file.write_all(text.as_bytes()),
            Target::Beside(mut file) => {
                let written = file.write_all(text.as_bytes());
                // A link stays one, and the file behind it is replaced.
                let place = fs::canonicalize(self.path).unwrap_or_else(|_| self.path.to_owned());
                written.and_then(|()| Ok(file.persist(place).map(drop)?))
            }
        };
        written.map_err(|error| failed(self.path, &error))
    }
}

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
    Failure::Run(format!("cannot write '{}': {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        fs::write(&path, "before").unwrap();
        drop(OutputFile::create(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        OutputFile::create(&path).unwrap().write("after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
