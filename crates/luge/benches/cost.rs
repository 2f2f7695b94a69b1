//! What decoding with luge costs, against llama.cpp alone in the same process.
//!
//! ```text
//! cargo bench --bench cost -- MODEL.gguf [ROUNDS] [TOKENS]
//! ```
//!
//! The bare loop is what a minimal llama.cpp program does: decode one token,
//! take the best logit, decode that. Every contestant continues the same prompt
//! for the same number of tokens, in turns, so that a machine whose speed drifts
//! treats all alike; ratios are taken round by round and their median is shown.
//! Few tokens and many rounds serve that best. Nothing is skipped: exits are
//! computed at every position.
//! The second table says where a SLED step's time goes.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use luge::{ExitPolicy, GenerateOptions, Model, ModelParams, Pipeline, Session, SessionOptions};
use luge_decoding::{LayerSums, top_k};
use luge_llama::bench::BareLoop;
use luge_llama::{Batch, Context, ContextParams, ExitSpec, ExitTile};

const PROMPT_LENGTH: u32 = 32;
const CTX_SIZE: u32 = 512;

/// Between contestants. Worker threads wait for work by spinning, for a tenth of
/// a second: the next contestant must not pay for the last one's.
const PAUSE: Duration = Duration::from_millis(300);
const METHODS: [&str; 5] = ["greedy", "sled(evolution-rate=0)", "sled", "dola", "ensemble"];

fn main() {
    // Cargo adds `--bench` to what it passes on.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/parity/llama.gguf");
    let path = PathBuf::from(args.next().unwrap_or_else(|| own.to_owned()));
    let mut number = |default: usize| {
        args.next().map_or(default, |text| text.parse().expect("ROUNDS and TOKENS are numbers"))
    };
    let (rounds, tokens) = (number(9), number(24));
    let threads = num_threads();

    let model = Model::load(&path, &ModelParams::default()).expect("the model loads");
    let vocab = model.n_vocab() as u32;
    // Another prompt in each round, so that no KV cache holds it already.
    let prompt = |round: usize| -> Vec<u32> {
        let token = |index: u32| 5 + (index * 7 + round as u32) % (vocab - 5);
        (0..PROMPT_LENGTH).map(token).collect()
    };
    println!(
        "{}: {} blocks, vocabulary {vocab}, {threads} threads, {rounds} rounds of {tokens} tokens",
        path.display(),
        model.n_layers(),
    );

    let mut bare = BareLoop::new(&path, CTX_SIZE, threads).expect("it loads");
    let options =
        SessionOptions { ctx_size: Some(CTX_SIZE), threads: Some(threads), ..Default::default() };
    let mut sessions: Vec<_> = METHODS
        .iter()
        .map(|text| {
            let session = Session::new(&model, &options).expect("a session");
            let pipeline: Pipeline = text.parse().expect("a method");
            let decoder = session.decoder(&pipeline).expect("a decoder");
            (session, decoder)
        })
        .collect();
    let generate = GenerateOptions {
        max_tokens: Some(tokens + 1),
        exits: ExitPolicy::Always,
        ..GenerateOptions::default()
    };

    // One round more, not counted, to fault in the model's pages. Who begins
    // changes from round to round: after a pause a processor may run faster.
    let contestants = METHODS.len() + 1;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contestants];
    for round in 0..=rounds {
        let prompt = prompt(round);
        for turn in 0..contestants {
            let place = (round + turn) % contestants;
            std::thread::sleep(PAUSE);
            let time = match place.checked_sub(1) {
                None => {
                    bare.run(&prompt, tokens).expect("it decodes").as_secs_f64() / tokens as f64
                }
                Some(method) => {
                    let (session, decoder) = &mut sessions[method];
                    let generation =
                        session.generate(decoder, &prompt, &generate).expect("it generates");
                    let done = generation.finish().expect("it generates");
                    // The first token comes with the prompt.
                    let computed = done.tokens.len().saturating_sub(1).max(1);
                    done.timings.decode.as_secs_f64() / computed as f64
                }
            };
            if round > 0 {
                times[place].push(time);
            }
        }
    }

    println!("\n{:26}{:>12}{:>14}", "", "ms a token", "speed of bare");
    for (name, own) in std::iter::once(&"bare llama.cpp").chain(&METHODS).zip(&times) {
        let ratios = times[0].iter().zip(own).map(|(bare, own)| bare / own).collect();
        println!("{name:26}{:>12.3}{:>14.3}", median(own.clone()) * 1e3, median(ratios));
    }
    breakdown(&model, threads, &prompt(0), rounds, tokens);
}

/// One decode step in parts: the transformer, the exits alone and with SLED's
/// sums. As in the rounds above, several steps behind a prompt, the first of them
/// not counted.
fn breakdown(model: &Model, threads: u32, prompt: &[u32], rounds: usize, tokens: usize) {
    let params = ContextParams { n_ctx: CTX_SIZE, threads, ..ContextParams::default() };
    let mut context = Context::new(model, &params).expect("a context");
    let layers: Vec<usize> = (0..model.n_layers()).collect();
    let spec = ExitSpec { layers: layers.clone(), final_norm: false, softcap: true };
    context.set_exits(&spec).expect("the exits are to be had");

    let mut parts: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        std::thread::sleep(PAUSE);
        context.clear();
        context.decode(&Batch::run(prompt, 0, 0, |_| false)).expect("it decodes");
        for step in 0..=tokens {
            let position = PROMPT_LENGTH + step as u32;
            let decode = timed(|| {
                context.decode(&Batch::run(&[7], position, 0, |_| true)).expect("it decodes");
            });
            let last = context.logits(0).to_vec();
            let select = timed(|| {
                black_box(top_k(&last, 10));
            });
            let exits = timed(|| {
                context
                    .visit_exits(0, &|tile| {
                        black_box(tile.exit(0));
                    })
                    .expect("the exits");
            });
            let sums = timed(|| {
                let sum = |tile: ExitTile<'_>| {
                    for place in 0..layers.len() {
                        let exit = tile.exit(place);
                        let last = &last[tile.start()..][..exit.len()];
                        black_box(LayerSums::of(exit, last));
                    }
                };
                context.visit_exits(0, &sum).expect("the exits");
            });
            if step > 0 {
                for (part, time) in parts.iter_mut().zip([decode, select, exits, sums]) {
                    part.push(time.as_secs_f64());
                }
            }
        }
    }
    println!("\n{:26}{:>12}", "a step of SLED", "ms");
    let names = ["transformer, with taps", "top-k", "exits alone", "exits with SLED's sums"];
    for (name, part) in names.iter().zip(parts) {
        println!("{name:26}{:>12.3}", median(part) * 1e3);
    }
    println!("{:26}{:>9.1} MB", "memory for exits", context.exit_memory() as f64 / 1e6);
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn num_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32)
}
