//! `luge eval --dry-run`: what an evaluation will take, from a few of its documents.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar};
use luge::Session;
use luge::chat::ChatTemplate;
use luge_eval::{Cost, Outcome, Run};
use luge_hub::human_bytes;
use serde::Serialize;

use super::super::bench::Peak;
use super::super::counted;
use super::engine;
use super::setup::Methods;
use crate::args::Format;
use crate::failure::Failure;
use crate::output::{self, ASIDE};
use crate::resolve::EvalJob;

/// How many documents of each task are asked.
const ASKED: usize = 4;

#[derive(Serialize)]
struct EstimateObject {
    documents: usize,
    methods: usize,
    asked: usize,
    /// Tokens through the transformer.
    tokens: u64,
    /// Exits: layers, summed over positions.
    exits: u64,
    seconds: f64,
    /// The most that the process has held, where the system tells.
    memory_bytes: Option<u64>,
}

pub fn print(
    session: &mut Session,
    job: &EvalJob,
    methods: &Methods,
    template: Option<ChatTemplate>,
    run: &Run<'_>,
) -> Result<ExitCode, Failure> {
    let peak = Peak::watch();
    let progress =
        if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(120));
    let places: Vec<(usize, usize)> = run.places().collect();
    let mut engine = engine(session, job, methods, template);
    let mut object = EstimateObject {
        documents: places.len(),
        methods: methods.decoders.len(),
        asked: 0,
        tokens: 0,
        exits: 0,
        seconds: 0.0,
        memory_bytes: None,
    };
    let mut problem = None;
    for (number, planned) in job.questions.tasks.iter().enumerate() {
        progress.set_message(format!("asking a few of {}", planned.task.name));
        let own: Vec<(usize, usize)> =
            places.iter().copied().filter(|(task, _)| *task == number).collect();
        // From all over it: a file may be sorted. The first of them also computes what
        // stands in front of every question, and does not count.
        let count = own.len().min(ASKED + 1);
        let mut cost = Cost::default();
        let (mut asked, mut seconds) = (0, 0.0);
        for place in (0..count).map(|at| own[at * own.len() / count]) {
            let start = Instant::now();
            let record = run.ask(&mut engine, place).map_err(super::failure)?;
            let is_first = place == own[0] && count > 1;
            if let Outcome::Problem { place, what } = record.outcome {
                problem.get_or_insert(format!("{place}: {what}"));
            } else if !is_first {
                asked += 1;
                seconds += start.elapsed().as_secs_f64();
                cost += record.cost;
            }
        }
        if asked > 0 {
            let share = own.len() as f64 / asked as f64;
            object.asked += asked;
            object.tokens += (cost.tokens as f64 * share) as u64;
            object.exits += (cost.exits as f64 * share) as u64;
            object.seconds += seconds * share;
        }
    }
    progress.finish_and_clear();
    if let Some(problem) = problem.filter(|_| object.asked == 0) {
        return Err(Failure::Run(format!(
            "none of the rows that were tried can be asked ({problem})"
        )));
    }
    object.memory_bytes = peak.bytes();
    if job.format == Format::Json {
        output::print_json(&object)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    let time = HumanDuration(Duration::from_secs_f64(object.seconds.max(1.0)));
    writeln!(
        out,
        "{}, {}: about {time} on this machine, {} tokens through the model, {} exits",
        counted(object.documents, "document"),
        counted(object.methods, "method"),
        object.tokens,
        object.exits,
    )?;
    if let Some(bytes) = object.memory_bytes {
        writeln!(out, "memory: {}", human_bytes(bytes))?;
    }
    writeln!(out, "{ASIDE}measured on {}{ASIDE:#}", counted(object.asked, "document"))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
