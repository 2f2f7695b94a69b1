//! Sending answers: as one object, or as they are written, by server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use luge::batching::{TextEvent, TextRequest};
use serde_json::Value;
use tokio::time::Instant;

use super::error::ApiError;
use super::write::Answer;
use crate::engine::Refused;
use crate::{Engine, TextStream};

/// How often a stream that has nothing to say shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A request, ready to be written.
pub struct Job {
    /// One text for each choice.
    pub requests: Vec<TextRequest>,
    /// What comes of them.
    pub answer: Answer,
    /// Whether it is sent as it is written.
    pub stream: bool,
}

/// A request that is being written.
pub struct Begun {
    engine: Engine,
    texts: Vec<TextStream>,
    answer: Answer,
    stream: bool,
}

impl Job {
    /// Has it written. Reading its grammars may take seconds, on this thread.
    ///
    /// # Errors
    /// Where there is no room for it, or a grammar cannot be used.
    pub fn begin(self, engine: &Engine) -> Result<Begun, ApiError> {
        let Job { requests, answer, stream } = self;
        let texts = engine.submit(requests).map_err(|refused| match refused {
            Refused::Busy(busy) => busy.into(),
            Refused::Wrong(error) => ApiError::of(&error, answer.param()),
        })?;
        Ok(Begun { engine: engine.clone(), texts, answer, stream })
    }
}

/// What the texts say, each with its number.
type Events = SelectAll<BoxStream<'static, (usize, TextEvent)>>;

fn events(texts: Vec<TextStream>) -> Events {
    let text = |(index, text): (usize, TextStream)| {
        let next = |mut text: TextStream| async { text.next().await.map(|event| (event, text)) };
        stream::unfold(text, next).map(move |event| (index, event)).boxed()
    };
    stream::select_all(texts.into_iter().enumerate().map(text))
}

/// The next event.
///
/// # Errors
/// Where the time is up, and where the engine ended before the texts did.
async fn next(
    events: &mut Events,
    deadline: Option<Instant>,
    engine: &Engine,
) -> Result<(usize, TextEvent), ApiError> {
    let event = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, events.next())
            .await
            .map_err(|_| ApiError::timeout())?,
        None => events.next().await,
    };
    event.ok_or_else(|| ApiError::from(engine.ended()))
}

/// Answers a request that is being written. Whoever goes away meanwhile drops the texts,
/// and with them the work.
///
/// # Errors
/// Where it cannot be written, or its time is up.
pub async fn reply(begun: Begun, deadline: Option<Instant>) -> Result<Response, ApiError> {
    let Begun { engine, texts, mut answer, stream } = begun;
    let mut events = events(texts);
    if stream {
        return Ok(streamed(events, answer, deadline, engine).into_response());
    }
    while !answer.is_finished() {
        let (index, event) = next(&mut events, deadline, &engine).await?;
        answer.collect(index, event)?;
    }
    Ok(Json(answer.whole()).into_response())
}

struct Streamed {
    engine: Engine,
    events: Events,
    answer: Answer,
    deadline: Option<Instant>,
    waiting: VecDeque<String>,
    is_over: bool,
}

fn streamed(
    events: Events,
    mut answer: Answer,
    deadline: Option<Instant>,
    engine: Engine,
) -> impl IntoResponse {
    let waiting = answer.begin().iter().map(Value::to_string).collect();
    let state = Streamed { engine, events, answer, deadline, waiting, is_over: false };
    let lines = stream::unfold(state, |mut state| async {
        let line = state.line().await?;
        Some((Ok::<_, Infallible>(Event::default().data(line)), state))
    });
    // Proxies are told not to wait for more.
    let headers = [("cache-control", "no-cache"), ("x-accel-buffering", "no")];
    (headers, Sse::new(lines).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Streamed {
    /// The data of the next event; `None` behind the last one.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            if self.is_over {
                return None;
            }
            let chunks = match next(&mut self.events, self.deadline, &self.engine).await {
                Ok((index, event)) => self.answer.stream(index, event),
                Err(error) => Err(error),
            };
            match chunks {
                Ok(chunks) => self.waiting.extend(chunks.iter().map(Value::to_string)),
                Err(error) => {
                    // The answer has begun: its status cannot be changed any more.
                    self.is_over = true;
                    self.events.clear();
                    return Some(error.body().to_string());
                }
            }
            if self.answer.is_finished() {
                self.is_over = true;
                self.waiting.extend(self.answer.last().iter().map(Value::to_string));
                self.waiting.push_back("[DONE]".to_owned());
            }
        }
    }
}
