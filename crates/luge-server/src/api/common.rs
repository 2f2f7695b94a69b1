//! What chats and completions share: how to decode, to sample, to stop, and what to tell.

use std::hash::{BuildHasher, RandomState};

use luge::{GenerateOptions, Grammar, SamplerOptions};
use serde_json::{Value, json};

use super::error::ApiError;
use super::fields::{Fields, entries, wrong};
use super::{decoding, layers};
use crate::Served;

/// The most stop strings.
const STOPS: usize = 16;

/// The most entries of a logit bias.
const BIASES: usize = 4096;

/// Fields of OpenAI's that change nothing in an answer of this server.
pub const WITHOUT_EFFECT: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
];

/// What chats and completions share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The model's name, perhaps with a method.
    pub model: Option<String>,
    /// The method.
    pub decoding: Option<decoding::Wanted>,
    /// What of the layers is wanted.
    pub layers: Option<layers::Wanted>,
    /// How tokens are chosen. The seed is that of the first choice.
    pub sampler: SamplerOptions,
    /// Whether the answer comes in pieces.
    pub stream: bool,
    /// Whether the last piece says how many tokens there were.
    pub include_usage: bool,
    /// How many answers to each prompt.
    pub n: usize,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// What the answer must keep to.
    pub grammar: Option<Grammar>,
    /// Never end by a token.
    pub ignore_eos: bool,
    /// Whether the prompt may go on from what the cache holds.
    pub cache_prompt: bool,
}

impl Common {
    /// Reads the shared fields; what a request does not say is as `defaults`.
    ///
    /// # Errors
    /// 400 with the field.
    pub fn read(fields: &mut Fields, defaults: &SamplerOptions) -> Result<Self, ApiError> {
        WITHOUT_EFFECT.iter().for_each(|name| fields.ignore(name));
        let stream = fields.flag("stream")?.unwrap_or(false);
        let include_usage = match fields.object("stream_options")? {
            None => false,
            Some(options) if !stream => {
                let path = options.path("include_usage");
                let message = "stream_options says something of a stream: give stream too";
                return Err(ApiError::invalid(path, message));
            }
            Some(mut options) => {
                // Padding against those who measure lengths: there is none here.
                options.ignore("include_obfuscation");
                let include = options.flag("include_usage")?.unwrap_or(false);
                options.finish()?;
                include
            }
        };
        Ok(Common {
            model: fields.string("model")?,
            decoding: decoding::Wanted::read(fields)?,
            layers: layers::Wanted::read(fields)?,
            sampler: sampler(fields, defaults)?,
            stream,
            include_usage,
            n: fields.whole("n", 1..=i64::from(u16::MAX))?.unwrap_or(1) as usize,
            stop: stop(fields)?,
            grammar: grammar(fields)?,
            ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
            cache_prompt: fields.flag("cache_prompt")?.unwrap_or(true),
        })
    }

    /// How to write choice number `index`.
    pub fn options(&self, index: usize, max_tokens: usize) -> GenerateOptions {
        let seed = self.sampler.seed.wrapping_add(index as u64);
        GenerateOptions {
            sampler: SamplerOptions { seed, ..self.sampler.clone() },
            max_tokens: Some(max_tokens),
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            grammar: self.grammar.clone(),
            ..GenerateOptions::default()
        }
    }

    /// That the server takes so many choices and the model has the tokens of the bias.
    ///
    /// # Errors
    /// 400.
    pub fn check(&self, served: &Served, prompts: usize) -> Result<(), ApiError> {
        let choices = self.n.saturating_mul(prompts);
        let most = served.limits.max_choices;
        if choices > most {
            let param = if self.n > 1 { "n" } else { "prompt" };
            let message = format!(
                "the request has {choices} choices, and the server takes {most}: ask for fewer, \
                 in several requests"
            );
            return Err(ApiError::invalid(param, message));
        }
        for (token, _) in &self.sampler.logit_bias {
            let param = || format!("logit_bias.{token}");
            served
                .model
                .check_token(*token)
                .map_err(|error| ApiError::invalid(param(), error.to_string()))?;
        }
        Ok(())
    }
}

/// The most tokens to write: what was asked for, as far as the server grants it.
pub fn max_tokens(asked: Option<i64>, default: Option<usize>, served: &Served) -> usize {
    let most = served.limits.max_tokens;
    match asked {
        None => default.unwrap_or(most).min(most),
        Some(asked) => usize::try_from(asked).map_or(most, |asked| asked.min(most)),
    }
}

