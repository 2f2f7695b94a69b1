//! An answer on the screen, as it comes.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use luge::chat::{Answer, Part, Reply};
use luge::{Decoder, FinishReason};

use super::aside;
use crate::commands::{counted, log_timings};
use crate::failure::Failure;
use crate::output::{self, ASIDE, marked};
use crate::resolve::ChatSettings;

/// What to say besides the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The answer to one question: for people and programs.
    Plain,
    /// An answer in a chat, with a blank line behind it.
    Typed,
}

impl Manner {
    /// Says something beside the answer.
    fn remark(self, message: Arguments<'_>) {
        match self {
            Manner::Plain => output::say(message),
            Manner::Typed => aside(message),
        }
    }
}

/// Shows an answer to its end. `can_grow` is whether a larger context can be had.
pub fn show(
    mut answer: Answer<'_>,
    decoder: &Decoder,
    settings: &ChatSettings,
    manner: Manner,
    can_grow: bool,
) -> Result<Reply, Failure> {
    let forgotten = answer.newly_forgotten();
    if forgotten > 0 {
        manner.remark(format_args!(
            "the context is full: the model no longer sees the {}",
            match forgotten {
                1 => "oldest question".to_owned(),
                _ => format!("{forgotten} oldest questions"),
            }
        ));
    }
    let prompt = answer.prompt().len();
    // Thoughts are for people: who reads the answer from a pipe wants the answer.
    let mut page = Page::new(!settings.hide_thinking && io::stdout().is_terminal());
    let mut result = Ok(());
    while let Some(piece) = answer.next() {
        match piece {
            Ok(piece) => {
                let changed = settings.show_changes && piece.changed;
                page.put(piece.part, &piece.text, changed, answer.tokens())?;
            }
            // What was printed stays.
            Err(error) => result = Err(error),
        }
    }
    page.end(manner)?;
    result?;
    let reply = answer.finish()?;
    let completion = &reply.completion;
    match completion.finish_reason {
        FinishReason::Interrupted if completion.tokens.is_empty() && manner == Manner::Typed => {
            aside(format_args!("interrupted: the question is not part of the chat"));
        }
        FinishReason::Interrupted => manner.remark(format_args!("interrupted")),
        FinishReason::Context => {
            let hint = if can_grow { ": --ctx-size makes it larger" } else { "" };
            manner.remark(format_args!("the context is full{hint}"));
        }
        FinishReason::Length if manner == Manner::Typed => {
            let tokens = counted(completion.tokens.len(), "token");
            aside(format_args!("ended after {tokens}, as set with predict"));
        }
        FinishReason::Eos | FinishReason::Stop | FinishReason::Length => {}
    }
    let is_over = completion.finish_reason != FinishReason::Interrupted;
    if is_over && reply.text.is_empty() && reply.reasoning.is_some() {
        manner.remark(format_args!("the model thought, and came to no answer"));
    }
    if settings.show_changes {
        manner.remark(format_args!(
            "{} of {} chosen by {decoder} against the final layer",
            completion.changed.len(),
            counted(completion.tokens.len(), "token"),
        ));
    }
    log_timings(prompt, completion);
    Ok(reply)
}

/// What is shown on a terminal while nothing else is to be seen yet.
pub fn spinner() -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// The screen, or the pipe, that an answer is written to.
struct Page {
    shows_thinking: bool,
    /// The part that was last written.
    part: Option<Part>,
    ends_line: bool,
    waiting: Option<ProgressBar>,
}

impl Page {
    fn new(shows_thinking: bool) -> Self {
        Page { shows_thinking, part: None, ends_line: true, waiting: None }
    }

    fn put(&mut self, part: Part, text: &str, changed: bool, tokens: usize) -> io::Result<()> {
        if part == Part::Thinking && !self.shows_thinking {
            self.wait(tokens);
            return Ok(());
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.finish_and_clear();
        }
        let text = &output::for_stdout(text);
        let mut out = io::stdout().lock();
        if self.part != Some(part) {
            self.turn_to(part, &mut out)?;
        }
        match part {
            Part::Thinking if output::has_color() => write!(out, "{ASIDE}{text}{ASIDE:#}")?,
            Part::Thinking => write!(out, "{text}")?,
            Part::Answer => write!(out, "{}", marked(text, changed))?,
        }
        self.ends_line = text.ends_with('\n');
        out.flush()
    }

    /// Parts thoughts and answer by a blank line, and by a word where there is no colour.
    fn turn_to(&mut self, part: Part, out: &mut impl Write) -> io::Result<()> {
        if self.part.is_some() {
            out.write_all(if self.ends_line { b"\n" } else { b"\n\n" })?;
        }
        if !output::has_color() {
            match (part, self.part) {
                (Part::Thinking, _) => writeln!(out, "[thinking]")?,
                (Part::Answer, Some(_)) => writeln!(out, "[answer]")?,
                (Part::Answer, None) => {}
            }
        }
        self.part = Some(part);
        Ok(())
    }

    fn wait(&mut self, tokens: usize) {
        if !output::is_watched() {
            return;
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        waiting.set_message(format!("thinking: {}", counted(tokens, "token")));
    }

    fn end(mut self, manner: Manner) -> io::Result<()> {
        if let Some(waiting) = self.waiting.take() {
            waiting.finish_and_clear();
        }
        let mut out = io::stdout().lock();
        let line: &[u8] = if self.ends_line && self.part.is_some() { b"" } else { b"\n" };
        out.write_all(line)?;
        if manner == Manner::Typed {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}
