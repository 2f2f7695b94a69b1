//! `luge serve`: from its flags to its end by a signal.

#[cfg(feature = "atlas")]
mod client;
#[cfg(feature = "atlas")]
mod load;
#[cfg(feature = "atlas")]
mod signals;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Luge, bare_luge, collect, luge, model, wait};

/// A server at work.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    /// What it said when it was ready.
    ready: Vec<String>,
    /// Such as `127.0.0.1:4711`.
    pub address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where a test has failed; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Luge {
    serve_at(0)
}

fn serve_at(port: u16) -> Luge {
    luge("serve").model(model("llama")).arg("--port").arg(port.to_string())
}

impl Server {
    pub fn start(mut luge: Luge) -> Self {
        let mut child = luge.spawn();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut server = Server { child, lines, ready: Vec::new(), address: String::new() };
        // As text its last line is the one with curl; as JSON there is one.
        while !server.ready.iter().any(|line| line.contains("curl") || line.contains("\"ready\"")) {
            let line = server.line();
            server.ready.push(line);
        }
        let said = server.ready.join("\n");
        let (_, rest) = said.split_once("http://").unwrap();
        server.address = rest.split(['\n', '"', '/', ',']).next().unwrap().to_owned();
        server
    }

    /// The next line on standard error.
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("it says something")
    }

    fn connect(&self) -> TcpStream {
        connect(&self.address)
    }

    /// The status of the answer to a request, and its body.
    fn ask(&self, line: &str, headers: &str) -> (u16, String) {
        ask(&self.address, line, headers)
    }

    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
    }

    /// How it ends, and what it said from the last line read on.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let stdout = collect(self.child.stdout.take().unwrap());
        let status = wait(&mut self.child).expect("the server ends");
        assert_eq!(stdout.join().unwrap(), b"");
        (status, self.lines.iter().collect())
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn ask(address: &str, line: &str, headers: &str) -> (u16, String) {
    request(address, line, headers, "")
}

/// The status of the answer to a request with a body, of JSON where there is one, and the
/// answer's body.
pub fn request(address: &str, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = connect(address);
    let of_body = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}{of_body}\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn it_says_where_it_is_logs_requests_and_ends_by_a_signal() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(serve().flags("--chat-template chatml"));
        let address = &server.address;
        let start = &server.ready[0];
        assert_eq!(start, &format!("luge: llama is ready at http://{address}"));
        let said = server.ready.join("\n");
        let api = format!("http://{address}/v1, described at http://{address}/docs");
        for part in ["sled", "4 texts at a time", &api, &format!("curl http://{address}/v1/chat/")]
        {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("Authorization"), "{said}");

        assert_eq!(server.ask("GET /health", ""), (200, "{\"status\":\"ok\"}".to_owned()));
        assert_eq!(server.ask("GET /nothing?secret", "X-Request-Id: job-17\r\n").0, 404);
        // That its health is asked for is no news.
        let line = server.line();
        assert!(line.contains(" GET /nothing 404 ") && line.ends_with(", job-17"), "{line}");
        assert!(!line.contains("secret"), "{line}");

        server.signal(signal);
        let (status, rest) = server.end();
        assert_eq!((status.code(), rest), (Some(0), Vec::new()), "{signal}");
    }
}

#[test]
fn as_json_every_line_is_an_object() {
    let server = Server::start(serve().flags("--log-format json --alias small --method greedy"));
    let objects: Vec<Value> =
        server.ready.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [note, ready] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(note["event"], "message");
    assert!(note["message"].as_str().unwrap().starts_with("the model has no chat template"));
    assert_eq!(ready["event"], "ready");
    assert_eq!(ready["url"], format!("http://{}", server.address));
    assert_eq!((&ready["model"], &ready["decoding"]), (&"small".into(), &"greedy".into()));
    assert_eq!(server.ask("POST /health", "").0, 405);
    let line: Value = serde_json::from_str(&server.line()).unwrap();
    assert_eq!(line["event"], "request");
    assert_eq!((&line["path"], &line["status"]), (&"/health".into(), &405.into()));
    assert!(line["ms"].is_number() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));

    let failed = serve().flags("--log-format json --host 0.0.0.0").outcome();
    let line: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert!(line["message"].as_str().unwrap().starts_with("error: other machines"), "{line}");
    assert_eq!(failed.status.code(), Some(2));
}

