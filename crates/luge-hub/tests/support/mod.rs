//! A hub of our own, on this machine, that speaks Hugging Face's routes and fails as it
//! is told to. Tests of luge-hub and of the command use it, each its part.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The commit that everything is at, unless a test moves on.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server, and beside it another where the files are, as on the real hub.
pub struct TestHub {
    shared: Arc<Shared>,
    hub: String,
    storage: String,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    repos: BTreeMap<String, Repo>,
    requests: Vec<Request>,
    faults: Vec<(String, Fault)>,
    /// How many answers wait in the middle of a file.
    halted: usize,
    released: bool,
}

struct Repo {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
    access: Access,
}

/// Who may read a repository.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Open,
    /// Who has this token, and has accepted the licence.
    Gated(&'static str),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    /// Whether it went to the storage.
    pub is_storage: bool,
}

/// What goes wrong with the next request whose path holds a word.
#[derive(Clone)]
pub enum Fault {
    /// This status with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The file up to here, then the connection is closed.
    Cut(usize),
    /// The file up to here, then nothing until [`TestHub::release`].
    Halt(usize),
    /// The file from its beginning, whatever was asked for.
    NoRange,
    /// The file with a byte changed.
    Damage,
    /// The hub's answer says that the file is this large.
    Size(u64),
    /// A description of the repository that does not end.
    Endless,
    /// A redirect to here.
    Redirect(String),
}

