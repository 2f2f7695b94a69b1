//! From the exits of a position to what there is to see.

use std::collections::HashSet;

use luge_decoding::{Purpose, Trace, argmax, log_sum_exp};
use luge_llama::Model;

use super::reading::{Reading, Row, Wanted};
use super::{Candidate, Lens, LensPosition, Margins, Opinion, Pinned, Token, TokenPath, View};
use crate::output::Output;
use crate::{Error, Session};

/// The tokens chosen at a position of a generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// By the method.
    pub after: u32,
    /// By the final layer.
    pub before: u32,
}

impl Session {
    /// What there is to see at the last batch's token `index`, which is at
    /// `position` of the text in the cache. `choice` is what was chosen there, where
    /// a text is generated.
    pub(crate) fn position(
        &mut self,
        lens: &Lens<'_>,
        index: usize,
        position: usize,
        next: Option<u32>,
        choice: Option<Choice>,
    ) -> Result<LensPosition, Error> {
        let (mut output, cached) = self.output(&lens.view.plan, index);
        let token = cached[position];
        output.look(lens, Place { position, token, next }, choice)
    }
}

/// Where in a text an output is.
pub(crate) struct Place {
    pub position: usize,
    /// The token there.
    pub token: u32,
    /// The one that follows it in the text.
    pub next: Option<u32>,
}

impl Output<'_> {
    /// What there is to see. The output's plan is the lens's. `choice` is what was
    /// chosen here, where a text is generated.
    pub(crate) fn look(
        &mut self,
        lens: &Lens<'_>,
        place: Place,
        choice: Option<Choice>,
    ) -> Result<LensPosition, Error> {
        let Place { position, token, next } = place;
        let view = &*lens.view;
        let last = self.final_logits()?.to_vec();
        let mut decoded = last.clone();
        // The first choice is wanted even where none is shown.
        let wanted = Wanted { layers: &view.rows, top: view.top.max(1), pinned: &view.pinned };
        let mut exits = self.exits();
        let reading = Reading::of(&mut exits, &last, &wanted)?;
        lens.decoder.apply(&last, &mut exits, Purpose::Generate, &mut decoded)?;
        let traces = lens.decoder.traces(&last, &mut exits)?;

        let generated = choice.is_some();
        let choice = choice.unwrap_or_else(|| Choice {
            after: argmax(&decoded) as u32,
            before: argmax(&last) as u32,
        });
        let followed = if view.paths { followed(view, &reading, choice, next) } else { Vec::new() };
        let paths = reading.probs(&mut exits, &last, &wanted, &followed)?;

        let last_norm = reading.final_norm();
        let decoded_norm =
            if lens.decoder.is_identity() { last_norm } else { log_sum_exp(&decoded) };
        let prob =
            |logits: &[f32], norm: f64, id: u32| (f64::from(logits[id as usize]) - norm).exp();
        let model = self.model();
        let before = candidate(model, choice.before, prob(&last, last_norm, choice.before))?;
        let after = candidate(model, choice.after, prob(&decoded, decoded_norm, choice.after))?;
        let opinions = lens.layers().into_iter().zip(&reading.rows);
        let opinions = opinions.map(|(layer, row)| opinion(model, view, layer, row));
        let mut layers = opinions.collect::<Result<Vec<_>, _>>()?;
        let settling_depth = settling_depth(&layers);
        layers.iter_mut().for_each(|opinion| opinion.top.truncate(view.top));
        let paths = followed.into_iter().zip(paths);
        let paths = paths
            .map(|(id, probs)| Ok::<_, Error>(TokenPath { token: Token::of(model, id)?, probs }));
        Ok(LensPosition {
            position,
            token: Token::of(model, token)?,
            next: next.map(|id| Token::of(model, id)).transpose()?,
            generated,
            layers,
            settling_depth,
            before,
            after,
            margins: margins(&last, &decoded, choice, &traces),
            traces,
            paths: paths.collect::<Result<_, _>>()?,
        })
    }
}

