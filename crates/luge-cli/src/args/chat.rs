//! A chat with a model.

use std::path::PathBuf;

use clap::Args;

use super::{ContextArgs, ExitArgs, Format, GrammarArgs, MethodArgs, ModelArgs, SamplingArgs};

#[derive(Debug, Args)]
#[command(mut_arg("predict", |arg| arg.default_value("-1")))]
pub struct ChatArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// The one question to answer; without it, questions are typed, and where no one can
    /// type, all of standard input is the question
    #[arg(value_name = "QUESTION", help_heading = "Chat")]
    pub question: Option<String>,
    /// What is to hold for the whole chat, such as 'Answer in one sentence.' [-sys]
    #[arg(long, value_name = "TEXT", help_heading = "Chat")]
    pub system_prompt: Option<String>,
    #[command(flatten)]
    pub template: TemplateArgs,
    /// Do not keep what is typed for the next chat
    #[arg(long, help_heading = "Chat")]
    pub no_history: bool,

    #[command(flatten)]
    pub settings: ChatSettingArgs,

    /// Output: text as it is decoded, or one JSON object for the answer to a given question
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub format: Format,
    #[command(flatten)]
    pub context: ContextArgs,
}

/// How a chat becomes text.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    /// Chat template instead of the one in the model's file: chatml, llama3, gemma, phi3 or
    /// command-r
    #[arg(long, value_name = "NAME", help_heading = "Chat", value_parser = template_name)]
    pub chat_template: Option<String>,
    /// File with a chat template in Jinja to use instead
    #[arg(long, value_name = "FILE", conflicts_with = "chat_template", help_heading = "Chat")]
    pub chat_template_file: Option<PathBuf>,
    /// Variables for the chat template; a JSON object such as '{"enable_thinking": false}'
    #[arg(long, value_name = "JSON", help_heading = "Chat", value_parser = json_object)]
    pub chat_template_kwargs: Option<serde_json::Map<String, serde_json::Value>>,
}

/// How questions are answered: what can be changed while a chat goes on.
#[derive(Debug, Args)]
pub struct ChatSettingArgs {
    #[command(flatten)]
    pub method: MethodArgs,

    /// Do not show what a reasoning model thinks before it answers
    #[arg(long, help_heading = "Output")]
    pub hide_thinking: bool,
    /// Mark each token where the method chose otherwise than the final layer
    #[arg(long, help_heading = "Output")]
    pub show_changes: bool,

    #[command(flatten)]
    pub grammar: GrammarArgs,
    #[command(flatten)]
    pub exits: ExitArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// The names of luge's own chat templates.
pub const CHAT_TEMPLATES: [&str; 5] = ["chatml", "llama3", "gemma", "phi3", "command-r"];

fn template_name(text: &str) -> Result<String, String> {
    match luge::ChatTemplate::fallback(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("it takes chatml, llama3, gemma, phi3 or command-r; a file goes with \
                     --chat-template-file"
            .to_owned()),
    }
}

fn json_object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("it takes a JSON object ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_templates_are_there() {
        for name in CHAT_TEMPLATES {
            assert_eq!(template_name(name).as_deref(), Ok(name));
        }
    }
}
