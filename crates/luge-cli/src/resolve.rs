//! From the command line to jobs: defaults filled in, prompts read, methods
//! parsed and checked. Nothing is loaded yet.

mod grammar;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Once;

use luge::{
    Decoder, ExitForm, ExitPolicy, FlashAttention, GenerateOptions, LayerSelection, METHODS,
    MethodInfo, Model, ModelParams, Params, Pipeline, SamplerOptions, Session, SessionOptions,
    presets,
};

use crate::args::{
    BenchArgs, ChatArgs, CompareArgs, ContextArgs, ExitArgs, Exits, FlashAttn, Format, LensArgs,
    LensFormat, MethodArgs, MethodParams, ModelArgs, PRESET, PresetArg, PromptArgs, RunArgs,
    SamplingArgs, ScoreArgs,
};
use crate::failure::Failure;
use crate::locate::{self, Source};
use crate::output;
use crate::settings::{self, ChatSetting};

/// A model to load and how to set it up.
pub struct ModelJob {
    pub source: Source,
    pub params: ModelParams,
    pub session: SessionOptions,
}

/// A method, to be fitted to a model.
pub struct Method {
    pipeline: Pipeline,
    preset: Option<Preset>,
}

/// Published settings that are wanted for a method, and what it takes to make it with
/// them: which they are depends on the model.
struct Preset {
    wanted: PresetArg,
    /// Whether it was asked for on the command line, and not merely set.
    is_flag: bool,
    text: String,
    params: Params,
}

/// The method that published settings are for.
const SLED: &str = "sled";

impl Method {
    /// The method fitted to the session's model, with what was published for it where
    /// that is wanted; which it is, is said once.
    pub fn decoder(&self, session: &Session) -> Result<Decoder, Failure> {
        let Some(preset) = &self.preset else { return Ok(session.decoder(&self.pipeline)?) };
        match preset.row(session.model())? {
            None => Ok(session.decoder(&self.pipeline)?),
            Some(row) => {
                static SAID: Once = Once::new();
                let published = row.params();
                SAID.call_once(|| {
                    let value = |name: &str| published.get(name).unwrap_or_default().to_owned();
                    let values = presets::PARAMS.map(|name| format!("{name}={}", value(name)));
                    output::say(format_args!(
                        "SLED as published for {} on {}: {} ({})",
                        row.model,
                        row.task,
                        values.join(", "),
                        row.source,
                    ));
                });
                let params = published.merged(&preset.params);
                Ok(session.decoder(&Pipeline::parse(&preset.text, &params)?)?)
            }
        }
    }
}

impl Preset {
    /// The published settings for a model. None there are is an error where they were
    /// asked for by a flag; a setting is for all models, those with none among them.
    fn row(&self, model: &Model) -> Result<Option<&'static presets::Preset>, Failure> {
        let rows = presets::for_model(model);
        let task = match self.wanted {
            PresetArg::Auto => None,
            PresetArg::Task(task) => Some(task),
        };
        if let Some(row) = presets::choose(&rows, task) {
            return Ok(Some(row));
        }
        let tasks: Vec<_> = rows.iter().map(|row| row.task).collect();
        let there_is = match tasks.as_slice() {
            [] => "give --evolution-rate and --evolution-scale of your own, or leave --preset out"
                .to_owned(),
            tasks => format!("there are some on {}", tasks.join(", ")),
        };
        let on = task.map(|task| format!(" on {task}")).unwrap_or_default();
        let model = model.metadata("general.name").unwrap_or_else(|| {
            model.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
        });
        let message = format!("no settings of SLED are published for '{model}'{on}: {there_is}");
        if self.is_flag {
            return Err(Failure::Usage(message));
        }
        tracing::debug!("{message}");
        Ok(None)
    }
}

/// A prompt as given.
pub enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

/// What `luge score` is to score.
pub enum Pair {
    Texts(String, String),
    Ids(Vec<u32>, Vec<u32>),
}

pub struct RunJob {
    pub model: ModelJob,
    pub prompt: Prompt,
    pub method: Method,
    pub options: GenerateOptions,
    pub show_changes: bool,
    pub format: Format,
}

pub struct ChatJob {
    pub model: ModelJob,
    /// The one question to answer; `None` where they are typed.
    pub question: Option<String>,
    pub system: Option<String>,
    pub template: TemplateChoice,
    /// Variables for the template.
    pub variables: serde_json::Map<String, serde_json::Value>,
    pub settings: ChatSettings,
    /// Whether what is typed is kept for the next chat.
    pub history: bool,
    pub format: Format,
}

