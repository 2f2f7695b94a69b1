//! Everything shown as CSV: a row for each token of each layer at each position,
//! tidy, so that files of several runs can be put together.

use std::io;

use luge::lens::Candidate;
use luge::{LensPosition, Opinion, Trace};
use serde::Serialize;

use super::Seen;
use crate::failure::Failure;

#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    method: &'a str,
    exit_norm: &'a str,
    position: usize,
    /// The token at the position, and the one that follows.
    token_id: u32,
    token: &'a str,
    next_id: Option<u32>,
    next: Option<&'a str>,
    generated: bool,
    /// What the final layer and the method chose.
    before_id: u32,
    after_id: u32,
    settling_depth: usize,
    layer: usize,
    entropy: f64,
    jsd_to_final: f64,
    /// Whether the method contrasted with this layer.
    contrasted: bool,
    /// The layer's share of the vote.
    layer_vote: Option<f64>,
    /// `top` or `pinned`.
    kind: &'static str,
    rank: usize,
    id: u32,
    text: &'a str,
    prob: f64,
    /// The part of the layer's share that is for this token.
    vote: Option<f64>,
}

pub fn print(seen: &Seen<'_>) -> Result<(), Failure> {
    let method = format!("{:#}", seen.decoder);
    let mut out = csv::Writer::from_writer(io::stdout().lock());
    for position in seen.chosen() {
        for opinion in &position.layers {
            let tops = opinion.top.iter().enumerate().map(|(index, top)| ("top", index + 1, top));
            let pinned = opinion.pinned.iter();
            let pinned = pinned.map(|pinned| ("pinned", pinned.rank, &pinned.candidate));
            for token in tops.chain(pinned) {
                out.serialize(row(seen, &method, position, opinion, token)).map_err(failed)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn row<'a>(
    seen: &'a Seen<'_>,
    method: &'a str,
    position: &'a LensPosition,
    opinion: &Opinion,
    (kind, rank, candidate): (&'static str, usize, &'a Candidate),
) -> Row<'a> {
    let layer = opinion.layer;
    let id = candidate.token.id;
    let (mut layer_vote, mut vote, mut contrasted) = (None, None, false);
    for trace in &position.traces {
        match trace {
            Trace::Votes(votes) => {
                let shares = votes.layers.binary_search(&layer).map(|place| &votes.shares[place]);
                layer_vote = shares.ok().map(|shares| shares.iter().sum());
                let place = votes.tokens.iter().position(|&token| token == id);
                vote = place.zip(shares.ok()).map(|(place, shares)| shares[place]);
            }
            Trace::Contrast { layer: contrast } => contrasted = *contrast == layer,
        }
    }
    Row {
        model: &seen.model,
        method,
        exit_norm: seen.exit_norm,
        position: position.position,
        token_id: position.token.id,
        token: &position.token.text,
        next_id: position.next.as_ref().map(|next| next.id),
        next: position.next.as_ref().map(|next| next.text.as_str()),
        generated: position.generated,
        before_id: position.before.token.id,
        after_id: position.after.token.id,
        settling_depth: position.settling_depth,
        layer,
        entropy: opinion.entropy,
        jsd_to_final: opinion.jsd_to_final,
        contrasted,
        layer_vote,
        kind,
        rank,
        id,
        text: &candidate.token.text,
        prob: candidate.prob,
        vote,
    }
}

fn failed(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::Run(format!("cannot write the output: {other:?}")),
    }
}
