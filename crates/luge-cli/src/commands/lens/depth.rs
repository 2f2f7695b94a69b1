//! One position in depth: a row a layer.

use std::fmt::Write;

use luge::{Candidate, LensPosition, Opinion, Trace};
use unicode_width::UnicodeWidthStr;

use super::{Seen, table};
use crate::commands::cells::{bar, fit, percent, shade, shown, spark, tail};
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
    behind.extend(position.traces.iter().map(|trace| traced(trace, seen)));
    let width = |columns: &[Column]| columns.iter().map(|own| own.width() + 2).sum::<usize>();
    let most = position.layers.iter().map(|opinion| opinion.top.len()).max().unwrap_or(0);
    for rank in 0..most {
        let column = ranked(position, rank);
        let taken = width(&columns) + column.width() + width(&behind);
        if rank > 0 && taken > output::width() {
            break;
        }
        columns.push(column);
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
    let _ = writeln!(
        text,
        "{ASIDE}in nats: entropy, and Jensen–Shannon divergence to the final layer as DoLa has it; {}{ASIDE:#}",
        seen.norm()
    );
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
    let _ = write!(
        text,
        "{HEADING}Position {}{HEADING:#}, after {:?}",
        position.position,
        tail(&seen.text_to(index), 40)
    );
    if let Some(next) = &position.next {
        let how = if position.generated { "generated" } else { "given" };
        let _ = write!(text, "; {how} next: {:?}", next.text);
    }
    text.push('\n');
    let choice =
        |candidate: &Candidate| format!("{:?} {}", candidate.token.text, percent(candidate.prob));
    let _ = write!(text, "final: {}", choice(&position.before));
    if !seen.decoder.is_identity() {
        let _ = write!(text, "; {}: {}", seen.decoder, choice(&position.after));
    }
    let depth = in_words(seen, position.settling_depth);
    let _ = writeln!(text, "; settled from {depth} on");
    if position.changed() {
        let _ = writeln!(text, "{}", table::change(seen, position));
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

/// What the method took from each layer.
fn traced(trace: &Trace, seen: &Seen<'_>) -> Column {
    match trace {
        Trace::Votes(votes) => {
            let shares = votes.of_layers();
            let largest = shares.iter().copied().fold(0.0, f64::max);
            let cell = |layer: &usize| match votes.layers.binary_search(layer) {
                Ok(place) if largest > 0.0 => {
                    let share = shares[place];
                    format!("{} {:>4}", bar(share / largest), percent(share))
                }
                _ => String::new(),
            };
            Column::new("vote", seen.layers.iter().rev().map(cell), false)
        }
        Trace::Contrast { layer } => {
            let cell = |own: &usize| if own == layer { "◂".to_owned() } else { String::new() };
            Column::new("contrasted", seen.layers.iter().rev().map(cell), false)
        }
    }
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
