//! What the server counts, and what `/metrics` shows of it: the text that Prometheus
//! reads.
//!
//! Whoever counts does so in atomic numbers, and waits for no one. Labels are few and
//! come from lists of ours, never from a request: routes, statuses, how texts ended.

mod process;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use luge::batching::StepReport;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// A sum of seconds.
type Seconds = Counter<f64, AtomicU64>;

/// Counts what happens, from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    generated_tokens: Counter,
    prompt_seconds: Seconds,
    decode_seconds: Seconds,
    methods_seconds: Seconds,
    exits_evaluated: Counter,
    exits_skipped: Counter,
    running: Gauge,
    waiting: Gauge,
    batch_texts: Histogram,
    first_token: Histogram,
    text_seconds: Histogram,
    taken: Counter,
    texts: Family<EndingLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    connections: Gauge,
}

/// How a text came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was written to its end.
    Finished,
    /// Whoever asked for it went away, or its time was up.
    Cancelled,
    /// It could not be written.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabel {
    ending: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    route: String,
    status: u16,
}

/// A connection that is open: counted as such until dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process::new()));
        let ours = registry.sub_registry_with_prefix("luge");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        ours.register("build", "The program", Info::new(version));

        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            ours.register(name, help, counter.clone());
            counter
        };
        let taken = counter("texts_taken", "Texts that were taken to be written");
        let prompt_tokens = counter("prompt_tokens", "Tokens of prompts that were computed");
        let cached_tokens =
            counter("prompt_tokens_cached", "Tokens of prompts that the cache had already");
        let generated_tokens = counter("generated_tokens", "Tokens written");
        let exits_evaluated = counter("exits_evaluated", "Early exits computed");
        let exits_skipped =
            counter("exits_skipped", "Early exits that could not change a token, not computed");

        let mut seconds = |name: &str, help: &str| {
            let counter = Seconds::default();
            ours.register_with_unit(name, help, Unit::Seconds, counter.clone());
            counter
        };
        let prompt_seconds = seconds("prompt", "Time that the transformer took for prompts");
        let decode_seconds =
            seconds("decode", "Time that the transformer took for tokens being written");
        let methods_seconds =
            seconds("methods", "Time that methods took, exits and choosing of tokens together");

        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            ours.register(name, help, gauge.clone());
            gauge
        };
        let running = gauge("texts_running", "Texts that are being written");
        let waiting = gauge("texts_waiting", "Texts that wait until there is room to write them");
        let connections = gauge("connections", "Connections that are open");

        // 1, 2, 4, … 512.
        let batch_texts = Histogram::new(exponential_buckets(1.0, 2.0, 10));
        ours.register("batch_texts", "Texts computed in one step", batch_texts.clone());
        let mut times = |name: &str, help: &str, first: f64, buckets: u16| {
            let times = Histogram::new(exponential_buckets(first, 2.0, buckets));
            ours.register_with_unit(name, help, Unit::Seconds, times.clone());
            times
        };
        // 5 ms to 82 s, and 50 ms to 27 min.
        let first_token =
            times("time_to_first_token", "From the request to its text's first token", 0.005, 15);
        let text_seconds = times("text", "From the request to its text's end", 0.05, 16);

        let texts = Family::<EndingLabel, Counter>::default();
        for how in [Ending::Finished, Ending::Cancelled, Ending::Failed] {
            // From 0 on, so that the first one is an increase.
            drop(texts.get_or_create(&how.label()));
        }
        ours.register("texts", "Texts that came to an end", texts.clone());
        let requests = Family::default();
        ours.register("http_requests", "Requests that were answered", requests.clone());
        Metrics {
            registry,
            prompt_tokens,
            cached_tokens,
            generated_tokens,
            prompt_seconds,
            decode_seconds,
            methods_seconds,
            exits_evaluated,
            exits_skipped,
            running,
            waiting,
            batch_texts,
            first_token,
            text_seconds,
            taken,
            texts,
            requests,
            connections,
        }
    }
}

impl Ending {
    fn label(self) -> EndingLabel {
        let ending = match self {
            Ending::Finished => "finished",
            Ending::Cancelled => "cancelled",
            Ending::Failed => "failed",
        };
        EndingLabel { ending }
    }
}

impl Metrics {
    /// What [`Metrics::text`] is, as a header of HTTP says it.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A step of the engine, with the texts that are being written and those that wait.
    pub fn step(&self, report: &StepReport, running: usize, waiting: usize) {
        self.prompt_tokens.inc_by(report.prompt_tokens as u64);
        self.generated_tokens.inc_by(report.written_tokens as u64);
        self.exits_evaluated.inc_by(report.exits.evaluated);
        self.exits_skipped.inc_by(report.exits.skipped);
        self.prompt_seconds.inc_by(report.prompt.as_secs_f64());
        let decode = report.transformer.saturating_sub(report.prompt);
        self.decode_seconds.inc_by(decode.as_secs_f64());
        self.methods_seconds.inc_by(report.decoding.as_secs_f64());
        self.batch_texts.observe(report.texts as f64);
        self.load(running, waiting);
    }

