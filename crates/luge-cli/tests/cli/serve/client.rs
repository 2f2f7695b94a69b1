//! A client that sees every byte: what a library for HTTP would hide is what is tested.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::connect;

/// A connection, over which any number of requests may go.
pub struct Client {
    pub stream: BufReader<TcpStream>,
    host: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// With names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub fn new(address: &str) -> Self {
        Client { stream: BufReader::new(connect(address)), host: address.to_owned() }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// A request's head, as far as the empty line.
    pub fn head(&self, line: &str, headers: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.host)
    }

    /// All of a request with a body of JSON.
    pub fn post(&self, path: &str, body: &[u8]) -> Vec<u8> {
        let headers =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        [self.head(&format!("POST {path}"), &headers).as_bytes(), body].concat()
    }

    /// Sends a request with a body of JSON, and reads the answer.
    pub fn ask(&mut self, path: &str, body: &Value) -> Answer {
        let request = self.post(path, body.to_string().as_bytes());
        self.send(&request).unwrap();
        self.answer().unwrap()
    }

    pub fn get(&mut self, path: &str) -> Answer {
        let head = self.head(&format!("GET {path}"), "");
        self.send(head.as_bytes()).unwrap();
        self.answer().unwrap()
    }

    /// The next answer.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.answer_head()?;
        let mut answer = Answer { status, headers, body: String::new() };
        let body = match answer.header("content-length") {
            Some(length) => {
                let mut body = vec![0; length.parse().map_err(io::Error::other)?];
                self.stream.read_exact(&mut body)?;
                body
            }
            None => {
                assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{answer:?}");
                self.chunks()?
            }
        };
        answer.body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(answer)
    }

    /// The status and headers of the next answer.
    pub fn answer_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(": ").ok_or_else(|| io::Error::other("header"))?;
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..])?;
            assert_eq!(self.line()?, "", "what is behind a chunk");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Says no more, but goes on listening.
    pub fn hush(&self) {
        // The server may have been faster.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &value[..])
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The events of a stream, all of which must be whole: objects, and `[DONE]` or an
    /// error as the last one. Tells whether it is `[DONE]`.
    pub fn events(&self) -> (Vec<Value>, bool) {
        let mut objects = Vec::new();
        let mut is_over = false;
        let mut is_done = false;
        let events = self.body.strip_suffix("\n\n").unwrap_or_else(|| panic!("{self:?}"));
        for event in events.split("\n\n") {
            if event.starts_with(':') {
                continue;
            }
            assert!(!is_over, "something behind the end: {self:?}");
            let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event:?}"));
            is_done = data == "[DONE]";
            if !is_done {
                let object: Value = serde_json::from_str(data).unwrap_or_else(|_| panic!("{data}"));
                is_over = object.get("error").is_some();
                objects.push(object);
            }
            is_over |= is_done;
        }
        assert!(is_over, "no end: {self:?}");
        (objects, is_done)
    }
}