fn opinion(model: &Model, view: &View, layer: usize, row: &Row) -> Result<Opinion, Error> {
    let top = row.top.iter().map(|&(id, prob)| candidate(model, id, prob));
    let pinned = view.pinned.iter().zip(&row.pinned).map(|(&id, &(prob, rank))| {
        Ok::<_, Error>(Pinned { candidate: candidate(model, id, prob)?, rank })
    });
    Ok(Opinion {
        layer,
        top: top.collect::<Result<_, _>>()?,
        entropy: row.entropy,
        jsd_to_final: row.jsd_to_final,
        pinned: pinned.collect::<Result<_, _>>()?,
    })
}

fn candidate(model: &Model, id: u32, prob: f64) -> Result<Candidate, Error> {
    Ok(Candidate { token: Token::of(model, id)?, prob })
}

/// The tokens that matter at a position, each once: see [`LensPosition::paths`].
fn followed(view: &View, reading: &Reading, choice: Choice, next: Option<u32>) -> Vec<u32> {
    let firsts = reading.rows.iter().filter_map(|row| row.top.first());
    let bests = reading.rows.last().into_iter().flat_map(|row| &row.top);
    let mut followed = vec![choice.after, choice.before];
    followed.extend(next.iter().chain(&view.pinned));
    followed.extend(bests.chain(firsts).map(|(id, _)| id));
    let mut seen = HashSet::new();
    followed.retain(|id| seen.insert(*id));
    followed
}

/// How the method's choice came to stand before the final layer's, if it did.
fn margins(last: &[f32], decoded: &[f32], choice: Choice, traces: &[Trace]) -> Option<Margins> {
    let Choice { before, after } = choice;
    let ahead =
        |logits: &[f32]| f64::from(logits[after as usize]) - f64::from(logits[before as usize]);
    // A method gives what it rules out a floor, below all others.
    let floor = decoded.iter().copied().fold(f32::INFINITY, f32::min);
    let is_out = decoded[before as usize] <= floor;
    (after != before).then(|| Margins {
        final_layer: ahead(last),
        method: if is_out { f64::INFINITY } else { ahead(decoded) },
        votes: traces.iter().map(|trace| votes(trace, choice)).sum(),
    })
}

/// What a trace's votes added to the lead of the method's choice, in logits.
fn votes(trace: &Trace, choice: Choice) -> f64 {
    let Trace::Votes(votes) = trace else { return 0.0 };
    let sum = |carried: Vec<(usize, f64)>| carried.iter().map(|(_, by)| by).sum::<f64>();
    let [gained, lost] =
        [votes.carried(choice.before, choice.after), votes.carried(choice.after, choice.before)];
    votes.weight * (sum(gained) - sum(lost))
}

/// The first layer from which on all have the first choice of the last.
fn settling_depth(layers: &[Opinion]) -> usize {
    let first = |opinion: &Opinion| opinion.top.first().map(|candidate| candidate.token.id);
    let settled = layers.last().map(first);
    let run = layers.iter().rev().take_while(|opinion| Some(first(opinion)) == settled);
    run.last().map_or(0, |opinion| opinion.layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinions(firsts: &[u32]) -> Vec<Opinion> {
        let opinion = |(layer, &id): (usize, &u32)| Opinion {
            layer: 2 * layer,
            top: vec![Candidate { token: Token { id, text: String::new() }, prob: 0.5 }],
            entropy: 0.0,
            jsd_to_final: 0.0,
            pinned: Vec::new(),
        };
        firsts.iter().enumerate().map(opinion).collect()
    }

    #[test]
    fn a_position_settles_where_the_first_choice_changes_no_more() {
        // Layers 0, 2, 4 and so on.
        assert_eq!(settling_depth(&opinions(&[3, 5, 3, 5, 5, 5])), 6);
        assert_eq!(settling_depth(&opinions(&[5, 5, 5])), 0);
        assert_eq!(settling_depth(&opinions(&[5, 5, 9])), 4);
    }
}
