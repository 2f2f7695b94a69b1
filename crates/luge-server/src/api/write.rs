//! Answers as OpenAI writes them: chats and completions, whole and in chunks.

use std::time::{SystemTime, UNIX_EPOCH};

use luge::batching::TextEvent;
use serde_json::{Map, Value, json};

use super::answer::{CallDelta, Choice, Delta, Scored};
use super::common::random;
use super::error::ApiError;

/// Which of the two kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completion,
}

/// What every chunk of an answer says.
#[derive(Debug, Clone)]
pub struct Head {
    shape: Shape,
    id: String,
    created: u64,
    model: String,
    /// The method with all parameters, where the layers are wanted.
    decoding: Option<Value>,
    logprobs: bool,
    /// Whether a stream ends with how many tokens there were.
    include_usage: bool,
}

impl Head {
    /// Of an answer that begins now.
    pub fn new(
        shape: Shape,
        model: String,
        decoding: Option<Value>,
        logprobs: bool,
        include_usage: bool,
    ) -> Self {
        let prefix = match shape {
            Shape::Chat => "chatcmpl",
            Shape::Completion => "cmpl",
        };
        let id = format!("{prefix}-{:016x}{:016x}", random(), random());
        // A clock that stands before 1970 is no reason to fail.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = now.as_secs();
        Head { shape, id, created, model, decoding, logprobs, include_usage }
    }

    fn object(&self, streamed: bool, choices: Value, with_decoding: bool) -> Map<String, Value> {
        let object = match (self.shape, streamed) {
            (Shape::Chat, false) => "chat.completion",
            (Shape::Chat, true) => "chat.completion.chunk",
            (Shape::Completion, _) => "text_completion",
        };
        let mut map = Map::new();
        map.insert("id".to_owned(), json!(self.id));
        map.insert("object".to_owned(), json!(object));
        map.insert("created".to_owned(), json!(self.created));
        map.insert("model".to_owned(), json!(self.model));
        map.insert("system_fingerprint".to_owned(), json!(fingerprint()));
        map.insert("choices".to_owned(), choices);
        if let Some(decoding) = self.decoding.as_ref().filter(|_| with_decoding) {
            map.insert("decoding".to_owned(), decoding.clone());
        }
        map
    }

    fn chunk(&self, choices: Value, with_decoding: bool) -> Value {
        let mut map = self.object(true, choices, with_decoding);
        if self.include_usage {
            map.insert("usage".to_owned(), Value::Null);
        }
        Value::Object(map)
    }

    /// A choice, whole or in part: what it says is under `message`, `delta` or `text`.
    fn choice(
        &self,
        index: usize,
        said: (&str, Value),
        delta: &Delta,
        offset: &mut usize,
        finish: Option<&'static str>,
    ) -> Value {
        let logprobs = match (self.logprobs && !delta.tokens.is_empty(), self.shape) {
            (false, _) => Value::Null,
            (true, Shape::Chat) => {
                let tokens: Vec<Value> = delta.tokens.iter().map(chat_logprob).collect();
                json!({"content": tokens, "refusal": null})
            }
            (true, Shape::Completion) => completion_logprobs(&delta.tokens, offset),
        };
        let mut choice = Map::new();
        choice.insert("index".to_owned(), json!(index));
        choice.insert(said.0.to_owned(), said.1);
        choice.insert("logprobs".to_owned(), logprobs);
        choice.insert("finish_reason".to_owned(), json!(finish));
        if !delta.layers.is_empty() {
            choice.insert("layers".to_owned(), json!({"tokens": delta.layers}));
        }
        Value::Object(choice)
    }
}

/// What answered: answers of the same fingerprint, seed and request are the same.
pub fn fingerprint() -> &'static str {
    concat!("luge-", env!("CARGO_PKG_VERSION"))
}

/// An answer in the making.
pub struct Answer {
    head: Head,
    choices: Vec<Choice>,
    /// Of each prompt, its length in tokens.
    prompts: Vec<usize>,
    /// How many characters of each choice's text have been told of.
    offsets: Vec<usize>,
    /// What each choice says, where the answer is not streamed.
    wholes: Vec<Delta>,
    /// Whether a chunk has been written.
    has_begun: bool,
}

impl Answer {
    /// One with these choices: as many for each prompt, in the prompts' order.
    pub fn new(head: Head, choices: Vec<Choice>, prompts: Vec<usize>) -> Self {
        let offsets = vec![0; choices.len()];
        let wholes = vec![Delta::default(); choices.len()];
        Answer { head, choices, prompts, offsets, wholes, has_begun: false }
    }

