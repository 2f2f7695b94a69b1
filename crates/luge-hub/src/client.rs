//! Talking to the hub.
//!
//! The requests are made here and not by hf-hub, whose cache this crate uses. Its client
//! sends the token on to the storage that files are redirected to, keeps none of the
//! headers that tell a gated repository from a missing one or how long to wait, has no
//! time limits, and panics on a redirect that leads nowhere; its downloader appends to
//! a file whatever comes, and has it in place before anyone could check it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use crate::download::{Event, Progress};
use crate::source::Source;
use crate::{Error, Gate, Settings};

/// How often a request is made that brings nothing.
const TRIES: u32 = 5;

/// The longest that the hub may ask to wait before it is the user who waits.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How many redirects lead somewhere.
const REDIRECTS: usize = 10;

/// A repository's description is shorter than this, in bytes.
const LONGEST_INFO: u64 = 64 << 20;

/// Hugging Face: its cache on this machine, and the hub that it is filled from.
pub struct Hub {
    pub(crate) settings: Settings,
    pub(crate) cache: hf_hub::Cache,
    agent: Agent,
}

/// What a repository says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    /// The commit that the revision is at.
    pub sha: String,
    #[serde(default)]
    pub siblings: Vec<Sibling>,
}

/// A file of a repository.
#[derive(Debug, Deserialize)]
pub(crate) struct Sibling {
    pub rfilename: String,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub lfs: Option<Lfs>,
    /// What git calls its content, where git itself keeps it.
    #[serde(default, rename = "blobId")]
    pub blob: Option<String>,
}

