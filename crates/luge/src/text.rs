//! From token bytes to text that can be shown: whole characters, and nothing
//! that may yet turn out to be a stop string.

/// Collects the bytes of tokens and releases text as it becomes final.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextStream {
    /// Bytes that do not make a whole character yet.
    bytes: Vec<u8>,
    /// Text held back because a stop string may begin in it.
    held: String,
    stop_strings: Vec<String>,
}

/// What a token's bytes brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Text that is now final, perhaps none.
    Text(String),
    /// The last text: a stop string came up behind it.
    Stopped(String),
}

impl TextStream {
    /// A stream that ends in front of any of `stop_strings`. Empty ones are
    /// passed over.
    pub(crate) fn new(stop_strings: &[String]) -> Self {
        let stop_strings = stop_strings.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        TextStream { stop_strings, ..TextStream::default() }
    }

    /// Takes a token's bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Released {
        self.bytes.extend_from_slice(bytes);
        let text = self.take_characters();
        self.held.push_str(&text);
        let found = self.stop_strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(start) = found {
            self.held.truncate(start);
            return Released::Stopped(std::mem::take(&mut self.held));
        }
        let keep = self.stop_strings.iter().map(|stop| overlap(&self.held, stop)).max();
        let rest = self.held.split_off(self.held.len() - keep.unwrap_or(0));
        Released::Text(std::mem::replace(&mut self.held, rest))
    }

    /// Releases everything: no more tokens come.
    pub(crate) fn finish(&mut self) -> String {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.bytes)));
        text
    }

    /// The whole characters at the front of the bytes. Bytes that can never
    /// become a character turn into U+FFFD.
    fn take_characters(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.bytes.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.bytes[..valid]));
                    match error.error_len() {
                        // Unfinished: more bytes may complete it.
                        None => {
                            self.bytes.drain(..valid);
                            return text;
                        }
                        Some(wrong) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            self.bytes.drain(..valid + wrong);
                        }
                    }
                }
            }
        }
    }
}

/// The length in bytes of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    (1..=longest)
        .rev()
        .find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length]))
        // A stop string cut inside a character only overlaps with the same cut,
        // and text ends in whole characters.
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(released: Released) -> String {
        match released {
            Released::Text(text) => text,
            Released::Stopped(text) => panic!("stopped after {text:?}"),
        }
    }

    #[test]
    fn characters_split_across_tokens_come_out_whole() {
        let mut stream = TextStream::new(&[]);
        let bytes = "a€z".as_bytes();
        assert_eq!(text(stream.push(&bytes[..2])), "a");
        assert_eq!(text(stream.push(&bytes[2..3])), "");
        assert_eq!(text(stream.push(&bytes[3..])), "€z");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_nothing_is_lost() {
        let mut stream = TextStream::new(&[]);
        assert_eq!(text(stream.push(b"\xffok\xe2\x82")), "\u{fffd}ok");
        assert_eq!(text(stream.push(b"!")), "\u{fffd}!");
        assert_eq!(text(stream.push(b"\xe2")), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    #[test]
    fn stop_strings_are_found_across_tokens_and_never_shown() {
        let mut stream = TextStream::new(&["\n\nQ:".to_owned(), "END".to_owned(), String::new()]);
        assert_eq!(text(stream.push(b"yes\n")), "yes");
        assert_eq!(text(stream.push(b"\n")), "");
        assert_eq!(text(stream.push(b"no")), "\n\nno");
        assert_eq!(text(stream.push(b"\n\n")), "");
        assert_eq!(stream.push(b"Q: next"), Released::Stopped(String::new()));
    }

    #[test]
    fn the_earliest_stop_string_wins_and_held_text_is_released_at_the_end() {
        let mut stream = TextStream::new(&["bc".to_owned(), "ab".to_owned()]);
        assert_eq!(stream.push(b"xabc"), Released::Stopped("x".to_owned()));
        let mut stream = TextStream::new(&["stop".to_owned()]);
        assert_eq!(text(stream.push(b"non-st")), "non-");
        assert_eq!(stream.finish(), "st");
    }
}
