//! What a server brings, beside a text alone by the bare library.
//!
//! ```text
//! cargo bench -p luge-server --bench throughput -- [MODEL.gguf] [ROUNDS] [PROMPT] [TOKENS]
//! ```
//!
//! Without a model, or with `atlas`, the built-in one is measured. A server is at work in
//! this process, set up as `luge serve --parallel 16` does it. Clients ask it over HTTP and
//! read their streams on threads of their own: 1, 4 and 16 at once, each for TOKENS tokens
//! behind a prompt of PROMPT tokens, no two with the same prompt, and none from the cache.
//! Beside them the bare library writes one text, greedily.
//!
//! Contestants take turns, and who begins changes from round to round. Speed is that of all
//! texts together from the first request to the end of the last answer, prompts included;
//! its ratio to the bare library's is taken round by round, and the median is shown. The
//! time to the first token is the median of all clients of all rounds. Behind that come
//! peaks of memory, each of a process of its own.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use luge::batching::BatcherOptions;
use luge::{
    ChatTemplate, Decoder, GenerateOptions, Model, ModelParams, Params, Pipeline, SamplerOptions,
    Session, SessionOptions,
};
use luge_server::{
    AppState, Engine, EngineOptions, Limits, Metrics, Served, Server, ServerError, ServerOptions,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const METHODS: [&str; 3] = ["greedy", "sled", "dola"];
const CLIENTS: [usize; 3] = [1, 4, 16];
const MOST: usize = 16;

/// Between contestants: worker threads wait for work by spinning, for a tenth of a second.
const PAUSE: Duration = Duration::from_millis(300);

/// Marks a process that only tells its peak of memory, and for which contestant.
const PEAK: &str = "--peak=";

/// What is measured.
struct Setup {
    model: Model,
    /// The model as it was named.
    name: String,
    rounds: usize,
    prompt: usize,
    tokens: usize,
}

/// How a contestant did in a round.
struct Outcome {
    /// Tokens a second, of all texts together.
    speed: f64,
    /// Of each text, the time to its first token.
    first: Vec<f64>,
    /// Exits computed, and those that could not matter.
    exits: [f64; 2],
}

fn main() {
    // Cargo adds `--bench` to what it passes on.
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let peak = args.first().and_then(|arg| arg.strip_prefix(PEAK)).map(str::to_owned);
    if peak.is_some() {
        args.remove(0);
    }
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_else(|| luge::builtin::NAME.to_owned());
    let mut number = |default: usize| {
        args.next().map_or(default, |text| text.parse().expect("numbers behind the model"))
    };
    let (rounds, prompt, tokens) = (number(7), number(64), number(64));
    let params = ModelParams::default();
    let model = match name.as_str() {
        luge::builtin::NAME => luge::builtin::load(&params),
        path => Model::load(path.as_ref(), &params).map_err(Into::into),
    };
    let setup = Setup { model: model.expect("the model loads"), name, rounds, prompt, tokens };
    match peak {
        Some(contestant) => tell_peak(&setup, &contestant),
        None => {
            compare(&setup);
            peaks(&setup);
        }
    }
}

/// The rounds, and their table.
fn compare(setup: &Setup) {
    let mut bare = Bare::new(setup);
    let server = Running::new(setup);
    println!(
        "{}: {} blocks, vocabulary {}, {} threads; {} rounds of {} tokens behind {}\n",
        setup.name,
        setup.model.n_layers(),
        setup.model.n_vocab(),
        bare.session.threads(),
        setup.rounds,
        setup.tokens,
        setup.prompt,
    );
    let served = METHODS.iter().flat_map(|&method| CLIENTS.map(|clients| (method, clients)));
    let contestants: Vec<Option<(&str, usize)>> =
        std::iter::once(None).chain(served.map(Some)).collect();

    // One round more, not counted, to fault in the model's pages.
    let mut outcomes: Vec<Vec<Outcome>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 0..=setup.rounds {
        for turn in 0..contestants.len() {
            let place = (round + turn) % contestants.len();
            thread::sleep(PAUSE);
            let outcome = match contestants[place] {
                None => bare.run(setup, round),
                Some((method, clients)) => server.run(setup, method, clients, round),
            };
            if round > 0 {
                outcomes[place].push(outcome);
            }
        }
    }
    server.end();

    println!(
        "{:16}{:>8}{:>12}{:>10}{:>18}{:>16}",
        "", "texts", "tokens/s", "of bare", "first token, ms", "exits skipped"
    );
    for (contestant, own) in contestants.iter().zip(&outcomes) {
        let (name, clients) = contestant.unwrap_or(("bare library", 1));
        let ratios = outcomes[0].iter().zip(own).map(|(bare, own)| own.speed / bare.speed);
        let first = own.iter().flat_map(|outcome| outcome.first.iter().copied());
        let [computed, skipped] =
            [0, 1].map(|which| own.iter().map(|outcome| outcome.exits[which]).sum::<f64>());
        let share = match computed + skipped {
            0.0 => String::new(),
            all => format!("{:.0}%", 100.0 * skipped / all),
        };
        println!(
            "{name:16}{clients:>8}{:>12.1}{:>10.2}{:>18.1}{share:>16}",
            median(own.iter().map(|outcome| outcome.speed)),
            median(ratios),
            median(first) * 1e3,
        );
    }
}

/// A prompt of text, another for each client and round: questions, cut where there are
/// tokens enough.
fn prompt(setup: &Setup, round: usize, client: usize) -> Vec<u32> {
    let questions: Vec<&str> = luge::builtin::QUESTIONS.lines().collect();
    // Far from those of the other clients.
    let start = (round * MOST + client) * 37;
    let question = |place: usize| {
        let line: Value = serde_json::from_str(questions[(start + place) % questions.len()])
            .expect("a question is an object");
        line["prompt"].as_str().expect("it has its text").to_owned()
    };
    // A question has more than one token.
    let text = (0..setup.prompt).map(question).collect::<Vec<_>>().join(" ");
    let mut tokens = setup.model.tokenize_prompt(&text).expect("it is text");
    tokens.truncate(setup.prompt);
    tokens
}

fn greedy() -> Pipeline {
    "greedy".parse().expect("it is a method")
}

/// Room for one text.
fn session(setup: &Setup) -> SessionOptions {
    let ctx_size = Some((setup.prompt + setup.tokens) as u32);
    SessionOptions { ctx_size, ..SessionOptions::default() }
}

/// The library, with one text at a time.
struct Bare {
    session: Session,
    decoder: Decoder,
}

impl Bare {
    fn new(setup: &Setup) -> Self {
        let session = Session::new(&setup.model, &session(setup)).expect("a session");
        let decoder = session.decoder(&greedy()).expect("it fits every model");
        Bare { session, decoder }
    }

    fn run(&mut self, setup: &Setup, round: usize) -> Outcome {
        let prompt = prompt(setup, round, 0);
        let options = GenerateOptions {
            max_tokens: Some(setup.tokens),
            ignore_eos: true,
            ..GenerateOptions::default()
        };
        self.session.clear();
        let start = Instant::now();
        let mut generation =
            self.session.generate(&self.decoder, &prompt, &options).expect("it generates");
        generation.next().expect("there is a token").expect("it generates");
        let first = start.elapsed().as_secs_f64();
        let written = generation.finish().expect("it generates").tokens.len();
        assert_eq!(written, setup.tokens);
        let speed = written as f64 / start.elapsed().as_secs_f64();
        Outcome { speed, first: vec![first], exits: [0.0; 2] }
    }
}

/// A server at work.
struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    end: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), ServerError>>,
    runtime: Runtime,
}

