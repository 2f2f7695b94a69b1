//! All positions as a table: layers by positions, in as many blocks, one below the
//! other, as the width takes.

use std::fmt::Write;
use std::ops::Range;

use anstyle::Style;
use luge::LensPosition;
use luge::lens::Token;
use unicode_width::UnicodeWidthStr;

use super::Seen;
use crate::commands::cells::{fit, percent, shade, shown, spark, wrapped};
use crate::commands::counted;
use crate::output::{self, ASIDE, CHANGED, HEADING};

/// The widest a token is shown, and the narrowest column, in characters.
const WIDEST: usize = 12;
const NARROWEST: usize = 5;

/// How many of the layers that carried a change are named.
const CARRIERS: usize = 4;

pub fn text(seen: &Seen<'_>) -> String {
    let mut text = String::new();
    let table = Table::new(seen);
    for (number, block) in table.blocks(output::width()).into_iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        table.block(block, &mut text);
    }
    text.push('\n');
    generated(seen, &mut text);
    legend(seen, &mut text);
    text
}

/// What a row has for a position, in so many columns.
type Cell<'a> = dyn Fn(&LensPosition, usize) -> String + 'a;

struct Row<'a> {
    name: String,
    cell: Box<Cell<'a>>,
}

struct Table<'a> {
    seen: &'a Seen<'a>,
    rows: Vec<Row<'a>>,
    /// The width of the rows' names, and of each column.
    names: usize,
    columns: Vec<usize>,
}

impl<'a> Table<'a> {
    fn new(seen: &'a Seen<'a>) -> Self {
        let colored = output::has_color();
        let probability = if colored { 0 } else { " 100%".len() };
        let columns = seen.positions.iter().map(|position| {
            let tops = position.layers.iter().filter_map(|opinion| opinion.top.first());
            let tokens = tops.map(|top| &top.token).chain([&position.token, &position.after.token]);
            let widest = tokens.map(|token| shown(&token.text).width()).max();
            widest.unwrap_or(0).clamp(NARROWEST, WIDEST) + probability
        });
        let columns = columns.collect();
        let rows = rows(seen, colored);
        let names = rows.iter().map(|row| row.name.width()).max().unwrap_or(0);
        Table { seen, rows, names, columns }
    }

    /// The positions of each block.
    fn blocks(&self, width: usize) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        let (mut start, mut taken) = (0, self.names);
        for (index, column) in self.columns.iter().enumerate() {
            if index > start && taken + 1 + column > width {
                blocks.push(start..index);
                (start, taken) = (index, self.names);
            }
            taken += 1 + column;
        }
        if start < self.columns.len() {
            blocks.push(start..self.columns.len());
        }
        blocks
    }

    fn block(&self, block: Range<usize>, text: &mut String) {
        for row in &self.rows {
            let mut line = format!("{:>1$}", row.name, self.names);
            for index in block.clone() {
                line.push(' ');
                line.push_str(&(row.cell)(&self.seen.positions[index], self.columns[index]));
            }
            line.push('\n');
            text.push_str(&line);
        }
    }
}

fn rows<'a>(seen: &'a Seen<'_>, colored: bool) -> Vec<Row<'a>> {
    let mut rows = vec![
        row("position", |position, width| {
            let mark = if position.generated { "*" } else { "" };
            let number = format!("{}{mark}", position.position);
            format!("{ASIDE}{number:<width$}{ASIDE:#}")
        }),
        row("token", |position, width| {
            format!("{HEADING}{}{HEADING:#}", fit(&shown(&position.token.text), width))
        }),
    ];
    if seen.positions.iter().any(LensPosition::changed) {
        rows.push(row(&seen.decoder.to_string(), move |position, width| {
            if !position.changed() {
                return fit("", width);
            }
            let after = shown(&position.after.token.text);
            if colored {
                format!("{CHANGED}{}{CHANGED:#}", fit(&after, width))
            } else {
                fit(&format!("‹{after}›"), width)
            }
        }));
    }
    for (index, &layer) in seen.layers.iter().enumerate().rev() {
        rows.push(row(&seen.layer_name(layer), move |position, width| {
            let Some(top) = position.layers[index].top.first() else { return fit("", width) };
            cell(&top.token, top.prob, width, colored)
        }));
    }
    rows.push(row("settles", |position, width| {
        let name = seen.layer_name(position.settling_depth);
        format!("{ASIDE}{name:<width$}{ASIDE:#}")
    }));
    for (place, token) in seen.pinned.iter().enumerate() {
        let name = fit(&format!("{:?}", token.text), WIDEST);
        rows.push(row(name.trim_end(), move |position, width| {
            let probs: Vec<f64> =
                position.layers.iter().map(|layer| layer.pinned[place].candidate.prob).collect();
            fit(&spark(&probs, width), width)
        }));
    }
    rows
}

