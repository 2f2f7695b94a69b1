//! The heat map: layers by positions, the final layer on top, in as many blocks, one
//! below the other, as the text is long.

use super::colour::{AFTER, BEFORE, ON_SHADES, PAPER, STEPS, on_shade, shade, step};
use super::frame::{MARGIN, Note, Picture, Rule, document};
use super::words::token;
use crate::data::{LensPage, Position};

/// How many positions are side by side at most.
const COLUMNS: usize = 14;
/// From one column to the next.
const COLUMN: usize = 78;
/// From one row to the next.
const ROW: usize = 20;
/// Between one cell and the next.
const GAP: usize = 2;
/// How many characters there is room for in a column.
const CHARACTERS: usize = 10;
/// Left of the columns, where the layers' numbers are.
const SIDE: usize = 56;
/// Between one block and the next.
const APART: usize = 20;
/// What the notes at the foot need.
const NARROWEST: usize = 600;

/// The lines above the cells of a block, as far as it needs them: where they stand,
/// from its top.
struct Head {
    generated: Option<usize>,
    token: usize,
    next: usize,
    instead: Option<usize>,
    height: usize,
}

impl Head {
    fn of(positions: &[Position]) -> Self {
        let mut y = 0;
        let mut line = |height: usize, wanted: bool| {
            y += if wanted { height } else { 0 };
            wanted.then_some(y)
        };
        let generated = line(14, positions.iter().any(|position| position.generated));
        let token = line(15, true).unwrap_or_default();
        let next = line(17, true).unwrap_or_default();
        let instead = line(15, positions.iter().any(|position| position.instead().is_some()));
        Head { generated, token, next, instead, height: y + 7 }
    }
}

pub fn draw(page: &LensPage) -> String {
    let positions = &page.positions;
    // As few blocks as will do, all about as wide.
    let blocks = positions.len().div_ceil(COLUMNS);
    let columns = positions.len().div_ceil(blocks.max(1));
    let width = (2 * MARGIN + SIDE + columns * COLUMN).max(NARROWEST);

    // What is wider than it was thought to be ends at its column's edge.
    let mut body = format!(
        "<clipPath id='column'><rect width='{}' height='{}'/></clipPath>\n",
        COLUMN - GAP,
        Head::of(positions).height + page.layers.len() * ROW + GAP,
    );
    let mut y = MARGIN;
    for positions in positions.chunks(columns.max(1)) {
        y = block(&mut body, page, positions, y) + APART;
    }
    if positions.is_empty() {
        body += &format!(
            "<text x='{MARGIN}' y='{}'>The text has no positions to look at.</text>\n",
            y + 11
        );
        y += 11 + APART;
    }
    let description = format!(
        "Heat map of {} layers by {} positions of a text: the token that each layer finds \
         most probable next, coloured by its probability.",
        page.layers.len(),
        positions.len(),
    );
    let picture = Picture {
        width,
        bottom: y - APART,
        body,
        place: None,
        description,
        style: STYLE,
        rules: rules(),
        notes: notes(page),
    };
    document(page, picture)
}

const STYLE: &str = "\
.bold,.tokens .next,.tokens .right{font-weight:600}
.tokens .guess{font-style:italic;font-weight:400}
.tokens .instead{font-size:10.5px}
.settled{stroke-width:3;paint-order:stroke}
";

/// A fill for each step, what is written on it, and the marks.
fn rules() -> Vec<Rule> {
    let fills = (0..STEPS).map(|step| (format!(".p{step}"), "fill", shade(step)));
    let texts = ON_SHADES.map(|(name, paint)| (format!(".{name}"), "fill", paint));
    // A colour of its own, which is seen between any two shades: the final layer's, as
    // it is the final layer's choice that settles.
    let marks =
        [("fill", BEFORE), ("stroke", PAPER)].map(|(of, paint)| (".settled".into(), of, paint));
    fills.chain(texts).chain(marks).chain([(".rule".into(), "stroke", AFTER)]).collect()
}

/// Draws some positions side by side, and returns where that ends.
fn block(body: &mut String, page: &LensPage, positions: &[Position], top: usize) -> usize {
    let head = Head::of(positions);
    let numbers = top + head.height + page.layers.len() * ROW + 11;
    side(body, page, &head, top, numbers);
    if let Some(y) = head.generated {
        generated(body, positions, top + y);
    }
    for (index, position) in positions.iter().enumerate() {
        let x = MARGIN + SIDE + index * COLUMN;
        *body += &format!(
            "<g class='tokens' transform='translate({x} {top})' clip-path='url(#column)'>\n"
        );
        column(body, page, &head, position);
        *body += &format!(
            "</g>\n<text class='quiet small' x='{}' y='{numbers}'>{}</text>\n",
            x + 4,
            position.position
        );
    }
    numbers
}