    /// The texts that are being written and those that wait, now.
    pub fn load(&self, running: usize, waiting: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(number(running));
        self.waiting.set(number(waiting));
    }

    /// A text's prompt: how many of its tokens the cache had. Those that are computed
    /// are counted step by step.
    pub fn prompt(&self, cached: usize) {
        self.cached_tokens.inc_by(cached as u64);
    }

    /// The first token of a text, so long after it was asked for.
    pub fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// A text was taken to be written: one that will come to an end.
    pub fn taken(&self) {
        self.taken.inc();
    }

    /// The end of a text, so long after it was asked for.
    pub fn ended(&self, how: Ending, after: Duration) {
        self.texts.get_or_create(&how.label()).inc();
        self.text_seconds.observe(after.as_secs_f64());
    }

    /// A request was answered: by this route, and with this status.
    pub(crate) fn request(&self, route: Option<&str>, status: u16) {
        let route = route.unwrap_or("none").to_owned();
        self.requests.get_or_create(&RequestLabel { route, status }).inc();
    }

    /// A connection is open until what is returned is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.inc();
        OpenConnection(Arc::clone(self))
    }

    /// Everything counted, in OpenMetrics' text form: a line each, and `# EOF` at the end.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use luge::ExitCounts;

    use super::*;

    /// The samples of a text in OpenMetrics' form, and whether the form is kept: each
    /// sample belongs to a family that was declared above it.
    fn parsed(text: &str) -> BTreeMap<String, f64> {
        let mut families: Vec<&str> = Vec::new();
        let mut samples = BTreeMap::new();
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let words: Vec<_> = comment.splitn(3, ' ').collect();
                assert!(["HELP", "TYPE", "UNIT"].contains(&words[0]), "{line}");
                families.push(words[1]);
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            let plain = name.split('{').next().unwrap();
            let has_family = |family: &&str| {
                plain.strip_prefix(*family).is_some_and(|rest| {
                    ["", "_total", "_info", "_bucket", "_count", "_sum"].contains(&rest)
                })
            };
            assert!(families.last().is_some_and(has_family), "{line}");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(samples.insert(name.to_owned(), value), None, "{line}");
        }
        samples
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Arc::new(Metrics::default());
        let report = StepReport {
            prompt_tokens: 7,
            written_tokens: 3,
            texts: 4,
            exits: ExitCounts { evaluated: 20, skipped: 5 },
            transformer: Duration::from_millis(300),
            prompt: Duration::from_millis(100),
            decoding: Duration::from_millis(50),
        };
        metrics.step(&report, 3, 2);
        metrics.step(&report, 1, 0);
        metrics.prompt(11);
        metrics.first_token(Duration::from_millis(20));
        metrics.taken();
        metrics.ended(Ending::Finished, Duration::from_secs(1));
        metrics.ended(Ending::Cancelled, Duration::from_secs(2));
        metrics.request(Some("/v1/models"), 200);
        metrics.request(None, 404);
        metrics.request(None, 404);
        let open = metrics.connection();
        drop(metrics.connection());

        let samples = parsed(&metrics.text());
        let expected = [
            ("luge_prompt_tokens_total", 14.0),
            ("luge_prompt_tokens_cached_total", 11.0),
            ("luge_generated_tokens_total", 6.0),
            ("luge_exits_evaluated_total", 40.0),
            ("luge_exits_skipped_total", 10.0),
            ("luge_prompt_seconds_total", 0.2),
            ("luge_decode_seconds_total", 0.4),
            ("luge_methods_seconds_total", 0.1),
            ("luge_texts_running", 1.0),
            ("luge_texts_waiting", 0.0),
            ("luge_connections", 1.0),
            ("luge_batch_texts_bucket{le=\"2.0\"}", 0.0),
            ("luge_batch_texts_bucket{le=\"4.0\"}", 2.0),
            ("luge_batch_texts_count", 2.0),
            ("luge_time_to_first_token_seconds_bucket{le=\"0.02\"}", 1.0),
            ("luge_time_to_first_token_seconds_bucket{le=\"0.01\"}", 0.0),
            ("luge_text_seconds_sum", 3.0),
            ("luge_texts_taken_total", 1.0),
            ("luge_texts_total{ending=\"finished\"}", 1.0),
            ("luge_texts_total{ending=\"cancelled\"}", 1.0),
            ("luge_texts_total{ending=\"failed\"}", 0.0),
            ("luge_http_requests_total{route=\"/v1/models\",status=\"200\"}", 1.0),
            ("luge_http_requests_total{route=\"none\",status=\"404\"}", 2.0),
        ];
        for (name, value) in expected {
            let shown = samples.get(name).unwrap_or_else(|| panic!("{name} in {samples:#?}"));
            assert!((shown - value).abs() < 1e-9, "{name} is {shown}");
        }
        drop(open);
        assert_eq!(parsed(&metrics.text())["luge_connections"], 0.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_shown() {
        let samples = parsed(&Metrics::default().text());
        assert!(samples["process_resident_memory_bytes"] > 1e6);
        assert!(samples["process_cpu_seconds_total"] >= 0.0);
        // Later than these lines.
        assert!(samples["process_start_time_seconds"] > 1.7e9);
    }
}
