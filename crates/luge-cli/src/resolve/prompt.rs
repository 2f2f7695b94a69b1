//! Prompts: as they are given, from files, and from standard input.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use crate::args::PromptArgs;
use crate::failure::Failure;

/// A prompt as given.
pub enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

/// A prompt from a file of prompts.
pub struct FilePrompt {
    /// Where it is, from 1.
    pub line: usize,
    pub text: String,
}

pub fn prompt(args: PromptArgs) -> Result<Prompt, Failure> {
    if let Some(ids) = args.prompt_ids {
        return Ok(Prompt::Ids(ids.0));
    }
    if let Some(file) = args.file {
        let text = fs::read_to_string(&file).map_err(|error| {
            Failure::Run(format!("cannot read the prompt from '{}': {error}", file.display()))
        })?;
        return Ok(Prompt::Text(without_last_line_break(text)));
    }
    match args.prompt.or(args.prompt_flag) {
        Some(text) if text != "-" => Ok(Prompt::Text(text)),
        None if io::stdin().is_terminal() => Err(Failure::Usage(
            "there is no prompt: give it behind the flags, with --file, or on standard input"
                .to_owned(),
        )),
        _ => Ok(Prompt::Text(stdin_text("prompt")?)),
    }
}

/// All of standard input, which is a `what`, without the last line break.
pub fn stdin_text(what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::Run(format!("cannot read the {what} from standard input: {error}"))
    })?;
    Ok(without_last_line_break(text))
}

/// The prompts of a file: one a line, or a line of JSON each. Empty lines are
/// passed over.
pub fn prompts(file: &Path) -> Result<Vec<FilePrompt>, Failure> {
    let failed = |what: String| {
        Failure::Run(format!("cannot read prompts from '{}': {what}", file.display()))
    };
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let is_json = file.extension().is_some_and(|extension| extension == "jsonl");
    let mut prompts = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let text = std::str::from_utf8(bytes.strip_suffix(b"\r").unwrap_or(bytes))
            .map_err(|_| failed(format!("line {line} is not UTF-8")))?;
        if text.trim().is_empty() {
            continue;
        }
        let text = if is_json {
            let object: Option<serde_json::Value> = serde_json::from_str(text).ok();
            let prompt = object.as_ref().and_then(|object| object.get("prompt")?.as_str());
            let wrong = || format!("line {line} is no JSON object with a text named \"prompt\"");
            prompt.ok_or_else(|| failed(wrong()))?.to_owned()
        } else {
            text.to_owned()
        };
        prompts.push(FilePrompt { line, text });
    }
    if prompts.is_empty() {
        return Err(failed("it holds none; write one a line".to_owned()));
    }
    Ok(prompts)
}

/// No more prompts than so many, from all over the list.
pub fn spread(prompts: Vec<FilePrompt>, most: usize) -> Vec<FilePrompt> {
    let count = prompts.len();
    let mut places = (0..most.min(count)).map(|number| number * count / most.min(count)).peekable();
    let all = prompts.into_iter().enumerate();
    all.filter_map(|(place, prompt)| places.next_if_eq(&place).map(|_| prompt)).collect()
}

pub fn without_last_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_taken_from_all_over_a_list() {
        let taken = |count: usize, most: usize| -> Vec<usize> {
            let prompts = (0..count).map(|line| FilePrompt { line, text: String::new() }).collect();
            spread(prompts, most).iter().map(|prompt| prompt.line).collect()
        };
        assert_eq!(taken(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(taken(7, 3), [0, 2, 4]);
        assert_eq!(taken(3, 3), [0, 1, 2]);
        assert_eq!(taken(2, 5), [0, 1]);
    }
}
