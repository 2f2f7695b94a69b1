//! A chat that goes on: its messages, and what of them the model sees.
//!
//! **Tokens.** Each question is put to the model as the whole chat, rendered by the
//! template. What the KV cache holds of it is not computed again: the tokens of the last
//! question and its answer are taken as they were, and only what the template writes
//! behind them is tokenized. Where a template changes what came before, as those do that
//! leave out earlier thoughts, computing begins at the change.
//!
//! **When the context is full.** A question needs room for itself, for the chat before it
//! and for an answer: a quarter of the context, or the most tokens asked for if that is
//! less. Where there is less room, the oldest exchanges (a question and what followed it)
//! are left out, until the prompt takes no more than half of the context, so that this does
//! not happen at every question. The system's message stays. They remain in
//! [`Conversation::messages`]; the model does not see them any more.

use std::collections::VecDeque;

use luge_decoding::Decoder;
use luge_llama::Model;

use super::answer::{AnswerFormat, AnswerParser, AnswerPart};
use super::{ChatTemplate, Message};
use crate::{Completion, Error, FinishReason, GenerateOptions, Generation, Session};

/// A chat with a model.
///
/// ```no_run
/// # use luge::{GenerateOptions, Model, ModelParams, Pipeline, Session, SessionOptions};
/// use luge::chat::{ChatTemplate, Conversation, Message};
///
/// let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
/// let mut session = Session::new(&model, &SessionOptions::default())?;
/// let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
/// let options = GenerateOptions { max_tokens: None, ..GenerateOptions::default() };
///
/// let mut chat = Conversation::new(ChatTemplate::of(&model)?);
/// for question in ["What is the capital of British Columbia?", "And of Alberta?"] {
///     let mut answer = chat.ask(&mut session, &sled, Message::user(question), &options)?;
///     for piece in &mut answer {
///         print!("{}", piece?.text);
///     }
///     println!();
///     answer.finish()?;
/// }
/// # Ok::<(), luge::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conversation {
    template: ChatTemplate,
    messages: Vec<Message>,
    /// The first message behind the system's that the model still sees.
    first: usize,
    last: Option<Exchange>,
}

/// A question as it was put, and its answer.
#[derive(Debug, Clone)]
struct Exchange {
    /// All of its text, the names of control tokens included; `None` where that ends within
    /// a character.
    text: Option<String>,
    tokens: Vec<u32>,
    /// Where in `tokens` the answer begins.
    answer: usize,
    /// The text of the question with all before it.
    prompt: String,
    format: AnswerFormat,
}

impl Conversation {
    /// A chat without messages.
    pub fn new(template: ChatTemplate) -> Self {
        Conversation { template, messages: Vec::new(), first: 0, last: None }
    }

