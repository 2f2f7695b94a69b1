//! The log of a run: what is left of it, whatever happens, and putting parts together.

mod damage;
mod open;
mod parts;
#[cfg(unix)]
mod process;

use std::path::Path;

use luge_eval::record::{Cost, Outcome, Record, Scored, Sums};
use luge_eval::results::{MethodSetup, ModelSetup, Role, Scoring, Setup, TaskSetup};
use luge_eval::{Judge, Log, Metric, Shard};

/// A run of two tasks, of so many documents each.
fn setup(first: usize, second: usize) -> Setup {
    let task = |name: &str, limit: usize| TaskSetup {
        name: name.to_owned(),
        title: name.to_uppercase(),
        definition_sha256: "d".repeat(64),
        data: format!("{name}.csv"),
        data_sha256: "e".repeat(64),
        rows: limit + 10,
        limit,
        half: None,
        judge: Judge::new(vec![Metric::Mc1]),
    };
    let method =
        |name: &str, role| MethodSetup { name: name.to_owned(), text: format!("{name}()"), role };
    Setup {
        command: "luge eval first second".to_owned(),
        luge: "0.1.0".to_owned(),
        model: ModelSetup { name: "m.gguf".to_owned(), bytes: 1, sha256: "f".repeat(64) },
        methods: vec![method("greedy", Role::Baseline), method("sled", Role::Asked)],
        scoring: Scoring::Normalised,
        seed: 1,
        engine: serde_json::json!({ "context": 4096, "chat": false }),
        tasks: vec![task("one", first), task("two", second)],
    }
}

/// A record with what is hard to write: breaks, the checksum's own key, numbers that take
/// all their digits, and one that JSON has no word for.
fn record(task: &str, index: usize) -> Record {
    let sums = |number: f64| Sums { logit: number / 3.0, logprob: f64::NEG_INFINITY };
    let candidate = Scored {
        text: format!("é\u{2028}\n\"\\ {index},\"crc32\":1}}"),
        right: index.is_multiple_of(2),
        best: false,
        tokens: 3,
        bytes: index,
        scores: vec![sums(index as f64), sums(-0.1)],
    };
    Record {
        task: task.to_owned(),
        index,
        id: format!("{task} {index}"),
        category: index.is_multiple_of(3).then(|| "third".to_owned()),
        question: "Why?\r\n".to_owned(),
        outcome: Outcome::Choice { candidates: vec![candidate], layers: Vec::new() },
        cost: Cost { tokens: u64::MAX, ..Cost::default() },
        seconds: 0.1 + index as f64,
    }
}

/// All records of a part, in the order in which a run has them.
fn records(setup: &Setup, shard: Shard) -> Vec<Record> {
    let of_task = |task: &TaskSetup| {
        let name = task.name.clone();
        (0..task.limit).filter(move |&row| shard.has(row)).map(move |row| record(&name, row))
    };
    setup.tasks.iter().flat_map(of_task).collect()
}

/// Writes a log with these records.
fn write(path: &Path, setup: &Setup, shard: Shard, records: &[Record]) {
    let (mut log, _) = Log::open(path, setup, shard).unwrap();
    records.iter().for_each(|record| log.append(record).unwrap());
    log.finish().unwrap();
}

/// Opens a log: its records, and what it says of the others.
fn reopened(path: &Path, setup: &Setup) -> (Vec<Record>, Vec<String>) {
    let (log, records) = Log::open(path, setup, Shard::WHOLE).unwrap();
    (records, log.notes().iter().map(ToString::to_string).collect())
}

/// Why a log cannot be opened.
fn refused(path: &Path, setup: &Setup, shard: Shard) -> String {
    Log::open(path, setup, shard).map(|(_, records)| records).unwrap_err().to_string()
}
