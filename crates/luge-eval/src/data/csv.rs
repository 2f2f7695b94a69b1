//! Fields between commas, tabs or semicolons, as in RFC 4180.
//!
//! A reader of our own, because a quote that is not closed must be told: to common readers
//! such a field goes on to the next quote, far away, and takes the rows between with it.
//! Here a quote ends a field only in front of a delimiter or a line's end; anything else is
//! a fault of the row, and the next line is read as the next row.

use serde_json::{Map, Value};

use super::{NOT_UTF8, Next};

/// A record: its fields, or what is wrong with it, and where it begins.
struct Record {
    /// The line of the file, from 1.
    line: usize,
    fields: Result<Vec<Vec<u8>>, String>,
}

/// What stands between the fields: the first of comma, tab and semicolon that the header
/// has.
pub(super) fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|&byte| byte == b'\n').find(|line| !super::is_blank(line));
    let has = |delimiter: &u8| header.is_some_and(|header| header.contains(delimiter));
    [b',', b'\t', b';'].into_iter().find(has).unwrap_or(b',')
}

/// The names of the columns.
pub(super) fn header(bytes: &[u8], delimiter: u8) -> Result<Vec<String>, String> {
    names(&mut Records { bytes, delimiter, at: 0, line: 1 })
}

pub(super) fn rows(bytes: &[u8], delimiter: u8, next: Next<'_>) -> Result<(), String> {
    let mut records = Records { bytes, delimiter, at: 0, line: 1 };
    let names = names(&mut records)?;
    for record in records {
        let row = record.fields.and_then(|fields| {
            if fields.len() != names.len() {
                return Err(format!(
                    "has {} field{}, and the header {}",
                    fields.len(),
                    if fields.len() == 1 { "" } else { "s" },
                    names.len()
                ));
            }
            let mut row = Map::new();
            for (name, field) in names.iter().zip(fields) {
                let text = String::from_utf8(field).map_err(|_| NOT_UTF8.to_owned())?;
                row.insert(name.clone(), Value::String(text));
            }
            Ok(row)
        });
        next(Some(record.line), row);
    }
    Ok(())
}

/// The names of the columns, from the first record.
fn names(records: &mut Records<'_>) -> Result<Vec<String>, String> {
    let record = records.next().ok_or("it has no rows")?;
    let fields = record.fields.map_err(|what| format!("its header {what}"))?;
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    for field in fields {
        let name = String::from_utf8(field).map_err(|_| format!("its header {NOT_UTF8}"))?;
        let name = name.trim().to_owned();
        if !name.is_empty() && names.contains(&name) {
            return Err(format!("it has the column '{name}' twice: rename one"));
        }
        names.push(name);
    }
    Ok(names)
}

/// The records of a file. Empty lines are none.
struct Records<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    /// Where the next one begins, and in which line.
    at: usize,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while let Some(end) = self.line_end() {
            if super::is_blank(&self.bytes[self.at..end]) && !self.has_delimiter(end) {
                self.skip_to(end);
                continue;
            }
            let line = self.line;
            let fields = match self.fields() {
                Ok((fields, end)) => {
                    self.skip_to(end);
                    Ok(fields)
                }
                Err(what) => {
                    self.skip_to(end);
                    Err(what)
                }
            };
            return Some(Record { line, fields });
        }
        None
    }
}

impl Records<'_> {
    /// Where this line ends; `None` at the end of the file.
    fn line_end(&self) -> Option<usize> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        Some(self.at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()))
    }

    /// Whether a line of white space is a row of empty fields: tabs may be delimiters.
    fn has_delimiter(&self, end: usize) -> bool {
        self.bytes[self.at..end].contains(&self.delimiter)
    }

    /// Goes to the line behind the one that ends there.
    fn skip_to(&mut self, end: usize) {
        let next = (end + 1).min(self.bytes.len());
        self.line += self.bytes[self.at..next].iter().filter(|&&byte| byte == b'\n').count();
        self.at = next;
    }

    /// The fields of the record that begins here, and where it ends.
    fn fields(&self) -> Result<(Vec<Vec<u8>>, usize), String> {
        let mut fields = Vec::new();
        let mut at = self.at;
        loop {
            let mut field = Vec::new();
            if self.bytes.get(at) == Some(&b'"') {
                at = self.quoted(at + 1, &mut field)?;
            } else {
                let rest = &self.bytes[at..];
                let ends = |&byte: &u8| byte == self.delimiter || byte == b'\n';
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                field.extend_from_slice(&rest[..length]);
                at += length;
                // Lines end in two bytes on Windows.
                if self.bytes.get(at) != Some(&self.delimiter) && field.ends_with(b"\r") {
                    field.pop();
                }
            }
            fields.push(field);
            if self.bytes.get(at) != Some(&self.delimiter) {
                return Ok((fields, at));
            }
            at += 1;
        }
    }

    /// Reads a field in quotes from behind the first one; returns where the field ends.
    fn quoted(&self, mut at: usize, field: &mut Vec<u8>) -> Result<usize, String> {
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let length = rest
                .iter()
                .position(|&byte| byte == b'"')
                .ok_or("has a quote that is not closed")?;
            field.extend_from_slice(&rest[..length]);
            at += length + 1;
            match rest.get(length + 1..).unwrap_or_default() {
                [b'"', ..] => {
                    field.push(b'"');
                    at += 1;
                }
                [] | [b'\n', ..] => return Ok(at),
                [b'\r'] | [b'\r', b'\n', ..] => return Ok(at + 1),
                [byte, ..] if *byte == self.delimiter => return Ok(at),
                _ => {
                    return Err("has a quote in the midst of a field: write \"\" for one quote \
                                inside of quotes"
                        .to_owned());
                }
            }
        }
    }
}
