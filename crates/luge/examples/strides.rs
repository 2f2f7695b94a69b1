//! Do fewer exits choose other tokens? SLED with strided layer sets against SLED
//! with all of them.
//!
//! ```sh
//! cargo run --release -p luge --example strides             # the built-in model
//! cargo run --release -p luge --example strides -- MODEL    # another
//! ```
//!
//! Every question of models/atlas is continued by SLED with all exits. At each
//! position of that text, each layer set then says which token it would choose.
//! Prints Markdown: how many exits a set has, the share of tokens that are those of
//! all exits, and of the tokens that all exits change from the final layer's choice,
//! the share that the set changes to the same. What it saves in time is for
//! `luge bench --exits always` to say.

use std::error::Error;
use std::path::Path;

use luge::{Decoder, GenerateOptions, Model, ModelParams, Session, SessionOptions};
use serde::Deserialize;

/// The first is what the others are held to.
const SETS: [&str; 7] = ["all", "0..:2", "1..:2", "0..:3", "0..:4", "high", "-4.."];

/// Tokens behind each question.
const TOKENS: usize = 24;

#[derive(Deserialize)]
struct Question {
    prompt: String,
}

/// What a layer set chose.
#[derive(Default, Clone, Copy)]
struct Tally {
    same: usize,
    same_change: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = match std::env::args().nth(1) {
        Some(path) => Model::load(Path::new(&path), &ModelParams::default())?,
        None => luge::builtin::load(&ModelParams::default())?,
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/questions.jsonl");
    let text = std::fs::read_to_string(path)?;
    let questions: Vec<Question> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;

    let mut session = Session::new(&model, &SessionOptions::default())?;
    let decoders: Vec<Decoder> = SETS
        .iter()
        .map(|set| session.decoder(&format!("sled(layers={set})").parse()?))
        .collect::<Result<_, luge::Error>>()?;
    let (mut tallies, mut tokens, mut changed) = ([Tally::default(); SETS.len()], 0, 0);
    for question in &questions {
        let mut text = model.tokenize_prompt(&question.prompt)?;
        let start = text.len();
        let options =
            |tokens| GenerateOptions { max_tokens: Some(tokens), ..GenerateOptions::default() };
        let own = session.generate(&decoders[0], &text, &options(TOKENS))?.finish()?;
        text.extend(&own.tokens);
        tokens += own.tokens.len();
        changed += own.changed.len();
        for (index, &token) in own.tokens.iter().enumerate() {
            let is_change = own.changed.contains(&index);
            for (decoder, tally) in decoders.iter().zip(&mut tallies) {
                let prompt = &text[..start + index];
                let chosen = session.generate(decoder, prompt, &options(1))?.finish()?;
                let same = chosen.tokens == [token];
                tally.same += usize::from(same);
                tally.same_change += usize::from(same && is_change);
            }
        }
    }

    println!("{} questions, {tokens} tokens, {changed} of them changed by SLED\n", questions.len());
    println!("| layers | exits | same token | same change |");
    println!("|---|---|---|---|");
    for ((set, decoder), tally) in SETS.iter().zip(&decoders).zip(tallies) {
        println!(
            "| `{set}` | {} | {:.2}% | {} of {changed} |",
            decoder.plan().layers.len(),
            100.0 * tally.same as f64 / tokens.max(1) as f64,
            tally.same_change,
        );
    }
    Ok(())
}