/// Which chat template to use.
pub enum TemplateChoice {
    /// The model's own.
    Model,
    /// One of luge's.
    Named(String),
    /// This one.
    Text(String),
}

/// How questions are answered: what can be changed while a chat goes on.
pub struct ChatSettings {
    pub method: Method,
    /// How exits are read for a method that reads none.
    pub form: ExitForm,
    pub options: GenerateOptions,
    pub show_changes: bool,
    pub hide_thinking: bool,
}

pub struct ScoreJob {
    pub model: ModelJob,
    pub pair: Pair,
    pub method: Method,
    pub format: Format,
}

pub struct CompareJob {
    pub model: ModelJob,
    /// None where the first one is read from standard input, with the others.
    pub prompt: Option<Prompt>,
    /// Each method as it was written, and parsed.
    pub methods: Vec<(String, Method)>,
    pub options: GenerateOptions,
    pub show_layers: bool,
    pub interactive: bool,
    pub format: Format,
}

pub struct LensJob {
    pub model: ModelJob,
    pub prompt: Prompt,
    pub method: Method,
    /// How exits are read for a method that reads none.
    pub form: ExitForm,
    /// The layers to show.
    pub layers: LayerSelection,
    pub top: usize,
    /// Tokens to follow: by their texts, and by their ids.
    pub pin: Vec<String>,
    pub pin_ids: Vec<u32>,
    /// The one position to show, negative from the end.
    pub position: Option<i64>,
    /// How to go on with the text.
    pub options: GenerateOptions,
    pub html: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    /// What goes to standard output.
    pub format: Option<LensFormat>,
}

pub struct BenchJob {
    pub model: ModelJob,
    pub prompts: BenchPrompts,
    /// Each method as it was written, and parsed.
    pub methods: Vec<(String, Method)>,
    pub rounds: usize,
    pub options: GenerateOptions,
    pub format: Format,
}

/// What `luge bench` has continued.
pub enum BenchPrompts {
    /// Random tokens, so many.
    Random(usize),
    /// Those of a file, at least one, in the order of the rounds.
    File(PathBuf, Vec<FilePrompt>),
}

/// A prompt from a file of prompts.
pub struct FilePrompt {
    /// Where it is, from 1.
    pub line: usize,
    pub text: String,
}

pub fn run(args: RunArgs) -> Result<RunJob, Failure> {
    Ok(RunJob {
        model: model(args.model, &args.context)?,
        prompt: prompt(args.prompt)?,
        method: method(args.method)?,
        options: GenerateOptions {
            grammar: grammar::grammar(args.grammar)?,
            ..options(args.sampling, &args.exits)
        },
        show_changes: args.show_changes,
        format: args.format,
    })
}

/// Whether `luge run` is to chat: without a prompt, where one can be typed.
pub fn is_chat(args: &RunArgs) -> bool {
    args.prompt.is_empty() && args.format == Format::Text && is_terminal()
}

/// `luge run` as a chat.
pub fn run_as_chat() -> Result<ChatJob, Failure> {
    chat(chat_args(&[])?.0)
}

pub fn chat(args: ChatArgs) -> Result<ChatJob, Failure> {
    let question = match args.question {
        Some(text) if text != "-" => Some(text),
        None if io::stdin().is_terminal() => None,
        _ => Some(stdin_text("question")?),
    };
    if question.as_deref().is_some_and(|question| question.trim().is_empty()) {
        return Err(Failure::Usage("the question is empty: there is nothing to answer".to_owned()));
    }
    if question.is_none() && (args.format != Format::Text || !is_terminal()) {
        return Err(Failure::Usage(
            "there is no question: give it behind the flags, or on standard input".to_owned(),
        ));
    }
    let template = match (args.chat_template, args.chat_template_file) {
        (Some(name), _) => TemplateChoice::Named(name),
        (None, Some(file)) => TemplateChoice::Text(fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            Failure::Run(format!("cannot read the chat template from '{file}': {error}"))
        })?),
        (None, None) => TemplateChoice::Model,
    };
    Ok(ChatJob {
        model: model(args.model, &args.context)?,
        question,
        system: args.system_prompt,
        template,
        variables: args.chat_template_kwargs.unwrap_or_default(),
        settings: ChatSettings {
            form: args.method.params.values.exit_form()?,
            method: method(args.method)?,
            options: GenerateOptions {
                grammar: grammar::grammar(args.grammar)?,
                ..options(args.sampling, &args.exits)
            },
            show_changes: args.show_changes,
            hide_thinking: args.hide_thinking,
        },
        history: !args.no_history,
        format: args.format,
    })
}