impl TestHub {
    /// Starts without a repository.
    pub fn start() -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, storage) = (listen(), listen());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let this = TestHub { shared, hub: address(&hub), storage: address(&storage) };
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let (shared, storage) = (Arc::clone(&this.shared), this.storage.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (shared, storage) = (Arc::clone(&shared), storage.clone());
                    // Who has gone away needs no answer.
                    thread::spawn(move || drop(answer(&shared, &storage, is_storage, stream)));
                }
            });
        }
        this
    }

    /// Its address, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.hub
    }

    /// Adds a repository that all may read. One of a dataset is named `datasets/org/name`.
    pub fn repo(&self, name: &str, files: &[(&str, &[u8])]) -> &Self {
        self.repo_for(name, Access::Open, files)
    }

    /// Adds a repository, or another state of one, at [`COMMIT`].
    pub fn repo_for(&self, name: &str, access: Access, files: &[(&str, &[u8])]) -> &Self {
        self.repo_at(name, COMMIT, access, files)
    }

    pub fn repo_at(
        &self,
        name: &str,
        commit: &str,
        access: Access,
        files: &[(&str, &[u8])],
    ) -> &Self {
        let files =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let repo = Repo { commit: commit.to_owned(), files, access };
        self.state().repos.insert(name.to_owned(), repo);
        self
    }

    /// Has the next request whose method and path hold this word go wrong.
    pub fn fault(&self, word: &str, fault: Fault) -> &Self {
        self.state().faults.push((word.to_owned(), fault));
        self
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The ranges of the requests for content so far, in their order.
    pub fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.requests();
        requests
            .into_iter()
            .filter(|request| request.is_storage)
            .map(|request| request.range)
            .collect()
    }

    /// Waits until an answer has halted in the middle.
    pub fn wait_for_halt(&self) {
        let state = self.state();
        let wait =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.halted == 0);
        assert!(!wait.unwrap().1.timed_out(), "no answer has come to its middle");
    }

    /// Lets halted answers go on.
    pub fn release(&self) {
        self.state().released = true;
        self.shared.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

/// Halted answers end with their server.
impl Drop for TestHub {
    fn drop(&mut self) {
        self.release();
    }
}

/// The checksum of a file as the hub gives it.
pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What git calls a file's content: SHA-1 with a head of its own. The hub gives it for the
/// small files that git itself keeps.
pub fn git_checksum(bytes: &[u8]) -> String {
    let digest = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether git itself keeps a file, rather than a link to it.
fn is_small(path: &str) -> bool {
    [".md", ".csv", ".jsonl"].iter().any(|end| path.ends_with(end))
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads a request and answers it. Each connection has one.
fn answer(
    shared: &Shared,
    storage: &str,
    is_storage: bool,
    mut stream: TcpStream,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(key.to_ascii_lowercase(), value.to_owned());
    }
    let range = headers.get("range").cloned();
    let token = headers.get("authorization").cloned();
    let request = Request { method, path, range, token, is_storage };
    let fault = {
        let mut state = shared.state.lock().unwrap();
        state.requests.push(request.clone());
        let what = format!("{} {}", request.method, request.path);
        let place = state.faults.iter().position(|(word, _)| what.contains(word));
        place.map(|place| state.faults.remove(place).1)
    };
    match &fault {
        Some(Fault::Status(status, headers)) => return head(&mut stream, *status, headers, 0),
        Some(Fault::Redirect(to)) => {
            return head(&mut stream, 302, &[("location", to.clone())], 0);
        }
        Some(Fault::Endless) => {
            stream.write_all(b"HTTP/1.1 200 As told\r\nconnection: close\r\n\r\n")?;
            let blanks = vec![b' '; 1 << 20];
            // Until no one listens any more.
            loop {
                stream.write_all(&blanks)?;
            }
        }
        _ => {}
    }
    if is_storage {
        send_file(shared, &mut stream, &request, fault)
    } else {
        describe(shared, storage, &mut stream, &request, fault)
    }
}

/// What the hub itself says: of a repository, or of a file.
fn describe(
    shared: &Shared,
    storage: &str,
    stream: &mut TcpStream,
    request: &Request,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let refuse = |stream: &mut TcpStream, status: u16, code: &str| {
        head(stream, status, &[("x-error-code", code.to_owned())], 0)
    };
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let file_at = |begin: usize| Some(parts[begin..].join("/").replace("%20", " "));
    let (repo, revision, file) = match parts[..] {
        ["api", "models", org, name, "revision", revision] => {
            (format!("{org}/{name}"), revision, None)
        }
        ["api", "datasets", org, name, "revision", revision] => {
            (format!("datasets/{org}/{name}"), revision, None)
        }
        ["datasets", org, name, "resolve", revision, ..] => {
            (format!("datasets/{org}/{name}"), revision, file_at(5))
        }
        [org, name, "resolve", revision, ..] => (format!("{org}/{name}"), revision, file_at(4)),
        _ => return refuse(stream, 404, ""),
    };
    let state = shared.state.lock().unwrap();
    let Some(found) = state.repos.get(&repo) else {
        let status = if request.token.is_some() { 404 } else { 401 };
        drop(state);
        return refuse(stream, status, "RepoNotFound");
    };
    if ![found.commit.as_str(), "main"].contains(&revision) {
        drop(state);
        return refuse(stream, 404, "RevisionNotFound");
    }
    let Some(file) = file else {
        let siblings = found.files.iter().map(|(path, bytes)| {
            let mut file = json!({ "rfilename": path, "size": bytes.len() });
            match is_small(path) {
                true => file["blobId"] = json!(git_checksum(bytes)),
                false => {
                    file["lfs"] = json!({ "sha256": checksum(bytes), "size": bytes.len() });
                    file["blobId"] = json!(git_checksum(b"a link to it"));
                }
            }
            file
        });
        let siblings: Vec<_> = siblings.collect();
        let body = json!({ "sha": found.commit, "siblings": siblings }).to_string();
        drop(state);
        head(stream, 200, &[("content-type", "application/json".to_owned())], body.len())?;
        return stream.write_all(body.as_bytes());
    };
    if let Access::Gated(token) = found.access
        && request.token.as_deref() != Some(&format!("Bearer {token}"))
    {
        let status = if request.token.is_some() { 403 } else { 401 };
        drop(state);
        return refuse(stream, status, "GatedRepo");
    }
    let Some(bytes) = found.files.get(&file) else {
        drop(state);
        return refuse(stream, 404, "EntryNotFound");
    };
    if is_small(&file) {
        let (bytes, etag) = (bytes.clone(), format!("\"{}\"", git_checksum(bytes)));
        drop(state);
        return match request.method.as_str() {
            "HEAD" => head(stream, 200, &[("etag", etag)], bytes.len()),
            _ => send(shared, stream, bytes, request, fault),
        };
    }
    let size = match fault {
        Some(Fault::Size(size)) => size,
        _ => bytes.len() as u64,
    };
    let headers = [
        ("x-repo-commit", found.commit.clone()),
        ("x-linked-etag", format!("\"{}\"", checksum(bytes))),
        ("x-linked-size", size.to_string()),
        ("location", format!("{storage}/{repo}/{}?signature=1", file.replace(' ', "%20"))),
    ];
    drop(state);
    head(stream, 302, &headers, 0)
}

/// A file from the storage.
fn send_file(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let path = request.path.split('?').next().unwrap_or_default().replace("%20", " ");
    let state = shared.state.lock().unwrap();
    let file = state.repos.iter().find_map(|(name, repo)| {
        let file = path.strip_prefix('/')?.strip_prefix(name.as_str())?.strip_prefix('/')?;
        repo.files.get(file).cloned()
    });
    drop(state);
    match file {
        Some(bytes) => send(shared, stream, bytes, request, fault),
        None => head(stream, 404, &[], 0),
    }
}

/// A file, or its end.
fn send(
    shared: &Shared,
    stream: &mut TcpStream,
    mut bytes: Vec<u8>,
    request: &Request,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let range = request.range.as_ref().filter(|_| !matches!(fault, Some(Fault::NoRange)));
    let from =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    if let Some(Fault::Damage) = fault {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    let size = bytes.len();
    let content = match from {
        Some(from) if from >= size => return head(stream, 416, &[], 0),
        Some(from) => {
            let range = format!("bytes {from}-{}/{size}", size - 1);
            head(stream, 206, &[("content-range", range)], size - from)?;
            &bytes[from..]
        }
        None => {
            head(stream, 200, &[], size)?;
            &bytes
        }
    };
    let sent = size - content.len();
    match fault {
        Some(Fault::Cut(end)) => stream.write_all(&content[..end - sent]),
        Some(Fault::Halt(end)) => {
            stream.write_all(&content[..end - sent])?;
            stream.flush()?;
            let mut state = shared.state.lock().unwrap();
            state.halted += 1;
            shared.changed.notify_all();
            let waited =
                shared.changed.wait_timeout_while(state, PATIENCE, |state| !state.released);
            drop(waited);
            stream.write_all(&content[end - sent..])
        }
        _ => stream.write_all(content),
    }
}

fn head(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    length: usize,
) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} As told\r\nconnection: close\r\n");
    for (key, value) in headers {
        text.push_str(&format!("{key}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {length}\r\n\r\n"));
    stream.write_all(text.as_bytes())
}
