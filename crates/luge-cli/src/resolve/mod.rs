//! From the command line to jobs: defaults filled in, prompts read, methods
//! parsed and checked. Nothing is loaded yet.

pub mod chat;
pub mod eval;
mod grammar;
mod method;
mod prompt;
pub mod serve;
pub mod tune;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use luge::{
    ExitForm, ExitPolicy, FlashAttention, GenerateOptions, LayerSelection, ModelParams,
    SamplerOptions, SessionOptions,
};

use crate::args::{
    BenchArgs, ChoiceArgs, CompareArgs, ContextArgs, ExitArgs, Exits, FlashAttn, Format, LensArgs,
    LensFormat, ModelArgs, RunArgs, SamplingArgs, ScoreArgs,
};
use crate::failure::Failure;
use crate::locate::{self, Source};
use crate::output;
pub use chat::{ChatJob, ChatSettings, Template, TemplateChoice};
pub use eval::{Eval, EvalJob, EvalMergeJob};
pub use method::Method;
use method::{method, methods, named_methods};
pub use prompt::{FilePrompt, Prompt};
use prompt::{prompt, prompts, spread};
pub use serve::ServeJob;
pub use tune::TuneJob;

/// A model to load and how to set it up.
pub struct ModelJob {
    pub source: Source,
    pub params: ModelParams,
    pub session: SessionOptions,
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
    let methods = named_methods(&args.methods, &args.params, &[])?;
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
    let methods = named_methods(&args.methods, &args.params, &[])?;
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
            ..SessionOptions::default()
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

/// A seed by chance: 32 bits, which are enough, and exact in every JSON reader.
pub fn drawn_seed() -> u64 {
    RandomState::new().hash_one(0) >> 32
}

fn sampling(args: SamplingArgs) -> GenerateOptions {
    GenerateOptions {
        sampler: SamplerOptions {
            seed: u64::try_from(args.seed).unwrap_or_else(|_| drawn_seed()),
            ..choice(args.choice)
        },
        max_tokens: usize::try_from(args.predict).ok(),
        stop: args.stop,
        ignore_eos: args.ignore_eos,
        ..GenerateOptions::default()
    }
}

/// How tokens are chosen, but for the seed.
fn choice(args: ChoiceArgs) -> SamplerOptions {
    let filters = [
        ("--top-k", args.given.has("top_k")),
        ("--top-p", args.given.has("top_p")),
        ("--min-p", args.given.has("min_p")),
    ];
    for (flag, _) in filters.iter().filter(|(_, given)| *given && args.temp == 0.0) {
        output::say(format_args!("{flag} does nothing at temperature 0; --temp sets another"));
    }
    let default = SamplerOptions::default();
    SamplerOptions {
        temperature: args.temp,
        top_k: args.top_k.unwrap_or(default.top_k),
        top_p: args.top_p.unwrap_or(default.top_p),
        min_p: args.min_p.unwrap_or(default.min_p),
        repeat_penalty: args.repeat_penalty,
        repeat_last_n: usize::try_from(args.repeat_last_n).unwrap_or(usize::MAX),
        frequency_penalty: args.frequency_penalty,
        presence_penalty: args.presence_penalty,
        logit_bias: args.logit_bias.iter().map(|bias| (bias.token, bias.bias)).collect(),
        seed: default.seed,
    }
}
