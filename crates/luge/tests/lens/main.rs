//! The lens: its numbers against a literal recomputation in float64 from the layers'
//! logits, and what they may depend on, and what not.

mod architectures;
mod errors;
mod generations;
mod given_texts;
mod named_tokens;
mod numbers;
mod paths;
mod settling;
mod traces;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use luge::lens::CHUNK;
use luge::{
    CacheType, Completion, Decoder, DecodingError, Error, ExitForm, ExitNorm, ExitPolicy,
    FinishReason, FlashAttention, GenerateOptions, LayerSelection, Lens, LensOptions, LensPosition,
    LlamaError, Model, ModelParams, Opinion, Pipeline, SamplerOptions, Session, SessionOptions,
    Trace, Votes,
};
use luge_llama::{Batch, Context, ContextParams, ExitSpec, Gguf};

const METHODS: [&str; 5] = ["greedy", "sled", "dola", "ensemble", "sled+dola"];
const MODELS: [&str; 3] = ["llama", "gemma2", "gpt2"];
/// With atlas, whose head is Q8_0 and whose vocabulary is several tiles.
const ALL_MODELS: [&str; 4] = ["llama", "gemma2", "gpt2", "atlas"];

/// A text of the small models.
const A: [u32; 6] = [26, 52, 15, 34, 17, 12];

/// Three ways of reading an exit.
const FORMS: [ExitForm; 3] = [
    ExitForm { norm: ExitNorm::Raw, softcap: true },
    ExitForm { norm: ExitNorm::Raw, softcap: false },
    ExitForm { norm: ExitNorm::Final, softcap: true },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(path: &Path) -> Model {
    Model::load(path, &ModelParams::default()).unwrap()
}

fn model(name: &str) -> Model {
    match name {
        "atlas" => load(&root().join("models/atlas/atlas.gguf")),
        name => load(&root().join(format!("testdata/parity/{name}.gguf"))),
    }
}

fn architecture(name: &str) -> Model {
    load(&root().join(format!("testdata/architectures/{name}.gguf")))
}

/// A session that rounds as little as it can, on so many threads.
fn session_on(model: &Model, ctx_size: u32, threads: u32) -> Session {
    let options = SessionOptions {
        ctx_size: Some(ctx_size),
        threads: Some(threads),
        cache_type_k: CacheType::F32,
        cache_type_v: CacheType::F32,
        flash_attention: FlashAttention::Off,
        ..SessionOptions::default()
    };
    Session::new(model, &options).unwrap()
}

/// A session on one thread: tests run side by side.
fn session_of(model: &Model, ctx_size: u32) -> Session {
    session_on(model, ctx_size, 1)
}

fn session(name: &str) -> Session {
    session_of(&model(name), 128)
}

fn decoder(session: &Session, method: &str) -> Decoder {
    session.decoder(&method.parse::<Pipeline>().unwrap()).unwrap()
}

fn layers(text: &str) -> LayerSelection {
    text.parse().unwrap()
}

/// Options with all there is to see.
fn everything() -> LensOptions {
    LensOptions { pinned: vec![7, 50, 7, 0, 103], paths: true, ..LensOptions::default() }
}

fn look(
    session: &mut Session,
    method: &str,
    options: &LensOptions,
    text: &[u32],
    positions: Range<usize>,
) -> Vec<LensPosition> {
    let decoder = decoder(session, method);
    let lens = session.lens(&decoder, options).unwrap();
    let mut seen = Vec::new();
    session.look(&lens, text, positions, |position| seen.push(position)).unwrap();
    seen
}

fn look_at_all(session: &mut Session, method: &str, text: &[u32]) -> Vec<LensPosition> {
    look(session, method, &everything(), text, 0..text.len())
}

fn tokens(count: usize) -> GenerateOptions {
    GenerateOptions { max_tokens: Some(count), ignore_eos: true, ..GenerateOptions::default() }
}

fn generate(session: &mut Session, method: &str, text: &[u32]) -> Completion {
    let decoder = decoder(session, method);
    session.generate(&decoder, text, &tokens(12)).unwrap().finish().unwrap()
}

/// What a completion says, apart from how long it took.
fn told(completion: Completion) -> (Vec<u32>, String, FinishReason, Vec<usize>) {
    (completion.tokens, completion.text, completion.finish_reason, completion.changed)
}

/// A text that looks random and is the same every time.
fn noise(model: &Model, count: u32) -> Vec<u32> {
    let word = |number: u32| number.wrapping_mul(2_654_435_761) >> 12;
    (1..=count).map(|number| 3 + word(number) % (model.n_vocab() as u32 - 3)).collect()
}

/// z_0 … z_L at each token of a text, which is computed at once, from the engine
/// itself: `[tokens][layers + 1][vocab]`.
fn layer_logits(model: &Model, form: ExitForm, text: &[u32]) -> Vec<Vec<Vec<f32>>> {
    let params = ContextParams {
        n_ctx: 128,
        type_k: CacheType::F32,
        type_v: CacheType::F32,
        flash_attention: FlashAttention::Off,
        ..ContextParams::default()
    };
    let mut context = Context::new(model, &params).unwrap();
    let spec = ExitSpec {
        layers: (0..model.n_layers()).collect(),
        final_norm: form.norm == ExitNorm::Final,
        softcap: form.softcap,
    };
    context.set_exits(&spec).unwrap();
    context.decode(&Batch::run(text, 0, 0, |_| true)).unwrap();
    let at = |index: usize| {
        let exits = context.exit_logits(index).unwrap().chunks(model.n_vocab());
        let mut rows: Vec<Vec<f32>> = exits.map(<[f32]>::to_vec).collect();
        rows.push(context.logits(index).to_vec());
        rows
    };
    (0..text.len()).map(at).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let wide = logits.iter().map(|&logit| f64::from(logit));
    let largest = wide.clone().fold(f64::NEG_INFINITY, f64::max);
    let norm = largest + wide.clone().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    wide.map(|logit| logit - norm).collect()
}

/// −Σ p ln p.
fn entropy(log_p: &[f64]) -> f64 {
    log_p.iter().map(|log_p| -log_p.exp() * log_p).sum()
}

/// ½[KL(M‖p) + KL(M‖q)], M = (p + q)/2.
fn divergence(log_p: &[f64], log_q: &[f64]) -> f64 {
    let m = log_p.iter().zip(log_q).map(|(p, q)| (p.exp() + q.exp()) / 2.0);
    let from = |log_p: &[f64]| -> f64 {
        m.clone().zip(log_p).map(|(m, log_p)| m * (m.ln() - log_p)).sum()
    };
    (from(log_p) + from(log_q)) / 2.0
}

/// The vocabulary, the most probable first, of equal ones the lower number.
fn ranked(logits: &[f32]) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    tokens.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).unwrap());
    tokens
}

