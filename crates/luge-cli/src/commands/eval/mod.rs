//! `luge eval`: does a method help this model on this task?

mod engine;
mod estimate;
mod list;
mod report;
mod setup;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use luge::chat::ChatTemplate;
use luge::{Session, SessionOptions, Together};
use luge_eval::results::{Role, Times};
use luge_eval::run::judges;
use luge_eval::{Ended, Log, Results, Run, Setup, merge};

use super::{counted, session};
use crate::failure::{Failure, INTERRUPTED};
use crate::output;
use crate::resolve::{Eval, EvalJob, EvalMergeJob};
use engine::SessionEngine;
use setup::Methods;
use watch::Watch;

/// How many answers to a question are computed at once.
const BRANCHES: u32 = 31;

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
    let template = match job.questions.chat {
        true => Some(ChatTemplate::of(session.model())?),
        false => None,
    };
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
    let folder = job.out.clone().unwrap_or_else(|| usual_folder(&setup));
    let (mut log, mut records) =
        Log::open(&folder.join(job.shard.file_name()), &setup, job.shard)?;
    for note in log.notes() {
        output::say(format_args!("{note}"));
    }

    let judges = judges(&job.questions.tasks);
    let mut watch = Watch::new(&setup, &judges, &run, &records, &folder);
    let result = {
        let mut engine = engine(&mut session, &job, &methods, template);
        let done = records.clone();
        run.go(&mut engine, &mut log, &done, &mut |record| {
            watch.add(record);
            records.push(record.clone());
        })
    };
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
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(Ended::Log(error)) => return Err(error.into()),
        Err(Ended::Engine(error)) => {
            return Err(match error.downcast::<luge::Error>() {
                Ok(error) => (*error).into(),
                Err(error) => Failure::Run(error.to_string()),
            });
        }
    }
    log.finish()?;
    if !job.shard.is_whole() {
        output::say(format_args!(
            "part {} is done, {} in '{}': when all are, luge eval merge {}",
            job.shard,
            counted(records.len(), "document"),
            folder.join(job.shard.file_name()).display(),
            quoted(&folder),
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let results = Results::new(setup, command(), &judges, &records, times(&records));
    report::write(&results, &judges, &records, &folder)?;
    report::print(&results, &folder, job.format)?;
    Ok(ExitCode::SUCCESS)
}

fn engine<'a>(
    session: &'a mut Session,
    job: &EvalJob,
    methods: &'a Methods,
    template: Option<ChatTemplate>,
) -> SessionEngine<'a> {
    let model = job.model.source.name().into_owned();
    SessionEngine::new(session, &methods.decoders, job.options.clone(), template, model)
}

/// `luge eval merge`.
pub fn merge_parts(job: EvalMergeJob) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let merged = merge(&job.paths)?;
    for note in &merged.notes {
        output::say(format_args!("{note}"));
    }
    tracing::debug!(
        "{} read in {:.1} s",
        counted(merged.records.len(), "document"),
        start.elapsed().as_secs_f64()
    );
    let judges = merged.judges();
    let times = times(&merged.records);
    let results =
        Results::new(merged.setup.clone(), merged.command.clone(), &judges, &merged.records, times);
    std::fs::create_dir_all(&job.out).map_err(|error| {
        Failure::Run(format!("cannot make the folder '{}': {error}", job.out.display()))
    })?;
    report::write(&results, &judges, &merged.records, &job.out)?;
    report::print(&results, &job.out, job.format)?;
    Ok(ExitCode::SUCCESS)
}
