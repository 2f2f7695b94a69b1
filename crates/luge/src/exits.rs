//! The exits of a position, as the engine computes them for the methods.

use std::error::Error as StdError;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use luge_decoding::{
    ExitDetail, ExitLogits, ExitNorm, ExitPlan, ExitSums, Exits, LayerSums, jensen_shannon,
    log_sum_exp,
};
use luge_llama::{Context, ExitSum, ExitTile, ExitsAt, HeadForm};

/// The exits at a token of a context's last batch, computed when first asked for.
pub(crate) struct PositionExits<'a> {
    context: &'a mut Context,
    /// For several methods that look at the same position.
    taken: &'a mut Option<TakenSums>,
    plan: &'a ExitPlan,
    index: usize,
    source: Source<'a>,
    asked: bool,
}

/// Where the exits of a plan come from.
pub(crate) enum Source<'a> {
    /// They are those that the context computes.
    Context,
    /// They are some of those that the context can compute, and lie here once someone
    /// has asked for their logits: `[layers × vocab]`, or nothing.
    Lazy(&'a mut Vec<f32>),
    /// They have been computed: `[layers × vocab]`.
    Ready(&'a [f32]),
}

impl Source<'_> {
    pub(crate) fn reborrow(&mut self) -> Source<'_> {
        match self {
            Source::Context => Source::Context,
            Source::Lazy(logits) => Source::Lazy(logits),
            Source::Ready(logits) => Source::Ready(logits),
        }
    }
}

/// Sums that were taken over the exits at a token of the context's last batch.
pub(crate) struct TakenSums {
    index: usize,
    tokens: Vec<u32>,
    sums: ExitSums,
}

impl TakenSums {
    /// The same sums with the logits of `tokens` only, if these are the first of those
    /// they were taken for: so are the k best tokens among the n best.
    fn of(&self, index: usize, tokens: &[u32]) -> Option<ExitSums> {
        (self.index == index && self.tokens.starts_with(tokens))
            .then(|| self.sums.first(tokens.len()))
    }
}

impl<'a> PositionExits<'a> {
    /// The exits of a plan that has been set, at the batch's token `index`. `taken` are
    /// sums of the same plan and batch.
    pub(crate) fn new(
        context: &'a mut Context,
        taken: &'a mut Option<TakenSums>,
        plan: &'a ExitPlan,
        index: usize,
        source: Source<'a>,
    ) -> Self {
        PositionExits { context, taken, plan, index, source, asked: false }
    }

    /// Whether anyone has asked for them.
    pub(crate) fn asked(&self) -> bool {
        self.asked
    }

    /// Where some layers of the plan are in it.
    ///
    /// # Panics
    /// If one of them is not.
    pub(crate) fn places(&self, layers: &[usize]) -> Vec<usize> {
        let plan = &self.plan.layers;
        let places = layers.iter().map(|layer| plan.binary_search(layer));
        let places: Result<_, _> = places.collect();
        places.unwrap_or_else(|_| panic!("exits {layers:?} are not in the plan {plan:?}"))
    }

    /// What `look` makes of each tile, on the threads that compute them, in the
    /// order of the vocabulary: added up in one order, sums do not depend on which
    /// thread was faster.
    pub(crate) fn each_tile<T: Send>(
        &mut self,
        look: impl Fn(&ExitTile<'_>) -> T + Sync,
    ) -> Result<Vec<T>, luge_llama::Error> {
        let pieces = Mutex::new(Vec::new());
        let visit = |tile: ExitTile<'_>| {
            let piece = (tile.start(), look(&tile));
            pieces.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        };
        let PositionExits { context, plan, index, .. } = self;
        match &self.source {
            Source::Context => context.visit_exits(*index, &visit)?,
            Source::Ready(logits) => context.show_logits(logits, &visit)?,
            Source::Lazy(logits) if !logits.is_empty() => context.show_logits(logits, &visit)?,
            Source::Lazy(_) => {
                let at = ExitsAt { index: *index, layers: &plan.layers };
                context.visit_exits_at(head_form(plan), &[at], &visit)?;
            }
        }
        let mut pieces = pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
        pieces.sort_unstable_by_key(|(start, _)| *start);
        Ok(pieces.into_iter().map(|(_, piece)| piece).collect())
    }

