//! Everything shown as CSV: a row for each token of each layer at each position,
//! tidy, so that files of several runs can be put together.

use std::io;

use luge::lens::Candidate;
use luge::{LensPosition, Opinion, Votes};
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
    before: &'a str,
    before_prob: f64,
    after_id: u32,
    after: &'a str,
    after_prob: f64,
    changed: bool,
    margin_final_layer: Option<f64>,
    margin_method: Option<f64>,
    margin_votes: Option<f64>,
    settling_depth: usize,
    layer: usize,
    entropy: f64,
    jsd_to_final: f64,
    /// Whether the method contrasted with this layer.
    contrasted: bool,
    /// The layer's share of the vote, and what it gave the change, in logits.
    layer_vote: Option<f64>,
    carried: Option<f64>,
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
        let at = At { position, votes: position.votes(), carried: position.carried() };
        for opinion in &position.layers {
            let tops = opinion.top.iter().enumerate().map(|(index, top)| ("top", index + 1, top));
            let pinned = opinion.pinned.iter();
            let pinned = pinned.map(|pinned| ("pinned", pinned.rank, &pinned.candidate));
            for token in tops.chain(pinned) {
                out.serialize(row(seen, &method, &at, opinion, token)).map_err(failed)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// A position, with what is told of it as a whole.
struct At<'a> {
    position: &'a LensPosition,
    votes: Option<Votes>,
    carried: Vec<(usize, f64)>,
}

fn row<'a>(
    seen: &'a Seen<'_>,
    method: &'a str,
    at: &At<'a>,
    opinion: &Opinion,
    (kind, rank, candidate): (&'static str, usize, &'a Candidate),
) -> Row<'a> {
    let At { position, votes, carried } = at;
    let layer = opinion.layer;
    let id = candidate.token.id;
    let votes = votes.as_ref();
    let place = votes.and_then(|votes| votes.layers.binary_search(&layer).ok());
    let carried = carried.iter().find(|(own, _)| *own == layer);
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
        before: &position.before.token.text,
        before_prob: position.before.prob,
        after_id: position.after.token.id,
        after: &position.after.token.text,
        after_prob: position.after.prob,
        changed: position.changed(),
        margin_final_layer: position.margins.map(|margins| margins.final_layer),
        margin_method: position.margins.map(|margins| margins.method),
        margin_votes: position.margins.map(|margins| margins.votes),
        settling_depth: position.settling_depth,
        layer,
        entropy: opinion.entropy,
        jsd_to_final: opinion.jsd_to_final,
        contrasted: position.contrast() == Some(layer),
        layer_vote: votes.zip(place).map(|(votes, place)| votes.shares[place].iter().sum()),
        carried: carried.map(|(_, by)| *by),
        kind,
        rank,
        id,
        text: &candidate.token.text,
        prob: candidate.prob,
        vote: votes
            .filter(|votes| place.is_some() && votes.tokens.contains(&id))
            .map(|votes| votes.share(layer, id)),
    }
}

fn failed(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::Run(format!("cannot write the output: {other:?}")),
    }
}
