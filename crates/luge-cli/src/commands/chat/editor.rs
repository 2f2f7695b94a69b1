//! The line that is typed: edited, completed, remembered.

use std::borrow::Cow;
use std::fs;
use std::path::{self, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use super::expanded;
use super::typed::{COMMANDS, QUOTES};
use crate::failure::Failure;
use crate::output::{self, ASIDE};

/// Lines kept from chat to chat.
const HISTORY: usize = 1000;

const PROMPT: &str = ">>> ";

/// What came of asking for a line.
pub enum Line {
    Text(String),
    /// Ctrl-C: nothing was meant.
    Dropped,
    /// Ctrl-D.
    End,
}

/// Reads lines from a terminal.
pub struct Lines {
    editor: Editor<Words, FileHistory>,
    history: Option<PathBuf>,
}

impl Lines {
    /// `settings` and `methods` are completed behind their commands. With `remembers`,
    /// lines of earlier chats can be had again.
    pub fn new(
        settings: Vec<String>,
        methods: Vec<String>,
        remembers: bool,
    ) -> Result<Self, Failure> {
        let config = Config::builder()
            .max_history_size(HISTORY)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(unreadable)?
            .history_ignore_space(true)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(unreadable)?;
        editor.set_helper(Some(Words { settings, methods }));
        let history = if remembers { history_file() } else { None };
        if let Some(file) = &history {
            // There is none before the first chat.
            let _ = editor.load_history(file);
        }
        Ok(Lines { editor, history })
    }

    /// The next line, or several between `"""`.
    pub fn read(&mut self) -> Result<Line, Failure> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                if !text.trim().is_empty() {
                    let added = self.editor.add_history_entry(text.as_str());
                    if let (Ok(true), Some(file)) = (added, &self.history) {
                        self.remember(file.clone());
                    }
                }
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Dropped),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(unreadable(error)),
        }
    }

    fn remember(&mut self, file: PathBuf) {
        let kept = file
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(ReadlineError::from)
            .and_then(|()| self.editor.append_history(&file));
        if let Err(error) = kept {
            // Said once; the chat goes on.
            self.history = None;
            output::say(format_args!("cannot keep the history in '{}': {error}", file.display()));
        }
    }
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::Run(format!("cannot read from the terminal: {error}"))
}

fn history_file() -> Option<PathBuf> {
    let folder = dirs::state_dir().or_else(dirs::data_local_dir)?;
    Some(folder.join("luge").join("history"))
}

/// What can be completed, and what shows how to begin.
struct Words {
    settings: Vec<String>,
    methods: Vec<String>,
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        if !typed.starts_with('/') {
            return Ok((position, Vec::new()));
        }
        let Some((command, rest)) = typed.split_once(' ') else {
            let names = COMMANDS.iter().map(|&(name, ..)| name);
            return Ok((0, beginning(typed, names, " ")));
        };
        let start = typed.rfind([' ', ',', '+']).map_or(0, |at| at + 1);
        let names = |names: &[String], behind| {
            (start, beginning(&typed[start..], names.iter().map(String::as_str), behind))
        };
        Ok(match command {
            "/set" if !rest.contains(' ') => names(&self.settings, " "),
            "/method" | "/compare" => names(&self.methods, ""),
            "/lens" | "/save" | "/save!" | "/load" => {
                let path = rest.trim_start();
                (position - path.len(), files(path))
            }
            _ => (position, Vec::new()),
        })
    }
}

/// The names that begin as what is typed.
fn beginning<'a>(typed: &str, names: impl Iterator<Item = &'a str>, behind: &str) -> Vec<Pair> {
    names
        .filter(|name| name.starts_with(typed))
        .map(|name| Pair { display: name.to_owned(), replacement: format!("{name}{behind}") })
        .collect()
}

/// The files whose paths begin as what is typed, which is a path to its end, blanks and
/// all.
fn files(typed: &str) -> Vec<Pair> {
    let name = typed.rfind(path::is_separator).map_or(0, |at| at + 1);
    let (folder, begun) = typed.split_at(name);
    let place = if folder.is_empty() { PathBuf::from(".") } else { expanded(folder) };
    let mut found: Vec<Pair> = fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            // Hidden ones only where they are meant.
            let is_meant = name.starts_with(begun) && (!begun.is_empty() || !name.starts_with('.'));
            let is_plain = !name.contains(char::is_control);
            let behind = if file.path().is_dir() { "/" } else { "" };
            (is_meant && is_plain)
                .then(|| Pair { replacement: format!("{folder}{name}{behind}"), display: name })
        })
        .collect();
    found.sort_by(|a, b| a.display.cmp(&b.display));
    found
}

/// What stands in an empty line, and is not typed by any key.
struct Placeholder;

impl Hint for Placeholder {
    fn display(&self) -> &str {
        "ask something (/? for help)"
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Words {
    type Hint = Placeholder;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<Placeholder> {
        line.is_empty().then_some(Placeholder)
    }
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if output::has_color() { format!("{ASIDE}{hint}{ASIDE:#}").into() } else { hint.into() }
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input().trim();
        let is_open = input.starts_with(QUOTES)
            && (input.len() < 2 * QUOTES.len() || !input.ends_with(QUOTES));
        Ok(if is_open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for Words {}