impl Sibling {
    /// What its blob is called, if the hub tells.
    pub fn etag(&self) -> Option<&str> {
        match &self.lfs {
            Some(lfs) => lfs.sha256.as_deref(),
            None => self.blob.as_deref(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Lfs {
    #[serde(default)]
    pub sha256: Option<String>,
}

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The name of its blob: its SHA-256 in hexadecimal, or of a small file git's SHA-1.
    pub etag: String,
    /// In bytes.
    pub size: u64,
}

/// Why a request brought nothing.
pub(crate) enum Trouble {
    /// It will bring nothing the next time either.
    Final(Error),
    /// It may the next time, after so long if the hub said how long.
    Passing(Error, Option<Duration>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Head,
    Get,
}

impl Hub {
    /// The hub of these settings. Nothing is asked of it yet.
    pub fn new(settings: Settings) -> Self {
        let agent = Agent::config_builder()
            .user_agent(concat!("luge/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // They are followed here, where the token's way is known.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // A connection that stays open and brings nothing.
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let cache = hf_hub::Cache::new(settings.cache.clone());
        Hub { settings, cache, agent }
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks for a repository's files.
    pub(crate) fn info(
        &self,
        source: &Source,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Info, Error> {
        let revision = source.revision.as_deref().unwrap_or("main");
        let url = format!(
            "{}/api/{}/revision/{}?blobs=true",
            self.settings.endpoint,
            source.api(),
            encoded(revision)
        );
        self.again(progress, stop, || {
            let (response, _) = self.request(Verb::Get, &url, None, source)?;
            let mut body = response.into_body();
            let reader = body.with_config().limit(LONGEST_INFO).reader();
            let info: Info = serde_json::from_reader(reader).map_err(|error| {
                let error = io::Error::from(error);
                let inner = error.get_ref();
                let is_long = inner
                    .and_then(|inner| inner.downcast_ref())
                    .is_some_and(|error| matches!(error, ureq::Error::BodyExceedsLimit(_)));
                let is_json = inner.is_some_and(|inner| inner.is::<serde_json::Error>());
                if is_long || is_json {
                    self.odd(&error.to_string())
                } else {
                    self.cut(&error.to_string())
                }
            })?;
            if !is_hash(&info.sha) {
                return Err(self.odd("a repository without a commit"));
            }
            Ok(info)
        })
    }

    /// Asks for a file's checksum and size.
    pub(crate) fn meta(
        &self,
        source: &Source,
        url: &str,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Meta, Error> {
        self.again(progress, stop, || {
            let (response, headers) = self.request(Verb::Head, url, None, source)?;
            let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let etag = text("x-linked-etag").or_else(|| text("etag"));
            let etag = etag.map(|etag| etag.trim_start_matches("W/").replace('"', ""));
            let etag = etag
                .filter(|etag| is_hash(etag))
                .ok_or_else(|| self.odd("a file without a checksum"))?;
            let length =
                response.headers().get("content-length").and_then(|value| value.to_str().ok());
            let length = length.filter(|_| response.status().is_success());
            let size = text("x-linked-size").or(length).and_then(|size| size.parse().ok());
            let size = size.ok_or_else(|| self.odd("a file without a size"))?;
            Ok(Meta { etag, size })
        })
    }

    /// Asks for a file of this size from this byte on. Returns where what comes begins:
    /// there, or at the very beginning where the server knows of no ranges; or nothing,
    /// where the file has no such byte.
    pub(crate) fn open(
        &self,
        source: &Source,
        url: &str,
        from: u64,
        size: u64,
    ) -> Result<Option<(impl Read + use<>, u64)>, Trouble> {
        let (response, _) = self.request(Verb::Get, url, Some(from), source)?;
        let text = |key: &str| response.headers().get(key).and_then(|value| value.to_str().ok());
        let (begins, whole) = match response.status().as_u16() {
            206 => {
                let range = text("content-range").and_then(|range| range.strip_prefix("bytes "));
                let begin = range.and_then(|range| range.split('-').next()?.parse::<u64>().ok());
                if begin != Some(from) {
                    return Err(self.odd("another part of the file than was asked for"));
                }
                (from, range.and_then(|range| range.split('/').nth(1)))
            }
            416 => return Ok(None),
            _ => (0, text("content-length")),
        };
        // The page of a proxy is no reason to throw away what came.
        if whole.and_then(|whole| whole.parse().ok()).is_some_and(|whole: u64| whole != size) {
            return Err(self.odd("a file of another size than it said"));
        }
        Ok(Some((response.into_body().into_reader(), begins)))
    }

    /// The address of a file at a commit.
    pub(crate) fn url(&self, source: &Source, commit: &str, file: &str) -> String {
        let file: Vec<String> = file.split('/').map(encoded).collect();
        let (endpoint, path) = (&self.settings.endpoint, source.path());
        format!("{endpoint}/{path}/resolve/{commit}/{}", file.join("/"))
    }

    /// Makes a request, and follows where it leads: a HEAD only on the hub itself. Also
    /// returns the headers of the hub's own answers, later ones over earlier ones.
    fn request(
        &self,
        verb: Verb,
        url: &str,
        from: Option<u64>,
        source: &Source,
    ) -> Result<(Response<Body>, HeaderMap), Trouble> {
        let mut url = url.to_owned();
        let mut headers = HeaderMap::new();
        for _ in 0..REDIRECTS {
            tracing::debug!("{} {url}", if verb == Verb::Head { "HEAD" } else { "GET" });
            let is_hub = origin(&url) == origin(&self.settings.endpoint);
            let mut request = match verb {
                Verb::Head => self.agent.head(&url),
                Verb::Get => self.agent.get(&url),
            };
            // Storage elsewhere has its own key in the address, and no business with this.
            if let Some(token) = self.settings.token.as_ref().filter(|_| is_hub) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.unreachable(&url, &error))?;
            if is_hub {
                for (key, value) in response.headers() {
                    headers.insert(key, value.clone());
                }
            }
            let status = response.status().as_u16();
            match status {
                200..=299 | 416 => return Ok((response, headers)),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get("location");
                    let location = location.and_then(|location| location.to_str().ok());
                    let next = location.and_then(|location| joined(&url, location));
                    let next = next.ok_or_else(|| self.odd("a redirect that leads nowhere"))?;
                    if verb == Verb::Head && origin(&next) != origin(&self.settings.endpoint) {
                        return Ok((response, headers));
                    }
                    url = next;
                }
                _ => return Err(self.refusal(&response, is_hub, source)),
            }
        }
        Err(self.odd("redirects without an end"))
    }

    /// What an answer means that is none.
    fn refusal(&self, response: &Response<Body>, is_hub: bool, source: &Source) -> Trouble {
        let text = |key: &str| response.headers().get(key).and_then(|value| value.to_str().ok());
        let host = self.settings.host().to_owned();
        let status = response.status().as_u16();
        let repo = source.path();
        let with_token = self.settings.token.is_some();
        let gated = |gate: Gate| Error::Gated {
            repo: repo.clone(),
            page: format!("{}/{repo}", self.settings.shown_endpoint()),
            gate,
        };
        let error = match (status, text("x-error-code").unwrap_or_default()) {
            (429, _) => {
                let wait = text("retry-after").and_then(|wait| wait.trim().parse().ok());
                let wait = wait.map(Duration::from_secs);
                let error = Error::TooMany { host, wait, with_token };
                return match wait {
                    Some(wait) if wait > LONGEST_WAIT => Trouble::Final(error),
                    wait => Trouble::Passing(error, wait),
                };
            }
            (408 | 500..=599, _) => return Trouble::Passing(Error::Server { host, status }, None),
            // An address of the storage is good for some time only: the hub makes a new one.
            (401 | 403, _) if !is_hub => {
                return Trouble::Passing(self.odd_error("storage that lets no one in"), None);
            }
            (401, code)
                if with_token
                    && (code.is_empty()
                        || text("x-error-message")
                            .is_some_and(|t| t.starts_with("Invalid cred"))) =>
            {
                gated(Gate::BadToken)
            }
            (401 | 403, "GatedRepo") | (403, _) => {
                gated(if with_token { Gate::NotGranted } else { Gate::NoToken })
            }
            (404, "RevisionNotFound") => Error::NoRevision {
                repo,
                revision: source.revision.clone().unwrap_or_else(|| "main".to_owned()),
            },
            (404, "EntryNotFound") => {
                let what = format!("such file at '{source}'");
                Error::NoEntry { repo, what, hint: String::new() }
            }
            // Without a token, what is private is not shown to exist.
            (401 | 404, _) => Error::NoRepo { repo, host, with_token },
            _ => return self.odd(&format!("status {status}")),
        };
        Trouble::Final(error)
    }

    fn unreachable(&self, url: &str, error: &ureq::Error) -> Trouble {
        if let ureq::Error::BadUri(_) | ureq::Error::Http(_) = error {
            let endpoint = self.settings.shown_endpoint();
            return Trouble::Final(if origin(url) == origin(&self.settings.endpoint) {
                Error::Endpoint { endpoint, reason: error.to_string() }
            } else {
                self.odd_error("a redirect that leads nowhere")
            });
        }
        let host = host(url).to_owned();
        let is_unknown = match error {
            ureq::Error::HostNotFound => true,
            // The standard library has no kind for it: its words, and Windows' number.
            ureq::Error::Io(error) => {
                error.to_string().starts_with("failed to lookup address")
                    || error.raw_os_error() == Some(11001)
            }
            _ => false,
        };
        let reason = match error {
            _ if is_unknown => "no such host is known".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer".to_owned(),
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        let is_final = match error {
            _ if is_unknown => true,
            ureq::Error::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::HostUnreachable
            ),
            _ => false,
        };
        let error = Error::Unreachable { host, reason };
        if is_final { Trouble::Final(error) } else { Trouble::Passing(error, None) }
    }

    fn cut(&self, reason: &str) -> Trouble {
        let host = self.settings.host().to_owned();
        Trouble::Passing(Error::Unreachable { host, reason: reason.to_owned() }, None)
    }

    fn odd(&self, reason: &str) -> Trouble {
        Trouble::Final(self.odd_error(reason))
    }

    fn odd_error(&self, reason: &str) -> Error {
        Error::Protocol { host: self.settings.host().to_owned(), reason: reason.to_owned() }
    }

    /// Makes an attempt, and more of them as long as the trouble may pass.
    fn again<T>(
        &self,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        for tries in 1.. {
            match attempt() {
                Ok(result) => return Ok(result),
                Err(trouble) => self.pause(trouble, tries, progress, stop)?,
            }
        }
        Err(Error::Interrupted)
    }

    /// Waits before the next attempt, longer each time, or as long as the hub said.
    ///
    /// # Errors
    /// The trouble, where it does not pass or there have been tries enough, and
    /// [`Error::Interrupted`].
    pub(crate) fn pause(
        &self,
        trouble: Trouble,
        tries: u32,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let (error, wait) = match trouble {
            Trouble::Passing(error, wait) if tries < TRIES => (error, wait),
            Trouble::Final(error) | Trouble::Passing(error, _) => return Err(error),
        };
        let wait = wait.unwrap_or(self.settings.retry * (1 << (tries - 1)));
        tracing::debug!("{error}; once more in {} ms", wait.as_millis());
        progress.event(Event::Retry { error: &error, wait });
        sleep(wait, stop)
    }
}

/// Sleeps, unless there is to be an end.
pub(crate) fn sleep(time: Duration, stop: &AtomicBool) -> Result<(), Error> {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = time;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(STEP));
        left = left.saturating_sub(STEP);
    }
}

/// Whether a text is a hash, which may be a file's name.
pub(crate) fn is_hash(text: &str) -> bool {
    (8..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A part of an address.
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// The scheme and host of an address, with its port.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// The host of an address with its port, for messages: without a user and a password.
pub(crate) fn host(url: &str) -> &str {
    let origin = origin(url);
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// Where a redirect leads. None for what is no address, and from a guarded connection
/// to an open one.
fn joined(url: &str, location: &str) -> Option<String> {
    let scheme = url.split_once("://")?.0;
    let next = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(url))
    } else {
        location.to_owned()
    };
    let (to, _) = next.split_once("://")?;
    (to == "https" || (to == "http" && scheme == "http")).then_some(next)
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Final(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_addresses_that_are_as_safe() {
        let from = "https://hub.example/a/b?c";
        assert_eq!(joined(from, "/x").unwrap(), "https://hub.example/x");
        assert_eq!(joined(from, "//cdn.example/x").unwrap(), "https://cdn.example/x");
        assert_eq!(joined(from, "https://cdn.example/x").unwrap(), "https://cdn.example/x");
        assert_eq!(joined(from, "http://cdn.example/x"), None);
        assert_eq!(joined(from, "file:///etc/passwd"), None);
        assert_eq!(joined(from, "x"), None);
    }

    #[test]
    fn an_origin_is_scheme_and_host_and_port() {
        assert_eq!(origin("http://127.0.0.1:80/a://b"), "http://127.0.0.1:80");
        assert_eq!(origin("https://h"), "https://h");
        assert_ne!(origin("https://hub.example.evil/"), origin("https://hub.example/"));
        assert_ne!(origin("https://hub.example@evil.example/"), origin("https://hub.example/"));
        assert_eq!(host("https://me:secret@hub.example:80/a@b"), "hub.example:80");
    }
}
