//! `luge tune`: which settings of a method are the best for this model on this task?
//!
//! Two runs, one after the other: every setting on the tuning half of the documents, and
//! then the best of them on the held-out half, beside greedy and beside the method as it
//! is usually set.

mod profile;
mod settings;

use std::path::Path;
use std::process::ExitCode;

use luge::{Session, SessionOptions, Together};
use luge_eval::results::{Role, Setup};
use luge_eval::tune::{self, Half, TUNED, Tried, ranked};
use luge_eval::{
    Answered, Candidate, Cost, Engine, EngineError, Generate, Layers, Prompt, Record, Results, Run,
    Scored, Tuning,
};

use super::eval::setup::{self, Methods};
use super::eval::{self, BRANCHES, engine::SessionEngine};
use super::session;
use crate::args::Format;
use crate::failure::{Failure, INTERRUPTED};
use crate::resolve::{EvalJob, TuneJob};
use settings::Settings;

/// How many of the settings the report has.
const BEST: usize = 5;

pub fn run(mut job: TuneJob) -> Result<ExitCode, Failure> {
    let wanted = &mut job.eval.model.session;
    *wanted = SessionOptions { branches: BRANCHES, ..wanted.clone() };
    let mut session = session(&job.eval.model)?;
    let settings = Settings::new(&job, &session)?;
    let interrupted = Ok(ExitCode::from(INTERRUPTED));

    // Both, before hours go into the first.
    part(&mut job.eval, Half::HeldOut)?;
    part(&mut job.eval, Half::Tuning)?;
    let setup = setup(&job.eval, &session, &settings.methods)?;
    let out = job.eval.out.clone();
    let folder = out.unwrap_or_else(|| eval::usual_folder("luge-tune", &setup));
    let log = folder.join("tuning.jsonl");
    let Some(tried) = ask(&mut session, &job.eval, &settings.methods, &setup, &log, false)? else {
        return interrupted;
    };
    let Some((means, documents)) = tune::means(&setup, &tried) else {
        return Err(Failure::Run(format!(
            "no document of the {} could be asked, so there is nothing to choose by: '{}' says why",
            Half::Tuning.name(),
            log.display()
        )));
    };
    // Greedy is the first.
    let (greedy, means) =
        means.split_first().map_or((0.0, &[][..]), |(first, rest)| (*first, rest));
    let order = ranked(means, &settings.away);
    let Some(&chosen) = order.first() else { return interrupted };

    part(&mut job.eval, Half::HeldOut)?;
    let mut methods = Methods::asked(&job.eval, &session)?;
    if Some(chosen) != settings.usual {
        let tuned = settings.decoder(&job, &session, chosen)?;
        methods.push(tuned, TUNED, Role::Asked);
    }
    methods.add_controls(&job.eval, &session)?;
    let setup = self::setup(&job.eval, &session, &methods)?;
    let log = folder.join("held-out.jsonl");
    let Some(held_out) = ask(&mut session, &job.eval, &methods, &setup, &log, true)? else {
        return interrupted;
    };

    let times = eval::times(&held_out);
    let mut results = Results::new(setup, &held_out, times);
    let tried_of = |&number: &usize| Tried { setting: settings.of(number), mean: means[number] };
    let metric = results.setup.tasks.first().and_then(|task| task.judge.metrics.first());
    results.tuning = Some(Tuning {
        method: job.method.name.to_owned(),
        metric: metric.map_or("", |metric| metric.name()).to_owned(),
        grid: job.axes.clone(),
        settings: means.len(),
        documents,
        problems: tune::problems(&tried),
        seconds: eval::times(&tried).seconds,
        greedy,
        usual: settings.usual.map(|number| means[number]),
        best: order.iter().take(BEST).map(tried_of).collect(),
        versus_usual: tune::versus(&results.setup, &held_out, TUNED, job.method.name),
    });
    let profile = profile::text(&job, &results, &settings.params(&job, &session, chosen)?);
    eval::report::write(&results, &held_out, &folder)?;
    let path = folder.join("profile.toml");
    super::file::OutputFile::create(&path)?.write(&profile)?;
    eval::report::print(&results, &folder, job.eval.format)?;
    if job.eval.format == Format::Text {
        profile::print(&profile, &path)?;
    }
    eval::report::checked(&results, &folder)
}

/// Has a half of the documents asked, which must be more than none.
fn part(job: &mut EvalJob, half: Half) -> Result<(), Failure> {
    for planned in &mut job.questions.tasks {
        planned.half = Some(half);
        if planned.half_setup().is_none_or(|own| own.rows == 0) {
            return Err(Failure::Usage(format!(
                "the {} of {} has no questions, of {} in all: give more of them, as with a larger \
                 --limit",
                half.name(),
                planned.task.name,
                super::counted(planned.limit, "row"),
            )));
        }
    }
    Ok(())
}

fn setup(job: &EvalJob, session: &Session, methods: &Methods) -> Result<Setup, Failure> {
    setup::setup(job, session, methods, eval::template(job, session)?.as_ref())
}

/// Asks the half at hand. `looks` says whether what the layers said is wanted where methods
/// part.
fn ask(
    session: &mut Session,
    job: &EvalJob,
    methods: &Methods,
    setup: &Setup,
    log: &Path,
    looks: bool,
) -> Result<Option<Vec<Record>>, Failure> {
    session.prepare_together(&Together::new(&methods.decoders))?;
    let run = Run {
        tasks: &job.questions.tasks,
        shard: job.shard,
        scoring: job.questions.scoring,
        methods: methods.decoders.len(),
        baseline: 0,
    };
    let template = eval::template(job, session)?;
    let mut engine = eval::engine(session, job, methods, template);
    match looks {
        true => eval::ask(&mut engine, &run, setup, log),
        false => eval::ask(&mut Blind(engine), &run, setup, log),
    }
}

/// An engine that does not say what the layers said: a hundred settings part too often for
/// anyone to look.
struct Blind<'a>(SessionEngine<'a>);

impl Engine for Blind<'_> {
    fn score(
        &mut self,
        prompt: Prompt<'_>,
        candidates: &[Candidate],
    ) -> Result<(Vec<Scored>, Cost), EngineError> {
        self.0.score(prompt, candidates)
    }

    fn generate(
        &mut self,
        prompt: Prompt<'_>,
        how: &Generate,
    ) -> Result<(Vec<Answered>, Cost), EngineError> {
        self.0.generate(prompt, how)
    }

    fn look(
        &mut self,
        _prompt: Prompt<'_>,
        _texts: [&str; 2],
        _method: usize,
    ) -> Result<Option<Layers>, EngineError> {
        Ok(None)
    }
}
