//! Text that keeps to a grammar, on the tiny models of the parity set, whose tokens are
//! words such as " w5", characters and bytes, and on the model that is built in.

mod ends;
mod exits;
mod json;
mod properties;
mod refusals;
mod special;

use std::path::Path;

use luge::{
    Completion, Decoder, ExitPolicy, FinishReason, GenerateOptions, Grammar, Model, ModelParams,
    Pipeline, SamplerOptions, Session, SessionOptions,
};
use regex::Regex;

const METHODS: [&str; 5] = ["greedy", "sled", "dola", "ensemble", "sled+dola"];
const MODELS: [&str; 3] = ["llama", "gemma2", "gpt2"];

/// A prompt for any of them.
const PROMPT: [u32; 6] = [26, 52, 15, 34, 17, 12];

/// Regular expressions that leave more or less to choose from, all of them with an end.
const EXPRESSIONS: [&str; 6] = [
    "yes|no|maybe",
    "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "( w[0-9]+){1,6}\\.",
    "[^\"\\\\\\x00-\\x1f]{0,12}",
    "(a|b)*c{1,3}",
    "é{1,2}(€|😀)?",
];

fn model(name: &str) -> Model {
    #[cfg(feature = "atlas")]
    if name == "atlas" {
        return luge::builtin::load(&ModelParams::default()).unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    Model::load(&folder.join(format!("{name}.gguf")), &ModelParams::default()).unwrap()
}

/// All models there are.
fn models() -> Vec<&'static str> {
    let built_in = if cfg!(feature = "atlas") { &["atlas"][..] } else { &[] };
    [&MODELS[..], built_in].concat()
}

/// A session on one thread: tests run side by side.
fn session(model: &Model) -> Session {
    let options =
        SessionOptions { ctx_size: Some(128), threads: Some(1), ..SessionOptions::default() };
    Session::new(model, &options).unwrap()
}

fn decoder(session: &Session, method: &str) -> Decoder {
    session.decoder(&method.parse::<Pipeline>().unwrap()).unwrap()
}

fn with(grammar: Grammar) -> GenerateOptions {
    GenerateOptions { grammar: Some(grammar), max_tokens: Some(60), ..GenerateOptions::default() }
}

fn regex(text: &str) -> GenerateOptions {
    with(Grammar::regex(text).unwrap())
}

fn lark(text: &str) -> GenerateOptions {
    with(Grammar::lark(text).unwrap())
}

fn schema(text: &str) -> GenerateOptions {
    with(Grammar::json_schema(text).unwrap())
}

fn generate(session: &mut Session, method: &str, options: &GenerateOptions) -> Completion {
    let decoder = decoder(session, method);
    session.generate(&decoder, &PROMPT, options).unwrap().finish().unwrap()
}

/// The best token, and others by luck, with filters and penalties or without.
fn samplers() -> Vec<SamplerOptions> {
    let sampled =
        |temperature, seed| SamplerOptions { temperature, seed, ..SamplerOptions::default() };
    let all = SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..sampled(1.5, 5) };
    let penalised = SamplerOptions { repeat_penalty: 1.3, ..SamplerOptions::default() };
    vec![SamplerOptions::default(), sampled(0.8, 3), all, penalised]
}

/// Whether a regular expression matches the whole of a text.
fn matches(expression: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(text)
}

/// What a completion says, apart from how long it took and what was computed.
fn told(completion: Completion) -> (Vec<u32>, String, FinishReason, Vec<usize>) {
    (completion.tokens, completion.text, completion.finish_reason, completion.changed)
}
