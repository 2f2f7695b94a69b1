//! What the layers say at the one position of an answer that tells the most.

use std::io::Write;

use comfy_table::{CellAlignment, Table, presets};
use luge::{Decoder, Greedy, LensOptions, Opinion, Pipeline, Session};
use serde::Serialize;

use super::cells::{BAR, bar, percent, tail};
use super::compare::Answer;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING};

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
        let Some(decoder) = reader(decoders) else { return Ok(()) };
        let lens = session.lens(decoder, &LensOptions::default())?;
        Ok(session.prepare_lens(&lens)?)
    }

    /// Looks where the answers part; where they are the same, at the token that
    /// was the least probable for the final layer. None if there is no answer.
    pub fn of(
        session: &mut Session,
        prompt: &[u32],
        answers: &[Answer<'_>],
    ) -> Result<Option<Self>, Failure> {
        let decoder = reader(answers.iter().map(|answer| answer.decoder));
        let (Some(first), Some(decoder)) = (answers.first(), decoder) else { return Ok(None) };
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
        let text = [prompt, &first[..token]].concat();
        let lens = session.lens(decoder, &LensOptions { pinned, ..LensOptions::default() })?;
        let mut layers = Vec::new();
        session.look(&lens, &text, text.len() - 1..text.len(), |position| {
            layers = position.layers;
        })?;
        let mut before = Vec::new();
        for &token in &text {
            before.extend(session.model().piece(token)?);
        }
        Ok(Some(Layers {
            token,
            before: String::from_utf8_lossy(&before).into_owned(),
            parts: parting.is_some(),
            ended,
            exit_norm: lens.form().norm.as_str(),
            layers,
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
        let room = output::width().saturating_sub(30) / (BAR + 8);
        let chosen = &chosen[..chosen.len().min(room.max(1))];
        let mut header = vec!["layer".to_owned(), "says".to_owned(), String::new()];
        let texts = chosen.iter().map(|pinned| &pinned.candidate.token.text);
        header.extend(texts.map(|text| format!("{text:?}")));
        table.set_header(header.iter().map(|text| format!("{ASIDE}{text}{ASIDE:#}")));
        for opinion in self.layers.iter().rev() {
            let is_final = opinion.layer + 1 == self.layers.len();
            let name = if is_final { "final".to_owned() } else { opinion.layer.to_string() };
            let (says, sure) = match opinion.top.first() {
                Some(top) => (format!("{:?}", top.token.text), percent(top.prob)),
                None => Default::default(),
            };
            let mut row = vec![name, says, sure];
            let pinned = opinion.pinned.iter().take(chosen.len());
            row.extend(pinned.map(|pinned| {
                let prob = pinned.candidate.prob;
                format!("{} {:>4}", bar(prob), percent(prob))
            }));
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
        let place = tail(&self.before, 40);
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

/// The first method that reads exits, which are shown as it reads them; the first of
/// all where none does.
fn reader<'a>(decoders: impl Iterator<Item = &'a Decoder>) -> Option<&'a Decoder> {
    let decoders: Vec<_> = decoders.collect();
    let reader = decoders.iter().find(|decoder| !decoder.plan().layers.is_empty());
    reader.or(decoders.first()).copied()
}

/// The token of an answer that was the least probable for the final layer.
fn least_probable(session: &mut Session, prompt: &[u32], answer: &[u32]) -> Result<usize, Failure> {
    let greedy = session.decoder(&Pipeline::single(Greedy))?;
    let tokens = session.score(&greedy, prompt, answer)?.tokens;
    let least = tokens.iter().enumerate().min_by(|a, b| a.1.logprob.total_cmp(&b.1.logprob));
    Ok(least.map_or(0, |(token, _)| token))
}
