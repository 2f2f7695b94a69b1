//! What makes a page of a template: texts and data that stay texts and data.

/// Replaces each `{{name}}` of a template, in one pass: what was put in is not
/// looked at again. Braces that nothing closes stay as they are.
pub fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        filled += before;
        filled += &value(name);
        rest = after;
    }
    filled + rest
}

/// JSON that no HTML parser takes for markup, whatever texts it holds. All of
/// these occur in strings only, where JSON has a second way to write them.
pub fn escape_json(json: &str) -> String {
    replace(json, |c| match c {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    })
}

/// Text for between tags.
pub fn escape_text(text: &str) -> String {
    replace(text, |c| match c {
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '&' => Some("&amp;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        // HTML has no way to write this one.
        '\0' => Some("\u{FFFD}"),
        _ => None,
    })
}

fn replace(text: &str, by: impl Fn(char) -> Option<&'static str>) -> String {
    let mut replaced = String::with_capacity(text.len());
    for c in text.chars() {
        match by(c) {
            Some(instead) => replaced += instead,
            None => replaced.push(c),
        }
    }
    replaced
}