fn sampler(fields: &mut Fields, defaults: &SamplerOptions) -> Result<SamplerOptions, ApiError> {
    let at_least_zero = "a number of at least 0";
    let share = "a number from 0 to 1";
    let mut sampler = defaults.clone();
    fn set<T>(value: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *value = given;
        }
    }
    let is_share = |x: f32| (0.0..=1.0).contains(&x);
    set(&mut sampler.temperature, fields.real("temperature", at_least_zero, |x| x >= 0.0)?);
    set(&mut sampler.top_p, fields.real("top_p", share, is_share)?);
    set(&mut sampler.min_p, fields.real("min_p", share, is_share)?);
    set(
        &mut sampler.repeat_penalty,
        fields.real("repeat_penalty", "a number above 0", |x| x > 0.0)?,
    );
    set(&mut sampler.presence_penalty, fields.real("presence_penalty", "a number", |_| true)?);
    set(&mut sampler.frequency_penalty, fields.real("frequency_penalty", "a number", |_| true)?);
    // −1 is all of them, as in other servers.
    if let Some(top_k) = fields.whole("top_k", -1..=i64::from(u32::MAX))? {
        sampler.top_k = usize::try_from(top_k).unwrap_or(0);
    }
    if let Some(last) = fields.whole("repeat_last_n", -1..=i64::from(u32::MAX))? {
        sampler.repeat_last_n = usize::try_from(last).unwrap_or(usize::MAX);
    }
    sampler.seed = match fields.whole("seed", i64::MIN..=i64::MAX)? {
        None | Some(-1) => random(),
        Some(seed) => seed.cast_unsigned(),
    };
    set(&mut sampler.logit_bias, logit_bias(fields)?);
    Ok(sampler)
}

/// A number that no one can tell in advance.
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn logit_bias(fields: &mut Fields) -> Result<Option<Vec<(u32, f32)>>, ApiError> {
    let Some(mut map) = fields.object("logit_bias")? else { return Ok(None) };
    let entries = map.rest();
    if entries.len() > BIASES {
        let message = format!("logit_bias has {} tokens: give at most {BIASES}", entries.len());
        return Err(ApiError::invalid("logit_bias", message));
    }
    let entry = |(name, value): (String, Value)| {
        let path = map.path(&name);
        let token = name.parse().map_err(|_| {
            let message = format!("{path} names no token: the names in it are token ids");
            ApiError::invalid(path.clone(), message)
        })?;
        let bias = value.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        let bias = bias.ok_or_else(|| wrong(&path, &value, "a number from -100 to 100"))?;
        // OpenAI's way to rule a token out.
        Ok((token, if bias <= -100.0 { f32::NEG_INFINITY } else { bias as f32 }))
    };
    entries.into_iter().map(entry).collect::<Result<_, _>>().map(Some)
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let path = fields.path("stop");
    let expected = "a string, or a list of up to 16";
    let stops = match fields.take("stop") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![(path, Value::String(text))],
        Some(Value::Array(values)) if values.len() > STOPS => {
            let message = format!("stop has {} texts: give at most {STOPS}", values.len());
            return Err(ApiError::invalid(path, message));
        }
        Some(value) => entries(&path, value, expected)?,
    };
    let text = |(path, value): (String, Value)| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        value => Err(wrong(&path, &value, "a string that is not empty")),
    };
    stops.into_iter().map(text).collect()
}

/// What the text must keep to, in any of the ways to say it.
fn grammar(fields: &mut Fields) -> Result<Option<Grammar>, ApiError> {
    let mut found: Option<(String, Grammar)> = None;
    let mut set = |path: String, grammar: Result<Grammar, luge::Error>| {
        let grammar = grammar.map_err(|error| ApiError::invalid(&*path, error.to_string()))?;
        match found.replace((path, grammar)) {
            None => Ok(()),
            Some((other, _)) => {
                let message = format!("{other} says already what the text must keep to: give one");
                Err(ApiError::invalid(other, message))
            }
        }
    };
    if let Some(mut format) = fields.object("response_format")? {
        if let Some((path, schema)) = response_format(&mut format)? {
            set(path, Grammar::json_schema(&schema.to_string()))?;
        }
        format.finish()?;
    }
    if let Some(schema) = fields.take("json_schema") {
        set(fields.path("json_schema"), Grammar::json_schema(&schema.to_string()))?;
    }
    if let Some(text) = fields.string("grammar")? {
        set(fields.path("grammar"), Grammar::lark(&text))?;
    }
    if let Some(text) = fields.string("regex")? {
        set(fields.path("regex"), Grammar::regex(&text))?;
    }
    Ok(found.map(|(_, grammar)| grammar))
}

/// The schema that a `response_format` asks for, with its path.
fn response_format(format: &mut Fields) -> Result<Option<(String, Value)>, ApiError> {
    let path = format.path("type");
    let kinds = "one of text, json_object, json_schema";
    let kind = format.string("type")?.ok_or_else(|| format.missing("type", kinds))?;
    match kind.as_str() {
        "text" => Ok(None),
        "json_object" => {
            // Other servers take a schema here too.
            let path = format.path("schema");
            Ok(Some((path, format.take("schema").unwrap_or_else(|| json!({"type": "object"})))))
        }
        "json_schema" => {
            let Some(mut inner) = format.object("json_schema")? else {
                return Err(format.missing("json_schema", "an object with a schema"));
            };
            // What they say is for people; the schema is always kept to.
            inner.string("name")?;
            inner.string("description")?;
            inner.flag("strict")?;
            let path = inner.path("schema");
            let schema = inner.take("schema");
            let schema = schema.ok_or_else(|| inner.missing("schema", "a JSON schema"))?;
            inner.finish()?;
            Ok(Some((path, schema)))
        }
        _ => Err(wrong(&path, &Value::String(kind), kinds)),
    }
}
