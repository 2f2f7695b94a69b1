//! Rows of a file, each with its place.
//!
//! A row is a JSON object, whatever the format: a cell of a CSV file is a string, nested
//! columns of Parquet are arrays and objects. A row that cannot be read is a [`Problem`]
//! that says where it is; those behind it go on.

mod csv;
mod json;
mod parquet;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::document::Problem;
use crate::error::Error;

/// A file of rows, in memory.
pub struct DataFile {
    path: PathBuf,
    name: String,
    sha256: String,
    format: Format,
    /// As UTF-8 and without a byte-order mark, unless it is a Parquet file.
    bytes: Bytes,
}

/// A row that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number among all rows of the file, from 0.
    pub index: usize,
    /// Where it is, for people: `TruthfulQA.csv, row 12 (line 14)`.
    pub place: String,
    /// Its columns.
    pub columns: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// With what stands between two fields.
    Delimited(u8),
    Json,
    JsonLines,
    Parquet,
}

/// What a row lacks that is not in UTF-8.
const NOT_UTF8: &str = "is not UTF-8: convert the file, for instance with iconv -f latin1 -t utf-8";

impl DataFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Data`] for one that is empty, compressed or not what its
    /// name says.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_bytes(path, bytes)
    }

    /// A file that is in memory already. Its name tells its format.
    ///
    /// # Errors
    /// [`Error::Data`], as [`DataFile::read`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let refuse = |what: &str| Error::Data { name: name.clone(), what: what.to_owned() };
        if bytes.is_empty() {
            return Err(refuse("it is empty"));
        }
        for (magic, what) in [
            (&b"\x1f\x8b"[..], "it is compressed: unpack it first, for instance with gunzip"),
            (b"PK\x03\x04", "it is an archive: unpack it first, for instance with unzip"),
            (b"\x28\xb5\x2f\xfd", "it is compressed: unpack it first, for instance with unzstd"),
        ] {
            if bytes.starts_with(magic) {
                return Err(refuse(what));
            }
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if bytes.starts_with(b"PAR1") || extension == "parquet" {
            let path = path.to_owned();
            return Ok(Self { path, name, sha256, format: Format::Parquet, bytes: bytes.into() });
        }
        let bytes = decoded(bytes).ok_or_else(|| refuse("it is broken UTF-16"))?;
        let format = format(&extension, &bytes);
        Ok(Self { path: path.to_owned(), name, sha256, format, bytes: bytes.into() })
    }

    /// Where it is from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the file as it was read, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The columns of its rows. In JSON every row has its own: those of all of them, in the
    /// order in which they first come.
    ///
    /// # Errors
    /// [`Error::Data`].
    pub fn columns(&self) -> Result<Vec<String>, Error> {
        match self.format {
            Format::Delimited(delimiter) => csv::header(&self.bytes, delimiter),
            Format::Parquet => parquet::columns(&self.bytes),
            Format::Json | Format::JsonLines => {
                let mut columns = Map::new();
                self.each_row(|row| {
                    for (name, _) in row.into_iter().flat_map(|row| row.columns) {
                        columns.entry(name).or_insert(Value::Null);
                    }
                })?;
                return Ok(columns.into_iter().map(|(name, _)| name).collect());
            }
        }
        .map_err(|what| self.refused(what))
    }

    /// Passes every row to `visit`, in the order of the file. The rows are never in memory
    /// together.
    ///
    /// # Errors
    /// [`Error::Data`] for a file without a row, or that cannot be read as what it is.
    pub fn each_row(&self, mut visit: impl FnMut(Result<Row, Problem>)) -> Result<(), Error> {
        let mut index = 0;
        let mut next = |line: Option<usize>, row: Result<Map<String, Value>, String>| {
            let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            let place = format!("{}, row {}{line}", self.name, index + 1);
            visit(match row {
                Ok(columns) => Ok(Row { index, place, columns }),
                Err(what) => Err(Problem { index, place, what }),
            });
            index += 1;
        };
        match self.format {
            Format::Delimited(delimiter) => csv::rows(&self.bytes, delimiter, &mut next),
            Format::Json => json::rows(&self.bytes, &mut next),
            Format::JsonLines => json::lines(&self.bytes, &mut next),
            Format::Parquet => parquet::rows(&self.bytes, &mut next),
        }
        .map_err(|what| self.refused(what))?;
        if index == 0 {
            return Err(self.refused("it has no rows".to_owned()));
        }
        Ok(())
    }

    fn refused(&self, what: String) -> Error {
        Error::Data { name: self.name.clone(), what }
    }
}

/// Takes a row: its line in the file, where lines have a meaning, and the row or what is
/// wrong with it.
type Next<'a> = &'a mut dyn FnMut(Option<usize>, Result<Map<String, Value>, String>);

/// The text as UTF-8 without a byte-order mark; without one it is taken as it is. `None` for
/// UTF-16 that is broken.
fn decoded(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    match encoding_rs::Encoding::for_bom(&bytes) {
        None => Some(bytes),
        Some((encoding, mark)) if encoding == encoding_rs::UTF_8 => {
            bytes.drain(..mark);
            Some(bytes)
        }
        Some((encoding, mark)) => {
            let rest = bytes.get(mark..)?;
            let text = encoding.decode_without_bom_handling_and_without_replacement(rest)?;
            // A second mark: a file that had one was converted.
            Some(text.trim_start_matches('\u{feff}').as_bytes().to_vec())
        }
    }
}

fn format(extension: &str, bytes: &[u8]) -> Format {
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let looks_like_json = matches!(start, Some(b'{' | b'['));
    match extension {
        "jsonl" | "ndjson" => Format::JsonLines,
        "tsv" => Format::Delimited(b'\t'),
        "csv" => Format::Delimited(csv::delimiter(bytes)),
        // Many a file with one object a line is called .json.
        _ if looks_like_json && json::is_lines(bytes) => Format::JsonLines,
        "json" => Format::Json,
        _ if looks_like_json => Format::Json,
        _ => Format::Delimited(csv::delimiter(bytes)),
    }
}

/// Whether there is nothing but white space.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}
