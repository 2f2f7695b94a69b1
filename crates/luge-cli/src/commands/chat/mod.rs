//! `luge chat`: questions and answers, with the model's own chat template.

mod answer;
mod editor;
mod saved;
mod typed;

use std::fmt::Arguments;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use luge::chat::{Conversation, Reply, Source};
use luge::{ChatTemplate, Decoder, FinishReason, Message, Model, Session};
use serde::Serialize;

use super::{CompletionObject, can_grow, compare, counted, lens, open};
use crate::args::Format;
use crate::failure::{Failure, INTERRUPTED};
use crate::interrupt;
use crate::output::{self, ASIDE, print_json};
use crate::resolve::{ChatJob, ChatSettings, Template, TemplateChoice, chat};
use crate::settings::{ChatSetting, nearest};
use answer::Manner;
use editor::{Line, Lines};
use typed::{COMMANDS, Command, Typed};

#[derive(Serialize)]
struct ChatObject<'a> {
    model: &'a str,
    method: &'a Decoder,
    prompt_ids: &'a [u32],
    seed: u64,
    answer: &'a str,
    reasoning: Option<&'a str>,
    #[serde(flatten)]
    completion: CompletionObject<'a>,
}

pub fn run(job: ChatJob) -> Result<ExitCode, Failure> {
    let session = open(&job.model)?;
    let decoder = job.settings.method.decoder(&session)?;
    let template = template(session.model(), &job.template)?;
    if let Some(system) = &job.system {
        check_system(&template, system)?;
    }
    let mut conversation = Conversation::new(template);
    conversation.set_system(job.system.as_deref());
    let chat = Chat {
        session,
        decoder,
        conversation,
        settings: job.settings,
        overrides: Vec::new(),
        switched: Vec::new(),
        name: job.model.source.name().into_owned(),
        file: None,
    };
    match job.question {
        Some(question) => chat.answer_once(question, job.format),
        None => chat.go_on(job.history),
    }
}

/// The template to use, and what there is to say about it.
pub(super) fn template(model: &Model, wanted: &Template) -> Result<ChatTemplate, Failure> {
    let template = match &wanted.choice {
        TemplateChoice::Model => ChatTemplate::of(model)?,
        TemplateChoice::Named(name) => ChatTemplate::fallback(name)
            .ok_or_else(|| Failure::Usage(format!("there is no chat template named '{name}'")))?
            .with_tokens_of(model),
        TemplateChoice::Text(text) => ChatTemplate::new(text.as_str())?.with_tokens_of(model),
    };
    if let (TemplateChoice::Model, Source::Fallback(name)) = (&wanted.choice, template.source()) {
        output::say(format_args!(
            "the model has no chat template, {name} is used (choose one with --chat-template)"
        ));
    }
    let variables = wanted.variables.iter();
    Ok(variables.fold(template, |template, (name, value)| template.with(name, value.clone())))
}

/// Whether a template lets the model see a message of the system. One that leaves it out is
/// spoken of, and one that refuses it an error.
fn check_system(template: &ChatTemplate, system: &str) -> Result<bool, Failure> {
    let messages = [Message::system(system), Message::user("?")];
    let with = template.render(&messages, &[], true);
    let without = template.render(&messages[1..], &[], true);
    match (with, without) {
        (Ok(with), Ok(without)) if with == without && !system.trim().is_empty() => {
            output::say(format_args!(
                "the model's chat template leaves out what is to hold for the whole chat: say it \
                 in the question"
            ));
            Ok(false)
        }
        // What else is wrong comes up with the question.
        (Ok(_), _) | (Err(_), Err(_)) => Ok(true),
        (Err(error), Ok(_)) => {
            let reason = Failure::from(error);
            Err(Failure::Usage(format!(
                "{reason}; what is to hold for the whole chat, say in the question"
            )))
        }
    }
}

/// A chat under way.
struct Chat {
    session: Session,
    decoder: Decoder,
    conversation: Conversation,
    settings: ChatSettings,
    /// What was set since it began, as flags.
    overrides: Vec<(String, String)>,
    /// What was switched on or off.
    switched: Vec<(String, bool)>,
    /// The model as the user calls it.
    name: String,
    /// The file that the chat was last saved to or loaded from.
    file: Option<String>,
}

/// Whether the chat goes on.
enum Next {
    Question,
    End,
}

