//! An answer parted as it comes.

use super::Tool;
use super::call::{self, Begun, LONGEST_NAME};
use super::format::{Calls, FOR_PROGRAMS, Shape, Thoughts};
use super::json::{End, Scanner};

/// A part of an answer, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerPart {
    /// What the model thinks before it answers.
    Thinking(String),
    /// What it says.
    Text(String),
    /// A call of a tool begins.
    ToolCall {
        /// Which of the answer's calls, from 0.
        index: usize,
        /// Its id, where the model gives it one in front of its arguments.
        id: Option<String>,
        /// The tool's name: one of those that were offered.
        name: String,
    },
    /// A piece of a call's arguments.
    Arguments {
        /// Which of the answer's calls.
        index: usize,
        /// Text of JSON. All pieces of a call make up an object, unless the model broke
        /// off within it.
        text: String,
    },
}

/// Parts an answer as it comes: see [`AnswerFormat::parser`](super::AnswerFormat::parser).
///
/// The parts are the same however the text is cut into pieces. Blanks around thoughts and
/// calls are left out.
#[derive(Debug, Clone)]
pub struct AnswerParser {
    thoughts: Option<&'static Thoughts>,
    /// `None` where no tool may be called.
    calls: Option<&'static Calls>,
    tools: Vec<Tool>,
    state: State,
    /// Whether the text is thought, as opposed to said.
    is_thinking: bool,
    /// Text that is not certain yet.
    held: String,
    /// What was read of a call that may turn out to be none.
    read: String,
    /// Blanks at the end of the text so far, which are none of it if a mark comes.
    blanks: String,
    /// Whether the part has had no text yet but blanks.
    at_start: bool,
    /// Whether blanks at the start of the part are left out.
    trims: bool,
    has_thought: bool,
    /// Whether the answer may still turn out to be a call without a mark.
    may_be_call: bool,
    /// How many calls have begun.
    begun: usize,
    parts: Vec<AnswerPart>,
}

/// Where the text has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In thoughts or in text.
    Text,
    /// At a message's header.
    Header,
    /// Where a call may begin; behind another one or not, in a list or not.
    Calls { is_first: bool, in_list: bool },
    /// At the arguments of a message to a tool, whose header is in `read`.
    Message,
    /// Within arguments.
    Arguments(Scanner, bool),
    /// Behind arguments.
    Rest(bool),
}

/// Whether more can be told from the text that is there.
type GoesOn = bool;

const MESSAGE: &str = "<|message|>";
/// What a header begins with, or what may stand in front of it.
const HEADERS: [&str; 3] = ["<|start|>", "<|channel|>", "to="];
const ENDS: [&str; 2] = ["<|end|>", "<|call|>"];

impl AnswerParser {
    pub(super) fn new(
        thoughts: Option<&'static Thoughts>,
        calls: Option<&'static Calls>,
        prompt: &str,
        tools: Vec<Tool>,
    ) -> Self {
        let calls = calls.filter(|_| !tools.is_empty());
        let are_open = thoughts.is_some_and(|thoughts| thoughts.are_open(prompt));
        let has_headers = thoughts.is_some_and(|thoughts| thoughts.has_headers);
        AnswerParser {
            thoughts,
            calls,
            tools,
            state: if has_headers && !are_open { State::Header } else { State::Text },
            is_thinking: are_open,
            held: String::new(),
            read: String::new(),
            blanks: String::new(),
            at_start: true,
            trims: are_open,
            has_thought: are_open,
            may_be_call: calls.is_some_and(Calls::is_bare),
            begun: 0,
            parts: Vec::new(),
        }
    }

    /// Takes text of the answer, and returns what has become certain.
    pub fn push(&mut self, text: &str) -> Vec<AnswerPart> {
        if self.thoughts.is_none() && self.calls.is_none() {
            let text = text.to_owned();
            return if text.is_empty() { Vec::new() } else { vec![AnswerPart::Text(text)] };
        }
        self.held.push_str(text);
        while self.step(false) {}
        std::mem::take(&mut self.parts)
    }

