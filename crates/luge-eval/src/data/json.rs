//! JSON: an object a line, or an array of objects.
//!
//! The array is taken apart before it is parsed, so that one broken object is one broken
//! row, with the line where it begins.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{NOT_UTF8, Next, is_blank};

/// One object a line; lines with nothing in them are no rows.
pub(super) fn lines(bytes: &[u8], next: Next<'_>) -> Result<(), String> {
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if !is_blank(line) {
            next(Some(number + 1), object(line));
        }
    }
    Ok(())
}

/// Whether there are several values, one behind the other.
pub(super) fn is_lines(bytes: &[u8]) -> bool {
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let parts = parts(bytes, start);
    bytes.get(start) == Some(&b'{') && parts.end.is_some_and(|end| !is_blank(&bytes[end..]))
}

/// An array of objects, or an object with one such array in it, or a single object.
pub(super) fn rows(bytes: &[u8], next: Next<'_>) -> Result<(), String> {
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let outer = parts(bytes, start);
    let array = match bytes.get(start) {
        None => return Err("it has no rows".to_owned()),
        Some(b'[') => outer,
        Some(b'{') => {
            let arrays = outer.parts.iter().filter_map(|part| member_array(bytes, part.clone()));
            let mut tables = arrays.filter(|array| {
                array.parts.first().is_some_and(|part| bytes.get(part.start) == Some(&b'{'))
            });
            match (tables.next(), tables.next()) {
                (Some(table), None) => table,
                (Some(_), Some(_)) => {
                    return Err("it is an object with several arrays of objects: leave the one \
                                with the questions"
                        .to_owned());
                }
                (None, _) => {
                    next(Some(line_of(bytes, start)), object(&bytes[start..]));
                    return Ok(());
                }
            }
        }
        Some(_) => return Err("it is neither an array of objects nor an object".to_owned()),
    };
    let (mut at, mut line) = (0, 1);
    let last = array.parts.len().saturating_sub(1);
    for (number, part) in array.parts.iter().enumerate() {
        line += bytes[at..part.start].iter().filter(|&&byte| byte == b'\n').count();
        at = part.start;
        let row = match object(&bytes[part.clone()]) {
            Err(_) if number == last && array.end.is_none() => {
                Err("is cut off: the file ends in it".to_owned())
            }
            row => row,
        };
        next(Some(line), row);
    }
    Ok(())
}

/// A row from its text.
fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_UTF8.to_owned())?;
    let value = serde_json::from_str(text).map_err(|error| {
        // serde_json counts lines from the row's own beginning, which would mislead.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("is no JSON: {what} at column {}", error.column())
    })?;
    match value {
        Value::Object(row) => Ok(row),
        Value::Array(_) => Err("is an array, not an object".to_owned()),
        _ => Err("is no JSON object".to_owned()),
    }
}

/// What lies between the commas of an array or object.
struct Parts {
    /// Each without white space around it, none empty.
    parts: Vec<Range<usize>>,
    /// Behind its closing bracket; `None` where it has none.
    end: Option<usize>,
}

/// Takes the array or object apart that begins at `start`.
fn parts(bytes: &[u8], start: usize) -> Parts {
    let mut found = Parts { parts: Vec::new(), end: None };
    let (mut depth, mut in_string, mut is_escaped) = (0usize, false, false);
    let mut from = start + 1;
    let mut take = |range: Range<usize>| {
        let text = bytes.get(range.clone()).unwrap_or_default();
        if !is_blank(text) {
            let blanks = text.len() - text.trim_ascii_start().len();
            let begin = range.start + blanks;
            found.parts.push(begin..begin + text.trim_ascii().len());
        }
    };
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    take(from..at);
                    found.end = Some(at + 1);
                    return found;
                }
            }
            b',' if depth == 1 => {
                take(from..at);
                from = at + 1;
            }
            _ => {}
        }
    }
    take(from..bytes.len());
    found
}

/// The array that is the value of an object's member `"name": [..]`.
fn member_array(bytes: &[u8], member: Range<usize>) -> Option<Parts> {
    let text = bytes.get(member.clone())?;
    let mut is_escaped = false;
    let quote = text.iter().skip(1).position(|&byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    let rest = text.get(quote + 2..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let start = member.end - rest.len();
    (rest.first() == Some(&b'[')).then(|| parts(bytes, start))
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count()
}
