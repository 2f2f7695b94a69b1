//! `luge compare`: one prompt, several methods, the answers side by side.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::ProgressBar;
use luge::{Completion, Decoder, FinishReason, GenerateOptions, Session};
use serde::Serialize;

use super::{CompletionObject, counted, session, tokens};
use crate::args::Format;
use crate::failure::{Failure, INTERRUPTED};
use crate::output::{self, ASIDE, HEADING, marked, print_json};
use crate::resolve::CompareJob;

/// The narrowest column that text is still read in.
const LEAST_COLUMN: u16 = 24;

#[derive(Serialize)]
struct CompareObject<'a> {
    model: &'a str,
    prompt_ids: &'a [u32],
    seed: u64,
    results: Vec<ResultObject<'a>>,
}

#[derive(Serialize)]
struct ResultObject<'a> {
    method: &'a Decoder,
    #[serde(flatten)]
    completion: CompletionObject<'a>,
}

/// One method's answer.
struct Answer<'a> {
    name: &'a str,
    decoder: Decoder,
    /// The text with its changed tokens marked.
    shown: String,
    completion: Completion,
}

pub fn run(job: CompareJob) -> Result<ExitCode, Failure> {
    let mut session = session(&job.model)?;
    // All are checked before the first takes its time.
    let mut decoders = Vec::new();
    for (name, method) in &job.methods {
        let decoder = session.decoder(method)?;
        match session.prepare(&decoder).map_err(Failure::from) {
            // The answers then begin, and end, with that.
            Ok(()) | Err(Failure::Interrupted) => {}
            Err(failure) => return Err(failure),
        }
        decoders.push((name.as_str(), decoder));
    }
    let prompt = tokens(&session, &job.prompt)?;
    let mut answers = Vec::new();
    for (name, decoder) in decoders {
        let answer = answer(&mut session, name, decoder, &prompt, &job.options)?;
        let interrupted = answer.completion.finish_reason == FinishReason::Interrupted;
        answers.push(answer);
        if interrupted {
            break;
        }
    }
    match job.format {
        Format::Text => print_answers(&answers)?,
        Format::Json => print_json(&CompareObject {
            model: &job.model.path.to_string_lossy(),
            prompt_ids: &prompt,
            seed: job.options.sampler.seed,
            results: answers
                .iter()
                .map(|answer| ResultObject {
                    method: &answer.decoder,
                    completion: CompletionObject::new(&answer.completion),
                })
                .collect(),
        })?,
    }
    let interrupted =
        answers.iter().any(|a| a.completion.finish_reason == FinishReason::Interrupted);
    Ok(if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn answer<'a>(
    session: &mut Session,
    name: &'a str,
    decoder: Decoder,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<Answer<'a>, Failure> {
    let progress =
        if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(120));
    progress.set_message(format!("{name}: reading the prompt"));
    let mut generation = session.generate(&decoder, prompt, options)?;
    let mut shown = String::new();
    while let Some(piece) = generation.next() {
        let piece = piece?;
        shown.push_str(&marked(&piece.text, piece.changed));
        progress.set_message(format!("{name}: {}", counted(generation.tokens().len())));
    }
    let completion = generation.finish()?;
    progress.finish_and_clear();
    Ok(Answer { name, decoder, shown, completion })
}

/// In columns where the terminal is wide enough, otherwise one below the other.
fn print_answers(answers: &[Answer<'_>]) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::DynamicFullWidth)
        .set_header(answers.iter().map(|answer| format!("{HEADING}{}{HEADING:#}", answer.name)))
        .add_row(answers.iter().map(|answer| answer.shown.trim_matches('\n')))
        .add_row(answers.iter().map(|answer| format!("{ASIDE}{}{ASIDE:#}", summary(answer))));
    if !io::stdout().is_terminal() {
        table.set_width(100);
    }
    let width = table.width().unwrap_or(100);
    // Each column has a border and a blank on either side.
    let column = width / answers.len().max(1) as u16;
    let mut out = anstream::stdout().lock();
    if column >= LEAST_COLUMN + 3 {
        writeln!(out, "{table}")?;
    } else {
        for answer in answers {
            writeln!(out, "{HEADING}{}{HEADING:#}", answer.name)?;
            writeln!(out, "{}", answer.shown.trim_matches('\n'))?;
            writeln!(out, "{ASIDE}{}{ASIDE:#}\n", summary(answer))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn summary(answer: &Answer<'_>) -> String {
    let completion = &answer.completion;
    let mut parts = vec![counted(completion.tokens.len())];
    if !completion.changed.is_empty() {
        parts.push(format!("{} changed", completion.changed.len()));
    }
    match completion.finish_reason {
        FinishReason::Eos => parts.push("ended by the model".to_owned()),
        FinishReason::Stop => parts.push("stopped".to_owned()),
        FinishReason::Context => parts.push("context full".to_owned()),
        FinishReason::Interrupted => parts.push("interrupted".to_owned()),
        FinishReason::Length => {}
    }
    parts.push(format!("{:.1}/s", completion.timings.tokens_per_second()));
    parts.join(", ")
}
