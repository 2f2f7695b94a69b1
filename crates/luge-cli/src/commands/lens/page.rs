//! From what was seen to the data of a page or a picture.

use std::path::Path;

use luge::LensPosition;
use luge_page::{LensPage, Position, Votes};

use super::Seen;
use crate::commands::cells::tail;

pub fn of(seen: &Seen<'_>) -> LensPage {
    let mut page = LensPage {
        title: title(seen),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Whoever is sent the page need not know where the model lies here.
        model: file_name(&seen.model),
        method: format!("{:#}", seen.decoder),
        method_name: seen.decoder.to_string(),
        exit_norm: seen.exit_norm.to_owned(),
        layers: seen.layers.clone(),
        pinned: seen.pinned.iter().map(|token| token.id).collect(),
        open: seen.open,
        positions: seen.positions.iter().map(position).collect(),
        ..LensPage::default()
    };
    for seen in &seen.positions {
        let tops = seen.layers.iter().flat_map(|opinion| &opinion.top);
        let candidates = tops.chain([&seen.before, &seen.after]).map(|own| &own.token);
        let paths = seen.paths.iter().map(|path| &path.token);
        for token in candidates.chain(paths).chain([&seen.token]).chain(&seen.next) {
            page.tokens.entry(token.id).or_insert_with(|| token.text.clone());
        }
    }
    page
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The prompt, or its end where it is long.
fn title(seen: &Seen<'_>) -> String {
    let end = seen.prompt.len().min(seen.positions.len());
    end.checked_sub(1)
        .map_or_else(String::new, |last| tail(&seen.text_to(last), 100))
        .replace(luge_page::is_unprintable, "\u{fffd}")
}

fn position(seen: &LensPosition) -> Position {
    let votes = seen.votes().map(|own| Votes {
        tokens: own.tokens,
        layers: own.layers,
        shares: own.shares,
    });
    let pinned = seen.layers.first().map_or(0, |opinion| opinion.pinned.len());
    let rank = |pin: usize| seen.layers.iter().map(|opinion| opinion.pinned[pin].rank).collect();
    let top =
        |opinion: &luge::Opinion| opinion.top.iter().map(|own| (own.token.id, own.prob)).collect();
    let path = |path: &luge::lens::TokenPath| {
        (path.token.id, path.probs.iter().copied().map(f64::from).collect())
    };
    Position {
        position: seen.position,
        id: seen.token.id,
        next: seen.next.as_ref().map(|next| next.id),
        generated: seen.generated,
        before: (seen.before.token.id, seen.before.prob),
        after: (seen.after.token.id, seen.after.prob),
        changed: seen.changed(),
        settling_depth: seen.settling_depth,
        entropy: seen.layers.iter().map(|opinion| opinion.entropy).collect(),
        jsd: seen.layers.iter().map(|opinion| opinion.jsd_to_final).collect(),
        top: seen.layers.iter().map(top).collect(),
        paths: seen.paths.iter().map(path).collect(),
        ranks: (0..pinned).map(rank).collect(),
        votes,
        contrast: seen.contrast(),
        margins: seen.margins.map(|own| [own.final_layer, own.method, own.votes]),
        carried: seen.carried(),
    }
}