fn row<'a>(name: &str, cell: impl Fn(&LensPosition, usize) -> String + 'a) -> Row<'a> {
    Row { name: name.to_owned(), cell: Box::new(cell) }
}

/// A token coloured by its probability, or with the probability behind it.
fn cell(token: &Token, prob: f64, width: usize, colored: bool) -> String {
    let text = shown(&token.text);
    if colored {
        let shade = shade(prob);
        return format!("{shade}{}{shade:#}", fit(&text, width));
    }
    let prob = percent(prob);
    format!("{} {prob:>4}", fit(&text, width.saturating_sub(5)))
}

/// The text that was generated, and who changed it.
fn generated(seen: &Seen<'_>, text: &mut String) {
    let Some(generated) = &seen.generated else { return };
    let _ = writeln!(text, "{}\n", generated.shown.trim_matches('\n'));
    for position in seen.positions.iter().filter(|own| own.generated && own.changed()) {
        text.push_str(&wrapped(&change(seen, position), 5, Style::new()));
    }
    let tokens = counted(generated.completion.tokens.len(), "token");
    let changed = generated.completion.changed.len();
    let method = match seen.decoder.is_identity() {
        true => String::new(),
        false => format!(", {changed} changed by {}", seen.decoder),
    };
    let _ = writeln!(text, "{ASIDE}{tokens} generated{method}{ASIDE:#}");
}

/// What became of the final layer's choice, and whose doing it was.
pub fn change(seen: &Seen<'_>, position: &LensPosition) -> String {
    let (after, before) = (&position.after.token.text, &position.before.token.text);
    let mut text = format!("{:>4} {after:?} in place of {before:?}", position.position);
    if let Some(margins) = position.margins {
        let _ = write!(text, ": {:+.2} in the final layer, ", margins.final_layer);
        let _ = match margins.method.is_finite() {
            true => write!(text, "{:+.2} by {}", margins.method, seen.decoder),
            false => write!(text, "the other ruled out by {}", seen.decoder),
        };
        // What would round to nothing is no carrier.
        let carried = position.carried().into_iter().filter(|(_, by)| *by >= 0.005);
        let carried: Vec<_> = carried.collect();
        if margins.votes >= 0.005 && !carried.is_empty() {
            let layers = carried.iter().take(CARRIERS);
            let layers: Vec<_> = layers.map(|(layer, by)| format!("{layer} ({by:+.2})")).collect();
            let _ = write!(
                text,
                "; votes {:+.2}, carried by {} {}{}",
                margins.votes,
                if carried.len() == 1 { "layer" } else { "layers" },
                layers.join(", "),
                if carried.len() > CARRIERS { ", …" } else { "" },
            );
        } else if position.votes().is_some_and(|votes| votes.weight > 0.0) {
            let _ = write!(text, "; votes {:+.2}: not the layers' doing", margins.votes);
        }
    }
    if let Some(layer) = position.contrast() {
        let _ = write!(text, "; contrasted with layer {layer}");
    }
    text
}

/// How to read it.
fn legend(seen: &Seen<'_>, text: &mut String) {
    if output::has_color() {
        let steps = (0..=10).map(|step| {
            let shade = shade(f64::from(step) / 10.0);
            format!("{shade}  {shade:#}")
        });
        let _ = writeln!(text, "0% {} 100%", steps.collect::<String>());
    }
    let changed = seen.positions.iter().filter(|position| position.changed()).count();
    let method = match seen.decoder.is_identity() {
        true => String::new(),
        false => format!("; {} changes {changed} of {}", seen.decoder, seen.positions.len()),
    };
    let generated = if seen.generated.is_some() { "; *: what follows was generated" } else { "" };
    let legend =
        format!("each layer's first choice for the next token{method}; {}{generated}", seen.norm());
    text.push_str(&wrapped(&legend, 0, ASIDE));
}