    /// Takes the sums on the device that holds the head, or else tile by tile on
    /// the threads that compute the tiles.
    fn take_sums(
        &mut self,
        final_logits: &[f32],
        tokens: &[u32],
    ) -> Result<ExitSums, Box<dyn StdError + Send + Sync>> {
        if self.plan.detail == ExitDetail::Logits {
            // Another stage wants them all: compute them once.
            self.keep()?;
        }
        let layers = &self.plan.layers;
        if self.plan.detail == ExitDetail::Sums && !tokens.is_empty() {
            let exits = match self.source {
                Source::Context => self.context.exit_sums(self.index, tokens)?,
                Source::Ready(_) => None,
                Source::Lazy(_) => {
                    let at = ExitsAt { index: self.index, layers };
                    let sums = self.context.exit_sums_at(head_form(self.plan), &[(at, tokens)])?;
                    sums.map(|sums| sums.into_iter().flatten().collect())
                }
            };
            if let Some(exits) = exits {
                return Ok(from_device(layers, &exits));
            }
        }
        let all = 0..layers.len();
        let pieces = self.each_tile(|tile| Piece::of(tile, all.clone(), final_logits, tokens))?;
        Ok(Piece::together(pieces, layers, tokens.len()))
    }

    /// Has the exits' logits computed and kept.
    fn keep(&mut self) -> Result<(), luge_llama::Error> {
        match &mut self.source {
            Source::Context => self.context.exit_logits(self.index).map(|_| ()),
            Source::Lazy(logits) if logits.is_empty() => {
                let at = ExitsAt { index: self.index, layers: &self.plan.layers };
                self.context.exit_logits_at(head_form(self.plan), &[at], logits)
            }
            Source::Lazy(_) | Source::Ready(_) => Ok(()),
        }
    }
}

impl Exits for PositionExits<'_> {
    fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn StdError + Send + Sync>> {
        self.asked = true;
        self.keep()?;
        let logits = match &self.source {
            Source::Context => self.context.exit_logits(self.index)?,
            Source::Lazy(logits) => logits,
            Source::Ready(logits) => logits,
        };
        Ok(ExitLogits::new(&self.plan.layers, logits))
    }

    fn sums(
        &mut self,
        final_logits: &[f32],
        tokens: &[u32],
    ) -> Result<ExitSums, Box<dyn StdError + Send + Sync>> {
        self.asked = true;
        let known = self.taken.as_ref().and_then(|taken| taken.of(self.index, tokens));
        if let Some(sums) = known {
            return Ok(sums);
        }
        let sums = self.take_sums(final_logits, tokens)?;
        let (index, tokens) = (self.index, tokens.to_vec());
        *self.taken = Some(TakenSums { index, tokens, sums: sums.clone() });
        Ok(sums)
    }

    /// In two passes over the logits, which are computed by the first to ask: the
    /// norms, then the divergences.
    fn divergences(
        &mut self,
        mature: &[f32],
        layers: &[usize],
    ) -> Result<Vec<f64>, Box<dyn StdError + Send + Sync>> {
        self.asked = true;
        if layers.is_empty() {
            return Ok(Vec::new());
        }
        self.keep()?;
        let places = self.places(layers);
        let part = |tile: &ExitTile<'_>, exit: &[f32]| tile.start()..tile.start() + exit.len();

        let norms = self.each_tile(|tile| -> Vec<f32> {
            let exits = places.iter().map(|&place| tile.exit(place));
            let own = exits.clone().next().map(|exit| &mature[part(tile, exit)]);
            exits.chain(own).map(|logits| log_sum_exp(logits) as f32).collect()
        })?;
        let norm = |place: usize| {
            let pieces: Vec<f32> = norms.iter().map(|norms| norms[place]).collect();
            log_sum_exp(&pieces) as f32
        };
        let exit_norms: Vec<f32> = (0..places.len()).map(norm).collect();
        let mature_norm = norm(places.len());

        let pieces = self.each_tile(|tile| -> Vec<f64> {
            let divergence = |(&place, &norm): (&usize, &f32)| {
                let exit = tile.exit(place);
                jensen_shannon(&mature[part(tile, exit)], mature_norm, exit, norm)
            };
            places.iter().zip(&exit_norms).map(divergence).collect()
        })?;
        let total = |index: usize| pieces.iter().map(|piece| piece[index]).sum();
        Ok((0..places.len()).map(total).collect())
    }
}

