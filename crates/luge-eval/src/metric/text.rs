//! When two texts are the same.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A text as SQuAD's script compares it: in small letters, without the punctuation of
/// ASCII, without articles, with one blank between words.
///
/// Letters, words and blanks are those of Python's `str.lower`, `\b` and `str.split`, so
/// that the numbers are the same in every script: a word goes on over letters, digits and
/// `_`, and combining marks are none of these.
pub(super) fn normalised(text: &str) -> String {
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("a regular expression"));
    let mut text = text.to_lowercase();
    text.retain(|c| !c.is_ascii_punctuation());
    let text = WORD.replace_all(&text, |word: &Captures<'_>| match &word[0] {
        "a" | "an" | "the" => " ".to_owned(),
        other => other.to_owned(),
    });
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What Python takes for a blank: Unicode's, and the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// A number in the one way that all its spellings share: `-$1,000.50` is `-1000.5`.
/// Nothing where the text is none. The digits are compared and not what a `f64` makes of
/// them: numbers of any length are told apart.
pub(super) fn number(text: &str) -> Option<String> {
    let mut digits = text.trim().to_owned();
    digits.retain(|c| !matches!(c, ',' | '$' | '€' | '£' | '%'));
    let digits = digits.trim();
    let (is_negative, digits) = match digits.strip_prefix(['-', '−']) {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = whole.len() + part.len() > 0
        && whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let mut number = String::new();
    if is_negative && !(whole.is_empty() && part.is_empty()) {
        number.push('-');
    }
    number += if whole.is_empty() { "0" } else { whole };
    if !part.is_empty() {
        number.push('.');
        number += part;
    }
    Some(number)
}

/// Whether a text says yes. Nothing where it says neither yes nor no.
pub(super) fn yes_no(text: &str) -> Option<bool> {
    match normalised(text).as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}
