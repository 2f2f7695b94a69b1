//! The server around the API, by real connections: with routes of the tests' own in front
//! of a tiny model.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use luge::batching::{BatcherOptions, TextEvent, TextRequest};
use luge::{
    ChatTemplate, DecodingError, ExitForm, GenerateOptions, Method, Model, ModelParams, ModelShape,
    Params, Pipeline, SamplerOptions, SessionOptions, Stage,
};
use luge_decoding::Position;
use luge_server::{
    Access, AppState, Busy, Door, Engine, EngineOptions, Limits, Metrics, Refused, Served, Server,
    ServerError, ServerOptions, TextStream,
};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A server at work, on a port of its own.
struct Running {
    address: SocketAddr,
    door: Door,
    metrics: Arc<Metrics>,
    log: Arc<Mutex<Vec<Access>>>,
    end: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<Result<(), ServerError>>>,
    runtime: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn local() -> ServerOptions {
    ServerOptions { port: 0, grace: Duration::from_millis(50), ..ServerOptions::default() }
}

/// A server that waits for its model.
fn loading(mut options: ServerOptions) -> Running {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    options.log = Some(Arc::new(move |access: &Access| lines.lock().unwrap().push(access.clone())));
    let metrics = Arc::new(Metrics::default());
    let server = runtime.block_on(Server::bind(options, Arc::clone(&metrics))).unwrap();
    let (address, door) = (server.address(), server.door());
    let (end, ended) = oneshot::channel();
    let serving = runtime.spawn(server.run(async {
        let _ = ended.await;
    }));
    let (end, serving, runtime) = (Some(end), Some(serving), Some(runtime));
    Running { address, door, metrics, log, end, serving, runtime }
}

/// A server with its model.
fn ready(options: ServerOptions) -> Running {
    let running = loading(options);
    running.open();
    running
}

impl Running {
    fn open(&self) {
        let file: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity/llama.gguf");
        let model = Model::load(&file, &ModelParams::default()).unwrap();
        let session = SessionOptions {
            ctx_size: Some(100_000),
            threads: Some(1),
            ..SessionOptions::default()
        };
        let batcher = BatcherOptions { session, ..BatcherOptions::default() };
        let engine = EngineOptions { batcher, queue: 4 };
        let engine = Engine::start(&model, &engine, Arc::clone(&self.metrics)).unwrap();
        let shape = luge::shape_of(&model);
        let method = Pipeline::parse("sled", &Params::default()).unwrap().bind(&shape).unwrap();
        let served = Served {
            model,
            name: "llama".to_owned(),
            created: 0,
            template: ChatTemplate::fallback("chatml").unwrap(),
            method: Arc::new(method),
            params: Params::default(),
            sampling: SamplerOptions::default(),
            limits: Limits {
                ctx_size: engine.ctx_size(),
                max_tokens: 100_000,
                max_choices: 1,
                timeout: None,
            },
        };
        let state = AppState { served, engine, metrics: Arc::clone(&self.metrics) };
        self.door.open(state, routes());
    }

    /// Sends a request as it is, and reads all of the answer.
    fn send(&self, request: &str) -> Answer {
        let mut stream = self.begin(request);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::of(&String::from_utf8(bytes).unwrap())
    }

    /// Sends a request as it is.
    fn begin(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Asks for something, with further headers.
    fn ask(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("Host: {}", self.address);
        self.send(&request(line, &[&[host.as_str()], headers].concat(), body))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "")
    }

    /// The lines of the log, once there are so many.
    fn lines(&self, count: usize) -> Vec<Access> {
        for _ in 0..60_000 {
            let lines = self.log.lock().unwrap();
            if lines.len() >= count {
                return lines.clone();
            }
            drop(lines);
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?}", self.log);
    }

    /// Ends it, as a signal would.
    fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has ended well.
    fn wait(&mut self) {
        self.outcome().unwrap();
    }

    /// Waits until it has ended.
    fn outcome(&mut self) -> Result<(), ServerError> {
        let serving = self.serving.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(serving).unwrap()
    }

