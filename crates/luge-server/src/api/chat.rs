//! `/v1/chat/completions`.

use luge::batching::TextRequest;
use luge::chat::{AnswerFormat, ToolChoice};
use luge::{GenerateOptions, Message, SamplerOptions};
use serde_json::{Map, Value, json};

use super::answer::Choice;
use super::common::{Common, max_tokens};
use super::error::ApiError;
use super::fields::{Fields, wrong};

use super::messages::{self, Tools};
use super::reply::Job;
use super::write::{Answer, Head, Shape};
use super::{body, decoding, names};
use crate::Served;

/// The most probable tokens that may be asked for beside each.
pub const TOP: i64 = 20;

/// A request for the next message of a chat.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    common: Common,
    messages: Vec<Message>,
    tools: Tools,
    /// For the template.
    variables: Map<String, Value>,
    max_tokens: Option<i64>,
    logprobs: Option<usize>,
}

impl ChatRequest {
    /// Reads a body. What it does not say of sampling is as `defaults`.
    ///
    /// # Errors
    /// 400 with the field that is wrong.
    pub fn read(bytes: &[u8], defaults: &SamplerOptions) -> Result<Self, ApiError> {
        let mut fields = body::object(bytes)?;
        let request = Self::read_fields(&mut fields, defaults)?;
        fields.finish()?;
        Ok(request)
    }

    /// Reads the fields that it knows.
    ///
    /// # Errors
    /// 400 with the field that is wrong.
    pub fn read_fields(fields: &mut Fields, defaults: &SamplerOptions) -> Result<Self, ApiError> {
        fields.refuse("audio", Value::Null, "the model writes text alone")?;
        fields.refuse("modalities", json!(["text"]), "the model writes text alone")?;
        fields.refuse("web_search_options", Value::Null, "the server searches nothing")?;
        fields.refuse("functions", Value::Null, "give tools, which took their place")?;
        fields.refuse("function_call", Value::Null, "give tool_choice, which took its place")?;
        fields.refuse("verbosity", Value::Null, "ask for it in a message")?;
        let common = Common::read(fields, defaults)?;
        let logprobs = fields.flag("logprobs")?.unwrap_or(false);
        let top = fields.whole("top_logprobs", 0..=TOP)?;
        if top.is_some_and(|top| top > 0) && !logprobs {
            let message = "top_logprobs comes with logprobs: give logprobs true";
            return Err(ApiError::invalid("top_logprobs", message));
        }
        // The older name, and the one that took its place.
        let old = fields.whole("max_tokens", -1..=i64::from(u32::MAX))?;
        let new = fields.whole("max_completion_tokens", -1..=i64::from(u32::MAX))?;
        let (name, max_tokens) = match new {
            Some(new) => ("max_completion_tokens", Some(new)),
            None => ("max_tokens", old),
        };
        if max_tokens == Some(0) {
            return Err(wrong(name, &json!(0), "a whole number of at least 1, or -1"));
        }
        let path = fields.path("chat_template_kwargs");
        let mut variables = match fields.take("chat_template_kwargs") {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(value) => return Err(wrong(&path, &value, "an object")),
        };
        if let Some(effort) = fields.string("reasoning_effort")? {
            variables.entry("reasoning_effort").or_insert(effort.into());
        }
        let tools = Tools::read(fields)?;
        let must_call =
            matches!(tools.choice, messages::Choice::Required | messages::Choice::Named(_));
        if must_call && common.grammar.is_some() {
            let message = "tool_choice asks for a call, and response_format, json_schema, \
                           grammar or regex for a text: give one of them";
            return Err(ApiError::invalid("tool_choice", message));
        }
        Ok(ChatRequest {
            messages: messages::messages(fields)?,
            common,
            tools,
            variables,
            max_tokens,
            logprobs: logprobs.then_some(top.unwrap_or(0) as usize),
        })
    }

    /// Fits it to what is served.
    ///
    /// # Errors
    /// 400 and 404 where it does not.
    pub fn prepare(self, served: &Served) -> Result<Job, ApiError> {
        let common = &self.common;
        let decoder = decoding::decoder(served, common.model.as_deref(), common.decoding.as_ref())?;
        common.check(served, 1)?;
        let lens = common.layers.as_ref().map(|wanted| wanted.options(served)).transpose()?;

        let mut template = served.template.clone();
        for (name, value) in &self.variables {
            template = template.with(name, value.clone());
        }
        let render = |tools: &[Value]| {
            template
                .render(&self.messages, tools, true)
                .map_err(|error| ApiError::of(&error, "messages"))
        };
        let told = self.tools.told();
        let text = render(told)?;
        if !told.is_empty() && text == render(&[])? {
            let message = "the model's chat template has no place for tools: leave them out";
            return Err(ApiError::invalid("tools", message));
        }
        let tokenized = served.model.tokenize(&text, false, true);
        let prompt = tokenized.map_err(|error| ApiError::invalid("messages", error.to_string()))?;
        super::check_prompt("messages", &prompt, served)?;

        let format = AnswerFormat::of(&served.model, &template);
        let max_tokens = max_tokens(self.max_tokens, None, served);
        let mut requests = Vec::with_capacity(common.n);
        for index in 0..common.n {
            requests.push(TextRequest {
                decoder: decoder.clone(),
                prompt: prompt.clone(),
                options: self.options(&format, &text, &common.options(index, max_tokens))?,
                logprobs: self.logprobs,
                prompt_logprobs: None,
                lens: lens.clone(),
                reuse: common.cache_prompt,
            });
        }
        let choice = |_| {
            Choice::new(names(served), self.logprobs.is_some())
                .parted(format.parser(&text, told), !self.tools.parallel)
        };
        let head = Head::new(
            Shape::Chat,
            super::model_name(served, common.model.as_deref()),
            lens.as_ref().map(|_| json!(*decoder)),
            self.logprobs.is_some(),
            common.include_usage,
        );
        let choices = (0..common.n).map(choice).collect();
        Ok(Job {
            requests,
            answer: Answer::new(head, choices, vec![prompt.len()]),
            stream: common.stream,
        })
    }

    /// How to write an answer: as a call, where one must come.
    fn options(
        &self,
        format: &AnswerFormat,
        prompt: &str,
        options: &GenerateOptions,
    ) -> Result<GenerateOptions, ApiError> {
        let tools = self.tools.told();
        let choice = match &self.tools.choice {
            messages::Choice::Auto | messages::Choice::None => {
                return Ok(format.options(prompt, tools, options));
            }
            messages::Choice::Required => ToolChoice::Required,
            messages::Choice::Named(name) => ToolChoice::Named(name),
        };
        let options = format.tool_options(prompt, tools, choice, options);
        options.map_err(|error| ApiError::of(&error, "tools"))?.ok_or_else(|| {
            let message = "how this model calls tools is not known, so that no call can be made \
                           sure of: give auto";
            ApiError::invalid("tool_choice", message)
        })
    }
}
