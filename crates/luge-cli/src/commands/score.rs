//! `luge score`: what a method thinks of a given continuation.

use std::io::Write;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use luge::{Decoder, Score};
use serde::Serialize;

use super::session;
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{ASIDE, print_json};
use crate::resolve::{Pair, ScoreJob};

#[derive(Serialize)]
struct ScoreObject<'a> {
    model: &'a str,
    method: &'a Decoder,
    prompt_ids: &'a [u32],
    continuation_ids: &'a [u32],
    #[serde(flatten)]
    score: &'a Score,
}

pub fn run(job: ScoreJob) -> Result<ExitCode, Failure> {
    let mut session = session(&job.model)?;
    let decoder = job.method.decoder(&session)?;
    let (prompt, continuation) = match job.pair {
        Pair::Texts(prompt, continuation) => session.tokenize_pair(&prompt, &continuation)?,
        Pair::Ids(prompt, continuation) => (prompt, continuation),
    };
    let score = session.score(&decoder, &prompt, &continuation)?;
    match job.format {
        Format::Text => print_table(&score, &decoder)?,
        Format::Json => print_json(&ScoreObject {
            model: &job.model.source.name(),
            method: &decoder,
            prompt_ids: &prompt,
            continuation_ids: &continuation,
            score: &score,
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_table(score: &Score, decoder: &Decoder) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["id", "token", "logit", "logprob"]);
    for token in &score.tokens {
        table.add_row([
            token.id.to_string(),
            // Quoted, so that blanks and line breaks show.
            format!("{:?}", token.text),
            format!("{:.4}", token.logit),
            format!("{:.4}", token.logprob),
        ]);
    }
    table.add_row([
        String::new(),
        "sum".to_owned(),
        format!("{:.4}", score.sum_logit),
        format!("{:.4}", score.sum_logprob),
    ]);
    for number in [0, 2, 3] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(out, "{ASIDE}logprob: normalised over the vocabulary, in nats{ASIDE:#}")?;
    writeln!(out, "{ASIDE}method: {decoder:#}{ASIDE:#}")?;
    out.flush()?;
    Ok(())
}
