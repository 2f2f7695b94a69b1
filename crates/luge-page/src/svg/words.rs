//! Tokens and other texts: what one sees of them, how wide they are, and how XML
//! has them.

use unicode_width::UnicodeWidthChar;

use crate::data::{LensPage, is_unprintable};

/// The text of a token, or its number where it has none.
pub fn token_text(page: &LensPage, id: u32) -> String {
    page.tokens.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
}

/// A token as markup, at most `columns` wide: blanks and line ends as marks, paler
/// than letters, and an ellipsis where it is too long.
pub fn token(page: &LensPage, id: u32, columns: usize) -> String {
    let text = token_text(page, id);
    if text.is_empty() {
        return "<tspan class='mark'>∅</tspan>".into();
    }
    let shown = cut(&text.chars().map(|c| mark(c).unwrap_or(c)).collect::<String>(), columns);
    // Beside letters only: alone they are what there is to see. The ellipsis stands
    // for text, and may stand in a mark's place.
    let pale = text.chars().any(|c| mark(c).is_none());
    let is_mark = |(of, shown): (char, char)| pale && shown != '…' && mark(of).is_some();
    let mut markup = String::new();
    let mut within = false;
    for (of, c) in text.chars().zip(shown.chars()) {
        if is_mark((of, c)) != within {
            within = !within;
            markup += if within { "<tspan class='mark'>" } else { "</tspan>" };
        }
        markup += &escape(c.encode_utf8(&mut [0; 4]));
    }
    if within { markup + "</tspan>" } else { markup }
}

/// What stands for a blank or a line end, which one would not see.
fn mark(c: char) -> Option<char> {
    match c {
        '\n' => Some('⏎'),
        '\r' => Some('␍'),
        '\t' => Some('⇥'),
        c if c.is_whitespace() => Some('·'),
        _ => None,
    }
}

/// The text up to a position, the end of it, with blanks as they are.
pub fn context(page: &LensPage, index: usize, columns: usize) -> String {
    let read = &page.positions[..=index];
    let text: String = read.iter().map(|position| token_text(page, position.id)).collect();
    let text = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ⏎ ");
    let text = text.trim();
    let mut room = columns;
    let fits = text.char_indices().rev().take_while(|&(_, c)| {
        let fits = width(c) <= room;
        room = room.saturating_sub(width(c));
        fits
    });
    let mut start = fits.last().map_or(text.len(), |(at, _)| at);
    if start > 0 {
        // From a word's beginning, where there are words.
        start += text[start..].find(' ').map_or(0, |blank| blank + 1);
    }
    let before = start > 0 || read.first().is_some_and(|first| first.position > 0);
    format!("{}{}", if before { "…" } else { "" }, &text[start..])
}

/// The beginning of a text, with an ellipsis where it is wider than `columns`.
pub fn cut(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.into();
    }
    let mut room = columns.saturating_sub(1);
    let fits = text.chars().take_while(|&c| {
        let fits = width(c) <= room;
        room = room.saturating_sub(width(c));
        fits
    });
    fits.chain(['…']).collect()
}

/// A text in lines of at most `columns`, broken behind blanks and commas. What has
/// neither is cut.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in text.split_inclusive([' ', ',']) {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() || columns_of(line) + columns_of(piece.trim_end()) <= columns {
            *line += piece;
        } else {
            lines.push(piece.into());
        }
    }
    lines.iter().map(|line| cut(line.trim_end(), columns)).collect()
}

/// How wide a text is, in characters of usual width.
pub fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// 2 for those of East Asia, 0 for those that join another. An estimate: the reader's
/// fonts are not known.
fn width(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// Text for between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\r' | '\t' => escaped.push(' '),
            // XML has no way to write most of these.
            c if is_unprintable(c) => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A coordinate with at most two decimals.
pub fn round(number: f64) -> f64 {
    // Adding 0 makes −0 an ordinary one.
    (100.0 * number).round() / 100.0 + 0.0
}

/// A probability as text.
pub fn percent(prob: f64) -> String {
    match 100.0 * prob {
        tiny if tiny > 0.0 && tiny < 0.05 => "<0.1%".into(),
        percent => format!("{percent:.1}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Position;

    fn shown(text: &str, columns: usize) -> String {
        let page = LensPage { tokens: [(7, text.into())].into(), ..LensPage::default() };
        token(&page, 7, columns).replace("<tspan class='mark'>", "[").replace("</tspan>", "]")
    }

    #[test]
    fn blanks_are_seen() {
        assert_eq!(shown(" Victoria", 10), "[·]Victoria");
        assert_eq!(shown("\n\n", 10), "⏎⏎");
        assert_eq!(shown("\r\n\tx \u{A0}", 10), "[␍⏎⇥]x[··]");
        assert_eq!(shown("", 10), "[∅]");
        assert_eq!(token(&LensPage::default(), 7, 10), "#7");
    }

    #[test]
    fn long_tokens_are_cut() {
        assert_eq!(shown(" Vancouver", 10), "[·]Vancouver");
        assert_eq!(shown(" Vancouvers", 10), "[·]Vancouve…");
        assert_eq!(shown("          x", 10), "[·········]…");
        // Each of these is two wide.
        assert_eq!(shown("東京都庁舎", 10), "東京都庁舎");
        assert_eq!(shown("東京都庁舎前", 10), "東京都庁…");
        // And these have no width of their own.
        assert_eq!(shown("e\u{301}e\u{301}e\u{301}", 3), "e\u{301}e\u{301}e\u{301}");
    }

    #[test]
    fn captions_are_wrapped() {
        let method = "atlas · sled(layers=0,1,2) · raw";
        assert_eq!(wrap(method, 40), [method]);
        assert_eq!(wrap(method, 18), ["atlas ·", "sled(layers=0,1,2)", "· raw"]);
        assert_eq!(wrap(method, 12), ["atlas ·", "sled(layers…", "1,2) · raw"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn texts_are_not_markup() {
        assert_eq!(shown("</text>", 10), "&lt;/text&gt;");
        assert_eq!(escape("\"&amp;'"), "&quot;&amp;amp;&#39;");
        let forbidden = "\0\u{1}\u{B}\u{1B}\u{7F}\u{85}\u{202E}\u{FFFE}\u{FFFF}";
        assert!(escape(forbidden).chars().all(|c| c == '\u{FFFD}'));
        assert_eq!(escape("a\nb"), "a b");
        assert_eq!(escape("👩\u{200D}🚀 नि"), "👩\u{200D}🚀 नि");
    }

    #[test]
    fn the_context_is_the_end_of_what_was_read() {
        let tokens = ["The", " capital", " of", "\n", " Turkey"];
        let page = LensPage {
            tokens: (0..).zip(tokens.map(String::from)).collect(),
            positions: (0..5).map(|id| Position { id, ..Position::default() }).collect(),
            ..LensPage::default()
        };
        assert_eq!(context(&page, 2, 40), "The capital of");
        assert_eq!(context(&page, 4, 40), "The capital of ⏎ Turkey");
        assert_eq!(context(&page, 4, 11), "…⏎ Turkey");
        assert_eq!(context(&page, 4, 3), "…key");
        assert_eq!(context(&page, 0, 0), "…");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(format!("{} {} {}", round(1.0 / 3.0), round(7.0), round(-0.001)), "0.33 7 0");
        assert_eq!(
            [0.0, 0.0004, 0.0006, 0.123, 1.0].map(percent).join(" "),
            "0.0% <0.1% 0.1% 12.3% 100.0%"
        );
    }
}