impl Running {
    fn new(setup: &Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let metrics = Arc::new(Metrics::default());
        let options = ServerOptions { port: 0, ..ServerOptions::default() };
        let server = Server::bind(options, Arc::clone(&metrics));
        let server = runtime.block_on(server).expect("a free port");
        let (address, door) = (server.address(), server.door());
        let (end, ended) = tokio::sync::oneshot::channel();
        let serving = runtime.spawn(server.run(async {
            let _ = ended.await;
        }));
        door.open(state(setup, &metrics), luge_server::routes());
        Running { address, metrics, end, serving, runtime }
    }

    fn end(self) {
        self.end.send(()).expect("it is at work");
        let ended = self.runtime.block_on(self.serving).expect("it ends");
        ended.expect("nothing broke down");
    }

    /// So many clients at once.
    fn run(&self, setup: &Setup, method: &str, clients: usize, round: usize) -> Outcome {
        let request = |client: usize| {
            let body = json!({
                "prompt": prompt(setup, round, client),
                "max_tokens": setup.tokens,
                "ignore_eos": true,
                "temperature": 0,
                "decoding": method,
                "cache_prompt": false,
                "stream": true,
                "stream_options": {"include_usage": true},
            });
            let body = body.to_string();
            format!(
                "POST /v1/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                self.address,
                body.len(),
            )
        };
        let requests: Vec<String> = (0..clients).map(request).collect();
        let before = self.exits();
        let barrier = Barrier::new(clients);
        let client = |request: &String| {
            barrier.wait();
            ask(self.address, request, setup.tokens).expect("the server answers")
        };
        let times: Vec<[Instant; 3]> = thread::scope(|scope| {
            let client = &client;
            let begin = |request| scope.spawn(move || client(request));
            let clients: Vec<_> = requests.iter().map(begin).collect();
            clients.into_iter().map(|client| client.join().expect("a client ends")).collect()
        });
        let after = self.exits();
        let start = times.iter().map(|[start, ..]| *start).min().expect("there are clients");
        let end = times.iter().map(|[.., end]| *end).max().expect("there are clients");
        Outcome {
            speed: (clients * setup.tokens) as f64 / (end - start).as_secs_f64(),
            first: times.iter().map(|[start, first, _]| (*first - *start).as_secs_f64()).collect(),
            exits: [after[0] - before[0], after[1] - before[1]],
        }
    }