impl Chat {
    fn answer_once(mut self, question: String, format: Format) -> Result<ExitCode, Failure> {
        interrupt::sets(self.session.interrupt());
        let question = Message::user(question);
        let reply = match format {
            Format::Text => self.answer(question, Manner::Plain)?,
            Format::Json => {
                let options = &self.settings.options;
                let answer =
                    self.conversation.ask(&mut self.session, &self.decoder, question, options)?;
                let prompt = answer.prompt().to_vec();
                let reply = answer.finish()?;
                print_json(&ChatObject {
                    model: &self.name,
                    method: &self.decoder,
                    prompt_ids: &prompt,
                    seed: options.sampler.seed,
                    answer: &reply.text,
                    reasoning: reply.reasoning.as_deref(),
                    completion: CompletionObject::new(&reply.completion),
                })?;
                reply
            }
        };
        Ok(match reply.completion.finish_reason {
            FinishReason::Interrupted => ExitCode::from(INTERRUPTED),
            _ => ExitCode::SUCCESS,
        })
    }

    /// Answers what is typed until the end.
    fn go_on(mut self, remembers: bool) -> Result<ExitCode, Failure> {
        // A method that the model does not allow is better known before a question is typed.
        self.session.prepare(&self.decoder)?;
        interrupt::only_sets(self.session.interrupt());
        let settings = chat::values(&[])?.into_iter().map(|setting| setting.name);
        let settings = settings.chain(SWITCHES.map(str::to_owned)).collect();
        let methods = luge::METHODS.iter().map(|method| method.name.to_owned()).collect();
        let mut lines = Lines::new(settings, methods, remembers)?;
        if !output::is_quiet() {
            aside(format_args!("{} with {}", self.name, self.decoder));
            aside(format_args!(
                "/? shows the commands; Ctrl-C stops an answer, Ctrl-D ends the chat"
            ));
        }
        loop {
            let text = match lines.read()? {
                Line::Text(text) => text,
                Line::Dropped => {
                    aside(format_args!("Ctrl-D or /bye ends the chat"));
                    continue;
                }
                Line::End => break,
            };
            self.session.interrupt().store(false, Ordering::Relaxed);
            let result = match typed::read(&text) {
                Ok(Typed::Nothing) => Ok(Next::Question),
                Ok(Typed::Question(question)) => self.answer_typed(Message::user(question)),
                Ok(Typed::Command(command)) => self.carry_out(command),
                Err(message) => Err(Failure::Usage(message)),
            };
            match result {
                Ok(Next::Question) => {}
                Ok(Next::End) => break,
                Err(Failure::Interrupted) => aside(format_args!("interrupted")),
                Err(failure @ Failure::ClosedPipe) => return Err(failure),
                // The chat goes on, and has lost nothing.
                Err(failure) => output::complain(format_args!("error: {failure}")),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer_typed(&mut self, question: Message) -> Result<Next, Failure> {
        if self.settings.draws_seed {
            // With the last one, a question put anew would have the same answer.
            self.settings.options.sampler.seed = chat::drawn_seed();
        }
        self.answer(question, Manner::Typed)?;
        Ok(Next::Question)
    }

    fn answer(&mut self, question: Message, manner: Manner) -> Result<Reply, Failure> {
        let can_grow = can_grow(&self.session);
        // A long prompt is read for a while.
        let spinner = answer::spinner();
        let options = &self.settings.options;
        let answer = self.conversation.ask(&mut self.session, &self.decoder, question, options);
        spinner.finish_and_clear();
        answer::show(answer?, &self.decoder, &self.settings, manner, can_grow)
    }

    fn carry_out(&mut self, command: Command<'_>) -> Result<Next, Failure> {
        match command {
            Command::Help => help(),
            Command::Method(None) => aside(format_args!("{:#}", self.decoder)),
            Command::Method(Some(method)) => self.set("method", method)?,
            Command::Set(None) => self.show_settings()?,
            Command::Set(Some((name, None))) => self.show_setting(name)?,
            Command::Set(Some((name, Some(value)))) => self.set(name, value)?,
            Command::System(None) => match self.system() {
                Some(text) => aside(format_args!("{}", output::harmless(&text))),
                None => aside(format_args!("nothing holds for the whole chat")),
            },
            Command::System(Some("-")) => {
                self.conversation.set_system(None);
                aside(format_args!("nothing holds from the next question on"));
            }
            Command::System(Some(text)) => {
                let is_seen = check_system(self.conversation.template(), text)?;
                self.conversation.set_system(Some(text));
                if is_seen {
                    aside(format_args!("from the next question on"));
                }
            }
            Command::Compare(methods) => self.compare(methods)?,
            Command::Lens(file) => self.look(file)?,
            Command::Retry => return self.retry(),
            Command::Clear => {
                let system = self.system();
                self.conversation.set_messages(Vec::new());
                self.conversation.set_system(system.as_deref());
                // The file has another chat.
                self.file = None;
                aside(format_args!("forgotten"));
            }
            Command::Save { file, replaces } => self.save(file, replaces)?,
            Command::Load(file) => self.load(file)?,
            Command::End => return Ok(Next::End),
        }
        Ok(Next::Question)
    }

    fn system(&self) -> Option<String> {
        let first = self.conversation.messages().first();
        first.filter(|message| message.role == "system").map(|message| message.content.clone())
    }

    fn retry(&mut self) -> Result<Next, Failure> {
        let before = self.conversation.clone();
        let question = self.conversation.take_back().ok_or_else(nothing_asked)?;
        let kept = self.conversation.messages().len();
        let result = self.answer_typed(question);
        // Without another answer, the one that was there stays.
        if self.conversation.messages().len() == kept {
            self.conversation = before;
        }
        result
    }

    /// Changes a setting, if it can be had.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let name = name.trim_start_matches('-');
        let (mut overrides, mut switched) = (self.overrides.clone(), self.switched.clone());
        if switch(&mut self.settings, name).is_some() {
            let is_on = match value {
                "on" | "true" => true,
                "off" | "false" => false,
                _ => return Err(Failure::Usage(format!("{name} takes on or off"))),
            };
            switched.push((name.to_owned(), is_on));
        } else {
            setting(name, chat::values(&overrides)?)?;
            overrides.retain(|(of, _)| of != name);
            overrides.push((name.to_owned(), value.to_owned()));
        }
        let mut settings = chat::settings(&overrides)?;
        for (name, is_on) in &switched {
            if let Some(switch) = switch(&mut settings, name) {
                *switch = *is_on;
            }
        }
        let decoder = settings.method.decoder(&self.session)?;
        self.session.prepare(&decoder)?;
        self.decoder = decoder;
        self.settings = settings;
        (self.overrides, self.switched) = (overrides, switched);
        match name {
            "method" => aside(format_args!("{:#}", self.decoder)),
            _ => aside(format_args!("{name} {value}")),
        }
        Ok(())
    }

    fn show_settings(&mut self) -> Result<(), Failure> {
        aside(format_args!("method {:#}", self.decoder));
        let mut unset = Vec::new();
        for setting in chat::values(&self.overrides)? {
            match setting.value {
                _ if setting.name == "method" => {}
                Some(value) => aside(format_args!("{} {value}", setting.name)),
                None => unset.push(setting.name),
            }
        }
        for name in SWITCHES {
            let is_on = switch(&mut self.settings, name).is_some_and(|switch| *switch);
            aside(format_args!("{name} {}", state(is_on)));
        }
        aside(format_args!("not set: {}", unset.join(" ")));
        Ok(())
    }

    fn show_setting(&mut self, name: &str) -> Result<(), Failure> {
        let name = name.trim_start_matches('-');
        if let Some(switch) = switch(&mut self.settings, name) {
            aside(format_args!("{name} {}", state(*switch)));
            return Ok(());
        }
        let setting = setting(name, chat::values(&self.overrides)?)?;
        aside(format_args!("{name} {}", setting.value.as_deref().unwrap_or("is not set")));
        aside(format_args!("{}", setting.help));
        Ok(())
    }

    /// The last question under several methods.
    fn compare(&mut self, methods: Option<&str>) -> Result<(), Failure> {
        let (prompt, _) = last_exchange(&self.conversation)?;
        let methods = chat::methods_of(methods, &self.overrides)?;
        let options = self.conversation.last_options(&self.settings.options);
        compare::answer_in_columns(&mut self.session, &methods, prompt, &options)
    }

    /// What the layers said in the last answer.
    fn look(&mut self, file: Option<&str>) -> Result<(), Failure> {
        let (prompt, answer) = last_exchange(&self.conversation)?;
        // Another name may be that of a file with something else in it.
        if file.is_some_and(|name| !name.ends_with(".html") && !name.ends_with(".svg")) {
            let what = "/lens writes a page or a picture: give it a name in .html or .svg";
            return Err(Failure::Usage(what.to_owned()));
        }
        let text = [prompt, answer].concat();
        let positions = prompt.len() - 1..text.len();
        let file = file.map(expanded);
        lens::of_text(
            &mut self.session,
            &self.decoder,
            lens::GivenText {
                model: &self.name,
                seed: self.settings.options.sampler.seed,
                form: self.settings.form,
                text,
                positions,
            },
            file.as_deref(),
        )?;
        if let Some(file) = file {
            aside(format_args!("written to {}", file.display()));
        }
        Ok(())
    }

    fn save(&mut self, name: &str, replaces: bool) -> Result<(), Failure> {
        let path = expanded(name);
        if path.exists() && !path.is_dir() && !replaces && self.file.as_deref() != Some(name) {
            return Err(Failure::Usage(format!("'{name}' exists: /save! {name} replaces it")));
        }
        saved::write(&path, &self.name, &self.decoder, self.conversation.messages())?;
        self.file = Some(name.to_owned());
        aside(format_args!("saved to {}", path.display()));
        Ok(())
    }

    fn load(&mut self, name: &str) -> Result<(), Failure> {
        let messages = saved::read(&expanded(name))?;
        let is_open = messages.last().is_some_and(|message| message.role == "user");
        // Messages that it refuses would stand in the way of every question.
        let next = Some(Message::user("?")).filter(|_| !is_open);
        let asked: Vec<Message> = messages.iter().cloned().chain(next).collect();
        self.conversation.template().render(&asked, &[], true)?;
        let questions = messages.iter().filter(|message| message.role == "user").count();
        self.conversation.set_messages(messages);
        self.file = Some(name.to_owned());
        let hint = if is_open { ", the last without an answer: /retry puts it" } else { "" };
        aside(format_args!("{}{hint}", counted(questions, "question")));
        Ok(())
    }
}

/// Settings that are on or off.
const SWITCHES: [&str; 3] = ["show-changes", "hide-thinking", "ignore-eos"];

fn switch<'a>(settings: &'a mut ChatSettings, name: &str) -> Option<&'a mut bool> {
    match name {
        "show-changes" => Some(&mut settings.show_changes),
        "hide-thinking" => Some(&mut settings.hide_thinking),
        "ignore-eos" => Some(&mut settings.options.ignore_eos),
        _ => None,
    }
}

