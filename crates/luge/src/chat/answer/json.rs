//! Where values of JSON end, in text that has not all come.

/// Reads an object or a list as it comes, to its end.
///
/// What it holds is not checked, but for characters that JSON has in strings only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scanner {
    /// Brackets that are open.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

/// What the text has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not to the end.
    Open,
    /// The value has ended in front of this byte.
    At(usize),
    /// This byte is none of JSON.
    Wrong(usize),
}

impl Scanner {
    /// Reads on.
    pub(super) fn read(&mut self, text: &str) -> End {
        for (at, byte) in text.bytes().enumerate() {
            if self.is_escaped {
                self.is_escaped = false;
            } else if self.in_string {
                match byte {
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b',' | b':' | b'+' | b'-' | b'.' | b' ' | b'\n' | b'\r' | b'\t' => {}
                    b'0'..=b'9' | b'a'..=b'z' | b'E' => {}
                    _ => return End::Wrong(at),
                }
            }
            if self.depth == 0 && !self.in_string {
                return End::At(at + 1);
            }
        }
        End::Open
    }
}

/// The length of the value that `text` begins with; `None` where it may go on.
pub(super) fn length(text: &str) -> Result<Option<usize>, Broken> {
    match text.bytes().next() {
        Some(b'{' | b'[' | b'"') => match Scanner::default().read(text) {
            End::Open => Ok(None),
            End::At(end) => Ok(Some(end)),
            End::Wrong(_) => Err(Broken),
        },
        // A number or a word.
        _ => {
            let is_end = |c: char| matches!(c, ',' | '}' | ']') || c.is_ascii_whitespace();
            match text.find(is_end) {
                Some(0) => Err(Broken),
                end => Ok(end),
            }
        }
    }
}

/// Text that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// An entry of an object.
pub(super) struct Entry<'a> {
    pub(super) key: String,
    /// The text from its value on.
    pub(super) value: &'a str,
}

/// The next entry of an object, from where one may begin or the object may end; `None` in
/// the place of the entry where it has ended. With what is left.
///
/// # Errors
/// [`Broken`]; the outer `None` where the text does not tell yet.
pub(super) fn entry(text: &str) -> Result<Option<(Option<Entry<'_>>, &str)>, Broken> {
    let text = text.trim_start();
    let text = text.strip_prefix(',').unwrap_or(text).trim_start();
    match text.bytes().next() {
        None => return Ok(None),
        Some(b'}') => return Ok(Some((None, &text[1..]))),
        Some(b'"') => {}
        Some(_) => return Err(Broken),
    }
    let Some(end) = length(text)? else { return Ok(None) };
    let key = serde_json::from_str(&text[..end]).map_err(|_| Broken)?;
    let rest = text[end..].trim_start();
    if rest.is_empty() {
        return Ok(None);
    }
    let value = rest.strip_prefix(':').ok_or(Broken)?.trim_start();
    if value.is_empty() {
        return Ok(None);
    }
    Ok(Some((Some(Entry { key, value }), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_their_brackets_close() {
        for (text, expected) in [
            (r#"{"a": "}\"]", "b": [1, {}]} x"#, Ok(Some(27))),
            (r#""a\"b" x"#, Ok(Some(6))),
            (r#"{"a": "}"#, Ok(None)),
            ("-1.5e3, ", Ok(Some(6))),
            ("true", Ok(None)),
            ("{\"a\": <", Err(Broken)),
            (", 1", Err(Broken)),
        ] {
            assert_eq!(length(text), expected, "{text}");
        }
    }
}