    /// Waits until no connection is taken any more.
    fn wait_for_the_end_of_connections(&self) {
        for _ in 0..60_000 {
            if TcpStream::connect(self.address).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("connections are still taken");
    }
}

fn request(line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}{length}\r\n{body}")
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// What is refused: status, type and code, if the answer has the form of OpenAI's errors.
    #[track_caller]
    fn refusal(&self) -> (u16, String, String) {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        let error = &body["error"];
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        let message = text("message");
        assert!(message.contains(": ") && !message.contains('\n'), "{message}");
        assert!(error.get("param").is_some(), "{body}");
        (self.status, text("type"), text("code"))
    }
}

fn refused(status: u16, kind: &str, code: &str) -> (u16, String, String) {
    (status, kind.to_owned(), code.to_owned())
}

/// How often `/endless` was asked for.
static ENDLESS: AtomicUsize = AtomicUsize::new(0);

async fn endless() -> &'static str {
    ENDLESS.fetch_add(1, Ordering::Relaxed);
    std::future::pending().await
}

/// Routes of the tests' own.
fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/things/{id}", get(|headers: HeaderMap| async move { headers.len().to_string() }))
        .route("/panic", get(panics))
        .route("/endless", get(endless))
        .route("/text", post(text))
        .route("/mistake", post(mistake))
}

async fn panics() -> &'static str {
    panic!("a test of what comes of it")
}

/// Writes a text of as many tokens as the body says, a line for each, and one at the end.
async fn text(State(state): State<Arc<AppState>>, body: String) -> Body {
    let request = TextRequest {
        decoder: Arc::clone(&state.served.method),
        prompt: vec![1, 5, 17],
        options: GenerateOptions {
            max_tokens: Some(body.parse().unwrap()),
            ignore_eos: true,
            ..GenerateOptions::default()
        },
        logprobs: None,
        prompt_logprobs: None,
        lens: None,
        reuse: false,
    };
    let mut texts = state.engine.submit(vec![request]).unwrap();
    Body::new(http_body_util::StreamBody::new(Lines(texts.remove(0))))
}

/// A method that breaks the engine.
#[derive(Debug)]
struct Mistake;

impl Method for Mistake {
    fn bind(&self, _: &ModelShape) -> Result<Box<dyn Stage>, DecodingError> {
        Ok(Box::new(Mistake))
    }

    fn exit_form(&self) -> Option<ExitForm> {
        None
    }
}

impl Stage for Mistake {
    fn name(&self) -> &'static str {
        "mistake"
    }

    fn params(&self) -> Vec<(&'static str, luge::Value)> {
        Vec::new()
    }

    fn layers(&self) -> &[usize] {
        &[]
    }

    fn apply(&self, _: &mut Position<'_>, _: &mut [f32]) -> Result<(), DecodingError> {
        panic!("a test of what comes of it")
    }
}

/// Has a text written by a method that breaks the engine.
async fn mistake(State(state): State<Arc<AppState>>) -> &'static str {
    let decoder = Pipeline::single(Mistake).bind(&state.served.shape()).unwrap();
    let request = TextRequest::new(Arc::new(decoder), vec![1, 5, 17]);
    let mut texts = state.engine.submit(vec![request]).unwrap();
    while texts[0].next().await.is_some() {}
    let request = TextRequest::new(Arc::clone(&state.served.method), vec![1, 5, 17]);
    let refused = state.engine.submit(vec![request]).err();
    assert!(matches!(refused, Some(Refused::Busy(Busy::Broken))), "{refused:?}");
    "nothing came of it"
}

struct Lines(TextStream);

impl futures_core::Stream for Lines {
    type Item = Result<hyper::body::Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = std::pin::pin!(self.0.next());
        next.poll(context).map(|event| {
            let line = match event? {
                TextEvent::Prompt(_) => "prompt\n",
                TextEvent::Token(_) => "token\n",
                TextEvent::Finished(_) | TextEvent::Failed(_) => "end\n",
            };
            Some(Ok(hyper::body::Frame::data(Bytes::from_static(line.as_bytes()))))
        })
    }
}