/// The sums that a device has taken.
fn from_device(layers: &[usize], exits: &[ExitSum]) -> ExitSums {
    let mut sums = ExitSums::new(layers, exits.first().map_or(0, |exit| exit.logits.len()));
    for (place, exit) in exits.iter().enumerate() {
        let own = LayerSums {
            best: exit.best,
            best_count: f64::from(exit.best_count),
            best_d: f64::from(exit.best_d),
            q: f64::from(exit.q),
            q_squared: f64::from(exit.q_squared),
            q_d: f64::from(exit.q_d),
            d_squared: f64::from(exit.d_squared),
        };
        sums.merge(place, own);
        for (token, &logit) in exit.logits.iter().enumerate() {
            sums.set_logit(place, token, logit);
        }
    }
    sums
}

/// What one tile gives.
struct Piece {
    /// One for each layer.
    sums: Vec<LayerSums>,
    /// Of the tokens asked for that lie in the tile: the layer's place, the
    /// token's place, the logit.
    logits: Vec<(usize, usize, f32)>,
}

impl Piece {
    /// Of some of a tile's exits.
    fn of(tile: &ExitTile<'_>, exits: Range<usize>, final_logits: &[f32], tokens: &[u32]) -> Self {
        let start = tile.start();
        let mut piece = Piece { sums: Vec::with_capacity(exits.len()), logits: Vec::new() };
        for (place, exit) in exits.enumerate() {
            let exit = tile.exit(exit);
            piece.sums.push(LayerSums::of(exit, &final_logits[start..start + exit.len()]));
            for (index, &token) in tokens.iter().enumerate() {
                let inside = (token as usize).checked_sub(start).and_then(|at| exit.get(at));
                piece.logits.extend(inside.map(|&logit| (place, index, logit)));
            }
        }
        piece
    }

    /// What the pieces of all tiles, in the order of the vocabulary, come to.
    fn together(
        pieces: impl IntoIterator<Item = Self>,
        layers: &[usize],
        tokens: usize,
    ) -> ExitSums {
        let mut sums = ExitSums::new(layers, tokens);
        for piece in pieces {
            for (place, own) in piece.sums.into_iter().enumerate() {
                sums.merge(place, own);
            }
            for (place, token, logit) in piece.logits {
                sums.set_logit(place, token, logit);
            }
        }
        sums
    }
}

/// How the engine reads the exits of a plan.
pub(crate) fn head_form(plan: &ExitPlan) -> HeadForm {
    HeadForm { final_norm: plan.form.norm == ExitNorm::Final, softcap: plan.form.softcap }
}

/// Exits at an output of the last batch, of which a method wants the sums.
pub(crate) struct SumsAt<'a> {
    /// The output.
    pub index: usize,
    /// The exits.
    pub plan: &'a ExitPlan,
    /// The tokens whose logits are wanted beside the sums, at least one.
    pub tokens: &'a [u32],
}

impl<'a> SumsAt<'a> {
    fn exits(&self) -> ExitsAt<'a> {
        ExitsAt { index: self.index, layers: &self.plan.layers }
    }
}

