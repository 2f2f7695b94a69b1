//! Everything shown as one JSON object.

use luge::lens::{Margins, Token};
use luge::{Decoder, LensPosition, Opinion, Votes};
use serde::Serialize;

use super::Seen;
use crate::commands::CompletionObject;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Serialize)]
struct LensObject<'a> {
    model: &'a str,
    method: &'a Decoder,
    exit_norm: &'a str,
    seed: u64,
    prompt_ids: &'a [u32],
    positions: Vec<PositionObject<'a>>,
    /// For each position.
    settling_depth: Vec<usize>,
    pinned: &'a [Token],
    layers: Vec<LayerObject<'a>>,
    votes: Vec<VotesObject>,
    contrasts: Vec<ContrastObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<CompletionObject<'a>>,
}

#[derive(Serialize)]
struct PositionObject<'a> {
    position: usize,
    #[serde(flatten)]
    token: &'a Token,
    next: Option<&'a Token>,
    generated: bool,
    before: &'a luge::Candidate,
    after: &'a luge::Candidate,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    margins: Option<Margins>,
    carried: Vec<CarriedObject>,
}

#[derive(Serialize)]
struct CarriedObject {
    layer: usize,
    /// In logits.
    votes: f64,
}

#[derive(Serialize)]
struct LayerObject<'a> {
    layer: usize,
    positions: Vec<OpinionObject<'a>>,
}

#[derive(Serialize)]
struct OpinionObject<'a> {
    position: usize,
    #[serde(flatten)]
    opinion: &'a Opinion,
}

#[derive(Serialize)]
struct VotesObject {
    position: usize,
    token_ids: Vec<u32>,
    layers: Vec<SharesObject>,
}

#[derive(Serialize)]
struct SharesObject {
    layer: usize,
    shares: Vec<f64>,
}

#[derive(Serialize)]
struct ContrastObject {
    position: usize,
    layer: usize,
}

pub fn print(seen: &Seen<'_>) -> Result<(), Failure> {
    let chosen = seen.chosen();
    let layer = |(row, &layer): (usize, &usize)| LayerObject {
        layer,
        positions: chosen
            .iter()
            .map(|seen| OpinionObject { position: seen.position, opinion: &seen.layers[row] })
            .collect(),
    };
    let votes = chosen.iter().filter_map(|seen| {
        let Votes { tokens, layers, shares, .. } = seen.votes()?;
        let layers = layers.into_iter().zip(shares);
        let layers = layers.map(|(layer, shares)| SharesObject { layer, shares }).collect();
        Some(VotesObject { position: seen.position, token_ids: tokens, layers })
    });
    let contrasts = chosen.iter().filter_map(|seen| {
        Some(ContrastObject { position: seen.position, layer: seen.contrast()? })
    });
    print_json(&LensObject {
        model: &seen.model,
        method: seen.decoder,
        exit_norm: seen.exit_norm,
        seed: seen.seed,
        prompt_ids: &seen.prompt,
        positions: chosen.iter().map(position).collect(),
        settling_depth: chosen.iter().map(|seen| seen.settling_depth).collect(),
        pinned: &seen.pinned,
        layers: seen.layers.iter().enumerate().map(layer).collect(),
        votes: votes.collect(),
        contrasts: contrasts.collect(),
        completion: seen.generated.as_ref().map(|own| CompletionObject::new(&own.completion)),
    })
}

fn position(seen: &LensPosition) -> PositionObject<'_> {
    let carried = seen.carried().into_iter();
    PositionObject {
        position: seen.position,
        token: &seen.token,
        next: seen.next.as_ref(),
        generated: seen.generated,
        before: &seen.before,
        after: &seen.after,
        changed: seen.changed(),
        margins: seen.margins,
        carried: carried.map(|(layer, votes)| CarriedObject { layer, votes }).collect(),
    }
}
