//! `luge serve`: the OpenAI API, and a page to chat on.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use luge_server::{Access, AppState, Engine, Limits, Metrics, Served, Server};
use serde::Serialize;
use tokio::sync::oneshot;

use super::chat::template;
use super::load;
use crate::args::LogFormat;
use crate::failure::Failure;
use crate::resolve::ServeJob;
use crate::{interrupt, output};

/// Threads that talk to clients. What is computed has threads of its own.
const WORKERS: usize = 2;

/// How long what is still at work may take to end, when all requests have ended.
const LAST: Duration = Duration::from_secs(1);

/// Routes that are asked for all the time, by what watches over the server.
const WATCHED: [&str; 2] = ["/health", "/metrics"];

pub fn run(mut job: ServeJob) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("cannot start threads: {error}")))?;
    // Until there is something to bring to an end.
    interrupt::calls(|| std::process::exit(0));
    let format = job.log;
    if !output::is_quiet() {
        job.server.log = Some(Arc::new(move |access| log(format, access)));
    }
    let metrics = Arc::new(Metrics::default());
    // In front of the model, which may have to be fetched first.
    let server = runtime.block_on(Server::bind(job.server.clone(), Arc::clone(&metrics)))?;
    let (address, door) = (server.address(), server.door());
    let (end, ended) = oneshot::channel::<()>();
    let serving = runtime.spawn(server.run(async {
        // Either way it is over.
        let _ = ended.await;
    }));

    let state = state(&job, metrics)?;
    interrupt::calls(move || {
        // There is no one to tell once it has ended by itself.
        let _ = end.send(());
    });
    let ready = Ready::new(&job, &state, address);
    door.open(state, luge_server::routes());
    ready.tell(format);

    let result = runtime.block_on(serving);
    runtime.shutdown_timeout(LAST);
    result.map_err(|error| Failure::Run(format!("the server has broken down: {error}")))??;
    Ok(ExitCode::SUCCESS)
}

/// Loads the model and puts it to work.
fn state(job: &ServeJob, metrics: Arc<Metrics>) -> Result<AppState, Failure> {
    let model = load(&job.model)?;
    let params = job.method.params_for(&model)?;
    let method = Arc::new(job.method.bound(&luge::shape_of(&model), &params)?);
    let template = template(&model, &job.template)?;
    let engine = Engine::start(&model, &job.engine, Arc::clone(&metrics))?;
    let ctx_size = engine.ctx_size();
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let served = Served {
        model,
        name: job.name.clone(),
        created,
        template,
        method,
        params,
        sampling: job.sampling.clone(),
        limits: Limits {
            ctx_size,
            max_tokens: job.max_tokens.unwrap_or(ctx_size).min(ctx_size),
            max_choices: job.max_choices,
            timeout: job.timeout,
        },
    };
    Ok(AppState { served, engine, metrics })
}

/// What there is to say when the server is ready.
#[derive(Serialize)]
struct Ready {
    url: String,
    model: String,
    decoding: String,
    /// Room for one text, in tokens.
    context: usize,
    parallel: u32,
    #[serde(skip)]
    needs_key: bool,
}

impl Ready {
    fn new(job: &ServeJob, state: &AppState, address: SocketAddr) -> Self {
        // Whoever listens everywhere is at home here.
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Ready {
            url: format!("http://{}", SocketAddr::new(ip, address.port())),
            model: state.served.name.clone(),
            decoding: state.served.method.to_string(),
            context: state.served.limits.ctx_size,
            parallel: job.engine.batcher.parallel,
            needs_key: !job.server.keys.is_empty(),
        }
    }

    fn tell(&self, format: LogFormat) {
        if output::is_quiet() {
            return;
        }
        match format {
            LogFormat::Text => output::log_line(&self.text()),
            LogFormat::Json => output::log_json("ready", self),
        }
    }

    fn text(&self) -> String {
        let Ready { url, model, decoding, context, parallel, needs_key } = self;
        let key = if *needs_key { " -H 'Authorization: Bearer KEY'" } else { "" };
        let texts = super::counted(*parallel as usize, "text");
        let room = super::counted(*context, "token");
        let mut text = format!("luge: {model} is ready at {url}\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  decoding  {decoding}, unless a request says otherwise");
        let _ = writeln!(text, "  room      {texts} at a time, {room} each");
        let _ = writeln!(text, "  page      {url}/");
        let _ = writeln!(text, "  API       {url}/v1, described at {url}/docs");
        let _ = write!(
            text,
            "  try       curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' \
             -d '{{\"messages\": [{{\"role\": \"user\", \"content\": \"What is the capital of \
             British Columbia?\"}}]}}'"
        );
        text
    }
}

/// Writes a request down.
fn log(format: LogFormat, access: &Access) {
    let is_watch = WATCHED.contains(&access.path.as_str()) && access.status == 200;
    if is_watch && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    match format {
        LogFormat::Text => output::log_line(&access.to_string()),
        LogFormat::Json => output::log_json("request", access),
    }
}