    /// The field that prompts come from.
    fn param(&self) -> &'static str {
        match self.head.shape {
            Shape::Chat => "messages",
            Shape::Completion => "prompt",
        }
    }

    /// The chunks in front of all text.
    pub fn begin(&mut self) -> Vec<Value> {
        if self.head.shape == Shape::Completion {
            return Vec::new();
        }
        let role = json!({"role": "assistant", "content": ""});
        (0..self.choices.len())
            .map(|index| self.chunk(index, role.clone(), &Delta::default(), None))
            .collect()
    }

    /// The chunks that an event of choice number `index` brings.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn stream(&mut self, index: usize, event: TextEvent) -> Result<Vec<Value>, ApiError> {
        let param = self.param();
        let choice = &mut self.choices[index];
        let delta = choice.take(event, param)?;
        let finish = choice.finish;
        let mut chunks = Vec::new();
        if !delta.is_empty() {
            chunks.push(self.chunk(index, self.said(&delta), &delta, None));
        }
        if finish.is_some() {
            let nothing = Delta::default();
            chunks.push(self.chunk(index, self.said(&nothing), &nothing, finish));
        }
        Ok(chunks)
    }

    /// What a chunk says: a chat's delta or a completion's text.
    fn said(&self, delta: &Delta) -> Value {
        match self.head.shape {
            Shape::Completion => json!(delta.content),
            Shape::Chat => {
                let mut map = Map::new();
                if !delta.reasoning.is_empty() {
                    map.insert("reasoning_content".to_owned(), json!(delta.reasoning));
                }
                if !delta.content.is_empty() {
                    map.insert("content".to_owned(), json!(delta.content));
                }
                if !delta.calls.is_empty() {
                    let calls: Value =
                        delta.calls.iter().map(|call| tool_call(call, true)).collect();
                    map.insert("tool_calls".to_owned(), calls);
                }
                Value::Object(map)
            }
        }
    }

    fn chunk(
        &mut self,
        index: usize,
        said: Value,
        delta: &Delta,
        finish: Option<&'static str>,
    ) -> Value {
        let name = match self.head.shape {
            Shape::Chat => "delta",
            Shape::Completion => "text",
        };
        let offset = &mut self.offsets[index];
        let choice = self.head.choice(index, (name, said), delta, offset, finish);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        self.head.chunk(json!([choice]), is_first)
    }

    /// Whether all choices are at their ends.
    pub fn is_finished(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish.is_some())
    }

    /// The chunk behind all text, where one is wanted.
    pub fn last(&self) -> Option<Value> {
        self.head.include_usage.then(|| {
            let mut map = self.head.object(true, json!([]), false);
            map.insert("usage".to_owned(), self.usage());
            Value::Object(map)
        })
    }

    /// Takes an event of choice number `index` for [`Answer::whole`].
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn collect(&mut self, index: usize, event: TextEvent) -> Result<(), ApiError> {
        let param = self.param();
        let delta = self.choices[index].take(event, param)?;
        self.wholes[index].append(delta);
        Ok(())
    }

    /// The whole answer.
    pub fn whole(&mut self) -> Value {
        let wholes = std::mem::take(&mut self.wholes);
        let mut choices = Vec::with_capacity(wholes.len());
        for (index, delta) in wholes.iter().enumerate() {
            let said = match self.head.shape {
                Shape::Chat => ("message", message(delta)),
                Shape::Completion => ("text", json!(delta.content)),
            };
            let finish = self.choices[index].finish;
            let offset = &mut self.offsets[index];
            let mut choice = self.head.choice(index, said, delta, offset, finish);
            if self.head.decoding.is_some() && delta.layers.is_empty() {
                // Who asked for the layers finds that there were no tokens.
                choice["layers"] = json!({"tokens": []});
            }
            choices.push(choice);
        }
        let mut map = self.head.object(false, Value::Array(choices), true);
        map.insert("usage".to_owned(), self.usage());
        Value::Object(map)
    }

    /// How many tokens there were. A prompt counts once, however many choices it has.
    fn usage(&self) -> Value {
        let prompt: usize = self.prompts.iter().sum();
        let each = self.choices.len() / self.prompts.len().max(1);
        let firsts = self.choices.iter().step_by(each.max(1));
        let cached: usize = firsts.map(|choice| choice.cached).sum();
        let written: usize = self.choices.iter().map(|choice| choice.written).sum();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        })
    }
}

/// A chat's whole answer.
fn message(delta: &Delta) -> Value {
    let mut map = Map::new();
    map.insert("role".to_owned(), json!("assistant"));
    let content = (!delta.content.is_empty() || delta.calls.is_empty()).then_some(&delta.content);
    map.insert("content".to_owned(), json!(content));
    map.insert("refusal".to_owned(), Value::Null);
    if !delta.reasoning.is_empty() {
        map.insert("reasoning_content".to_owned(), json!(delta.reasoning));
    }
    if !delta.calls.is_empty() {
        let calls: Value = delta.calls.iter().map(|call| tool_call(call, false)).collect();
        map.insert("tool_calls".to_owned(), calls);
    }
    Value::Object(map)
}

fn tool_call(call: &CallDelta, streamed: bool) -> Value {
    let mut map = Map::new();
    if streamed {
        map.insert("index".to_owned(), json!(call.index));
    }
    let mut function = Map::new();
    if let Some((id, name)) = &call.begins {
        map.insert("id".to_owned(), json!(id));
        map.insert("type".to_owned(), json!("function"));
        function.insert("name".to_owned(), json!(name));
    }
    function.insert("arguments".to_owned(), json!(call.arguments));
    map.insert("function".to_owned(), Value::Object(function));
    Value::Object(map)
}

fn chat_logprob(token: &Scored) -> Value {
    let one = |token: &Scored| {
        let mut map = Map::new();
        map.insert("token".to_owned(), json!(token.text));
        map.insert("logprob".to_owned(), json!(token.logprob));
        map.insert("bytes".to_owned(), json!(token.bytes));
        map
    };
    let mut map = one(token);
    let top: Vec<Value> = token.top.iter().map(|token| Value::Object(one(token))).collect();
    map.insert("top_logprobs".to_owned(), Value::Array(top));
    Value::Object(map)
}

/// The older shape: lists, one entry a token. `offset` is the number of characters before
/// them, and then behind them.
fn completion_logprobs(tokens: &[Scored], offset: &mut usize) -> Value {
    let offsets: Vec<usize> = tokens
        .iter()
        .map(|token| {
            let start = *offset;
            // A character counts where it begins.
            *offset += token.bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
            start
        })
        .collect();
    let top = |token: &Scored| {
        token.logprob?;
        let mut map: Map<String, Value> = Map::new();
        // Several tokens may have the same text: the first of them is the best.
        for one in token.top.iter().chain([token]) {
            map.entry(one.text.clone()).or_insert_with(|| json!(one.logprob));
        }
        Some(map)
    };
    json!({
        "tokens": tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