/// Names the lines and the rows.
fn side(body: &mut String, page: &LensPage, head: &Head, top: usize, numbers: usize) {
    let x = MARGIN + SIDE - 8;
    let mut label = |y: usize, text: &str| {
        *body += &format!("<text class='quiet small end' x='{x}' y='{y}'>{text}</text>\n");
    };
    label(top + head.token, "after");
    label(top + head.next, "next");
    if let Some(y) = head.instead {
        label(top + y, "final layer");
    }
    let rows = page.layers.len();
    for (row, layer) in page.layers.iter().rev().enumerate() {
        let name = match row {
            0 => "final ",
            row if row + 1 == rows => "layer ",
            _ => "",
        };
        label(top + head.height + row * ROW + 13, &format!("{name}{layer}"));
    }
    label(numbers, "position");
}

/// Draws a rule over each run of generated tokens.
fn generated(body: &mut String, positions: &[Position], y: usize) {
    let mut x = MARGIN + SIDE;
    for run in positions.chunk_by(|a, b| a.generated == b.generated) {
        let wide = run.len() * COLUMN;
        if run[0].generated {
            *body += &format!(
                "<text class='generated small' x='{}' y='{}'>generated</text>\
                 <path class='rule' d='M{x} {y}h{}'/>\n",
                x + 4,
                y - 4,
                wide - GAP,
            );
        }
        x += wide;
    }
}

/// Draws one position from (0, 0).
fn column(body: &mut String, page: &LensPage, head: &Head, position: &Position) {
    let mut text = |y: usize, class: &str, id: u32| {
        let token = token(page, id, CHARACTERS);
        *body += &format!("<text class='{class}' x='4' y='{y}'>{token}</text>\n");
    };
    text(head.token, "quiet", position.id);
    text(head.next, &position.follower_class(), position.follower());
    if let Some((y, id)) = head.instead.zip(position.instead()) {
        text(y, "instead", id);
    }
    let (width, height) = (COLUMN - GAP, ROW - GAP);
    let rows = page.layers.len();
    for row in 0..rows {
        let y = head.height + (rows - 1 - row) * ROW;
        let first = position.top.get(row).and_then(|top| top.first());
        let step = first.map_or(0, |&(_, prob)| step(prob));
        *body +=
            &format!("<rect class='p{step}' y='{y}' width='{width}' height='{height}' rx='2'/>");
        if let Some(&(id, _)) = first {
            let right = if Some(id) == position.next { " right" } else { "" };
            *body += &format!(
                "<text class='{}{right}' x='4' y='{}'>{}</text>",
                on_shade(step).0,
                y + 13,
                token(page, id, CHARACTERS),
            );
        }
        *body += "\n";
    }
    // On the cells, as it is wider than the gap below its own.
    let settled = page.layers.iter().position(|&layer| layer >= position.settling_depth);
    if let Some(row) = settled {
        let y = head.height + (rows - row) * ROW - GAP;
        *body += &format!("<rect class='settled' y='{y}' width='{width}' height='3'/>\n");
    }
}

/// What the colours and marks mean, as far as they occur.
fn notes(page: &LensPage) -> Vec<Note> {
    const SHADE: usize = 7;
    let (left, end) = (24, 24 + STEPS * SHADE);
    let mut scale =
        format!("<text class='quiet'>0%</text><text class='quiet' x='{}'>100%</text>", end + 6);
    for step in 0..STEPS {
        let x = left + step * SHADE;
        scale += &format!("<rect class='p{step}' x='{x}' y='-9' width='{SHADE}' height='11'/>");
    }
    scale += &format!("<path class='hair' fill='none' d='M{left}.5 -8.5H{end}V1.5H{left}.5Z'/>");
    let mut notes = vec![
        Note { sample: scale, width: end + 42, words: "probability of the layer’s first token" },
        Note {
            sample: "<rect class='settled' y='-6' width='22' height='3'/>".into(),
            width: 28,
            words: "from here up it stays",
        },
        Note {
            sample: "<text class='bold'>bold</text>".into(),
            width: 31,
            words: "what follows in the text",
        },
    ];
    if page.positions.iter().any(|position| position.instead().is_some()) {
        notes.push(Note {
            sample: "<text class='changed'>token</text>".into(),
            width: 38,
            words: "chosen by the method against the final layer",
        });
    }
    notes
}