    /// Returns what was held back: no more text comes.
    pub fn finish(&mut self) -> Vec<AnswerPart> {
        while self.step(true) {}
        let rest = std::mem::take(&mut self.held);
        self.say(&rest);
        self.put_blanks();
        std::mem::take(&mut self.parts)
    }

    /// Reads one thing of what is held. With `is_all`, nothing comes behind it.
    fn step(&mut self, is_all: bool) -> GoesOn {
        match self.state {
            State::Text => self.text(is_all),
            State::Header => self.header(is_all),
            State::Calls { is_first, in_list } => self.call(is_first, in_list, is_all),
            State::Message => self.message(is_all),
            State::Arguments(scanner, in_list) => self.arguments(scanner, in_list),
            State::Rest(in_list) => self.rest(in_list, is_all),
        }
    }

    /// Thoughts or text, up to a mark.
    fn text(&mut self, is_all: bool) -> GoesOn {
        if self.may_be_call && !self.is_thinking && self.at_start {
            let text = self.held.trim_start();
            if text.is_empty() && !is_all {
                return false;
            }
            self.may_be_call = false;
            if text.starts_with('{') {
                self.state = State::Calls { is_first: true, in_list: false };
                return true;
            }
        }
        let marks = self.marks();
        let found = marks
            .iter()
            .filter_map(|&mark| self.held.find(mark).map(|at| (at, mark)))
            .min_by_key(|&(at, _)| at);
        let Some((at, mark)) = found else {
            let keep = marks.iter().map(|mark| overlap(&self.held, mark)).max().unwrap_or(0);
            let keep = if is_all { 0 } else { keep };
            let certain: String = self.held.drain(..self.held.len() - keep).collect();
            self.say(&certain);
            return false;
        };
        let before: String = self.held.drain(..at).collect();
        let is_open = self.thoughts.is_some_and(|thoughts| thoughts.open == mark);
        let is_word = self.thoughts.is_some_and(|thoughts| thoughts.around.is_empty());
        if is_open && is_word && !before.trim().is_empty() {
            // In the midst of an answer it is a word like others.
            let mark: String = self.held.drain(..mark.len()).collect();
            self.say(&before);
            self.say(&mark);
            return true;
        }
        self.say(&before);
        if self.thoughts.is_some_and(|thoughts| thoughts.has_headers) {
            self.state = State::Header;
            return true;
        }
        let mark: String = self.held.drain(..mark.len()).collect();
        if is_open {
            self.begin(true);
        } else if self.call_mark() == Some(&mark) {
            self.read = mark;
            self.state = State::Calls { is_first: true, in_list: false };
        } else {
            self.begin(false);
        }
        true
    }

