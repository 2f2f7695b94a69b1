//! What the layers say at the one position of an answer that tells the most.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, Table, presets};
use luge::{Decoder, ExitForm, Greedy, LensOptions, Opinion, Pipeline, Session};
use serde::Serialize;

use super::compare::Answer;
use crate::failure::Failure;
use crate::output::{ASIDE, HEADING};

/// The length of the longest bar, in characters.
const BAR: usize = 10;

/// Every layer's opinion about one token of an answer.
#[derive(Debug, Serialize)]
pub struct Layers {
    /// The token, by its number in the completion, from 0.
    token: usize,
    /// The text before it: the end of the prompt, and the answer so far.
    #[serde(skip)]
    before: String,
    /// Whether the answers part here.
    parts: bool,
    /// The methods whose answer ends here, and has no token.
    ended: Vec<String>,
    /// How exits were read.
    exit_norm: &'static str,
    layers: Vec<Opinion>,
}

impl Layers {
    /// Finds out whether the model's layers can be read.
    pub fn prepare<'a>(
        session: &mut Session,
        decoders: impl Iterator<Item = &'a Decoder>,
    ) -> Result<(), Failure> {
        Ok(session.prepare_lens(form(decoders))?)
    }

    /// Looks where the answers part; where they are the same, at the token that
    /// was the least probable for the final layer. None if there is no answer.
    pub fn of(
        session: &mut Session,
        prompt: &[u32],
        answers: &[Answer<'_>],
    ) -> Result<Option<Self>, Failure> {
        let Some(first) = answers.first() else { return Ok(None) };
        let first = &first.completion.tokens;
        let longest = answers.iter().map(|answer| answer.completion.tokens.len()).max();
        let choice =
            |answer: &Answer<'_>, token: usize| answer.completion.tokens.get(token).copied();
        let parting = (0..longest.unwrap_or(0)).find(|&token| {
            answers.iter().any(|answer| choice(answer, token) != first.get(token).copied())
        });
        let token = match parting {
            Some(token) => token,
            None if first.is_empty() => return Ok(None),
            None => least_probable(session, prompt, first)?,
        };
        let mut pinned: Vec<u32> = Vec::new();
        let mut ended = Vec::new();
        for answer in answers {
            match choice(answer, token) {
                Some(token) if pinned.contains(&token) => {}
                Some(token) => pinned.push(token),
                None => ended.push(answer.name.to_owned()),
            }
        }
        let form = form(answers.iter().map(|answer| answer.decoder));
        let text = [prompt, &first[..token]].concat();
        let options = LensOptions { form, top: 5, pinned };
        let mut positions = session.lens(&text, &[], &options)?;
        let mut before = Vec::new();
        for &token in &text {
            before.extend(session.model().piece(token)?);
        }
        Ok(Some(Layers {
            token,
            before: String::from_utf8_lossy(&before).into_owned(),
            parts: parting.is_some(),
            ended,
            exit_norm: form.norm.as_str(),
            layers: positions.pop().unwrap_or_default(),
        }))
    }

    /// A row a layer, the final one on top: its first choice, and how probable
    /// the tokens are that the methods chose.
    pub fn print(&self) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let chosen = self.layers.first().map(|opinion| opinion.pinned.as_slice());
        let chosen = chosen.unwrap_or_default();
        // As many as there is room for, beside the 30 columns of the others.
        let width = if io::stdout().is_terminal() { table.width() } else { None };
        let room = usize::from(width.unwrap_or(100)).saturating_sub(30) / (BAR + 8);
        let chosen = &chosen[..chosen.len().min(room.max(1))];
        let mut header = vec!["layer".to_owned(), "says".to_owned(), String::new()];
        header.extend(chosen.iter().map(|token| format!("{:?}", token.text)));
        table.set_header(header.iter().map(|text| format!("{ASIDE}{text}{ASIDE:#}")));
        for opinion in self.layers.iter().rev() {
            let is_final = opinion.layer + 1 == self.layers.len();
            let name = if is_final { "final".to_owned() } else { opinion.layer.to_string() };
            let (says, sure) = match opinion.top.first() {
                Some(top) => (format!("{:?}", top.text), percent(top.prob)),
                None => Default::default(),
            };
            let mut row = vec![name, says, sure];
            row.extend(opinion.pinned.iter().take(chosen.len()).map(|token| bar(token.prob)));
            if is_final {
                row = row.iter().map(|text| format!("{HEADING}{text}{HEADING:#}")).collect();
            }
            table.add_row(row);
        }
        for number in [0, 2] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut out = anstream::stdout().lock();
        let place = tail(&self.before);
        let what =
            if self.parts { "where the answers part" } else { "at the least probable token" };
        writeln!(out, "\n{HEADING}The layers {what}{HEADING:#}, after {place:?}")?;
        writeln!(out, "{}", table.trim_fmt())?;
        for name in &self.ended {
            writeln!(out, "{ASIDE}{name} ends here{ASIDE:#}")?;
        }
        writeln!(out, "{ASIDE}exit norm: {}{ASIDE:#}", self.exit_norm)?;
        out.flush()?;
        Ok(())
    }
}

/// Exits are read as the first method that reads any does.
fn form<'a>(mut decoders: impl Iterator<Item = &'a Decoder>) -> ExitForm {
    let reader = decoders.find(|decoder| !decoder.plan().layers.is_empty());
    reader.map_or_else(ExitForm::default, |decoder| decoder.plan().form)
}

/// The token of an answer that was the least probable for the final layer.
fn least_probable(session: &mut Session, prompt: &[u32], answer: &[u32]) -> Result<usize, Failure> {
    let greedy = session.decoder(&Pipeline::single(Greedy))?;
    let tokens = session.score(&greedy, prompt, answer)?.tokens;
    let least = tokens.iter().enumerate().min_by(|a, b| a.1.logprob.total_cmp(&b.1.logprob));
    Ok(least.map_or(0, |(token, _)| token))
}

fn percent(prob: f64) -> String {
    format!("{:.0}%", 100.0 * prob)
}

/// A probability as a bar and a number.
fn bar(prob: f64) -> String {
    let full = (prob * BAR as f64).round() as usize;
    format!("{}{} {:>4}", "█".repeat(full), "·".repeat(BAR - full.min(BAR)), percent(prob))
}

/// The last words of a text, on one line.
fn tail(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut end = String::new();
    for word in text.split_whitespace().rev() {
        if !end.is_empty() && end.chars().count() + word.chars().count() >= LONGEST {
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
        assert_eq!(tail(" A\nfew  words "), "A few words");
        assert_eq!(tail(&"word ".repeat(20)), format!("…{}", " word".repeat(8)));
        assert_eq!(tail(&"long".repeat(20)), "long".repeat(20));
        assert_eq!(tail(""), "");
    }
}
