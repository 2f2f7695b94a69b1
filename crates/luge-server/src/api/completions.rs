//! `/v1/completions`.

use luge::SamplerOptions;
use luge::batching::TextRequest;
use serde_json::{Value, json};

use super::answer::{Choice, Echo, Scored};
use super::common::{Common, max_tokens};
use super::error::ApiError;
use super::fields::{Fields, entries, integer, wrong};
use super::reply::Job;
use super::write::{Answer, Head, Shape};
use super::{body, decoding, names};
use crate::Served;

/// How many tokens are written where nothing is said, as OpenAI has it.
const MAX_TOKENS: usize = 16;

/// A prompt.
#[derive(Debug, Clone, PartialEq)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// A request to go on with texts.
#[derive(Debug, Clone)]
pub struct CompletionRequest {
    common: Common,
    /// With the path of each.
    prompts: Vec<(String, Prompt)>,
    max_tokens: Option<i64>,
    logprobs: Option<usize>,
    echo: bool,
}

const EXPECTED: &str = "a string, a list of strings, a list of token ids, or a list of such lists";

impl CompletionRequest {
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
        let reason = "the model goes on with a text, and fills no gaps";
        fields.refuse("suffix", Value::from(""), reason)?;
        let common = Common::read(fields, defaults)?;
        let best_of = fields.whole("best_of", 1..=i64::from(u16::MAX))?;
        if best_of.is_some_and(|best_of| best_of != common.n as i64) {
            let message = "best_of is not n: the server gives all texts that it writes, ask for \
                           them with n";
            return Err(ApiError::invalid("best_of", message));
        }
        let logprobs = fields.whole("logprobs", 0..=super::chat::TOP)?;
        let path = fields.path("prompt");
        let prompt = fields.take("prompt").ok_or_else(|| fields.missing("prompt", EXPECTED))?;
        Ok(CompletionRequest {
            common,
            prompts: prompts(&path, prompt)?,
            max_tokens: fields.whole("max_tokens", -1..=i64::from(u32::MAX))?,
            logprobs: logprobs.map(|logprobs| logprobs as usize),
            echo: fields.flag("echo")?.unwrap_or(false),
        })
    }

    /// Fits it to what is served.
    ///
    /// # Errors
    /// 400 and 404 where it does not.
    pub fn prepare(self, served: &Served) -> Result<Job, ApiError> {
        let common = &self.common;
        let decoder = decoding::decoder(served, common.model.as_deref(), common.decoding.as_ref())?;
        common.check(served, self.prompts.len())?;
        let lens = common.layers.as_ref().map(|wanted| wanted.options(served)).transpose()?;
        let max_tokens = max_tokens(self.max_tokens, Some(MAX_TOKENS), served);
        let names = names(served);

        let (mut requests, mut choices, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (path, prompt) in &self.prompts {
            let (tokens, text) = self.tokens(path, prompt, served)?;
            lengths.push(tokens.len());
            let first = served.model.piece(tokens[0]).unwrap_or_default();
            let first = Scored::plain(tokens[0], &first, &names);
            let echo = self.echo.then_some(Echo { text, first });
            for _ in 0..common.n {
                requests.push(TextRequest {
                    decoder: decoder.clone(),
                    prompt: tokens.clone(),
                    options: common.options(requests.len(), max_tokens),
                    logprobs: self.logprobs,
                    prompt_logprobs: self.logprobs.filter(|_| self.echo),
                    lens: lens.clone(),
                    reuse: common.cache_prompt,
                });
                let choice = Choice::new(names.clone(), self.logprobs.is_some());
                choices.push(match &echo {
                    Some(echo) => choice.echoing(echo.clone()),
                    None => choice,
                });
            }
        }
        let head = Head::new(
            Shape::Completion,
            super::model_name(served, common.model.as_deref()),
            lens.as_ref().map(|_| json!(*decoder)),
            self.logprobs.is_some(),
            common.include_usage,
        );
        let answer = Answer::new(head, choices, lengths);
        Ok(Job { requests, answer, stream: common.stream })
    }

    /// A prompt's tokens, at least one, and its text where it is to be repeated.
    fn tokens(
        &self,
        path: &str,
        prompt: &Prompt,
        served: &Served,
    ) -> Result<(Vec<u32>, String), ApiError> {
        let model = &served.model;
        let tokens = match prompt {
            Prompt::Text(text) => {
                model.tokenize_prompt(text).map_err(|e| ApiError::invalid(path, e.to_string()))?
            }
            Prompt::Tokens(tokens) => {
                for (index, &token) in tokens.iter().enumerate() {
                    model.check_token(token).map_err(|error| {
                        ApiError::invalid(format!("{path}[{index}]"), error.to_string())
                    })?;
                }
                tokens.clone()
            }
        };
        super::check_prompt(path, &tokens, served)?;
        let text = match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Tokens(_) if self.echo => super::tokens::text(model, &tokens),
            Prompt::Tokens(_) => String::new(),
        };
        Ok((tokens, text))
    }
}

fn prompts(path: &str, value: Value) -> Result<Vec<(String, Prompt)>, ApiError> {
    let token = |path: &str, value: &Value| {
        let id = integer(value).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| wrong(path, value, "a token id"))
    };
    if let Value::String(text) = value {
        return Ok(vec![(path.to_owned(), Prompt::Text(text))]);
    }
    let list = entries(path, value, EXPECTED)?;
    if list.is_empty() {
        return Err(ApiError::invalid(path, format!("{path} is empty: give {EXPECTED}")));
    }
    if list[0].1.is_number() {
        let ids = list.iter().map(|(path, value)| token(path, value));
        return Ok(vec![(path.to_owned(), Prompt::Tokens(ids.collect::<Result<_, _>>()?))]);
    }
    let prompt = |(path, value): (String, Value)| {
        let prompt = match value {
            Value::String(text) => Prompt::Text(text),
            value => {
                let ids = entries(&path, value, "a string or a list of token ids")?;
                let ids = ids.iter().map(|(path, value)| token(path, value));
                Prompt::Tokens(ids.collect::<Result<_, _>>()?)
            }
        };
        Ok((path, prompt))
    };
    list.into_iter().map(prompt).collect()
}