    /// The marks that mean something where the text has got to.
    fn marks(&self) -> Vec<&'static str> {
        let mut marks = Vec::new();
        if let Some(thoughts) = self.thoughts {
            if thoughts.has_headers {
                return ENDS
                    .into_iter()
                    .chain(HEADERS)
                    .filter(|mark| mark.ends_with('>'))
                    .collect();
            }
            if self.is_thinking {
                return vec![thoughts.close];
            }
            if !thoughts.around.is_empty() {
                // What is said before the answer proper ends as thoughts do.
                marks.push(thoughts.close);
                marks.extend(thoughts.around);
            }
            // Thoughts made of words like others open once, in front of the answer.
            if !thoughts.around.is_empty() || !self.has_thought && self.at_start {
                marks.push(thoughts.open);
            }
        }
        marks.extend(self.call_mark());
        marks
    }

    /// The mark in front of calls.
    fn call_mark(&self) -> Option<&'static str> {
        let calls = self.calls?;
        Some(if calls.is_bare() { FOR_PROGRAMS } else { calls.open })
    }

    /// Goes on with thoughts, or with text, behind a mark.
    fn begin(&mut self, is_thinking: bool) {
        if self.is_thinking || self.at_start {
            self.blanks.clear();
        } else if is_thinking {
            self.put_blanks();
        }
        self.has_thought |= is_thinking;
        (self.state, self.is_thinking) = (State::Text, is_thinking);
        (self.at_start, self.trims) = (true, self.has_thought || self.begun > 0);
    }

    /// A message's header: what the message is.
    fn header(&mut self, is_all: bool) -> GoesOn {
        let text = self.held.trim_start();
        if text.is_empty() {
            return false;
        }
        if let Some(end) = ENDS.into_iter().find(|end| text.starts_with(end)) {
            let blanks = self.held.len() - text.len();
            self.held.drain(..blanks + end.len());
            return true;
        }
        let mut marks = ENDS.into_iter().chain(HEADERS);
        let Some(mark) = HEADERS.into_iter().find(|mark| text.starts_with(mark)) else {
            if is_all || !marks.any(|mark| mark.starts_with(text)) {
                self.begin(false);
                return true;
            }
            return false;
        };
        let blanks = self.held.len() - text.len();
        match text.find(MESSAGE) {
            Some(at) if at <= LONGEST_NAME => {
                self.read = self.held.drain(..blanks + at + MESSAGE.len()).collect();
            }
            None if text.len() < LONGEST_NAME + MESSAGE.len() && !is_all => return false,
            // It is no header.
            _ => {
                self.begin(false);
                let mark: String = self.held.drain(..blanks + mark.len()).collect();
                self.say(&mark);
                return true;
            }
        }
        let (channel, recipient) = (self.word_behind("<|channel|>"), self.word_behind("to="));
        let tool = recipient.and_then(|recipient| recipient.strip_prefix("functions."));
        if self.calls.is_some() && self.tools.iter().any(|of| Some(&*of.name) == tool) {
            self.state = State::Message;
        } else if channel == Some("analysis") {
            self.read.clear();
            self.begin(true);
        } else if recipient.is_some() {
            self.break_off();
        } else {
            self.read.clear();
            self.begin(false);
        }
        true
    }

    /// In the header that was read, the word behind a mark.
    fn word_behind(&self, mark: &str) -> Option<&str> {
        let (_, rest) = self.read.split_once(mark)?;
        rest.split(|c: char| c == '<' || c.is_whitespace()).next()
    }

    /// The beginning of a message to a tool.
    fn message(&mut self, is_all: bool) -> GoesOn {
        let text = self.held.trim_start();
        match text.bytes().next() {
            None if !is_all => false,
            Some(b'{') => {
                let blanks = self.held.len() - text.len();
                self.held.drain(..blanks);
                let name = self.word_behind("to=functions.").unwrap_or_default().to_owned();
                let call = Begun { name, id: None, arguments: None, length: 0 };
                self.announce(call, false);
                true
            }
            _ => {
                self.break_off();
                true
            }
        }
    }

    /// Between the marks of calls.
    fn call(&mut self, is_first: bool, in_list: bool, is_all: bool) -> GoesOn {
        let Some(calls) = self.calls else { return false };
        let text = self.held.trim_start();
        let blanks = self.held.len() - text.len();
        let may_be_list = matches!(calls.shape, Shape::Object { .. }) && !calls.is_bare();
        let found = |mark: &str| !mark.is_empty() && text.starts_with(mark);
        let length = match text.bytes().next() {
            None if is_all && is_first => return self.break_off(),
            None => return false,
            Some(b'[') if is_first && !in_list && may_be_list => {
                self.state = State::Calls { is_first, in_list: true };
                1
            }
            Some(b']') if in_list && !is_first => {
                self.state = State::Calls { is_first, in_list: false };
                self.held.drain(..blanks + 1);
                self.read.clear();
                return true;
            }
            Some(b',' | b';') if !is_first => 1,
            _ if found(calls.close) && !is_first => {
                self.held.drain(..blanks + calls.close.len());
                self.read.clear();
                self.begin(false);
                return true;
            }
            _ if found(calls.open) && !is_first => calls.open.len(),
            _ if found(FOR_PROGRAMS) && !is_first && calls.is_bare() => FOR_PROGRAMS.len(),
            _ => 0,
        };
        if length > 0 {
            self.read.extend(self.held.drain(..blanks + length));
            return true;
        }
        // Each name has a mark of its own in front, where nothing else tells it from text.
        let is_named = matches!(calls.shape, Shape::Named { .. });
        let begins = |mark: &str| mark.starts_with(text);
        let is_mark = begins(calls.close) || begins(calls.open);
        let is_mark = is_mark || calls.is_bare() && begins(FOR_PROGRAMS);
        if is_mark && !is_all && !is_first {
            return false;
        }
        if is_named && calls.each && !is_first && self.read.is_empty() {
            return self.break_off();
        }
        let begun = match call::begin(calls, &self.tools, text) {
            // What is missing may be the mark at the end alone.
            Ok(None) if is_all && matches!(calls.shape, Shape::Tagged { .. }) => {
                let whole = [text, calls.close].concat();
                call::begin(calls, &self.tools, &whole)
            }
            other => other,
        };
        match begun {
            Ok(None) if !is_all => false,
            Ok(Some(call)) => {
                self.held.drain(..blanks + call.length);
                self.announce(call, in_list);
                true
            }
            Ok(None) | Err(_) => self.break_off(),
        }
    }

    /// Tells that a call begins.
    fn announce(&mut self, call: Begun, in_list: bool) {
        self.read.clear();
        self.blanks.clear();
        // Text that comes next is behind the call.
        (self.at_start, self.trims, self.is_thinking) = (true, true, false);
        let index = self.begun;
        self.begun += 1;
        self.parts.push(AnswerPart::ToolCall { index, id: call.id, name: call.name });
        self.state = match call.arguments {
            None => State::Arguments(Scanner::default(), in_list),
            Some(text) => {
                self.parts.push(AnswerPart::Arguments { index, text });
                State::Calls { is_first: false, in_list }
            }
        };
    }

    /// What was read is no call, and so it is text.
    fn break_off(&mut self) -> GoesOn {
        (self.state, self.is_thinking) = (State::Text, false);
        let read = std::mem::take(&mut self.read);
        self.say(&read);
        true
    }

    /// Arguments, as they come.
    fn arguments(&mut self, mut scanner: Scanner, in_list: bool) -> GoesOn {
        let (length, is_open) = match scanner.read(&self.held) {
            End::Open => (self.held.len(), true),
            End::At(at) | End::Wrong(at) => (at, false),
        };
        self.state =
            if is_open { State::Arguments(scanner, in_list) } else { State::Rest(in_list) };
        let text: String = self.held.drain(..length).collect();
        if !text.is_empty() {
            self.parts.push(AnswerPart::Arguments { index: self.begun - 1, text });
        }
        !is_open
    }

    /// What is left of a call behind its arguments.
    fn rest(&mut self, in_list: bool, is_all: bool) -> GoesOn {
        let Some(calls) = self.calls else { return false };
        match call::rest(calls, &self.held) {
            Ok(None) if !is_all => return false,
            // Cut off: it is part of the call.
            Ok(None) => self.held.clear(),
            Ok(Some(length)) => {
                self.held.drain(..length);
            }
            Err(_) => {}
        }
        self.state = match calls.shape {
            Shape::Message => State::Header,
            _ => State::Calls { is_first: false, in_list },
        };
        true
    }

    /// Releases thoughts or text, but for blanks at their end.
    fn say(&mut self, mut text: &str) {
        if self.at_start && self.trims {
            text = text.trim_start();
        }
        if text.is_empty() {
            return;
        }
        self.at_start &= text.trim().is_empty();
        self.blanks.push_str(text);
        let blanks = self.blanks.split_off(self.blanks.trim_end().len());
        let text = std::mem::replace(&mut self.blanks, blanks);
        self.put(text);
    }

    /// Releases blanks at the end of a part.
    fn put_blanks(&mut self) {
        let blanks = std::mem::take(&mut self.blanks);
        self.put(blanks);
    }

    fn put(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        let part = if self.is_thinking { AnswerPart::Thinking } else { AnswerPart::Text };
        self.parts.push(part(text));
    }
}

/// The length in bytes of the longest end of `text` that `mark` begins with, the whole of
/// it left out.
fn overlap(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len().saturating_sub(1));
    let ends = |&length: &usize| text.as_bytes().ends_with(&mark.as_bytes()[..length]);
    // Text ends with a whole character, and so does what ends it.
    (1..=longest).rev().find(ends).unwrap_or(0)
}
