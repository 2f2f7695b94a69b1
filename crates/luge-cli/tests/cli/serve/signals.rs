//! How a server ends that has something to do.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::Client;
use super::{Server, serve, serve_at};
use crate::support::wait;

/// A server whose texts take longer than any test.
fn endless(flags: &str) -> Server {
    Server::start(serve().flags("--ctx-size 100000 --parallel 4 --max-queue 8").flags(flags))
}

/// Asks for a text without an end, as a stream.
fn stream(server: &Server) -> Client {
    let mut client = Client::new(&server.address);
    let body = json!({"prompt": [1, 5, 17], "max_tokens": -1, "ignore_eos": true, "stream": true});
    let request = client.post("/v1/completions", body.to_string().as_bytes());
    client.send(&request).unwrap();
    client
}

/// Waits until so many texts are being written, and so many wait.
fn wait_for(server: &Server, running: usize, waiting: usize) {
    let expected =
        [format!("luge_texts_running {running}\n"), format!("luge_texts_waiting {waiting}\n")];
    for _ in 0..6000 {
        let text = Client::new(&server.address).get("/metrics").body;
        if expected.iter().all(|line| text.contains(line)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to {expected:?}");
}

#[test]
fn streams_are_ended_with_an_event_after_the_grace_time() {
    let server = endless("--grace 2");
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let mut client = stream(&server);
            thread::spawn(move || client.answer().unwrap())
        })
        .collect();
    // Nothing of this one is ever read.
    let _deaf = stream(&server);
    wait_for(&server, 4, 5);

    let start = Instant::now();
    server.signal("TERM");
    for reader in readers {
        let answer = reader.join().unwrap();
        let (objects, is_done) = answer.events();
        let error = &objects.last().unwrap()["error"];
        assert!(!is_done && error["type"] == "server_error", "{error}");
        assert!(error["message"].as_str().unwrap().contains("shutting down"), "{error}");
    }
    let (status, lines) = server.end();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    // None of them would have ended by itself.
    let took = start.elapsed();
    assert!((2..20).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn whoever_presses_twice_does_not_wait() {
    let server = endless("--grace 86400");
    let _clients = [stream(&server), stream(&server)];
    wait_for(&server, 2, 0);
    server.signal("INT");
    // It has heard the first one when it takes no more connections.
    for _ in 0..60_000 {
        if TcpStream::connect(&server.address).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    server.signal("INT");
    assert_eq!(server.end().0.code(), Some(130));
}

#[test]
fn what_is_finished_within_the_grace_time_is_finished() {
    let server = endless("--grace 60");
    let mut client = Client::new(&server.address);
    let body = json!({"prompt": [1, 5], "max_tokens": 2000, "ignore_eos": true, "stream": true});
    let request = client.post("/v1/completions", body.to_string().as_bytes());
    client.send(&request).unwrap();
    wait_for(&server, 1, 0);
    server.signal("TERM");
    assert!(client.answer().unwrap().events().1);
    assert_eq!(server.end().0.code(), Some(0));
}

/// Whether it is loading or ready by then depends on the machine: it ends well either way.
#[test]
fn a_signal_while_the_model_loads_ends_it() {
    // Below the ports that the system hands out: those are other tests' a moment later.
    let mut ports = (0..).map(|step| 20_000 + ((std::process::id() + step) % 10_000) as u16);
    for _ in 0..4 {
        let is_free = |&port: &u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let port = ports.find(is_free).unwrap();
        let mut child = serve_at(port).spawn();
        for _ in 0..60_000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let line = format!("kill -TERM {}", child.id());
        assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
        assert_eq!(wait(&mut child).unwrap().code(), Some(0));
    }
}