/// The settings of a chat that goes on, with some that were changed.
pub fn chat_settings(changed: &[(String, String)]) -> Result<ChatSettings, Failure> {
    let (args, _) = chat_args(changed)?;
    let params = &args.method.params;
    Ok(ChatSettings {
        form: params.values.exit_form()?,
        // One that the method lacks waits for a method that has it.
        method: methods(&[&args.method.method], params, &all_params())?.remove(0),
        options: GenerateOptions {
            grammar: grammar::grammar(args.grammar)?,
            ..options(args.sampling, &args.exits)
        },
        show_changes: args.show_changes,
        hide_thinking: args.hide_thinking,
    })
}

/// What can be set in a chat, and what it is set to.
pub fn chat_values(changed: &[(String, String)]) -> Result<Vec<ChatSetting>, Failure> {
    Ok(chat_args(changed)?.1)
}

/// Methods to compare in a chat, with the parameters that are set.
pub fn chat_methods(
    list: Option<&str>,
    changed: &[(String, String)],
) -> Result<Vec<(String, Method)>, Failure> {
    let (args, _) = chat_args(changed)?;
    let texts = Pipeline::split_list(list.unwrap_or("greedy,dola,sled"))?;
    let pipelines = methods(&texts, &args.method.params, &all_params())?;
    Ok(texts.iter().map(|text| text.trim().to_owned()).zip(pipelines).collect())
}

fn chat_args(changed: &[(String, String)]) -> Result<(ChatArgs, Vec<ChatSetting>), Failure> {
    settings::parse_chat(std::env::args_os(), changed)
}

fn all_params() -> Vec<&'static str> {
    METHODS.iter().flat_map(|method| method.params).map(|param| param.name).collect()
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

pub fn score(args: ScoreArgs) -> Result<ScoreJob, Failure> {
    let pair = match (args.prompt, args.continuation, args.prompt_ids, args.continuation_ids) {
        (Some(prompt), Some(continuation), None, None) => Pair::Texts(prompt, continuation),
        (None, None, Some(prompt), Some(continuation)) => Pair::Ids(prompt.0, continuation.0),
        _ => {
            return Err(Failure::Usage(
                "give prompt and continuation both as texts or both as ids".to_owned(),
            ));
        }
    };
    Ok(ScoreJob {
        model: model(args.model, &args.context)?,
        pair,
        method: method(args.method)?,
        format: args.format,
    })
}

pub fn compare(args: CompareArgs) -> Result<CompareJob, Failure> {
    let methods = named_methods(&args.methods, &args.params)?;
    let prompt = match args.prompt {
        none if args.interactive && none.is_empty() => None,
        all if args.interactive && all.is_stdin() => {
            return Err(Failure::Usage(
                "'-' reads all of standard input, and --interactive a prompt a line: leave out \
                 one of them"
                    .to_owned(),
            ));
        }
        given => Some(prompt(given)?),
    };
    Ok(CompareJob {
        model: model(args.model, &args.context)?,
        prompt,
        methods,
        options: GenerateOptions {
            grammar: grammar::grammar(args.grammar)?,
            ..options(args.sampling, &args.exits)
        },
        show_layers: args.show_layers,
        interactive: args.interactive,
        format: args.format,
    })
}

/// Parameters that say what the lens shows, whatever the method does with them.
const LENS_PARAMS: [&str; 3] = ["layers", "exit-norm", "exit-softcap"];

pub fn lens(args: LensArgs) -> Result<LensJob, Failure> {
    let params = &args.method.params;
    let layers = params.values.get("layers").map_or(Ok(LayerSelection::All), str::parse)?;
    if args.html.is_some() && args.html == args.svg {
        return Err(Failure::Usage("--html and --svg name the same file: give two".to_owned()));
    }
    let has_file = args.html.is_some() || args.svg.is_some();
    let grammar = grammar::grammar(args.grammar)?;
    if grammar.is_some() && args.sampling.predict == 0 {
        return Err(Failure::Usage(
            "a grammar is for what is generated, which is nothing: give a number of tokens with -n"
                .to_owned(),
        ));
    }
    Ok(LensJob {
        form: params.values.exit_form()?,
        layers,
        method: methods(&[&args.method.method], params, &LENS_PARAMS)?.remove(0),
        prompt: prompt(args.prompt)?,
        model: model(args.model, &args.context)?,
        top: args.top as usize,
        pin: args.pin,
        pin_ids: args.pin_ids.map(|ids| ids.0).unwrap_or_default(),
        position: args.position,
        options: GenerateOptions { grammar, ..sampling(args.sampling) },
        html: args.html,
        svg: args.svg,
        format: args.format.or((!has_file).then_some(LensFormat::Text)),
    })
}