    /// Exits computed, and those that could not matter, since the server began.
    fn exits(&self) -> [f64; 2] {
        let text = self.metrics.text();
        ["evaluated", "skipped"].map(|which| {
            let name = format!("luge_exits_{which}_total ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name));
            value.expect("it is counted").parse().expect("a number")
        })
    }
}

fn state(setup: &Setup, metrics: &Arc<Metrics>) -> AppState {
    let model = setup.model.clone();
    let batcher = BatcherOptions {
        session: session(setup),
        parallel: MOST as u32,
        ..BatcherOptions::default()
    };
    let options = EngineOptions { batcher, queue: 0 };
    let engine = Engine::start(&model, &options, Arc::clone(metrics)).expect("an engine");
    let method = greedy().bind(&luge::shape_of(&model)).expect("it fits every model");
    let served = Served {
        name: "model".to_owned(),
        created: 0,
        template: ChatTemplate::fallback("chatml").expect("it is built in"),
        method: Arc::new(method),
        params: Params::default(),
        sampling: SamplerOptions::default(),
        limits: Limits {
            ctx_size: engine.ctx_size(),
            max_tokens: setup.tokens,
            max_choices: 1,
            timeout: None,
        },
        model,
    };
    AppState { served, engine, metrics: Arc::clone(metrics) }
}

/// Sends a request and reads its stream to the end: when it was sent, when the first token
/// came, and when all were there.
fn ask(
    address: SocketAddr,
    request: &str,
    tokens: usize,
) -> Result<[Instant; 3], Box<dyn Error + Send + Sync>> {
    let start = Instant::now();
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    connection.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(connection);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        answer.read_to_string(&mut line)?;
        return Err(line.into());
    }
    let (mut first, mut last) = (None, String::new());
    for line in answer.lines() {
        // Between the events are the sizes of HTTP's chunks.
        let line = line?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        first.get_or_insert_with(Instant::now);
        if data == "[DONE]" {
            break;
        }
        data.clone_into(&mut last);
    }
    let end = Instant::now();
    let usage: Value = serde_json::from_str(&last)?;
    if usage["usage"]["completion_tokens"] != tokens {
        return Err(last.into());
    }
    Ok([start, first.ok_or("no event")?, end])
}

/// The peaks of memory: of each contestant in a process that does nothing else.
fn peaks(setup: &Setup) {
    let own = std::env::current_exe().expect("this program");
    let peak = |contestant: &str| {
        let numbers = [setup.rounds, setup.prompt, setup.tokens].map(|number| number.to_string());
        let output = Command::new(&own)
            .arg(format!("{PEAK}{contestant}"))
            .arg(&setup.name)
            .args(numbers)
            .output()
            .expect("this program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().ok()
    };
    // Where the system does not tell, there is nothing to show.
    let Some(bare) = peak("bare") else { return };
    println!("\n{:24}{:>12}{:>18}", "peak of memory", "MB", "more than bare");
    println!("{:24}{bare:>12.1}", "bare library, 1 text");
    for method in METHODS {
        let peak = peak(method).expect("as for the bare library");
        let name = format!("{method}, {MOST} texts");
        println!("{name:24}{peak:>12.1}{:>18.1}", peak - bare);
    }
}

/// Runs one contestant once, and prints the peak of this process in MB.
fn tell_peak(setup: &Setup, contestant: &str) {
    if contestant == "bare" {
        Bare::new(setup).run(setup, 0);
    } else {
        let server = Running::new(setup);
        server.run(setup, contestant, MOST, 0);
        server.end();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        peak.and_then(|peak| peak.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    if let Some(kilobytes) = kilobytes {
        println!("{:.1}", kilobytes * 1024.0 / 1e6);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