fn state(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// The setting of this name.
fn setting(name: &str, all: Vec<ChatSetting>) -> Result<ChatSetting, Failure> {
    let names: Vec<String> = all.iter().map(|setting| setting.name.clone()).collect();
    all.into_iter().find(|setting| setting.name == name).ok_or_else(|| {
        let all = names.iter().map(String::as_str).chain(SWITCHES);
        let hint = match nearest(name, all) {
            Some(similar) => format!("perhaps {similar}; "),
            None => String::new(),
        };
        Failure::Usage(format!("there is no setting '{name}': {hint}/set shows all"))
    })
}

fn nothing_asked() -> Failure {
    Failure::Usage("nothing has been asked yet".to_owned())
}

/// The tokens of the last question and its answer.
fn last_exchange(conversation: &Conversation) -> Result<(&[u32], &[u32]), Failure> {
    conversation.last_exchange().ok_or_else(|| {
        if conversation.messages().iter().all(|message| message.role != "user") {
            return nothing_asked();
        }
        Failure::Usage(
            "nothing has been asked since the chat was loaded: /retry puts its last question"
                .to_owned(),
        )
    })
}

/// A path as typed, with `~` for the home folder.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn help() {
    let width = COMMANDS.iter().map(|(name, rest, _)| name.len() + rest.len() + 1).max();
    for (name, rest, what) in COMMANDS {
        let command = format!("{name} {rest}");
        say(format_args!("{command:0$} {ASIDE}{what}{ASIDE:#}", width.unwrap_or(0)));
    }
    say(format_args!("\"\"\"{ASIDE} begins and ends a question of several lines{ASIDE:#}"));
}

/// Says something beside the chat, dimmed.
fn aside(message: Arguments<'_>) {
    say(format_args!("{ASIDE}{message}{ASIDE:#}"));
}

/// Says something beside the chat. If no one listens there, so be it.
fn say(message: Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{message}");
}
