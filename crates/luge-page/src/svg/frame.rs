//! What is around a picture: the document, its style, and the lines at its foot.

use super::colour::{AFTER, BEFORE, FAINT, HAIR, INK, PAPER, Paint, QUIET};
use super::words::{columns_of, escape, wrap};
use crate::data::LensPage;

/// Between the picture's edge and what is in it, in pixels as all lengths.
pub const MARGIN: usize = 18;

/// A rule of the style: a selector, a property, and its colour.
pub type Rule = (String, &'static str, Paint);

/// What is drawn, and what is wanted around it.
pub struct Picture {
    pub width: usize,
    /// Where it ends.
    pub bottom: usize,
    pub body: String,
    /// What the caption begins with.
    pub place: Option<String>,
    /// For those who cannot see it.
    pub description: String,
    /// Rules without colours.
    pub style: &'static str,
    pub rules: Vec<Rule>,
    /// What its colours and marks mean.
    pub notes: Vec<Note>,
}

/// A sample with words to its right.
pub struct Note {
    /// What to draw, from (0, 0) to the right, the words' line being at 0.
    pub sample: String,
    /// How wide that is.
    pub width: usize,
    pub words: &'static str,
}

const STYLE: &str = "\
text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
.token,.tokens text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono','DejaVu Sans Mono',monospace;font-size:11.5px}
.mark{fill-opacity:.55}
.small{font-size:10px}
.end{text-anchor:end}
.middle{text-anchor:middle}
.changed{text-decoration:underline}
";

/// The usual width of a letter at the foot, rather too much than too little.
const LETTER: f64 = 5.7;
/// From one line at the foot to the next.
const LINE: usize = 19;

/// The whole document.
pub fn document(page: &LensPage, picture: Picture) -> String {
    let Picture { width, bottom, mut body, place, description, style, rules, notes } = picture;
    let room = width - 2 * MARGIN;
    let mut y = bottom + 30;
    if !notes.is_empty() {
        y = foot(&mut body, &notes, room, y) + LINE;
    }
    for line in caption(page, place, (room as f64 / LETTER) as usize) {
        body += &format!("<text class='quiet' x='{MARGIN}' y='{y}'>{}</text>\n", escape(&line));
        y += LINE;
    }
    let height = y - LINE + MARGIN;
    let title = if page.title.is_empty() { "What the layers say" } else { &page.title };

    let own = [
        (".paper", "fill", PAPER),
        ("text,.ink", "fill", INK),
        (".quiet", "fill", QUIET),
        (".generated", "fill", AFTER),
        (".instead", "fill", BEFORE),
        (".hair", "stroke", HAIR),
        (".faint", "stroke", FAINT),
    ];
    let own = own.map(|(selector, property, paint)| (selector.to_owned(), property, paint));
    let (mut light, mut dark) = (String::new(), String::new());
    for (selector, property, paint) in own.iter().chain(&rules) {
        let [in_light, in_dark] = paint.hex();
        light += &format!("{selector}{{{property}:{in_light}}}\n");
        dark += &format!("{selector}{{{property}:{in_dark}}}\n");
    }
    // The paper is drawn, as what is around the picture may be dark where the
    // reader's system is not.
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         viewBox='0 0 {width} {height}' role='img' aria-labelledby='title description'>\n\
         <title id='title'>{}</title>\n\
         <desc id='description'>{}</desc>\n\
         <style>\n{STYLE}{style}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n</style>\n\
         <rect class='paper' width='{width}' height='{height}' rx='6'/>\n\
         {body}</svg>\n",
        escape(title),
        escape(&description),
    )
}

/// Draws notes side by side, in as many lines as they need. Returns where the last
/// one is.
fn foot(body: &mut String, notes: &[Note], room: usize, mut y: usize) -> usize {
    let mut x = 0;
    for Note { sample, width, words } in notes {
        let wide = width + (LETTER * columns_of(words) as f64) as usize;
        if x > 0 && x + wide > room {
            x = 0;
            y += LINE;
        }
        *body += &format!(
            "<g transform='translate({} {y})'>{sample}<text class='quiet' x='{width}'>{words}</text></g>\n",
            MARGIN + x,
        );
        x += wide + 24;
    }
    y
}

/// Model, method and exit norm, in as many lines as they need.
fn caption(page: &LensPage, place: Option<String>, columns: usize) -> Vec<String> {
    let norm = match page.exit_norm.as_str() {
        "" => "",
        "final" => "exit norm: final (the logit lens)",
        other => &format!("exit norm: {other}"),
    };
    let parts = [&place.unwrap_or_default(), &page.model, &page.method, norm];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    wrap(&parts.join(" · "), columns)
}
