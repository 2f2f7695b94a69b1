//! `luge bench`: what methods cost on this machine with this model.
//!
//! Machines drift, and neighbours come and go. So the methods take turns: in every
//! round each continues the same prompt once, another one begins than in the round
//! before, and times are compared within a round. All of them work in one session,
//! as idle worker threads wait by spinning, and those of a second one would take
//! the processor from the first.

mod memory;
mod report;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::ProgressBar;
use luge::{Decoder, ExitCounts, FinishReason, Greedy, Pipeline, Session};

use super::session;
use crate::failure::{Failure, INTERRUPTED};
use crate::output;
use crate::resolve::{BenchJob, BenchPrompts};
pub use memory::Peak;

/// A method, and how its turns went: one in each counted round.
struct Contestant<'a> {
    name: &'a str,
    decoder: Decoder,
    turns: Vec<Turn>,
}

/// What one method made of one prompt, and what that took.
struct Turn {
    prompt_tokens: usize,
    /// Up to and with the first token.
    prompt: Duration,
    /// None where the text ended before that.
    decode_ms_per_token: Option<f64>,
    tokens: usize,
    changed: usize,
    exits: ExitCounts,
    /// The most memory of the process, in bytes, where the system tells.
    peak_memory: Option<u64>,
    exit_memory: usize,
}

/// The methods at work.
struct Bench<'a> {
    session: Session,
    job: &'a BenchJob,
    contestants: Vec<Contestant<'a>>,
    /// The contestant that the others are compared with.
    greedy: usize,
    /// A prompt each for as many rounds; then they come round again.
    prompts: Vec<Vec<u32>>,
}