/// m(n,i) = max(0, cos(z_n − z_L, p_n − e_i))².
fn vote(exit: &[f32], last: &[f32], token: u32) -> f64 {
    let d: Vec<f64> = exit.iter().zip(last).map(|(z, l)| f64::from(*z) - f64::from(*l)).collect();
    let mut towards: Vec<f64> = log_softmax(exit).into_iter().map(f64::exp).collect();
    towards[token as usize] -= 1.0;
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let norms = dot(&d, &d).sqrt().max(1e-8) * dot(&towards, &towards).sqrt().max(1e-8);
    (dot(&d, &towards) / norms).max(0.0).powi(2)
}

fn first(opinion: &Opinion) -> u32 {
    opinion.top[0].token.id
}

fn final_row(position: &LensPosition) -> &Opinion {
    position.layers.last().unwrap()
}

fn votes(position: &LensPosition) -> &Votes {
    match &position.traces[0] {
        Trace::Votes(votes) => votes,
        Trace::Contrast { .. } => panic!("{:?}", position.traces),
    }
}

#[track_caller]
fn assert_near(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() <= tolerance, "{what}: {a} and {b}");
}

/// Two readings of one position, which rounding may tell apart: probabilities by so
/// large a part of them, entropies and divergences by so many nats.
#[track_caller]
fn assert_rows(a: &[Opinion], b: &[Opinion], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        let what = format!("{what}, layer {}", a.layer);
        assert_eq!(a.layer, b.layer, "{what}");
        assert_near(a.entropy, b.entropy, tolerance, &format!("{what}: entropy"));
        assert_near(a.jsd_to_final, b.jsd_to_final, tolerance, &format!("{what}: divergence"));
        assert_eq!(a.top.len(), b.top.len(), "{what}");
        for (rank, (own, other)) in a.top.iter().zip(&b.top).enumerate() {
            assert_near(own.prob.ln(), other.prob.ln(), tolerance, &what);
            // Those that rounding swaps are as near to each other; of the last the
            // other may not be shown.
            let is_tied = |with: usize| match a.top.get(with) {
                Some(next) => (next.prob / own.prob).ln().abs() <= 2.0 * tolerance,
                None => with == a.top.len(),
            };
            let tied = is_tied(rank + 1) || is_tied(rank.wrapping_sub(1));
            assert!(own.token == other.token || tied, "{what}: {own:?} and {other:?}");
        }
        assert_eq!(a.pinned.len(), b.pinned.len(), "{what}");
        for (a, b) in a.pinned.iter().zip(&b.pinned) {
            assert_eq!(a.candidate.token, b.candidate.token, "{what}");
            assert_near(a.candidate.prob.ln(), b.candidate.prob.ln(), tolerance, &what);
            // Others that are as near may come in between.
            let between = if tolerance > TIGHT { a.rank / 10 + 1 } else { 1 };
            assert!(a.rank.abs_diff(b.rank) <= between, "{what}: {a:?} and {b:?}");
        }
    }
}

/// Rounding that decides nothing in these tests.
const TIGHT: f64 = 1e-3;

#[track_caller]
fn assert_close(a: &[LensPosition], b: &[LensPosition], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        let what = format!("{what}, position {}", a.position);
        assert_eq!((a.position, a.generated), (b.position, b.generated), "{what}");
        assert_eq!((&a.token, &a.next), (&b.token, &b.next), "{what}");
        assert_rows(&a.layers, &b.layers, tolerance, &what);
        // Where candidates tie, the best of them are as probable.
        assert_near(a.before.prob, b.before.prob, tolerance, &what);
        if tolerance <= TIGHT {
            assert_eq!(a.settling_depth, b.settling_depth, "{what}");
            assert_eq!(a.before.token, b.before.token, "{what}");
            assert_eq!(a.after.token, b.after.token, "{what}");
            assert_near(a.after.prob, b.after.prob, 10.0 * tolerance, &what);
            let ids = |position: &LensPosition| -> Vec<u32> {
                position.paths.iter().map(|path| path.token.id).collect()
            };
            assert_eq!(ids(a), ids(b), "{what}");
        }
    }
}

/// Which rounding there is between two ways of computing a text.
fn tolerance(name: &str) -> f64 {
    match name {
        // GELU is a table of F16 numbers; hidden states are rounded to 8 bits.
        "gpt2" | "atlas" => 2e-2,
        _ => TIGHT,
    }
}
