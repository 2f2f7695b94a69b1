//! One position in depth: a row a layer.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use anstyle::Style;
use luge::{Candidate, LensPosition, Opinion};
use unicode_width::UnicodeWidthStr;

use super::{Seen, table};
use crate::commands::cells::{bar, fit, percent, shade, shown, spark, tail, wrapped};
use crate::output::{self, ASIDE, HEADING};

/// The widest a token is shown, in characters.
const WIDEST: usize = 14;

/// A column: its head, and a cell for each layer, the final one first.
struct Column {
    head: String,
    cells: Vec<Cell>,
    is_right: bool,
}

struct Cell {
    text: String,
    /// The probability that colours it.
    prob: Option<f64>,
}

pub fn text(seen: &Seen<'_>, index: usize) -> String {
    let position = &seen.positions[index];
    let mut text = String::new();
    head(seen, index, &mut text);
    text.push('\n');

    let mut columns = vec![layers(seen)];
    let mut behind = vec![
        numbers("entropy", position, |opinion| format!("{:.2}", opinion.entropy)),
        numbers("JSD", position, |opinion| format!("{:.3}", opinion.jsd_to_final)),
    ];
    behind.extend((0..seen.pinned.len()).map(|place| pinned(seen, position, place)));
    behind.extend(voted(seen, position));
    behind.extend(contrasted(seen, position));
    let width = |columns: &[Column]| columns.iter().map(|own| own.width() + 2).sum::<usize>();
    let most = position.layers.iter().map(|opinion| opinion.top.len()).max().unwrap_or(0);
    // A file is as wide as it has to be.
    let room = if io::stdout().is_terminal() { output::width() } else { usize::MAX };
    let first = if most > 0 { ranked(position, 0).width() + 2 } else { 0 };
    // Where it is narrow, the last go first: their curves are shown below.
    while behind.len() > 2 && width(&columns) + first + width(&behind) - 2 > room {
        behind.pop();
    }
    let mut shown = 0;
    while shown < most {
        let column = ranked(position, shown);
        if shown > 0 && width(&columns) + column.width() + width(&behind) > room {
            break;
        }
        columns.push(column);
        shown += 1;
    }
    columns.extend(behind);
    write_table(&columns, &mut text);
    text.push('\n');

    let names = seen.pinned.iter().map(|token| format!("{:?}", token.text).width()).max();
    for (place, token) in seen.pinned.iter().enumerate() {
        let probs: Vec<f64> =
            position.layers.iter().map(|layer| layer.pinned[place].candidate.prob).collect();
        let name = fit(&format!("{:?}", token.text), names.unwrap_or(0));
        let best = position.layers.iter().max_by(|a, b| {
            let prob = |opinion: &Opinion| opinion.pinned[place].candidate.prob;
            // Of equal ones the first.
            prob(a).total_cmp(&prob(b)).then(b.layer.cmp(&a.layer))
        });
        let best = best.map_or_else(String::new, |opinion| {
            let prob = percent(opinion.pinned[place].candidate.prob);
            format!("  at most {prob}, in {}", in_words(seen, opinion.layer))
        });
        let _ = writeln!(text, "{name}  {}{ASIDE}{best}{ASIDE:#}", spark(&probs, probs.len()));
    }
    if shown < most {
        let note = format!("{shown} of {most} shown: a wider terminal, or --format json, has all");
        text.push_str(&wrapped(&note, 0, ASIDE));
    }
    let legend = format!(
        "in nats: entropy, and Jensen–Shannon divergence to the final layer as DoLa has it; {}",
        seen.norm()
    );
    text.push_str(&wrapped(&legend, 0, ASIDE));
    text
}

fn in_words(seen: &Seen<'_>, layer: usize) -> String {
    if seen.layers.last() == Some(&layer) {
        "the final layer".to_owned()
    } else {
        format!("layer {layer}")
    }
}

/// Where it is, what follows, and what was chosen.
fn head(seen: &Seen<'_>, index: usize, text: &mut String) {
    let position = &seen.positions[index];
    let place = tail(&seen.text_to(index), 40);
    let mut line = format!("Position {}, after {place:?}", position.position);
    if let Some(next) = &position.next {
        let how = if position.generated { "generated" } else { "given" };
        let _ = write!(line, "; {how} next: {:?}", next.text);
    }
    text.push_str(&wrapped(&line, 0, HEADING));
    let choice =
        |candidate: &Candidate| format!("{:?} {}", candidate.token.text, percent(candidate.prob));
    let mut line = format!("final: {}", choice(&position.before));
    if !seen.decoder.is_identity() {
        let _ = write!(line, "; {}: {}", seen.decoder, choice(&position.after));
    }
    let _ = write!(line, "; settled from {} on", in_words(seen, position.settling_depth));
    text.push_str(&wrapped(&line, 0, Style::new()));
    if position.changed() {
        text.push_str(&wrapped(&table::change(seen, position), 5, Style::new()));
    }
}