    /// How messages become text.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// All messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replaces all messages.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        (self.messages, self.first, self.last) = (messages, 0, None);
    }

    /// What holds for the whole chat: the message of the system at its beginning, `None`
    /// for none. It is in force from the next question on.
    pub fn set_system(&mut self, content: Option<&str>) {
        if self.messages.first().is_some_and(is_system) {
            self.messages.remove(0);
            self.first = self.first.saturating_sub(1);
        }
        if let Some(content) = content {
            self.messages.insert(0, Message::system(content));
            self.first += usize::from(self.first > 0);
        }
    }

    /// How many of the oldest questions the model does not see any more.
    pub fn forgotten(&self) -> usize {
        self.messages[..self.first].iter().filter(|message| is_question(message)).count()
    }

    /// Takes back the last question and all behind it; returns the question.
    pub fn take_back(&mut self) -> Option<Message> {
        let last = self.messages.iter().rposition(is_question)?;
        let question = self.messages.drain(last..).next();
        self.first = self.first.min(self.messages.len());
        question
    }

    /// The tokens that the last answer was generated behind, and those of the answer.
    pub fn last_exchange(&self) -> Option<(&[u32], &[u32])> {
        self.last.as_ref().map(|last| last.tokens.split_at(last.answer))
    }

    /// Options for generating another answer behind the tokens of the last question: with
    /// the marks of the model's thoughts as text, and a grammar that begins behind them.
    pub fn last_options(&self, options: &GenerateOptions) -> GenerateOptions {
        match &self.last {
            Some(last) => last.format.options(&last.prompt, &[], options),
            None => options.clone(),
        }
    }

    /// Asks a question: starts generating the answer and returns an iterator over its text.
    /// Question and answer become messages of the chat when it is finished
    /// ([`Answer::finish`]); dropped before that, or interrupted before its first token, it
    /// leaves the chat as it was. A grammar holds for the answer, and not for thoughts that
    /// the template opens in front of it.
    ///
    /// # Errors
    /// Those of [`ChatTemplate::tokens`] and of [`Session::generate`]:
    /// [`Error::TooLong`] if the question alone does not fit into the context.
    pub fn ask<'a>(
        &'a mut self,
        session: &'a mut Session,
        decoder: &'a Decoder,
        question: Message,
        options: &GenerateOptions,
    ) -> Result<Answer<'a>, Error> {
        let context = session.ctx_size();
        let room = options.max_tokens.unwrap_or(usize::MAX).min(context / 4);
        let prompt = self.prompt(session.model(), &question, context, room)?;
        let format = AnswerFormat::of(session.model(), &self.template);
        let parser = format.parser(&prompt.text, &[]);
        let options = format.options(&prompt.text, &[], options);
        let generation = session.generate(decoder, &prompt.tokens, &options)?;
        Ok(Answer {
            conversation: self,
            question,
            prompt,
            format,
            generation,
            parser,
            ready: VecDeque::new(),
            changed: false,
            thinking: String::new(),
            text: String::new(),
        })
    }

    /// The chat with a question behind it, in so much of `context` tokens that there is
    /// room for an answer.
    fn prompt(
        &self,
        model: &Model,
        question: &Message,
        context: usize,
        room: usize,
    ) -> Result<Prompt, Error> {
        let end = self.messages.len();
        let prompt = self.prompt_from(self.first, model, question)?;
        if prompt.tokens.len() + room <= context || self.first == end {
            return Ok(prompt);
        }
        let questions = (self.first..end).filter(|&index| is_question(&self.messages[index]));
        // What stands in front of the first question goes with it.
        let starts: Vec<usize> = questions.skip(1).chain([end]).collect();
        // By halves: a long chat would be tokenized as often as it has questions.
        let (mut least, mut most) = (0, starts.len() - 1);
        while least < most {
            let middle = (least + most) / 2;
            let prompt = self.prompt_from(starts[middle], model, question)?;
            if prompt.tokens.len() <= context / 2 {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
        self.prompt_from(starts[least], model, question)
    }

    /// The chat from a message on, behind the system's.
    fn prompt_from(
        &self,
        first: usize,
        model: &Model,
        question: &Message,
    ) -> Result<Prompt, Error> {
        let system = self.messages.first().filter(|message| is_system(message) && first > 0);
        let messages: Vec<Message> =
            system.into_iter().chain(&self.messages[first..]).chain([question]).cloned().collect();
        let text = self.template.render(&messages, &[], true)?;
        let tokens = match self.continued(model, &text)? {
            Some(tokens) => tokens,
            None => model.tokenize(&text, false, true)?,
        };
        Ok(Prompt { first, text, tokens })
    }

    /// The tokens of a text that goes on from the last answer: those of the last exchange
    /// as they were, and what comes behind. `None` where it does not go on from there, or
    /// not with a control token: the tokens of other text depend on what is before it.
    fn continued(&self, model: &Model, text: &str) -> Result<Option<Vec<u32>>, Error> {
        let Some(last) = &self.last else { return Ok(None) };
        let Some(rest) = last.text.as_deref().and_then(|known| text.strip_prefix(known)) else {
            return Ok(None);
        };
        let rest = model.tokenize(rest, false, true)?;
        let is_control =
            rest.first().is_some_and(|&token| model.piece(token).is_ok_and(|of| of.is_empty()));
        Ok(is_control.then(|| [last.tokens.as_slice(), &rest].concat()))
    }
}

fn is_system(message: &Message) -> bool {
    message.role == "system"
}

fn is_question(message: &Message) -> bool {
    message.role == "user"
}

/// A chat as the model is given it.
struct Prompt {
    /// The first message behind the system's that is in it.
    first: usize,
    text: String,
    tokens: Vec<u32>,
}

/// What a text is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the model thinks before it answers.
    Thinking,
    /// The answer.
    Answer,
}