pub fn run(job: BenchJob) -> Result<ExitCode, Failure> {
    let mut bench = Bench::new(&job)?;
    let is_interrupted = match bench.measure() {
        Ok(()) => false,
        Err(Failure::Interrupted) => true,
        Err(failure) => return Err(failure),
    };
    if bench.rounds() == 0 {
        return Err(Failure::Interrupted);
    }
    report::print(&bench)?;
    Ok(if is_interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

impl<'a> Bench<'a> {
    /// Makes ready, and finds what would fail before the first round takes its
    /// time.
    fn new(job: &'a BenchJob) -> Result<Self, Failure> {
        let mut session = session(&job.model)?;
        let mut contestants = Vec::new();
        for (name, method) in &job.methods {
            let decoder = method.decoder(&session)?;
            session.prepare(&decoder)?;
            contestants.push(Contestant { name, decoder, turns: Vec::new() });
        }
        let greedy = contestants.iter().position(|contestant| contestant.decoder.is_identity());
        if greedy.is_none() {
            let decoder = session.decoder(&Pipeline::single(Greedy))?;
            contestants.insert(0, Contestant { name: "greedy", decoder, turns: Vec::new() });
        }
        let prompts = prompts(&session, job)?;
        Ok(Bench { session, job, contestants, greedy: greedy.unwrap_or(0), prompts })
    }

    /// How many rounds have been measured.
    fn rounds(&self) -> usize {
        self.contestants[self.greedy].turns.len()
    }

    /// Measures all rounds. One before them faults in the model's pages, and is not
    /// counted; nor is one that fails or is interrupted.
    fn measure(&mut self) -> Result<(), Failure> {
        let progress =
            if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        // It moves between turns only: nothing else is to run during one.
        let contestants = self.contestants.len();
        for round in 0..=self.job.rounds {
            let mut turns = Vec::with_capacity(contestants);
            // Who begins changes: after a pause a processor may run faster.
            for place in (round..round + contestants).map(|turn| turn % contestants) {
                let name = self.contestants[place].name;
                progress.set_message(match round {
                    0 => format!("warming up: {name}"),
                    _ => format!("round {round} of {}: {name}", self.job.rounds),
                });
                turns.push((place, self.turn(place, round.saturating_sub(1))?));
            }
            if round > 0 {
                for (place, turn) in turns {
                    self.contestants[place].turns.push(turn);
                }
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Has a contestant continue a round's prompt.
    fn turn(&mut self, place: usize, round: usize) -> Result<Turn, Failure> {
        let Bench { session, job, contestants, greedy, prompts } = self;
        let decoder = &contestants[place].decoder;
        let prompt = &prompts[round % prompts.len()];
        // What the turn before held goes first: the text, and memory for exits.
        session.clear();
        session.prepare(&contestants[*greedy].decoder)?;
        luge::release_freed_memory();
        let peak = Peak::watch();
        session.prepare(decoder)?;
        let done = session.generate(decoder, prompt, &job.options)?.finish()?;
        // Between tokens it is no error.
        if done.finish_reason == FinishReason::Interrupted
            || session.interrupt().load(Ordering::Relaxed)
        {
            return Err(Failure::Interrupted);
        }
        // The first token comes with the prompt. One that ends the text is computed
        // as the others are.
        let ended = usize::from(done.finish_reason == FinishReason::Eos);
        let computed = (done.tokens.len() + ended).saturating_sub(1);
        let decode_ms = done.timings.decode.as_secs_f64() * 1000.0;
        Ok(Turn {
            prompt_tokens: prompt.len(),
            prompt: done.timings.prompt,
            decode_ms_per_token: (computed > 0).then(|| decode_ms / computed as f64),
            tokens: done.tokens.len(),
            changed: done.changed.len(),
            exits: done.exits,
            peak_memory: peak.bytes(),
            exit_memory: session.exit_memory(),
        })
    }
}

/// The prompts' tokens, each of which fits into the context.
fn prompts(session: &Session, job: &BenchJob) -> Result<Vec<Vec<u32>>, Failure> {
    let context = session.ctx_size();
    let check = |prompt: &[u32]| match prompt.len() {
        0 => Err(luge::Error::EmptyPrompt),
        tokens if tokens > context => {
            Err(luge::Error::TooLong { what: "the prompt", tokens, context })
        }
        _ => Ok(()),
    };
    match &job.prompts {
        BenchPrompts::Random(length) => {
            let vocab = session.model().n_vocab();
            let prompts = (0..job.rounds).map(|round| noise(round, *length, vocab));
            prompts.map(|prompt| Ok(check(&prompt).map(|()| prompt)?)).collect()
        }
        BenchPrompts::File(file, prompts) => {
            let tokens = |text: &str| -> Result<Vec<u32>, luge::Error> {
                let prompt = session.model().tokenize_prompt(text)?;
                check(&prompt).map(|()| prompt)
            };
            let prompts = prompts.iter().map(|prompt| {
                tokens(&prompt.text).map_err(|error| {
                    let place = format!("line {} of '{}'", prompt.line, file.display());
                    Failure::Run(format!("{place}: {}", Failure::from(error)))
                })
            });
            prompts.collect()
        }
    }
}

/// Tokens that look random, others in each round, and are the same every time.
fn noise(round: usize, length: usize, vocab: usize) -> Vec<u32> {
    let numbers = (round * length..(round + 1) * length).map(|number| number as u64);
    // The fraction of each number's multiple of the golden ratio.
    let fractions = numbers.map(|number| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
    fractions.map(|fraction| ((fraction * vocab as u64) >> 32) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_of_the_vocabulary_and_another_each_round() {
        let [first, second] = [0, 1].map(|round| noise(round, 500, 1000));
        assert_eq!((first.len(), second.len()), (500, 500));
        let all = || first.iter().chain(&second);
        assert!(all().all(|&token| token < 1000));
        assert!(all().any(|&token| token < 10) && all().any(|&token| token >= 990));
        assert!(!first.is_sorted() && first[..5] != second[..5]);
        assert_eq!(noise(0, 500, 1000), first);
    }
}
