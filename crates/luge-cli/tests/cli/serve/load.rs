//! Thousands of requests, most of them in bad faith.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Server;
use super::client::{Answer, Client};
use crate::support::luge;

/// Clients at a time: more than there is room for texts.
const CLIENTS: usize = 24;

/// Room for one text, in tokens.
const CONTEXT: usize = 512;

/// How much more memory the process may hold behind all requests than behind the first
/// quarter of them, in bytes. That has seen all there is to see, on all threads, so what
/// comes on top of it is how the allocator cuts its memory up, in an arena for each of
/// the threads: some megabytes, now more, now less. Of a leak, 1,500 requests would make
/// more: 20 kB of each are 30 MB.
const GROWTH: f64 = 30e6;

/// Numbers that look random, and are the same each time.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % end as u64) as usize
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A short while.
    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(self.below(8) as u64));
    }
}

/// A request that the server can carry out, unless it is busy.
struct Wish {
    path: &'static str,
    body: Value,
    texts: usize,
    is_stream: bool,
    max_tokens: usize,
}

const PLACES: [&str; 6] = ["Canada", "France", "Ghana", "Peru", "Japan", "New Zealand"];

fn wish(random: &mut Random) -> Wish {
    let question = format!("What is the capital of {}?", random.any(&PLACES));
    let max_tokens = 1 + random.below(12);
    let is_stream = random.one_in(2);
    let mut body = json!({
        "max_tokens": max_tokens,
        "stream": is_stream,
        "temperature": random.any(&[0.0, 0.8]),
        "seed": random.below(1000),
    });
    let mut texts = 1;
    let path = if random.one_in(3) {
        body["prompt"] = match random.below(3) {
            0 => json!(question),
            1 => {
                texts = 2;
                json!([question, "The capital of Austria is"])
            }
            _ => json!([1, 2 + random.below(50), 3]),
        };
        if random.one_in(3) {
            body["logprobs"] = json!(random.below(4));
            body["echo"] = json!(random.one_in(2));
        }
        "/v1/completions"
    } else {
        body["messages"] = json!([{"role": "user", "content": question}]);
        if random.one_in(4) {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(random.below(5));
        }
        "/v1/chat/completions"
    };
    if random.one_in(5) {
        body["n"] = json!(2);
        texts *= 2;
    }
    if !random.one_in(3) {
        let methods = ["greedy", "sled", "dola", "sled+dola"];
        body["decoding"] = json!({"method": random.any(&methods)});
    }
    if random.one_in(6) {
        body["layers"] = random.any(&[json!(true), json!({"top": 3, "paths": true, "pin": [5]})]);
    }
    match random.below(9) {
        0 => body["regex"] = json!("[A-Z][a-z ]{1,20}"),
        1 => {
            let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
            body["json_schema"] = schema;
        }
        2 => body["stop"] = json!([".", " is"]),
        _ => {}
    }
    if is_stream && random.one_in(2) {
        body["stream_options"] = json!({"include_usage": true});
    }
    Wish { path, body, texts, is_stream, max_tokens }
}

impl Wish {
    fn bytes(&self, client: &Client) -> Vec<u8> {
        client.post(self.path, self.body.to_string().as_bytes())
    }

    /// Whether it was carried out; otherwise the server was busy.
    #[track_caller]
    fn check(&self, answer: &Answer) -> bool {
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
            return false;
        }
        assert_eq!(answer.status, 200, "{}: {answer:?}", self.body);
        let mut ends = vec![0; self.texts];
        let mut end = |choice: &Value| {
            if let Some(reason) = choice["finish_reason"].as_str() {
                assert!(["stop", "length"].contains(&reason), "{choice}");
                ends[choice["index"].as_u64().unwrap() as usize] += 1;
            }
        };
        if self.is_stream {
            let (objects, is_done) = answer.events();
            assert!(is_done, "{}: {answer:?}", self.body);
            objects.iter().flat_map(|o| o["choices"].as_array().unwrap()).for_each(&mut end);
        } else {
            let object = answer.json();
            object["choices"].as_array().unwrap().iter().for_each(&mut end);
            let written = object["usage"]["completion_tokens"].as_u64().unwrap() as usize;
            assert!(written <= self.max_tokens * self.texts, "{}: {object}", self.body);
        }
        assert_eq!(ends, vec![1; self.texts], "{}: {answer:?}", self.body);
        true
    }
}

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    /// Texts that came to their ends, read by whoever asked for them.
    finished: AtomicUsize,
    /// Requests that were told to come again.
    busy: AtomicUsize,
}

impl Seen {
    /// Whether it was carried out; otherwise the server was busy.
    #[track_caller]
    fn answer(&self, wish: &Wish, answer: &Answer) -> bool {
        let is_done = wish.check(answer);
        if is_done {
            self.finished.fetch_add(wish.texts, Ordering::Relaxed);
        } else {
            self.busy.fetch_add(1, Ordering::Relaxed);
        }
        is_done
    }
}

