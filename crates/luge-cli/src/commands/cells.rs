//! Tokens, probabilities and curves in a few characters.

use std::mem;

use anstyle::{Ansi256Color, Color, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output;

/// The length of the longest bar, in characters.
pub const BAR: usize = 10;

/// Backgrounds from improbable to certain, of the palette of 256 colours: from dark
/// grey over teal to a pale one, each lighter than the last.
const SHADES: [u8; 8] = [236, 238, 23, 30, 37, 73, 116, 152];

/// A token's text on one line: with blanks as they are, unless there is nothing else,
/// and a sign for what would not show, or would turn the line around.
pub fn shown(text: &str) -> String {
    if text.width() == 0 {
        return "∅".to_owned();
    }
    let blank = !text.is_empty() && text.chars().all(|c| c == ' ');
    let sign = |c: char| match c {
        ' ' if blank => '·',
        '\n' => '⏎',
        '\r' => '␍',
        '\t' => '⇥',
        c if luge_page::is_unprintable(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(sign).collect()
}

/// A text in lines of the terminal's width, all but the first of them indented.
pub fn wrapped(text: &str, indent: usize, style: Style) -> String {
    let width = output::width();
    let words = text.trim_start_matches(' ');
    let mut lines = Vec::new();
    let mut line = " ".repeat(text.len() - words.len());
    let mut is_begun = false;
    for word in words.split(' ') {
        if is_begun && line.width() + 1 + word.width() > width {
            lines.push(mem::replace(&mut line, " ".repeat(indent)));
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    lines.push(line);
    lines.iter().map(|line| format!("{style}{line}{style:#}\n")).collect()
}

/// A text in exactly so many columns: cut where it is longer, filled up with blanks
/// where it is shorter.
pub fn fit(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return format!("{text}{}", " ".repeat(columns - width));
    }
    let mut fitted = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if taken + width > columns.saturating_sub(1) {
            break;
        }
        taken += width;
        fitted.push(c);
    }
    let ellipsis = if columns > 0 { "…" } else { "" };
    format!("{fitted}{ellipsis}{}", " ".repeat(columns.saturating_sub(taken + 1)))
}

pub fn percent(prob: f64) -> String {
    format!("{:.0}%", 100.0 * prob)
}

/// A share as a bar.
pub fn bar(share: f64) -> String {
    let full = ((share * BAR as f64).round() as usize).min(BAR);
    format!("{}{}", "█".repeat(full), "·".repeat(BAR - full))
}

/// Probabilities as a curve of one line, in at most so many columns. Where there are
/// fewer columns than probabilities, each shows the largest of its part.
pub fn spark(probs: &[f64], columns: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = columns.min(probs.len());
    let part = |column: usize| {
        &probs[column * probs.len() / columns..(column + 1) * probs.len() / columns]
    };
    let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let level = |prob: f64| LEVELS[((prob * 8.0) as usize).min(7)];
    (0..columns).map(|column| level(largest(part(column)))).collect()
}

/// The colours of a cell with this probability.
pub fn shade(prob: f64) -> Style {
    let step = ((prob * SHADES.len() as f64) as usize).min(SHADES.len() - 1);
    // White on the dark half, black on the light one.
    let text = if step < SHADES.len() / 2 { 231 } else { 16 };
    let color = |index| Some(Color::Ansi256(Ansi256Color(index)));
    Style::new().fg_color(color(text)).bg_color(color(SHADES[step]))
}

/// The last words of a text, on one line of not much more than so many characters.
pub fn tail(text: &str, longest: usize) -> String {
    let mut end = String::new();
    for word in text.split_whitespace().rev() {
        if !end.is_empty() && end.chars().count() + word.chars().count() >= longest {
            return format!("… {end}");
        }
        end = if end.is_empty() { word.to_owned() } else { format!("{word} {end}") };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_whole_words() {
        assert_eq!(tail(" A\nfew  words ", 40), "A few words");
        assert_eq!(tail(&"word ".repeat(20), 40), format!("…{}", " word".repeat(8)));
        assert_eq!(tail(&"long".repeat(20), 40), "long".repeat(20));
        assert_eq!(tail("", 40), "");
    }

    #[test]
    fn what_would_not_show_has_a_sign() {
        assert_eq!(shown(" a b"), " a b");
        assert_eq!(shown("  "), "··");
        assert_eq!(shown("\r\n\tx\u{1b}[31m"), "␍⏎⇥x\u{fffd}[31m");
        assert_eq!(shown("a\u{202e}b"), "a\u{fffd}b");
        assert_eq!([shown(""), shown("\u{200b}")], ["∅", "∅"]);
    }

    #[test]
    fn texts_are_cut_and_filled_to_columns_not_characters() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 4), "abc…");
        // Two columns each.
        assert_eq!(fit("日本語", 6), "日本語");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(fit("日本語", 0), "");
    }

    #[test]
    fn a_curve_keeps_its_peaks() {
        assert_eq!(spark(&[0.0, 0.5, 1.0], 8), "▁▅█");
        assert_eq!(spark(&[0.0, 0.9, 0.0, 0.0, 0.1, 0.0], 3), "█▁▁");
        assert_eq!(spark(&[], 3), "");
    }
}