/// The sums at several outputs, in one form: from one pass of the head.
pub(crate) fn sums_together(
    context: &mut Context,
    form: HeadForm,
    wanted: &[SumsAt<'_>],
) -> Result<Vec<TakenSums>, luge_llama::Error> {
    let exits: Vec<ExitsAt<'_>> = wanted.iter().map(SumsAt::exits).collect();
    let with_tokens: Vec<_> = exits.iter().zip(wanted).map(|(&at, own)| (at, own.tokens)).collect();
    let taken = |(own, sums): (&SumsAt<'_>, ExitSums)| TakenSums {
        index: own.index,
        tokens: own.tokens.to_vec(),
        sums,
    };
    if let Some(sums) = context.exit_sums_at(form, &with_tokens)? {
        let sums =
            wanted.iter().zip(&sums).map(|(own, exits)| from_device(&own.plan.layers, exits));
        return Ok(wanted.iter().zip(sums.collect::<Vec<_>>()).map(taken).collect());
    }
    // Tiles are looked at while the context computes: the final logits are copied.
    let final_logits: Vec<Vec<f32>> =
        wanted.iter().map(|own| context.logits(own.index).to_vec()).collect();
    let mut starts = Vec::with_capacity(exits.len());
    let mut next = 0;
    for own in &exits {
        starts.push(next);
        next += own.layers.len();
    }
    let pieces = Mutex::new(Vec::new());
    context.visit_exits_at(form, &exits, &|tile| {
        for (number, own) in wanted.iter().enumerate() {
            let places = starts[number]..starts[number] + own.plan.layers.len();
            if !tile.exits().contains(&places.start) {
                continue;
            }
            let piece = Piece::of(&tile, places, &final_logits[number], own.tokens);
            let piece = ((number, tile.start()), piece);
            pieces.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        }
    })?;
    let mut pieces = pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
    // In the order of the vocabulary, as in `PositionExits::each_tile`.
    pieces.sort_unstable_by_key(|(place, _)| *place);
    let mut pieces = pieces.into_iter().peekable();
    let of_each = wanted.iter().enumerate().map(|(number, own)| {
        let mine = std::iter::from_fn(|| pieces.next_if(|((of, _), _)| *of == number));
        let sums =
            Piece::together(mine.map(|(_, piece)| piece), &own.plan.layers, own.tokens.len());
        taken((own, sums))
    });
    Ok(of_each.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use luge_decoding::ExitForm;
    use luge_llama::{Batch, ContextParams, ExitSpec, Model, ModelParams};

    use super::*;

    #[test]
    fn sums_of_tiles_are_those_of_the_whole_exits_however_many_threads() {
        // Of a vocabulary of several tiles.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/atlas.gguf");
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        let layers: Vec<usize> = (0..model.n_layers()).collect();
        let plan = ExitPlan {
            layers: layers.clone(),
            form: ExitForm::default(),
            detail: ExitDetail::Sums,
        };
        let spec = ExitSpec { layers: layers.clone(), final_norm: false, softcap: true };
        let tokens = [7, 511, 512, 4095];
        let sums = |threads: u32, whole: bool| {
            let params = ContextParams { n_ctx: 64, threads, ..ContextParams::default() };
            let mut context = Context::new(&model, &params).unwrap();
            context.set_exits(&spec).unwrap();
            context.decode(&Batch::run(&[5, 60, 700], 0, 0, |index| index == 2)).unwrap();
            let last = context.logits(2).to_vec();
            let mut taken = None;
            let mut exits = PositionExits::new(&mut context, &mut taken, &plan, 2, Source::Context);
            let sums = if whole {
                ExitSums::of(&exits.logits().unwrap(), &last, &tokens)
            } else {
                exits.sums(&last, &tokens).unwrap()
            };
            (sums, last)
        };
        let (tiles, last) = sums(1, false);
        assert_eq!(tiles, sums(2, false).0);
        let (whole, _) = sums(1, true);
        for layer in layers {
            let ((own, logits), (exact, same)) = (tiles.layer(layer), whole.layer(layer));
            assert_eq!(logits, same, "layer {layer}");
            for (&token, &logit) in tokens.iter().zip(logits) {
                let votes = [own, exact].map(|sums| sums.vote(logit, last[token as usize]));
                assert!((votes[0] - votes[1]).abs() <= 1e-5 * votes[1], "layer {layer}: {votes:?}");
            }
        }
    }
}
