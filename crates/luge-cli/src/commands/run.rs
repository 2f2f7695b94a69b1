//! `luge run`: continue a prompt.

use std::io::{self, Write};
use std::process::ExitCode;

use luge::{Completion, Decoder, FinishReason, Session};
use serde::Serialize;

use super::{CompletionObject, can_grow, counted, log_timings, session, tokens};
use crate::args::Format;
use crate::failure::{Failure, INTERRUPTED};
use crate::output::{self, marked, print_json};
use crate::resolve::RunJob;

#[derive(Serialize)]
struct RunObject<'a> {
    model: &'a str,
    method: &'a Decoder,
    prompt_ids: &'a [u32],
    seed: u64,
    #[serde(flatten)]
    completion: CompletionObject<'a>,
}

pub fn run(job: RunJob) -> Result<ExitCode, Failure> {
    let mut session = session(&job.model)?;
    let decoder = job.method.decoder(&session)?;
    let prompt = tokens(&session, &job.prompt)?;
    let completion = match job.format {
        Format::Text => stream(&mut session, &decoder, &prompt, &job)?,
        Format::Json => {
            let completion = session.generate(&decoder, &prompt, &job.options)?.finish()?;
            print_json(&RunObject {
                model: &job.model.source.name(),
                method: &decoder,
                prompt_ids: &prompt,
                seed: job.options.sampler.seed,
                completion: CompletionObject::new(&completion),
            })?;
            completion
        }
    };
    Ok(match completion.finish_reason {
        FinishReason::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

/// Prints the text as it comes, then on standard error what there is to say.
fn stream(
    session: &mut Session,
    decoder: &Decoder,
    prompt: &[u32],
    job: &RunJob,
) -> Result<Completion, Failure> {
    let (ctx_size, can_grow) = (session.ctx_size(), can_grow(session));
    let mut generation = session.generate(decoder, prompt, &job.options)?;
    // As it is: a stream that drops colour would drop the model's own control
    // characters from a pipe too, and `marked` knows whether there is colour.
    let mut out = io::stdout().lock();
    let mut result = Ok(());
    for piece in &mut generation {
        match piece {
            Ok(piece) => {
                let changed = job.show_changes && piece.changed;
                write!(out, "{}", marked(&output::for_stdout(&piece.text), changed))?;
                out.flush()?;
            }
            // What was printed stays, on a line of its own.
            Err(error) => result = Err(error),
        }
    }
    writeln!(out)?;
    out.flush()?;
    result?;
    let completion = generation.finish()?;

    if completion.finish_reason == FinishReason::Context {
        let hint = if can_grow { "; --ctx-size makes it larger" } else { "" };
        output::say(format_args!("the context of {ctx_size} tokens is full{hint}"));
    }
    if job.show_changes {
        output::say(format_args!(
            "{} of {} chosen by {decoder} against the final layer",
            completion.changed.len(),
            counted(completion.tokens.len(), "token"),
        ));
    }
    log_timings(prompt.len(), &completion);
    Ok(completion)
}