/// Text of an answer that has become final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPiece {
    /// Whether it is thought or said.
    pub part: Part,
    /// The text.
    pub text: String,
    /// Whether the method chose any of its tokens against the final layer.
    pub changed: bool,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What the model said, without what it thought.
    pub text: String,
    /// What it thought before, if it did.
    pub reasoning: Option<String>,
    /// All that was generated, and how.
    pub completion: Completion,
}

/// A running answer: an iterator over its text.
pub struct Answer<'a> {
    conversation: &'a mut Conversation,
    question: Message,
    prompt: Prompt,
    format: AnswerFormat,
    generation: Generation<'a>,
    parser: AnswerParser,
    /// Text that has been parted and not been handed out.
    ready: VecDeque<AnswerPiece>,
    /// Whether any token of the text that the parser holds back was changed.
    changed: bool,
    thinking: String,
    text: String,
}

impl Answer<'_> {
    /// The tokens that it is generated behind.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt.tokens
    }

    /// How many of the oldest questions were left out, for the first time, because the
    /// context is full.
    pub fn newly_forgotten(&self) -> usize {
        let from = self.conversation.first.min(self.prompt.first);
        let left_out = &self.conversation.messages[from..self.prompt.first];
        left_out.iter().filter(|message| is_question(message)).count()
    }

    /// Tokens generated so far.
    pub fn tokens(&self) -> usize {
        self.generation.tokens().len()
    }

    /// Runs to the end, if it has not ended, and puts question and answer into the chat,
    /// whatever ended it; but for an answer that was interrupted before its first token.
    ///
    /// # Errors
    /// As the iterator; the chat is then as it was.
    pub fn finish(mut self) -> Result<Reply, Error> {
        for piece in self.by_ref() {
            piece?;
        }
        let Answer { conversation, question, prompt, format, generation, thinking, text, .. } =
            self;
        let model = generation.model().clone();
        let completion = generation.finish()?;
        let reasoning = Some(thinking.trim_end().to_owned()).filter(|text| !text.is_empty());
        // What the model has not even read is not to stand there as if it had no answer.
        if completion.tokens.is_empty() && completion.finish_reason == FinishReason::Interrupted {
            return Ok(Reply { text, reasoning, completion });
        }
        let mut bytes = prompt.text.clone().into_bytes();
        for &token in &completion.tokens {
            bytes.extend(model.label(token)?);
        }
        let answer = prompt.tokens.len();
        let mut tokens = prompt.tokens;
        tokens.extend_from_slice(&completion.tokens);

        let message = Message { reasoning: reasoning.clone(), ..Message::assistant(text.clone()) };
        conversation.first = prompt.first;
        conversation.messages.extend([question, message]);
        let known = String::from_utf8(bytes).ok();
        conversation.last =
            Some(Exchange { text: known, tokens, answer, prompt: prompt.text, format });
        Ok(Reply { text, reasoning, completion })
    }

    /// Keeps what the parser has released.
    fn release(&mut self, parts: Vec<AnswerPart>) {
        let changed = self.changed && !parts.is_empty();
        self.changed &= parts.is_empty();
        for part in parts {
            let (part, text) = match part {
                AnswerPart::Thinking(text) => (Part::Thinking, text),
                AnswerPart::Text(text) => (Part::Answer, text),
                // Without tools there are no calls.
                AnswerPart::ToolCall { .. } | AnswerPart::Arguments { .. } => continue,
            };
            match part {
                Part::Thinking => self.thinking.push_str(&text),
                Part::Answer => self.text.push_str(&text),
            }
            self.ready.push_back(AnswerPiece { part, text, changed });
        }
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<AnswerPiece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            let parts = match self.generation.next() {
                Some(Ok(piece)) => {
                    self.changed |= piece.changed;
                    self.parser.push(&piece.text)
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    let rest = self.parser.finish();
                    if rest.is_empty() {
                        return None;
                    }
                    rest
                }
            };
            self.release(parts);
        }
    }
}