#[test]
fn quiet_says_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut child = serve_at(port).flags("--quiet").spawn();
    let stderr = collect(child.stderr.take().unwrap());
    for _ in 0..60_000 {
        if TcpStream::connect(&address).is_ok() && ask(&address, "GET /health", "").0 == 200 {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(ask(&address, "GET /nothing", "").0, 404);
    let line = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
    assert_eq!(wait(&mut child).unwrap().code(), Some(0));
    assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
}

#[test]
fn keys_come_from_a_file_and_from_the_environment() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("keys.txt");
    fs::write(&file, "first\n\n second \n").unwrap();
    let with_file = serve().arg("--api-key-file").arg(&file);
    for (luge, keys) in [
        (with_file.env("LUGE_API_KEY", "third"), ["first", "second", "third"].as_slice()),
        (serve().flags("--api-key a --api-key b"), &["a", "b"]),
    ] {
        let server = Server::start(luge);
        assert!(server.ready.join("").contains("'Authorization: Bearer KEY'"));
        assert_eq!(server.ask("GET /metrics", "").0, 401);
        assert_eq!(server.ask("GET /health", "").0, 200);
        for key in keys {
            let header = format!("Authorization: Bearer {key}\r\n");
            let (status, metrics) = server.ask("GET /metrics", &header);
            assert_eq!(status, 200, "{key}");
            assert!(metrics.contains("luge_build_info") && metrics.ends_with("# EOF\n"));
        }
        server.signal("TERM");
        let (status, lines) = server.end();
        assert_eq!(status.code(), Some(0));
        assert!(lines.iter().all(|line| !line.contains("Bearer")), "{lines:?}");
    }
}

#[test]
fn a_key_is_not_shown_among_the_settings() {
    for format in ["text", "json"] {
        let config = bare_luge().env("LUGE_API_KEY", "sesame").flags("config --format");
        let shown = config.arg(format).arg("serve").stdout();
        assert!(shown.contains("(hidden)") && !shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn cors_and_hosts_are_as_the_flags_say() {
    let page = "https://chat.example.org";
    let luge = serve().flags("--allowed-host luge.test --cors-origin").arg(page);
    let server = Server::start(luge);
    let post = |origin: &str| server.ask("POST /health", &format!("Origin: {origin}\r\n")).0;
    // It is let in, and then told that nothing is to be posted there.
    assert_eq!((post(page), post("https://evil.org")), (405, 403));
    for (host, status) in [("luge.test", 200), ("evil.org", 403)] {
        let mut stream = server.connect();
        let head = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {text}");
    }
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));
}

/// A connection with a request whose body does not come.
fn unfinished(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    let head =
        format!("POST /x HTTP/1.1\r\nHost: {}\r\nContent-Length: 9\r\n\r\nx", server.address);
    stream.write_all(head.as_bytes()).unwrap();
    // Connections are taken in turn: it is being answered when this one has been.
    assert_eq!(server.ask("GET /health", "").0, 200);
    stream
}

#[test]
fn a_request_that_does_not_end_is_ended_after_the_grace_time() {
    let server = Server::start(serve().flags("--grace 0"));
    let _open = unfinished(&server);
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let server = Server::start(serve().flags("--grace 86400"));
    let _open = unfinished(&server);
    server.signal("TERM");
    // It has heard the first one when it takes no more connections.
    for _ in 0..60_000 {
        if TcpStream::connect(&server.address).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(130));
}

#[test]
fn what_cannot_be_served_is_said_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let message = serve_at(port).failure(1);
    assert_eq!(
        message,
        format!(
            "port {port} of 127.0.0.1 is in use: choose another one, or end what listens there; \
             --port 0 takes any that is free"
        )
    );
    let message = serve().flags("--host no.such.host.invalid").failure(1);
    assert!(message.starts_with("there is no address for 'no.such.host.invalid': "), "{message}");
    let message = serve().flags("--host 0.0.0.0").failure(2);
    assert!(message.contains("--api-key") && message.contains("--insecure"), "{message}");

    let folder = tempdir().unwrap();
    let file = folder.path().join("keys.txt");
    let with_file = || serve().arg("--api-key-file").arg(&file);
    assert!(with_file().failure(1).starts_with("cannot read the keys from '"));
    fs::write(&file, "\n \n").unwrap();
    assert!(with_file().failure(1).starts_with("there is no key in '"));
    fs::write(&file, "fine\nnot fine\n").unwrap();
    let message = with_file().failure(2);
    assert!(message.starts_with("key number 2 ") && !message.contains("not fine"), "{message}");

    for (flags, part) in [
        ("--alias a@sled", "without an @"),
        ("--cors-origin example.org", "'example.org' is no origin"),
        ("--allowed-host luge.test:8080", "without a port"),
        ("--parallel 8 --ubatch-size 7", "--ubatch-size 7"),
        ("--parallel 0", "--parallel"),
        ("--method sledd", "sledd"),
        ("--method greedy --evolution-rate 1", "--evolution-rate"),
    ] {
        let message = serve().flags(flags).failure(2);
        assert!(message.contains(part), "{flags}: {message}");
    }
    let message = luge("serve").model("/no/such/model.gguf").flags("--port 0").failure(1);
    assert!(message.contains("/no/such/model.gguf"), "{message}");
}
