//! `luge compare`: one prompt, several methods, the answers side by side.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::ProgressBar;
use luge::{Completion, Decoder, FinishReason, GenerateOptions, Session};
use serde::Serialize;

use super::layers::Layers;
use super::prompts::{self, Ended};
use super::{CompletionObject, counted, session, tokens};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING, marked, print_json};
use crate::resolve::{CompareJob, Method, Prompt};

/// The narrowest column that text is still read in.
const LEAST_COLUMN: u16 = 24;

#[derive(Serialize)]
struct CompareObject<'a> {
    model: &'a str,
    prompt_ids: &'a [u32],
    seed: u64,
    results: Vec<ResultObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a Layers>,
}

#[derive(Serialize)]
struct ResultObject<'a> {
    method: &'a Decoder,
    #[serde(flatten)]
    completion: CompletionObject<'a>,
}

/// One method's answer.
pub struct Answer<'a> {
    pub name: &'a str,
    pub decoder: &'a Decoder,
    /// The text with its changed tokens marked.
    shown: String,
    pub completion: Completion,
}

impl Answer<'_> {
    fn is_interrupted(&self) -> bool {
        self.completion.finish_reason == FinishReason::Interrupted
    }
}

pub fn run(job: CompareJob) -> Result<ExitCode, Failure> {
    let mut session = session(&job.model)?;
    // All are checked before the first takes its time.
    let mut decoders = Vec::new();
    for (name, method) in &job.methods {
        let decoder = method.decoder(&session)?;
        match session.prepare(&decoder).map_err(Failure::from) {
            // The answers then begin, and end, with that.
            Ok(()) | Err(Failure::Interrupted) => {}
            Err(failure) => return Err(failure),
        }
        decoders.push((name.as_str(), decoder));
    }
    if job.show_layers {
        match Layers::prepare(&mut session, decoders.iter().map(|(_, decoder)| decoder)) {
            Ok(()) | Err(Failure::Interrupted) => {}
            Err(failure) => return Err(failure),
        }
    }
    let interrupt = session.interrupt();
    prompts::answer_each(job.prompt.as_ref(), job.interactive, &interrupt, |prompt| {
        compare(&mut session, &job, &decoders, prompt)
    })
}

/// Answers one prompt.
fn compare(
    session: &mut Session,
    job: &CompareJob,
    decoders: &[(&str, Decoder)],
    prompt: &Prompt,
) -> Result<Ended, Failure> {
    let prompt = tokens(session, prompt)?;
    let answers = answers(session, decoders, &prompt, &job.options)?;
    let mut is_interrupted = answers.iter().any(Answer::is_interrupted);
    if job.format == Format::Text {
        print_answers(&answers, job.options.grammar.is_some())?;
    }
    let mut layers = None;
    if job.show_layers && !is_interrupted {
        match Layers::of(session, &prompt, &answers) {
            Ok(shown) => layers = shown,
            // The answers are there all the same.
            Err(Failure::Interrupted) => is_interrupted = true,
            Err(failure) => return Err(failure),
        }
    }
    match job.format {
        Format::Text => layers.iter().try_for_each(Layers::print)?,
        Format::Json => print_json(&CompareObject {
            model: &job.model.source.name(),
            prompt_ids: &prompt,
            seed: job.options.sampler.seed,
            results: answers
                .iter()
                .map(|answer| ResultObject {
                    method: answer.decoder,
                    completion: CompletionObject::new(&answer.completion),
                })
                .collect(),
            layers: layers.as_ref(),
        })?,
    }
    Ok(if is_interrupted { Ended::Interrupted } else { Ended::Whole })
}

fn answer<'a>(
    session: &mut Session,
    name: &'a str,
    decoder: &'a Decoder,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<Answer<'a>, Failure> {
    let progress =
        if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(120));
    progress.set_message(format!("{name}: reading the prompt"));
    let mut generation = session.generate(decoder, prompt, options)?;
    let mut shown = String::new();
    while let Some(piece) = generation.next() {
        let piece = piece?;
        shown.push_str(&marked(&output::for_stdout(&piece.text), piece.changed));
        progress.set_message(format!("{name}: {}", counted(generation.tokens().len(), "token")));
    }
    let completion = generation.finish()?;
    progress.finish_and_clear();
    Ok(Answer { name, decoder, shown, completion })
}

/// Answers a prompt with each of several methods, as they were written and parsed, side by
/// side. Ctrl-C ends the answer under way, and leaves out the others.
pub fn answer_in_columns(
    session: &mut Session,
    methods: &[(String, Method)],
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<(), Failure> {
    let mut decoders = Vec::new();
    for (name, method) in methods {
        let decoder = method.decoder(session)?;
        session.prepare(&decoder)?;
        decoders.push((name.as_str(), decoder));
    }
    print_answers(&answers(session, &decoders, prompt, options)?, options.grammar.is_some())
}

/// The answers of several methods, up to one that is interrupted.
fn answers<'a>(
    session: &mut Session,
    decoders: &'a [(&str, Decoder)],
    prompt: &[u32],
    options: &GenerateOptions,
) -> Result<Vec<Answer<'a>>, Failure> {
    let mut answers = Vec::new();
    for (name, decoder) in decoders {
        let answer = answer(session, name, decoder, prompt, options)?;
        let is_last = answer.is_interrupted();
        answers.push(answer);
        if is_last {
            break;
        }
    }
    Ok(answers)
}

/// In columns where the terminal is wide enough, otherwise one below the other.
fn print_answers(answers: &[Answer<'_>], has_grammar: bool) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::DynamicFullWidth)
        .set_header(answers.iter().map(|answer| format!("{HEADING}{}{HEADING:#}", answer.name)))
        .add_row(answers.iter().map(|answer| answer.shown.trim_matches('\n')))
        .add_row(
            answers
                .iter()
                .map(|answer| format!("{ASIDE}{}{ASIDE:#}", summary(answer, has_grammar))),
        );
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
            writeln!(out, "{ASIDE}{}{ASIDE:#}\n", summary(answer, has_grammar))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn summary(answer: &Answer<'_>, has_grammar: bool) -> String {
    let completion = &answer.completion;
    let mut parts = vec![counted(completion.tokens.len(), "token")];
    if !completion.changed.is_empty() {
        parts.push(format!("{} changed", completion.changed.len()));
    }
    match completion.finish_reason {
        // Or by its grammar.
        FinishReason::Eos if has_grammar => parts.push("complete".to_owned()),
        FinishReason::Eos => parts.push("ended by the model".to_owned()),
        FinishReason::Stop => parts.push("stopped".to_owned()),
        FinishReason::Context => parts.push("context full".to_owned()),
        FinishReason::Interrupted => parts.push("interrupted".to_owned()),
        FinishReason::Length => {}
    }
    parts.push(format!("{:.1}/s", completion.timings.tokens_per_second()));
    parts.join(", ")
}