pub fn bench(args: BenchArgs) -> Result<BenchJob, Failure> {
    let methods = named_methods(&args.methods, &args.params)?;
    if args.sampling.predict == 0 {
        return Err(Failure::Usage(
            "-n 0 leaves nothing to measure: give a number of tokens".to_owned(),
        ));
    }
    let rounds = args.rounds as usize;
    let mut options = options(args.sampling, &args.exits);
    // Where a text ends behind random tokens is an accident.
    options.ignore_eos |= args.prompts.is_none();
    Ok(BenchJob {
        prompts: match args.prompts {
            None => BenchPrompts::Random(args.n_prompt as usize),
            Some(file) => {
                let prompts = spread(prompts(&file)?, rounds);
                BenchPrompts::File(file, prompts)
            }
        },
        model: model(args.model, &args.context)?,
        methods,
        rounds,
        options,
        format: args.format,
    })
}

/// A list of methods, each as it was written, and parsed.
fn named_methods(list: &str, params: &MethodParams) -> Result<Vec<(String, Method)>, Failure> {
    let texts = Pipeline::split_list(list)?;
    let methods = methods(&texts, params, &[])?;
    let names = texts.iter().map(|text| text.trim().to_owned());
    Ok(names.zip(methods).collect())
}

fn method(args: MethodArgs) -> Result<Method, Failure> {
    Ok(methods(&[&args.method], &args.params, &[])?.remove(0))
}

/// The methods, each with the parameters that it has. A flag that none of them has
/// would do nothing, unless it is one of `also`, which the command itself has a use
/// for: that is refused. Settings from elsewhere wait for a method that has them.
fn methods(texts: &[&str], params: &MethodParams, also: &[&str]) -> Result<Vec<Method>, Failure> {
    let mut used: Vec<&MethodInfo> = Vec::new();
    for text in texts {
        used.extend(Pipeline::methods(text)?);
    }
    let is_used =
        |name: &str| also.contains(&name) || used.iter().any(|method| method.has_param(name));
    let mut given = params.values.names().filter(|name| params.given.has(name));
    if let Some(idle) = given.find(|name| !is_used(name)) {
        let owners = METHODS.iter().filter(|method| method.has_param(idle));
        let owners: Vec<_> = owners.map(|method| method.name).collect();
        return Err(Failure::Usage(format!(
            "--{idle} is a parameter of {} and does nothing for {}",
            owners.join(", "),
            texts.join(", "),
        )));
    }
    let has_sled = |methods: &[&MethodInfo]| methods.iter().any(|method| method.name == SLED);
    let is_flag = params.given.has(PRESET);
    if params.preset.is_some() && is_flag && !has_sled(&used) {
        return Err(Failure::Usage(format!(
            "--{PRESET} is about {SLED} and does nothing for {}",
            texts.join(", "),
        )));
    }
    let mut methods = Vec::new();
    for text in texts {
        let preset = params.preset.filter(|_| Pipeline::methods(text).is_ok_and(|m| has_sled(&m)));
        methods.push(Method {
            pipeline: Pipeline::parse(text, &params.values)?,
            preset: preset.map(|wanted| Preset {
                wanted,
                is_flag,
                text: (*text).to_owned(),
                params: params.values.clone(),
            }),
        });
    }
    Ok(methods)
}

fn model(args: ModelArgs, context: &ContextArgs) -> Result<ModelJob, Failure> {
    Ok(ModelJob {
        source: locate::source(args.model.as_deref(), args.fetch)?,
        params: ModelParams {
            gpu_layers: args.gpu_layers.0,
            mmap: !args.no_mmap,
            mlock: args.mlock,
        },
        session: SessionOptions {
            ctx_size: context.ctx_size,
            threads: context.threads,
            cache_type_k: context.cache_type_k,
            cache_type_v: context.cache_type_v,
            flash_attention: match context.flash_attn {
                FlashAttn::On => FlashAttention::On,
                FlashAttn::Off => FlashAttention::Off,
                FlashAttn::Auto => FlashAttention::Auto,
            },
        },
    })
}

fn options(args: SamplingArgs, exits: &ExitArgs) -> GenerateOptions {
    let exits = match exits.exits {
        Exits::Auto => ExitPolicy::Auto,
        Exits::Always => ExitPolicy::Always,
    };
    GenerateOptions { exits, ..sampling(args) }
}

