//! Each request's id, its line in the access log, and its count.
//!
//! The line is written at the end of the answer, when all there is to say is known: also
//! where whoever asked has gone away before that. It holds no text, no query and no key.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use super::Shared;
use crate::account::{self, Account, Tokens};

/// The header with a request's id, in requests and in answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The status that is written down where whoever asked went away before there was one.
const GONE: u16 = 499;

/// The longest path that is written down whole, in characters.
const LONGEST_PATH: usize = 200;

/// What is told of each request, at its end.
pub type AccessLog = Arc<dyn Fn(&Access) + Send + Sync>;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub std::net::SocketAddr);

/// A line of the access log: as a line of text with [`fmt::Display`], and as an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Access {
    /// When the request came, as in `2026-01-31T12:00:00.123Z`.
    pub time: String,
    /// Its id, as it is in the answer's header `x-request-id`.
    pub id: String,
    /// Address and port that it came from.
    pub remote: Option<String>,
    /// As in `POST`.
    pub method: String,
    /// As in `/v1/models`.
    pub path: String,
    /// As in 200; 499 where whoever asked went away before there was an answer.
    pub status: u16,
    /// From the request's arrival to the end of the answer, in milliseconds.
    pub ms: f64,
    /// Whether all of the answer was taken.
    pub complete: bool,
    /// What was written for it, where something was to be.
    #[serde(flatten)]
    pub tokens: Option<Tokens>,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { time, id, method, path, status, ms, .. } = self;
        write!(f, "{time} {method} {path} {status} {ms:.0} ms")?;
        if let Some(tokens) = &self.tokens {
            let Tokens { decoding, prompt_tokens, completion_tokens, .. } = tokens;
            write!(f, ", {decoding}, {prompt_tokens} + {completion_tokens} tokens")?;
        }
        if !self.complete {
            f.write_str(", not taken to its end")?;
        }
        if let Some(remote) = &self.remote {
            write!(f, ", from {remote}")?;
        }
        write!(f, ", {id}")
    }
}

/// A request that is being answered; written down when dropped.
struct Entry {
    shared: Arc<Shared>,
    account: Arc<Account>,
    start: Instant,
    access: Access,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.metrics.request(self.account.route(), self.access.status);
        let Some(log) = &self.shared.options.log else { return };
        self.access.ms = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        self.access.tokens = self.account.tokens();
        log(&self.access);
    }
}

/// Has a request answered, and writes it down.
pub async fn record(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let account = Arc::new(Account::default());
    let mut entry = Entry {
        shared,
        account: Arc::clone(&account),
        start: Instant::now(),
        access: Access {
            time: format!("{:.3}", jiff::Timestamp::now()),
            id: id.to_str().unwrap_or_default().to_owned(),
            remote: request.extensions().get::<Remote>().map(|remote| remote.0.to_string()),
            method: request.method().to_string(),
            path: shortened(request.uri().path()),
            status: GONE,
            ms: 0.0,
            complete: false,
            tokens: None,
        },
    };
    let has_body = request.method() != Method::HEAD;
    let mut response = account::with(account, next.run(request)).await;
    entry.access.status = response.status().as_u16();
    entry.access.complete = !has_body || response.body().is_end_stream();
    response.headers_mut().insert(REQUEST_ID, id);
    response.map(|body| Body::new(Recorded { body, entry }))
}

/// The id that a request brings, if it is fit to be one, or a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID);
    let is_fit = |id: &&HeaderValue| {
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = given.filter(is_fit) {
        return id.clone();
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Different each time, and on each machine; it need not be hard to guess.
    let number = RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&format!("req-{number:016x}"))
        .unwrap_or(HeaderValue::from_static("req-0"))
}

/// A path of a length that a line can hold, without what is no letter or sign.
fn shortened(path: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = path.chars().take(LONGEST_PATH).map(shown).collect();
    if path.chars().nth(LONGEST_PATH).is_some() {
        short.push('…');
    }
    short
}

/// The body of an answer, with the entry that ends with it.
struct Recorded {
    body: Body,
    entry: Entry,
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        if matches!(poll, Poll::Ready(None)) || self.body.is_end_stream() {
            self.entry.access.complete = true;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_if_it_is_fit_to_be_one() {
        let id = |given: Option<&'static str>| {
            let pair = given.map(|id| (REQUEST_ID, HeaderValue::from_static(id)));
            id_of(&pair.into_iter().collect()).to_str().unwrap().to_owned()
        };
        assert_eq!(id(Some("job-17/a")), "job-17/a");
        let long = "x".repeat(65).leak();
        for unfit in [None, Some(""), Some("two words"), Some("tab\tbed"), Some(long)] {
            let made = id(unfit);
            assert!(made.starts_with("req-") && made.len() == 20, "{made}");
            assert_ne!(made, id(unfit));
        }
    }

    #[test]
    fn a_line_says_what_is_there() {
        let plain = Access {
            time: "2026-01-31T12:00:00.123Z".to_owned(),
            id: "req-1".to_owned(),
            remote: Some("127.0.0.1:5000".to_owned()),
            method: "GET".to_owned(),
            path: "/v1/models".to_owned(),
            status: 200,
            ms: 1.5,
            complete: true,
            tokens: None,
        };
        let start = "2026-01-31T12:00:00.123Z GET /v1/models 200 2 ms";
        assert_eq!(plain.to_string(), format!("{start}, from 127.0.0.1:5000, req-1"));
        let object = serde_json::to_value(&plain).unwrap();
        assert_eq!(object["ms"], 1.5);
        assert_eq!(object.get("decoding"), None);

        let tokens = Tokens {
            decoding: "sled+dola".to_owned(),
            texts: 1,
            prompt_tokens: 31,
            cached_tokens: 8,
            completion_tokens: 128,
        };
        let long = Access { tokens: Some(tokens), complete: false, remote: None, ..plain };
        let rest = ", sled+dola, 31 + 128 tokens, not taken to its end, req-1";
        assert_eq!(long.to_string(), format!("{start}{rest}"));
        assert_eq!(serde_json::to_value(&long).unwrap()["completion_tokens"], 128);
    }

    #[test]
    fn a_path_is_cut_where_a_line_would_be_too_long() {
        assert_eq!(shortened("/v1/models"), "/v1/models");
        assert_eq!(shortened("/a\u{1b}[2J"), "/a\u{fffd}[2J");
        let long = shortened(&"ä".repeat(201));
        assert_eq!(long.chars().count(), 201);
        assert!(long.ends_with("ä…"));
    }
}
