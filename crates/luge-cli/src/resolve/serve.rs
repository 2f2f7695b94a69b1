//! A server: its keys read, its method parsed, its limits put together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use luge::SamplerOptions;
use luge::batching::BatcherOptions;
use luge_server::{EngineOptions, ServerOptions};

use super::chat::{Template, template};
use super::method::{Method, method};
use super::{ModelJob, choice, model};
use crate::args::{LogFormat, ServeArgs};
use crate::failure::Failure;
use crate::locate::Source;

/// The most choices of one request, as of OpenAI's own.
const MOST_CHOICES: usize = 128;

pub struct ServeJob {
    pub model: ModelJob,
    /// What requests call it.
    pub name: String,
    pub server: ServerOptions,
    pub engine: EngineOptions,
    pub template: Template,
    pub method: Method,
    pub sampling: SamplerOptions,
    /// The most tokens of a text; `None` for as many as the context holds.
    pub max_tokens: Option<usize>,
    pub max_choices: usize,
    pub timeout: Option<Duration>,
    pub log: LogFormat,
}

pub fn serve(args: ServeArgs) -> Result<ServeJob, Failure> {
    let (address, load) = (args.address, args.load);
    if load.ubatch_size < load.parallel {
        return Err(Failure::Usage(format!(
            "--ubatch-size {} has no room for a token of each of {} texts: make it larger, or \
             --parallel smaller",
            load.ubatch_size, load.parallel
        )));
    }
    let mut keys = address.api_key;
    if let Some(file) = &address.api_key_file {
        keys.extend(keys_of(file)?);
    }
    let model = model(args.model, &args.context)?;
    let seconds = |count: u32| Duration::from_secs(count.into());
    let places = load.parallel as usize + load.max_queue as usize;
    Ok(ServeJob {
        name: args.alias.unwrap_or_else(|| name_of(&model.source)),
        server: ServerOptions {
            host: address.host,
            port: address.port,
            keys,
            insecure: address.insecure,
            cors_origins: address.cors_origin,
            allowed_hosts: address.allowed_host,
            grace: seconds(address.grace),
            ..ServerOptions::default()
        },
        engine: EngineOptions {
            batcher: BatcherOptions {
                session: model.session.clone(),
                parallel: load.parallel,
                step_tokens: load.ubatch_size,
                reuse: !load.no_cache_prompt,
            },
            queue: load.max_queue as usize,
        },
        model,
        template: template(args.template)?,
        method: method(args.method)?,
        sampling: choice(args.choice),
        max_tokens: usize::try_from(load.predict).ok(),
        max_choices: places.min(MOST_CHOICES),
        timeout: (load.timeout > 0).then(|| seconds(load.timeout)),
        log: args.log_format,
    })
}

/// The keys in a file, one a line.
fn keys_of(file: &Path) -> Result<Vec<String>, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Run(format!("cannot read the keys from '{shown}': {error}")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<_> = lines.map(str::to_owned).collect();
    if keys.is_empty() {
        // Without any, everyone could ask.
        return Err(Failure::Run(format!("there is no key in '{shown}': write one a line")));
    }
    Ok(keys)
}

/// What requests call a model: of a file its name alone, as folders are no one's business.
/// Behind an `@` stands a method.
fn name_of(source: &Source) -> String {
    let name = match source {
        Source::File(path) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy(),
        source => source.name(),
    };
    name.replace('@', "-")
}