#[test]
fn while_the_model_loads_all_but_health_is_put_off() {
    let server = loading(local());
    let health = server.get("/health");
    assert_eq!((health.status, health.body.as_str()), (503, r#"{"status":"loading model"}"#));
    for answer in [&health, &server.get("/metrics"), &server.ask("POST /length", &[], "x")] {
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    }
    let refusal = server.get("/v1/models").refusal();
    assert_eq!(refusal, refused(503, "server_error", "loading_model"));

    server.open();
    let health = server.get("/health");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(server.ask("POST /length", &[], "four").body, "4");
}

#[test]
fn what_is_not_there_is_refused_in_the_form_of_the_api() {
    let server = ready(local());
    let refusal = server.get("/v2?q=1").refusal();
    assert_eq!(refusal, refused(404, "not_found_error", "unknown_url"));
    for (line, allowed) in [("GET /length", "POST"), ("POST /health", "GET,HEAD")] {
        let answer = server.ask(line, &[], "");
        let expected = refused(405, "invalid_request_error", "method_not_allowed");
        assert_eq!(answer.refusal(), expected);
        assert_eq!(answer.header("allow"), Some(allowed), "{line}");
    }
    // One broken handler breaks nothing else.
    let refusal = server.get("/panic").refusal();
    assert_eq!(refusal, refused(500, "server_error", "internal_error"));
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_body_is_taken_up_to_its_limit_and_within_its_time() {
    let patience = Duration::from_millis(200);
    let server = ready(ServerOptions { max_body: 3 << 20, patience, ..local() });
    // More than axum's own limit.
    let answer = server.ask("POST /length", &[], &"x".repeat(3 << 20));
    assert_eq!(answer.body, (3 << 20).to_string());
    let large = server.ask("POST /length", &[], &"x".repeat((3 << 20) + 1));
    assert_eq!(large.refusal(), refused(413, "invalid_request_error", "body_too_large"));
    let chunked = format!("3\r\nabc\r\n{:x}\r\n{}\r\n0\r\n\r\n", 4 << 20, "x".repeat(4 << 20));
    let host = format!("Host: {}", server.address);
    let head = request("POST /length", &[&host, "Transfer-Encoding: chunked"], "");
    assert_eq!(server.send(&(head.clone() + &chunked)).status, 413);
    assert_eq!(server.send(&(head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).body, "5");

    let slow = server.send(&request("POST /length", &[&host, "Content-Length: 10"], ""));
    assert_eq!(slow.refusal(), refused(408, "timeout_error", "body_timeout"));
}

#[test]
fn headers_are_taken_up_to_a_length() {
    let server = ready(local());
    let headers = |length: usize| format!("X-Long: {}", "x".repeat(length));
    assert_eq!(server.ask("GET /health", &[&headers(50_000)], "").status, 200);
    let mut stream = server.begin(&request("GET /health", &[&headers(140_000)], ""));
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
}

#[test]
fn a_connection_that_stands_still_is_closed() {
    let server = ready(ServerOptions { patience: Duration::from_millis(100), ..local() });
    for begun in ["", "GET /health HT", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut bytes = Vec::new();
        // That it comes to an end is what is asked here.
        server.begin(begun).read_to_end(&mut bytes).unwrap();
        assert_eq!(begun.len() > 20, bytes.starts_with(b"HTTP/1.1 200"), "{begun}");
    }
}

#[test]
fn more_connections_than_allowed_wait_for_one_to_end() {
    let server = ready(ServerOptions { max_connections: 1, ..local() });
    let first = server.begin("GET /health HTTP/1.1\r\nHost: localhost\r\n");
    let host = format!("Host: {}", server.address);
    let mut second = server.begin(&request("GET /health", &[&host], ""));
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(second.read(&mut [0; 1]).is_err());
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert_eq!(Answer::of(&answer).status, 200);
}

#[test]
fn the_key_is_for_every_route_but_health() {
    let keys = vec!["first".to_owned(), "second".to_owned()];
    let server = ready(ServerOptions { keys, ..local() });
    let paths = ["/", "/metrics", "/things/1", "/nothing", "/health/", "/v1/models"];
    for path in paths {
        let answer = server.get(path);
        assert_eq!(answer.refusal(), refused(401, "authentication_error", "invalid_api_key"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let wrong = server.ask(&format!("GET {path}"), &["Authorization: Bearer third"], "");
        assert_eq!(wrong.status, 401, "{path}");
    }
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.ask("GET /things/1", &["Authorization: Bearer second"], "").status, 200);
    // As a browser asks, and what it sends then: any name, and the key.
    let page = server.ask("GET /", &["Accept: text/html"], "");
    assert!(page.header("www-authenticate").unwrap().starts_with("Basic "));
    let page = server.ask("GET /", &["Accept: text/html", "Authorization: Basic bWU6Zmlyc3Q="], "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>luge</title>"));
}

#[test]
fn other_names_and_other_pages_are_kept_out() {
    let server = ready(local());
    let rebound = server.send(&request("GET /things/1", &["Host: evil.org"], ""));
    assert_eq!(rebound.refusal(), refused(403, "permission_error", "host_not_allowed"));
    let posted = server.ask("POST /length", &["Origin: https://evil.org"], "x");
    assert_eq!(posted.refusal(), refused(403, "permission_error", "origin_not_allowed"));
    let own = format!("Origin: http://{}", server.address);
    assert_eq!(server.ask("POST /length", &[&own], "x").status, 200);
    // Without CORS nothing tells a browser to show an answer to other pages.
    let read = server.ask("GET /things/1", &["Origin: https://evil.org"], "");
    assert_eq!(read.header("access-control-allow-origin"), None);
}

#[test]
fn cors_lets_the_named_pages_in_and_asks_no_key_of_their_preflight() {
    let cors_origins = vec!["https://chat.example.org".to_owned()];
    let keys = vec!["k".to_owned()];
    let server = ready(ServerOptions { keys, cors_origins, ..local() });
    let preflight = |origin: &str| {
        let headers = [
            &format!("Origin: {origin}"),
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type,x-stainless-os",
        ];
        server.ask("OPTIONS /length", &headers, "")
    };
    let answer = preflight("https://chat.example.org");
    assert_eq!(answer.status, 200);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://chat.example.org"));
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert_eq!(headers, "authorization,content-type,x-stainless-os");
    let other = preflight("https://evil.org");
    assert_eq!(other.header("access-control-allow-origin"), None);

    let origin = "Origin: https://chat.example.org";
    let posted = server.ask("POST /length", &[origin, "Authorization: Bearer k"], "four");
    assert_eq!(posted.body, "4");
    // Also what is refused can be read there, to be shown.
    let refused = server.ask("POST /length", &[origin], "four");
    assert_eq!(refused.status, 401);
    for answer in [posted, refused] {
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://chat.example.org"));
    }
}

#[test]
fn pages_are_told_what_they_may_do() {
    let server = ready(local());
    let page = server.get("/");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    for answer in [page, server.get("/nothing")] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
}

#[test]
fn each_request_is_written_down_once_with_its_id() {
    let server = ready(local());
    let kept = server.ask("POST /length?secret=1", &["X-Request-Id: job-17"], "x");
    assert_eq!(kept.header("x-request-id"), Some("job-17"));
    let made = server.get("/nothing");
    let text = server.ask("POST /text", &[], "5");
    assert_eq!(text.body.matches("token").count(), 5);

    let lines = server.lines(3);
    assert_eq!(lines.len(), 3);
    let [first, second, third] = &lines[..] else { unreachable!() };
    assert_eq!((first.id.as_str(), first.path.as_str()), ("job-17", "/length"));
    assert_eq!((first.method.as_str(), first.status, first.complete), ("POST", 200, true));
    assert_eq!(first.tokens, None);
    assert_eq!(Some(second.id.as_str()), made.header("x-request-id"));
    assert_eq!((second.status, second.complete), (404, true));
    let tokens = third.tokens.as_ref().unwrap();
    assert_eq!((tokens.decoding.as_str(), tokens.completion_tokens), ("sled", 5));
    assert!(third.complete);

    // The engine counts a step when it is over, which may be after its last token.
    let mut metrics = server.get("/metrics");
    for _ in 0..60_000 {
        if metrics.body.contains("luge_generated_tokens_total 5\n") {
            break;
        }
        thread::sleep(Duration::from_millis(1));
        metrics = server.get("/metrics");
    }
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "luge_http_requests_total{route=\"/length\",status=\"200\"} 1",
        "luge_http_requests_total{route=\"none\",status=\"404\"} 1",
        "luge_generated_tokens_total 5",
        "luge_texts_total{ending=\"finished\"} 1",
    ] {
        assert!(metrics.body.contains(line), "{line} in {}", metrics.body);
    }
}

#[test]
fn whoever_goes_away_is_written_down_too() {
    let server = ready(local());
    let host = format!("Host: {}", server.address);
    // Before there is an answer, and in the middle of one.
    let asked = server.begin(&request("GET /endless", &[&host], ""));
    // Who is gone before the request has reached its handler has not asked.
    while ENDLESS.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    drop(asked);
    let gone = server.lines(1).remove(0);
    assert_eq!((gone.status, gone.complete), (499, false));
    let mut text = server.begin(&request("POST /text", &[&host], "90000"));
    text.read_exact(&mut [0; 1]).unwrap();
    drop(text);
    let gone = server.lines(2).remove(1);
    assert_eq!((gone.status, gone.complete), (200, false));
}

#[test]
fn requests_at_work_come_to_their_ends() {
    let mut server = ready(ServerOptions { grace: Duration::from_secs(60), ..local() });
    let host = format!("Host: {}", server.address);
    let mut half = server.begin("GET /health HTTP/1.1\r\n");
    let mut text = server.begin(&request("POST /text", &[&host], "200"));
    let mut byte = [0; 1];
    text.read_exact(&mut byte).unwrap();
    server.end();
    server.wait_for_the_end_of_connections();
    half.write_all(format!("{host}\r\n\r\n").as_bytes()).unwrap();
    let mut health = String::new();
    half.read_to_string(&mut health).unwrap();
    let health = Answer::of(&health);
    assert_eq!((health.status, health.body.as_str()), (503, r#"{"status":"shutting down"}"#));

    let mut rest = String::new();
    text.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("token\n").count(), 200);
    server.wait();
}

#[test]
fn a_text_without_end_is_ended_when_the_grace_time_is_over() {
    let mut server = ready(local());
    let host = format!("Host: {}", server.address);
    let mut text = server.begin(&request("POST /text", &[&host], "90000"));
    let mut byte = [0; 1];
    text.read_exact(&mut byte).unwrap();
    server.end();
    let mut rest = String::new();
    text.read_to_string(&mut rest).unwrap();
    // The last event, and the end of the chunked body: nothing was cut in two.
    assert!(rest.ends_with("end\n\r\n0\r\n\r\n"), "{}", &rest[rest.len().saturating_sub(40)..]);
    server.wait();
}

/// Otherwise it would be there for ever, and answer nothing.
#[test]
fn a_server_whose_engine_has_broken_down_ends() {
    let mut server = ready(ServerOptions { grace: Duration::from_secs(3600), ..local() });
    let host = format!("Host: {}", server.address);
    let mut text = server.begin(&request("POST /text", &[&host], "90000"));
    text.read_exact(&mut [0; 1]).unwrap();
    // It is taken before the end, and asks what there is to say then.
    let mut health = server.begin("GET /health HTTP/1.1\r\n");
    let asked = server.ask("POST /mistake", &[], "x");
    assert_eq!((asked.status, asked.body.as_str()), (200, "nothing came of it"));
    let mut rest = String::new();
    text.read_to_string(&mut rest).unwrap();
    // The end of the chunked body: nothing was cut in two.
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{}", &rest[rest.len().saturating_sub(40)..]);
    // Where the server has ended by now, that is as good.
    if health.write_all(format!("{host}\r\n\r\n").as_bytes()).is_ok() {
        let mut answer = String::new();
        let _ = health.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains(r#"503 "#) && answer.contains("broken"));
    }
    assert!(matches!(server.outcome(), Err(ServerError::Broken)));
    server.wait_for_the_end_of_connections();
    let samples = server.metrics.text();
    assert!(samples.contains("luge_texts_total{ending=\"failed\"} 2\n"), "{samples}");
    assert!(samples.contains("luge_texts_taken_total 2\n"), "{samples}");
}

#[test]
fn it_ends_without_a_model_too() {
    let mut server = loading(local());
    assert_eq!(server.get("/health").status, 503);
    server.end();
    server.wait();
    server.wait_for_the_end_of_connections();
}

/// Why there is no server.
fn failure(options: ServerOptions) -> ServerError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(Server::bind(options, Arc::default())) {
        Ok(server) => panic!("a server at {}", server.address()),
        Err(error) => error,
    }
}

#[test]
fn what_cannot_be_served_is_said_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = failure(ServerOptions { port, ..local() });
    assert!(matches!(error, ServerError::PortInUse { .. }) && !error.is_usage());
    assert!(error.to_string().starts_with(&format!("port {port} of 127.0.0.1 is in use: ")));

    let host = "no.such.host.invalid".to_owned();
    let error = failure(ServerOptions { host, ..local() });
    assert!(matches!(error, ServerError::UnknownHost { .. }), "{error}");

    let public = ServerOptions { host: "0.0.0.0".to_owned(), ..local() };
    let error = failure(public.clone());
    assert!(matches!(error, ServerError::Public { .. }) && error.is_usage());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bind = |options| runtime.block_on(Server::bind(options, Arc::default())).is_ok();
    assert!(bind(ServerOptions { keys: vec!["k".to_owned()], ..public.clone() }));
    assert!(bind(ServerOptions { insecure: true, ..public }));
    assert!(bind(ServerOptions { host: "localhost".to_owned(), ..local() }));
}