fn layers(seen: &Seen<'_>) -> Column {
    Column::new("layer", seen.layers.iter().rev().map(|&layer| seen.layer_name(layer)), true)
}

fn numbers(head: &str, position: &LensPosition, number: impl Fn(&Opinion) -> String) -> Column {
    Column::new(head, position.layers.iter().rev().map(number), true)
}

/// The layers' tokens of a rank, with their probabilities one below the other.
fn ranked(position: &LensPosition, rank: usize) -> Column {
    let ranked = || position.layers.iter().rev().map(|opinion| opinion.top.get(rank));
    let widest = ranked().flatten().map(|own| shown(&own.token.text).width()).max();
    let cell = |own: Option<&Candidate>| match own {
        None => Cell { text: String::new(), prob: None },
        Some(own) => {
            let token = fit(&shown(&own.token.text), widest.unwrap_or(0).min(WIDEST));
            Cell { text: format!("{token} {:>4}", percent(own.prob)), prob: Some(own.prob) }
        }
    };
    let cells = ranked().map(cell).collect();
    Column { head: format!("#{}", rank + 1), cells, is_right: false }
}

fn pinned(seen: &Seen<'_>, position: &LensPosition, place: usize) -> Column {
    let cell = |opinion: &Opinion| {
        let own = &opinion.pinned[place];
        format!("{:>4} #{:<4}", percent(own.candidate.prob), own.rank)
    };
    let head = fit(&format!("{:?}", seen.pinned[place].text), WIDEST);
    Column::new(head.trim_end(), position.layers.iter().rev().map(cell), false)
}

/// Each layer's share of the vote.
fn voted(seen: &Seen<'_>, position: &LensPosition) -> Option<Column> {
    let votes = position.votes()?;
    let shares = votes.of_layers();
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let cell = |layer: &usize| match votes.layers.binary_search(layer) {
        Ok(place) if largest > 0.0 => {
            format!("{} {:>4}", bar(shares[place] / largest), percent(shares[place]))
        }
        _ => String::new(),
    };
    Some(Column::new("vote", seen.layers.iter().rev().map(cell), false))
}

/// The layer that the method contrasted with.
fn contrasted(seen: &Seen<'_>, position: &LensPosition) -> Option<Column> {
    let layer = position.contrast()?;
    let cell = |&own: &usize| if own == layer { "◂".to_owned() } else { String::new() };
    Some(Column::new("contrasted", seen.layers.iter().rev().map(cell), false))
}

impl Column {
    fn new(head: &str, cells: impl Iterator<Item = String>, is_right: bool) -> Self {
        let cells = cells.map(|text| Cell { text, prob: None }).collect();
        Column { head: head.to_owned(), cells, is_right }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.text.width());
        cells.chain([self.head.width()]).max().unwrap_or(0)
    }

    /// A text in the column's width.
    fn fit(&self, text: &str) -> String {
        let width = self.width();
        match self.is_right {
            true => format!("{}{text}", " ".repeat(width.saturating_sub(text.width()))),
            false => fit(text, width),
        }
    }
}

fn write_table(columns: &[Column], text: &mut String) {
    let heads = columns.iter().map(|own| format!("{ASIDE}{}{ASIDE:#}", own.fit(&own.head)));
    let _ = writeln!(text, "{}", heads.collect::<Vec<_>>().join("  "));
    let rows = columns.first().map_or(0, |own| own.cells.len());
    for row in 0..rows {
        let cells = columns.iter().map(|own| {
            let cell = &own.cells[row];
            let fitted = own.fit(&cell.text);
            match cell.prob.filter(|_| output::has_color()) {
                Some(prob) => {
                    let shade = shade(prob);
                    format!("{shade}{fitted}{shade:#}")
                }
                // The final layer stands out.
                None if row == 0 => format!("{HEADING}{fitted}{HEADING:#}"),
                None => fitted,
            }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  "));
    }
}
