//! Chats: with one question, or with as many as are typed.

use std::fs;
use std::io::{self, IsTerminal};

use luge::{ExitForm, GenerateOptions, METHODS};

pub use super::drawn_seed;
use super::method::{Method, methods, named_methods};
use super::prompt::stdin_text;
use super::{ModelJob, grammar, model, options};
use crate::args::{ChatArgs, ChatSettingArgs, Format, RunArgs, TemplateArgs};
use crate::failure::Failure;
use crate::settings::{ChatSetting, parse_chat};

pub struct ChatJob {
    pub model: ModelJob,
    /// The one question to answer; `None` where they are typed.
    pub question: Option<String>,
    pub system: Option<String>,
    pub template: Template,
    pub settings: ChatSettings,
    /// Whether what is typed is kept for the next chat.
    pub history: bool,
    pub format: Format,
}

/// How a chat becomes text.
pub struct Template {
    pub choice: TemplateChoice,
    /// Variables for the template.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// Which chat template to use.
pub enum TemplateChoice {
    /// The model's own.
    Model,
    /// One of luge's.
    Named(String),
    /// This one.
    Text(String),
}

/// How questions are answered: what can be changed while a chat goes on.
pub struct ChatSettings {
    pub method: Method,
    /// How exits are read for a method that reads none.
    pub form: ExitForm,
    pub options: GenerateOptions,
    /// Whether the seed is one by chance: each answer of a chat then has another.
    pub draws_seed: bool,
    pub show_changes: bool,
    pub hide_thinking: bool,
}

/// Whether `luge run` is to chat: without a prompt, where one can be typed.
pub fn is_chat(args: &RunArgs) -> bool {
    args.prompt.is_empty() && args.format == Format::Text && is_terminal()
}

/// `luge run` as a chat.
pub fn run_as_chat() -> Result<ChatJob, Failure> {
    chat(args(&[])?.0)
}

pub fn chat(args: ChatArgs) -> Result<ChatJob, Failure> {
    let question = match args.question {
        Some(text) if text != "-" => Some(text),
        None if io::stdin().is_terminal() => None,
        _ => Some(stdin_text("question")?),
    };
    if question.as_deref().is_some_and(|question| question.trim().is_empty()) {
        return Err(Failure::Usage("the question is empty: there is nothing to answer".to_owned()));
    }
    if question.is_none() && (args.format != Format::Text || !is_terminal()) {
        return Err(Failure::Usage(
            "there is no question: give it behind the flags, or on standard input".to_owned(),
        ));
    }
    Ok(ChatJob {
        model: model(args.model, &args.context)?,
        question,
        system: args.system_prompt,
        template: template(args.template)?,
        settings: args.settings.resolve(&[])?,
        history: !args.no_history,
        format: args.format,
    })
}

/// Reads the template, where it is in a file.
pub fn template(args: TemplateArgs) -> Result<Template, Failure> {
    let choice = match (args.chat_template, args.chat_template_file) {
        (Some(name), _) => TemplateChoice::Named(name),
        (None, Some(file)) => TemplateChoice::Text(fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            Failure::Run(format!("cannot read the chat template from '{file}': {error}"))
        })?),
        (None, None) => TemplateChoice::Model,
    };
    Ok(Template { choice, variables: args.chat_template_kwargs.unwrap_or_default() })
}

impl ChatSettingArgs {
    /// `also` are parameters that the method need not have: see [`methods`].
    fn resolve(self, also: &[&str]) -> Result<ChatSettings, Failure> {
        let params = &self.method.params;
        Ok(ChatSettings {
            form: params.values.exit_form()?,
            draws_seed: self.sampling.seed < 0,
            method: methods(&[&self.method.method], params, also)?.remove(0),
            options: GenerateOptions {
                grammar: grammar::grammar(self.grammar)?,
                ..options(self.sampling, &self.exits)
            },
            show_changes: self.show_changes,
            hide_thinking: self.hide_thinking,
        })
    }
}

/// The settings of a chat that goes on, with some that were changed.
pub fn settings(changed: &[(String, String)]) -> Result<ChatSettings, Failure> {
    // A parameter that the method lacks waits for a method that has it.
    args(changed)?.0.settings.resolve(&all_params())
}

/// What can be set in a chat, and what it is set to.
pub fn values(changed: &[(String, String)]) -> Result<Vec<ChatSetting>, Failure> {
    Ok(args(changed)?.1)
}

/// Methods to compare in a chat, with the parameters that are set.
pub fn methods_of(
    list: Option<&str>,
    changed: &[(String, String)],
) -> Result<Vec<(String, Method)>, Failure> {
    let params = args(changed)?.0.settings.method.params;
    named_methods(list.unwrap_or("greedy,dola,sled"), &params, &all_params())
}

fn args(changed: &[(String, String)]) -> Result<(ChatArgs, Vec<ChatSetting>), Failure> {
    parse_chat(std::env::args_os(), changed)
}

fn all_params() -> Vec<&'static str> {
    METHODS.iter().flat_map(|method| method.params).map(|param| param.name).collect()
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
