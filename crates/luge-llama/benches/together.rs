//! The exits of a step of several texts: all in one product, against one a text.
//!
//! ```text
//! cargo bench -p luge-llama --bench together -- MODEL.gguf [ROUNDS]
//! ```
//!
//! A batch has one token each of 1, 4 and 16 texts; all layers' exits are wanted at
//! each. The two ways take turns, so that a machine whose speed drifts treats both
//! alike; ratios are taken round by round, and medians are shown.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use luge_llama::{
    Batch, BatchToken, Context, ContextParams, ExitsAt, HeadForm, Model, ModelParams,
};

const TEXTS: [usize; 3] = [1, 4, 16];

fn main() {
    // Cargo adds `--bench` to what it passes on.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/atlas/atlas.gguf");
    let path = PathBuf::from(args.next().unwrap_or_else(|| own.to_owned()));
    let rounds: usize = args.next().map_or(11, |text| text.parse().expect("ROUNDS is a number"));
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);

    let model = Model::load(&path, &ModelParams::default()).expect("the model loads");
    let most = TEXTS[TEXTS.len() - 1] as u32;
    let params = ContextParams { n_ctx: 256, threads, n_sequences: most, ..Default::default() };
    let mut context = Context::new(&model, &params).expect("a context");
    let layers: Vec<usize> = (0..model.n_layers()).collect();
    context.set_exit_layers(&layers).expect("the exits are to be had");
    let form = HeadForm { final_norm: false, softcap: true };
    println!(
        "{}: {} exits at each token, vocabulary {}, {threads} threads, {rounds} rounds",
        path.display(),
        layers.len(),
        model.n_vocab(),
    );
    println!("{:>6}{:>14}{:>14}{:>10}", "texts", "ms apart", "ms together", "ratio");

    for texts in TEXTS {
        context.clear();
        let mut batch = Batch::new();
        for text in 0..texts as u32 {
            let sequences = text..text + 1;
            batch.push(BatchToken { token: 5 + text, position: 0, sequences, output: true });
        }
        context.decode(&batch).expect("it decodes");
        let all: Vec<_> = (0..texts).map(|index| ExitsAt { index, layers: &layers }).collect();
        let mut timed = |wanted: &[&[ExitsAt<'_>]]| {
            let start = Instant::now();
            for wanted in wanted {
                let look = |tile: luge_llama::ExitTile<'_>| {
                    black_box(tile.exit(tile.exits().start));
                };
                context.visit_exits_at(form, wanted, &look).expect("the exits");
            }
            start.elapsed().as_secs_f64()
        };
        let apart: Vec<_> = all.chunks(1).collect();
        let mut times = [Vec::new(), Vec::new()];
        // One round more, not counted; who begins changes from round to round.
        for round in 0..=rounds {
            let mut pair = [0.0; 2];
            for turn in [round % 2, (round + 1) % 2] {
                pair[turn] = if turn == 0 { timed(&apart) } else { timed(&[&all]) };
            }
            if round > 0 {
                times.iter_mut().zip(pair).for_each(|(times, time)| times.push(time));
            }
        }
        let ratios = times[0].iter().zip(&times[1]).map(|(apart, together)| apart / together);
        let ratio = median(ratios.collect());
        let [apart, together] = times.map(|times| median(times) * 1e3);
        println!("{texts:>6}{apart:>14.3}{together:>14.3}{ratio:>10.3}");
    }
    println!("{:.1} MB held for exits", context.exit_memory() as f64 / 1e6);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
