//! docs/serve.md: what its examples ask gets the answers that stand behind them.
//!
//! An example is a block of shell with one `curl`, and behind it the answer, as JSON or as
//! the events of a stream. Of an object the answer may have more than is shown; `"…"`
//! stands for any value, at the end of a list for the rest of it, and on a line of its own
//! for events. The examples are asked one after the other: later ones find prompts cached.

use serde_json::Value;

use crate::serve::{Server, request};
use crate::support::luge;

const TEXT: &str = include_str!("../../../../docs/serve.md");

/// The server's address in the text.
const ADDRESS: &str = "http://127.0.0.1:8080";

const ANY: &str = "…";
const ANY_LINE: &str = "\n…\n";

/// The blocks of code, each with its language.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut rest = TEXT;
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').unwrap();
        let (body, after) = after.split_once("\n```\n").unwrap();
        blocks.push((language, body));
        rest = after;
    }
    blocks
}

/// A request to the server as curl would send it: the line that begins it, and the body.
fn asked(curl: &str) -> (String, &str) {
    let (before, body) = match curl.split_once(" -d '") {
        Some((before, rest)) => (before, rest.strip_suffix('\'').expect("the body comes last")),
        None => (curl, ""),
    };
    let (_, path) = before.split_once(ADDRESS).expect("it names the server");
    let path = path.split_whitespace().next().unwrap();
    (format!("{} {path}", if body.is_empty() { "GET" } else { "POST" }), body)
}

/// What an answer lacks of what is shown, if anything.
fn differs(shown: &Value, is: &Value, path: &str) -> Option<String> {
    let wrong = || Some(format!("{path} is {is}, and not {shown}"));
    match (shown, is) {
        (Value::String(any), _) if any == ANY => None,
        (Value::Object(shown), Value::Object(is)) => shown.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match is.get(name) {
                Some(_) if name == "created" => None,
                Some(is) => differs(value, is, &path),
                None => Some(format!("{path} is not there")),
            }
        }),
        (Value::Array(shown), Value::Array(is)) => {
            let is_cut = shown.last().is_some_and(|last| last == ANY);
            let whole = &shown[..shown.len() - usize::from(is_cut)];
            if whole.len() > is.len() || !is_cut && whole.len() < is.len() {
                return wrong();
            }
            let pairs = whole.iter().zip(is).enumerate();
            pairs
                .map(|(i, (shown, is))| differs(shown, is, &format!("{path}[{i}]")))
                .find_map(|d| d)
        }
        // Digits that the text leaves out, and those that processors do not share.
        (Value::Number(shown), Value::Number(is)) if shown.is_f64() => {
            let (shown, is) = (shown.as_f64().unwrap(), is.as_f64().unwrap());
            if (shown - is).abs() <= 0.15 * shown.abs().max(1.0) { None } else { wrong() }
        }
        (shown, is) if shown == is => None,
        _ => wrong(),
    }
}

/// The data of a stream's events.
fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

#[test]
fn the_examples_get_the_answers_that_are_shown() {
    let server = Server::start(luge("serve").flags("-m atlas --port 0"));
    let blocks = blocks();
    let mut count = 0;
    for pair in blocks.windows(2) {
        let [("sh", curl), (language, shown)] = pair else { continue };
        if !curl.starts_with("curl ") || !["json", "text"].contains(language) {
            continue;
        }
        let (line, body) = asked(curl);
        let (_, answer) = request(&server.address, &line, "", body);
        let (shown, is) = match *language {
            "json" => {
                let shown = serde_json::from_str(shown).unwrap_or_else(|e| panic!("{e}: {shown}"));
                (shown, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
            }
            _ => {
                // What is left out of the middle is no event.
                let (first, last) = shown.split_once(ANY_LINE).unwrap_or((shown, ""));
                let (first, last, all) = (events(first), events(last), events(&answer));
                assert!(all.len() > first.len() + last.len(), "{answer}");
                let ends = [&all[..first.len()], &all[all.len() - last.len()..]].concat();
                ([first, last].concat().into(), ends.into())
            }
        };
        assert_eq!(differs(&shown, &is, ""), None, "{curl}\n{answer}");
        count += 1;
    }
    assert!(count >= 10, "{count} examples");
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn every_metric_is_in_the_text() {
    let server = Server::start(luge("serve").flags("-m atlas --port 0"));
    let (_, metrics) = request(&server.address, "GET /metrics", "", "");
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE luge_"));
    let mut count = 0;
    for name in names.map(|line| line.split(' ').next().unwrap()) {
        assert!(TEXT.contains(&format!("`luge_{name}")), "luge_{name}");
        count += 1;
    }
    assert!(count > 10, "{metrics}");
    server.signal("TERM");
    assert_eq!(server.end().0.code(), Some(0));
}