fn sampling(args: SamplingArgs) -> GenerateOptions {
    let filters = [
        ("--top-k", args.given.has("top_k")),
        ("--top-p", args.given.has("top_p")),
        ("--min-p", args.given.has("min_p")),
    ];
    for (flag, _) in filters.iter().filter(|(_, given)| *given && args.temp == 0.0) {
        output::say(format_args!("{flag} does nothing at temperature 0; --temp sets another"));
    }
    let default = SamplerOptions::default();
    GenerateOptions {
        sampler: SamplerOptions {
            temperature: args.temp,
            top_k: args.top_k.unwrap_or(default.top_k),
            top_p: args.top_p.unwrap_or(default.top_p),
            min_p: args.min_p.unwrap_or(default.min_p),
            repeat_penalty: args.repeat_penalty,
            repeat_last_n: usize::try_from(args.repeat_last_n).unwrap_or(usize::MAX),
            frequency_penalty: args.frequency_penalty,
            presence_penalty: args.presence_penalty,
            logit_bias: args.logit_bias.iter().map(|bias| (bias.token, bias.bias)).collect(),
            // 32 random bits: enough, and exact in every JSON reader.
            seed: u64::try_from(args.seed).unwrap_or_else(|_| RandomState::new().hash_one(0) >> 32),
        },
        max_tokens: usize::try_from(args.predict).ok(),
        stop: args.stop,
        ignore_eos: args.ignore_eos,
        ..GenerateOptions::default()
    }
}

fn prompt(args: PromptArgs) -> Result<Prompt, Failure> {
    if let Some(ids) = args.prompt_ids {
        return Ok(Prompt::Ids(ids.0));
    }
    if let Some(file) = args.file {
        let text = fs::read_to_string(&file).map_err(|error| {
            Failure::Run(format!("cannot read the prompt from '{}': {error}", file.display()))
        })?;
        return Ok(Prompt::Text(without_last_line_break(text)));
    }
    match args.prompt.or(args.prompt_flag) {
        Some(text) if text != "-" => Ok(Prompt::Text(text)),
        None if io::stdin().is_terminal() => Err(Failure::Usage(
            "there is no prompt: give it behind the flags, with --file, or on standard input"
                .to_owned(),
        )),
        _ => Ok(Prompt::Text(stdin_text("prompt")?)),
    }
}

/// All of standard input, which is a `what`, without the last line break.
fn stdin_text(what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::Run(format!("cannot read the {what} from standard input: {error}"))
    })?;
    Ok(without_last_line_break(text))
}

/// The prompts of a file: one a line, or a line of JSON each. Empty lines are
/// passed over.
fn prompts(file: &Path) -> Result<Vec<FilePrompt>, Failure> {
    let failed = |what: String| {
        Failure::Run(format!("cannot read prompts from '{}': {what}", file.display()))
    };
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let is_json = file.extension().is_some_and(|extension| extension == "jsonl");
    let mut prompts = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let text = std::str::from_utf8(bytes.strip_suffix(b"\r").unwrap_or(bytes))
            .map_err(|_| failed(format!("line {line} is not UTF-8")))?;
        if text.trim().is_empty() {
            continue;
        }
        let text = if is_json {
            let object: Option<serde_json::Value> = serde_json::from_str(text).ok();
            let prompt = object.as_ref().and_then(|object| object.get("prompt")?.as_str());
            let wrong = || format!("line {line} is no JSON object with a text named \"prompt\"");
            prompt.ok_or_else(|| failed(wrong()))?.to_owned()
        } else {
            text.to_owned()
        };
        prompts.push(FilePrompt { line, text });
    }
    if prompts.is_empty() {
        return Err(failed("it holds none; write one a line".to_owned()));
    }
    Ok(prompts)
}

/// No more prompts than so many, from all over the list.
fn spread(prompts: Vec<FilePrompt>, most: usize) -> Vec<FilePrompt> {
    let count = prompts.len();
    let mut places = (0..most.min(count)).map(|number| number * count / most.min(count)).peekable();
    let all = prompts.into_iter().enumerate();
    all.filter_map(|(place, prompt)| places.next_if_eq(&place).map(|_| prompt)).collect()
}

fn without_last_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_taken_from_all_over_a_list() {
        let taken = |count: usize, most: usize| -> Vec<usize> {
            let prompts = (0..count).map(|line| FilePrompt { line, text: String::new() }).collect();
            spread(prompts, most).iter().map(|prompt| prompt.line).collect()
        };
        assert_eq!(taken(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(taken(7, 3), [0, 2, 4]);
        assert_eq!(taken(3, 3), [0, 1, 2]);
        assert_eq!(taken(2, 5), [0, 1]);
    }
}