/// Sends what is no good, and looks at how it is refused.
#[track_caller]
fn refused(client: &mut Client, request: &[u8], statuses: &[u16]) {
    // What is refused early may be so before all of it is sent.
    let _ = client.send(request);
    let answer = client.answer().unwrap();
    assert!(statuses.contains(&answer.status), "{answer:?}");
    if answer.status != 431 {
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{answer:?}");
    }
}

/// Request number `number`, of whichever kind that is.
fn visit(address: &str, number: usize, seen: &Seen) {
    let random = &mut Random::new(number as u64);
    let mut client = Client::new(address);
    let wish = wish(random);
    let request = wish.bytes(&client);
    match random.below(40) {
        // Comes back until it is let in.
        0..=13 => loop {
            client.send(&request).unwrap();
            if seen.answer(&wish, &client.answer().unwrap()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        },
        // One after the other over the same connection.
        14..=15 => {
            for _ in 0..3 {
                client.send(&request).unwrap();
                seen.answer(&wish, &client.answer().unwrap());
            }
        }
        // All at once, and then the answers.
        16..=17 => {
            let health = client.head("GET /health", "");
            let tokenize = client.post("/tokenize", br#"{"content": "one two"}"#);
            client.send(&[health.as_bytes(), &request, &tokenize, &request].concat()).unwrap();
            assert_eq!(client.answer().unwrap().body, r#"{"status":"ok"}"#);
            seen.answer(&wish, &client.answer().unwrap());
            assert!(client.answer().unwrap().json()["tokens"].is_array());
            seen.answer(&wish, &client.answer().unwrap());
        }
        // Gone before there is an answer, or in its midst.
        18..=20 => {
            client.send(&request).unwrap();
            random.pause();
        }
        21..=23 => {
            client.send(&request).unwrap();
            client.answer_head().unwrap();
            // As much of the rest as is there, up to so many bytes.
            let _ = client.stream.read(&mut vec![0; 1 + random.below(2000)]).unwrap();
        }
        // Gone while a long prompt is computed.
        24 => {
            let text = format!("{number} {}", "and so on ".repeat(60));
            let body = json!({"prompt": text, "max_tokens": 20}).to_string();
            let request = client.post("/v1/completions", body.as_bytes());
            client.send(&request).unwrap();
            random.pause();
        }
        // Reads a byte now and then, and then all; or nothing.
        25..=26 => {
            client.send(&request).unwrap();
            let mut byte = [0];
            for _ in 0..random.below(30) {
                client.stream.get_mut().peek(&mut byte).unwrap();
                random.pause();
            }
            if random.one_in(2) {
                seen.answer(&wish, &client.answer().unwrap());
            }
        }
        27 => {
            client.send(&request).unwrap();
            thread::sleep(Duration::from_millis(150));
        }
        // Writes a few bytes now and then.
        28..=29 => {
            let mut rest = &request[..];
            for _ in 0..random.below(20) {
                let (now, later) = rest.split_at((1 + random.below(9)).min(rest.len()));
                client.send(now).unwrap();
                rest = later;
                random.pause();
            }
            if random.one_in(2) {
                client.send(rest).unwrap();
                client.hush();
                // One that says no more may be taken for one that is gone.
                if let Ok(answer) = client.answer() {
                    seen.answer(&wish, &answer);
                }
            }
        }
        // Cut off in the midst of head or body.
        30 => {
            let end = 1 + random.below(request.len() - 1);
            client.send(&request[..end]).unwrap();
            if random.one_in(2) {
                client.hush();
                if let Ok(answer) = client.answer() {
                    assert_eq!(answer.status, 400, "{answer:?}");
                }
            }
        }
        31 => {
            let mut body = wish.body.to_string().into_bytes();
            body.truncate(random.below(body.len()));
            let request = client.post(wish.path, &body);
            refused(&mut client, &request, &[400]);
        }
        32 => {
            let mut body = wish.body.to_string().into_bytes();
            let at = random.below(body.len());
            body[at] = 0xff;
            let request = client.post(wish.path, &body);
            refused(&mut client, &request, &[400]);
        }
        33 => {
            let mut body = wish.body.clone();
            body["max_tokenz"] = json!(1);
            let answer = client.ask(wish.path, &body);
            assert_eq!(
                (answer.status, &answer.json()["error"]["param"]),
                (400, &"max_tokenz".into())
            );
        }
        34 => {
            let lines = ["PUT /v1/models", "GET /v1/completions", "GET /nothing", "BREW /pot"];
            let request = client.head(random.any(&lines), "");
            refused(&mut client, request.as_bytes(), &[404, 405]);
        }
        35 => {
            let body = json!({"prompt": "no end ".repeat(CONTEXT), "max_tokens": 1});
            let answer = client.ask("/v1/completions", &body);
            let code = &answer.json()["error"]["code"];
            assert_eq!((answer.status, code), (400, &"context_length_exceeded".into()));
        }
        36 => {
            let body = json!({"prompt": "a", "n": 1 + 64 * random.below(1000), "best_of": 2});
            let answer = client.ask("/v1/completions", &body);
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        37 if random.one_in(4) => {
            let size = (8 << 20) + 1 + random.below(1 << 20);
            let line = "POST /v1/completions";
            let (head, body) = if random.one_in(2) {
                (format!("Content-Length: {size}\r\n"), "x".repeat(size))
            } else {
                let body = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
                ("Transfer-Encoding: chunked\r\n".to_owned(), body)
            };
            let request = client.head(line, &head) + &body;
            refused(&mut client, request.as_bytes(), &[413]);
        }
        37 => {
            let bomb = "X-Bomb: boom\r\n".repeat(1000 + random.below(20_000));
            let request = client.head("GET /health", &bomb);
            refused(&mut client, request.as_bytes(), &[431]);
        }
        38 => {
            let bytes: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
            client.send(&bytes).unwrap();
            client.hush();
            // It may be said that this is no request; nothing more is.
            if let Ok((status, _)) = client.answer_head() {
                assert_eq!(status, 400);
            }
        }
        _ => {
            let deep = "[".repeat(100 + random.below(100_000));
            let request = client.post(wish.path, deep.as_bytes());
            refused(&mut client, &request, &[400]);
        }
    }
}

/// The samples of `/metrics`.
fn metrics(server: &Server) -> BTreeMap<String, f64> {
    let text = Client::new(&server.address).get("/metrics").body;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

/// The metrics, once nothing is at work any more.
fn settled(server: &Server) -> BTreeMap<String, f64> {
    let now = ["luge_texts_running", "luge_texts_waiting"];
    let mut last = BTreeMap::new();
    for _ in 0..3000 {
        last = metrics(server);
        // The connection that asks is open itself.
        if now.iter().all(|name| last[*name] == 0.0)
            && last["luge_connections"] == 1.0
            && last["luge_texts_taken_total"] == ended(&last)
        {
            return last;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("something is left: {last:#?}");
}

fn ended(metrics: &BTreeMap<String, f64>) -> f64 {
    ["finished", "cancelled", "failed"]
        .iter()
        .map(|ending| metrics[&format!("luge_texts_total{{ending=\"{ending}\"}}")])
        .sum()
}

/// Has these requests made, by all clients.
fn visits(server: &Server, numbers: std::ops::Range<usize>, seen: &Arc<Seen>) {
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, end) = (server.address.clone(), numbers.end);
            let (next, seen) = (Arc::clone(&next), Arc::clone(seen));
            thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    visit(&address, number, &seen);
                }
            })
        })
        .collect();
    let results: Vec<_> = clients.into_iter().map(thread::JoinHandle::join).collect();
    assert!(results.iter().all(Result::is_ok), "see above for what went wrong");
}

#[test]
fn it_stands_thousands_of_requests_of_all_kinds() {
    let flags = format!("--port 0 --parallel 4 --max-queue 12 --ctx-size {CONTEXT}");
    let server = Server::start(luge("serve").flags(&flags));
    let seen = Arc::new(Seen::default());
    visits(&server, 0..500, &seen);
    let early = settled(&server);
    visits(&server, 500..2000, &seen);
    let late = settled(&server);

    let seen_finished = seen.finished.load(Ordering::Relaxed) as f64;
    let ending = |name: &str| late[&format!("luge_texts_total{{ending=\"{name}\"}}")];
    // Some were written to their ends though no one was there to read it.
    assert!(ending("finished") >= seen_finished && seen_finished > 500.0, "{seen:?} {late:#?}");
    assert!(ending("cancelled") > 0.0, "{late:#?}");
    assert_eq!(ending("failed"), 0.0, "{late:#?}");
    assert!(seen.busy.load(Ordering::Relaxed) > 0, "{seen:?}");
    let broken: Vec<_> = late.keys().filter(|name| name.contains("status=\"5")).collect();
    assert!(broken.is_empty(), "{broken:?}");
    if cfg!(target_os = "linux") {
        let memory = |of: &BTreeMap<String, f64>| of["process_resident_memory_bytes"];
        let (early, late) = (memory(&early), memory(&late));
        assert!(late < early + GROWTH, "{early} bytes, and then {late}");
    }

    let answer = Client::new(&server.address).ask(
        "/v1/chat/completions",
        &json!({"messages": [{"role": "user", "content": "What is the capital of France?"}]}),
    );
    assert_eq!(answer.status, 200);
    server.signal("TERM");
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0));
    let complaint = lines.iter().find(|line| line.contains("panicked") || line.contains("error"));
    assert_eq!(complaint, None);
}
