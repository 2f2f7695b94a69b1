//! One prompt after the other: the one that was given, then a line each from
//! standard input.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;
use crate::output;
use crate::resolve::Prompt;

/// How an answer came to its end.
pub enum Ended {
    Whole,
    /// Ctrl-C cut it short; what there is of it has been printed.
    Interrupted,
}

/// Answers the first prompt, if there is one, and, with `more`, each line of
/// standard input.
///
/// With `more`, a prompt that cannot be answered is no end: what is wrong with
/// it is said, and the next one is read. Ctrl-C ends an answer, and, unless more
/// prompts are typed, the program with it. `interrupt` is what Ctrl-C sets.
pub fn answer_each(
    first: Option<&Prompt>,
    more: bool,
    interrupt: &AtomicBool,
    mut answer: impl FnMut(&Prompt) -> Result<Ended, Failure>,
) -> Result<ExitCode, Failure> {
    let is_typed = more && io::stdin().is_terminal();
    let mut exit_code = ExitCode::SUCCESS;
    let mut answer = |prompt: Result<&Prompt, Failure>| match prompt.and_then(&mut answer) {
        Ok(Ended::Whole) => Ok(()),
        Ok(Ended::Interrupted) | Err(Failure::Interrupted) if is_typed => Ok(()),
        Ok(Ended::Interrupted) => Err(Failure::Interrupted),
        Err(failure @ (Failure::Usage(_) | Failure::Run(_))) if more => {
            output::complain(format_args!("error: {failure}"));
            // Who types has read it; a script has to be told.
            if !is_typed {
                exit_code = failure.exit_code();
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    if let Some(prompt) = first {
        answer(Ok(prompt))?;
    }
    if !more {
        return Ok(exit_code);
    }
    if is_typed {
        output::say(format_args!("type a prompt of your own; Ctrl-D ends"));
    }
    while let Some(line) = next_line(is_typed, interrupt)? {
        match String::from_utf8(line) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => answer(Ok(&Prompt::Text(line)))?,
            Err(_) => {
                let message = "this prompt is not UTF-8: give it as such";
                answer(Err(Failure::Run(message.to_owned())))?;
            }
        }
    }
    if is_typed {
        // The shell's prompt is to stand on a line of its own.
        let _ = writeln!(io::stderr());
    }
    Ok(exit_code)
}

/// A line of standard input without its end, or None behind the last one.
fn next_line(is_typed: bool, interrupt: &AtomicBool) -> Result<Option<Vec<u8>>, Failure> {
    // No one is at work who would see to it: Ctrl-C is to end the program, as it
    // does where it has been pressed before.
    interrupt.store(true, Ordering::Relaxed);
    if is_typed {
        // If no one listens there, so be it.
        let _ = write!(io::stderr(), "> ");
    }
    let mut line = Vec::new();
    let read = io::stdin().lock().read_until(b'\n', &mut line);
    interrupt.store(false, Ordering::Relaxed);
    let read = read.map_err(|error| {
        Failure::Run(format!("cannot read a prompt from standard input: {error}"))
    })?;
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    Ok((read > 0).then_some(line))
}
