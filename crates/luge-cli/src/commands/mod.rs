//! The commands, each from a job to an exit code.

pub mod bench;
mod cells;
pub mod chat;
pub mod compare;
pub mod completions;
pub mod config;
pub mod eval;
mod file;
mod layers;
pub mod lens;
pub mod list;
pub mod man;
mod prompts;
pub mod pull;
pub mod rm;
pub mod run;
pub mod score;
pub mod serve;
pub mod show;
pub mod tune;

use std::time::Duration;

use luge::{Completion, ExitCounts, FinishReason, Model, Session};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::locate::Source;
#[cfg(feature = "atlas")]
use crate::output;
use crate::resolve::{ModelJob, Prompt};

/// Loads a model and sets up a session that Ctrl-C interrupts, and the second time ends.
fn session(job: &ModelJob) -> Result<Session, Failure> {
    let session = open(job)?;
    interrupt::sets(session.interrupt());
    Ok(session)
}

/// Loads a model and sets up a session.
fn open(job: &ModelJob) -> Result<Session, Failure> {
    Ok(Session::new(&load(job)?, &job.session)?)
}

/// Loads a model.
fn load(job: &ModelJob) -> Result<Model, Failure> {
    Ok(match &job.source {
        Source::File(path) => Model::load(path, &job.params)?,
        Source::Stored(stored) => Model::load(&stored.path()?, &job.params)?,
        #[cfg(feature = "atlas")]
        Source::BuiltIn { named } => {
            if !named {
                let name = job.source.name();
                output::say(format_args!(
                    "no model given, using the built-in {name} (choose one with -m model.gguf)"
                ));
            }
            luge::builtin::load(&job.params)?
        }
    })
}

/// The tokens of a prompt.
fn tokens(session: &Session, prompt: &Prompt) -> Result<Vec<u32>, Failure> {
    match prompt {
        Prompt::Text(text) => Ok(session.model().tokenize_prompt(text)?),
        Prompt::Ids(ids) => Ok(ids.clone()),
    }
}

/// Whether a larger context can be had: a model with learned positions has no more than
/// those.
fn can_grow(session: &Session) -> bool {
    session.model().positions().is_none_or(|most| session.ctx_size() < most as usize)
}

/// "1 token", "2 tokens".
fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Says in the log how long a generation took, behind a prompt of so many tokens.
fn log_timings(prompt: usize, completion: &Completion) {
    let (timings, exits) = (&completion.timings, &completion.exits);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    tracing::debug!(
        "prompt {prompt} tokens, {} of them computed, in {:.0} ms, then {} tokens at {:.1} a \
         second, {} exits evaluated, {} skipped",
        timings.prompt_computed,
        ms(timings.prompt),
        timings.tokens,
        timings.tokens_per_second(),
        exits.evaluated,
        exits.skipped,
    );
    if !timings.grammar_setup.is_zero() {
        tracing::debug!(
            "grammar set up in {:.1} ms, then {:.3} ms a token",
            ms(timings.grammar_setup),
            ms(timings.grammar) / timings.tokens.max(1) as f64,
        );
    }
}

/// A completion as JSON shows it.
#[derive(Serialize)]
struct CompletionObject<'a> {
    completion_ids: &'a [u32],
    text: &'a str,
    finish_reason: FinishReason,
    timings: TimingsObject,
    exits: ExitCounts,
    changed: &'a [usize],
}

#[derive(Serialize)]
struct TimingsObject {
    prompt_ms: f64,
    decode_ms: f64,
    tokens_per_second: f64,
}

impl<'a> CompletionObject<'a> {
    fn new(completion: &'a Completion) -> Self {
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        CompletionObject {
            completion_ids: &completion.tokens,
            text: &completion.text,
            finish_reason: completion.finish_reason,
            timings: TimingsObject {
                prompt_ms: rounded(completion.timings.prompt.as_secs_f64() * 1000.0),
                decode_ms: rounded(completion.timings.decode.as_secs_f64() * 1000.0),
                tokens_per_second: rounded(completion.timings.tokens_per_second()),
            },
            exits: completion.exits,
            changed: &completion.changed,
        }
    }
}
