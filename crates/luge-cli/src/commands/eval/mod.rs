//! `luge eval`: does a method help this model on this task?

pub(super) mod engine;
mod estimate;
mod list;
pub(super) mod report;
pub(super) mod setup;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luge::chat::ChatTemplate;
use luge::{Session, SessionOptions, Together};
use luge_eval::results::Times;
use luge_eval::{Ended, Engine, Log, Record, Results, Run, Setup, merge};

use super::{counted, session};
use crate::failure::{Failure, INTERRUPTED};
use crate::resolve::{Eval, EvalJob, EvalMergeJob};
use crate::{output, settings};
use engine::SessionEngine;
use setup::Methods;
use watch::Watch;

/// How many answers to a question are computed at once.
pub(super) const BRANCHES: u32 = 31;

pub fn run(eval: Eval) -> Result<ExitCode, Failure> {
    match eval {
        Eval::List(format) => list::print(format),
        Eval::Run(job) => evaluate(*job),
    }
}

fn evaluate(mut job: EvalJob) -> Result<ExitCode, Failure> {
    job.model.session = SessionOptions { branches: BRANCHES, ..job.model.session };
    let mut session = session(&job.model)?;
    let methods = Methods::new(&job, &session)?;
    session.prepare_together(&Together::new(&methods.decoders))?;
    let template = template(&job, &session)?;
    let run = Run {
        tasks: &job.questions.tasks,
        shard: job.shard,
        scoring: job.questions.scoring,
        methods: methods.decoders.len(),
        // They are in this order.
        baseline: 0,
    };
    if job.dry_run {
        return estimate::print(&mut session, &job, &methods, template, &run);
    }
    let setup = setup::setup(&job, &session, &methods, template.as_ref())?;
    let folder = job.out.clone().unwrap_or_else(|| usual_folder("luge-eval", &setup));
    let mut engine = engine(&mut session, &job, &methods, template);
    let log = folder.join(job.shard.file_name());
    let Some(records) = ask(&mut engine, &run, &setup, &log)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if !job.shard.is_whole() {
        output::say(format_args!(
            "part {} is done, {} in '{}': when all are, luge eval merge {}",
            job.shard,
            counted(records.len(), "document"),
            folder.join(job.shard.file_name()).display(),
            shlex::try_quote(&folder.to_string_lossy()).unwrap_or_default(),
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let times = times(&records);
    let results = Results::new(setup, &records, times);
    report::write(&results, &records, &folder)?;
    report::print(&results, &folder, job.format)?;
    report::checked(&results, &folder)
}

/// Asks what a log does not have, and returns all that it has then. Nothing comes back
/// where this was interrupted, which has been said.
pub(super) fn ask(
    engine: &mut dyn Engine,
    run: &Run<'_>,
    setup: &Setup,
    log: &Path,
) -> Result<Option<Vec<Record>>, Failure> {
    let folder = log.parent().unwrap_or(Path::new(""));
    let (mut log, mut records) = Log::open(log, setup, run.shard)?;
    for note in log.notes() {
        output::say(format_args!("{note}"));
    }
    let mut watch = Watch::new(setup, run, &records, folder);
    let done = records.clone();
    let result = run.go(engine, &mut log, &done, &mut |record| {
        watch.add(record);
        records.push(record.clone());
    });
    watch.finish();
    match result {
        Ok(()) => {}
        Err(Ended::Interrupted) => {
            output::say(format_args!(
                "interrupted after {} of {}: the same command goes on from there ('{}')",
                records.len(),
                counted(run.places().count(), "document"),
                folder.display(),
            ));
            return Ok(None);
        }
        Err(ended) => return Err(failure(ended)),
    }
    log.finish()?;
    Ok(Some(records))
}

/// The model's chat template, where it is to be used.
pub(super) fn template(job: &EvalJob, session: &Session) -> Result<Option<ChatTemplate>, Failure> {
    Ok(match job.questions.chat {
        true => Some(ChatTemplate::of(session.model())?),
        false => None,
    })
}

pub(super) fn engine<'a>(
    session: &'a mut Session,
    job: &EvalJob,
    methods: &'a Methods,
    template: Option<ChatTemplate>,
) -> SessionEngine<'a> {
    let model = job.model.source.name().into_owned();
    SessionEngine::new(session, &methods.decoders, job.options.clone(), template, model)
}

/// Why a run failed, for people.
fn failure(ended: Ended) -> Failure {
    match ended {
        Ended::Interrupted => Failure::Interrupted,
        Ended::Log(error) => error.into(),
        Ended::Engine(error) => match error.downcast::<luge::Error>() {
            Ok(error) => (*error).into(),
            Err(error) => Failure::Run(error.to_string()),
        },
    }
}

/// The folder for a run that names none: by what it asks of which model, and by all that
/// tells it from others.
pub(super) fn usual_folder(above: &str, setup: &Setup) -> PathBuf {
    let tasks: Vec<&str> = setup.tasks.iter().map(|task| task.name.as_str()).collect();
    let model = Path::new(&setup.model.name);
    let model = model.file_stem().unwrap_or(model.as_os_str()).to_string_lossy();
    let names = format!("{}-{model}", tasks.join("+"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let names: String = names.chars().map(|c| if is_plain(c) { c } else { '_' }).take(80).collect();
    Path::new(above).join(format!("{names}-{}", setup.short_hash()))
}

/// The command line with the settings that are in force, and without what makes it a part
/// of a run, puts it somewhere, or only changes what is shown: so that parts and a whole
/// have the same.
fn command() -> String {
    const WITH_VALUE: [&str; 5] = ["--shard", "--out", "--format", "--color", "--config"];
    const ALONE: [&str; 7] = ["-q", "--quiet", "-v", "-vv", "--verbose", "-y", "--yes"];
    let name = |word: &str| word.split_once('=').map_or(word, |(name, _)| name).to_owned();
    let is_left_out =
        |name: &str| WITH_VALUE.iter().chain(&ALONE).any(|left_out| *left_out == name);
    let mut words = Vec::new();
    let mut args = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = args.next() {
        match name(&word) {
            name if !is_left_out(&name) => words.push(word),
            name if name == word && WITH_VALUE.contains(&&*name) => drop(args.next()),
            _ => {}
        }
    }
    let mut before = String::new();
    if let Some(line) = settings::as_line() {
        let flags = line.flags.iter().filter(|flag| !is_left_out(&name(flag)));
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(end..end, flags.cloned());
        for (name, value) in &line.variables {
            before += &format!("{name}={} ", shlex::try_quote(value).unwrap_or_default());
        }
    }
    let quoted = shlex::try_join(words.iter().map(String::as_str));
    format!("{before}luge {}", quoted.unwrap_or_else(|_| words.join(" ")))
}

/// When a run was finished, and how long its documents took.
pub(super) fn times(records: &[Record]) -> Times {
    Times {
        finished: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
        seconds: (records.iter().map(|record| record.seconds).sum::<f64>() * 1e3).round() / 1e3,
    }
}

/// `luge eval merge`.
pub fn merge_parts(job: EvalMergeJob) -> Result<ExitCode, Failure> {
    let merged = merge(&job.paths)?;
    for note in &merged.notes {
        output::say(format_args!("{note}"));
    }
    let times = times(&merged.records);
    let results = Results::new(merged.setup, &merged.records, times);
    std::fs::create_dir_all(&job.out)
        .map_err(|source| luge_eval::Error::Folder { path: job.out.clone(), source })?;
    report::write(&results, &merged.records, &job.out)?;
    report::print(&results, &job.out, job.format)?;
    report::checked(&results, &job.out)
}
