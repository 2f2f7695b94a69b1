//! The exit head: the model's own LM head applied to early hidden states.
//!
//! All exits of a position are the columns of one product, `[width × exits]`
//! against the head, so the head's weights are read once, not once an exit.
//! Two ways lead to the logits:
//!
//! * [`Fused`], on the CPU, for the formats that [`product`] knows: each thread
//!   computes a few hundred entries of the vocabulary for all exits, and hands
//!   them to whoever looks while they are in its cache. Where only sums over
//!   the vocabulary are wanted, the logits never go to memory.
//! * [`Replay`], everywhere else: the head's operations in a ggml graph, on the
//!   device that holds the weights. Where that is not the CPU, sums are taken
//!   there too ([`Reduction`]).

mod fused;
pub(crate) mod product;
mod reduction;
pub(crate) mod replay;
pub(crate) mod workers;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::backend::Threadpool;
use crate::graph::Step;
use fused::Fused;
pub use reduction::ExitSum;
use reduction::Reduction;
use replay::Replay;
use workers::Workers;

/// Entries of the vocabulary that are computed and looked at together.
pub(crate) const TILE: usize = 512;

/// The logits of all exits for a stretch of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct ExitTile<'a> {
    start: usize,
    length: usize,
    /// Distance between the rows of `logits`.
    stride: usize,
    /// `[exits × stride]`, of each row the first `length`.
    logits: &'a [f32],
}

impl<'a> ExitTile<'a> {
    /// The first token.
    pub fn start(&self) -> usize {
        self.start
    }

    /// How many tokens.
    #[expect(clippy::len_without_is_empty, reason = "a tile is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The logits of an exit, by its place among those set, for the tokens from
    /// `start` on.
    ///
    /// # Panics
    /// If there are fewer exits.
    pub fn exit(&self, exit: usize) -> &'a [f32] {
        &self.logits[exit * self.stride..][..self.length]
    }
}

/// What is called with every tile, from several threads at once.
pub(crate) type Visit<'a> = dyn Fn(ExitTile<'_>) + Sync + 'a;

/// From hidden states to logits.
pub(crate) struct ExitHead {
    way: Way,
    workers: Workers,
    exits: usize,
    vocab: usize,
    /// For sums on a device.
    device: Option<Device>,
}

/// How to take sums on the device that holds the head.
struct Device {
    recipe: Vec<Step>,
    width: usize,
    threads: u32,
    /// Made for as many tokens as were last asked for.
    reduction: Option<Reduction>,
}

enum Way {
    Fused(Box<Fused>),
    Replayed(Replay),
}

impl ExitHead {
    /// A head of `recipe` for `exits` states of `width` floats.
    ///
    /// # Safety
    /// The recipe's weights must be live, and stay so.
    pub(crate) unsafe fn new(
        recipe: &[Step],
        width: usize,
        exits: usize,
        vocab: usize,
        threads: u32,
        threadpool: &Threadpool,
    ) -> Result<Self, Error> {
        let workers = Workers::new(threads, threadpool)?;
        // SAFETY: passed on to the caller.
        let fused = unsafe { Fused::new(recipe, width, exits, vocab, threads, threadpool)? };
        let way = match fused {
            Some(fused) => Way::Fused(Box::new(fused)),
            None => {
                // SAFETY: passed on to the caller.
                Way::Replayed(unsafe { Replay::new(recipe, width, exits, threads, threadpool)? })
            }
        };
        let replayed = matches!(way, Way::Replayed(_));
        let device = replay::head_device(recipe).filter(|_| replayed).map(|_| Device {
            recipe: recipe.to_vec(),
            width,
            threads,
            reduction: None,
        });
        Ok(ExitHead { way, workers, exits, vocab, device })
    }

    /// The sums over the vocabulary of hidden states `[exits × width]`, and the
    /// logits of `tokens`, if the head is on a device: elsewhere, look at them
    /// with [`ExitHead::visit`].
    pub(crate) fn sums(
        &mut self,
        states: &[f32],
        final_logits: &[f32],
        tokens: &[u32],
        threadpool: &Threadpool,
    ) -> Result<Option<Vec<ExitSum>>, Error> {
        let Some(device) = &mut self.device else { return Ok(None) };
        let made = device.reduction.take().filter(|made| made.tokens() == tokens.len());
        let reduction = match made {
            Some(reduction) => reduction,
            None => {
                let sizes = [device.width, self.exits, self.vocab, tokens.len()];
                // SAFETY: whoever made this head sees to it that the weights live.
                unsafe { Reduction::new(&device.recipe, sizes, device.threads, threadpool)? }
            }
        };
        device.reduction.insert(reduction).compute(states, final_logits, tokens).map(Some)
    }

    /// Computes the logits of hidden states `[exits × width]`, and shows them
    /// tile by tile.
    pub(crate) fn visit(&mut self, states: &[f32], visit: &Visit<'_>) -> Result<(), Error> {
        match &mut self.way {
            Way::Fused(fused) => fused.visit(states, &mut self.workers, visit),
            Way::Replayed(replay) => {
                replay.compute(states)?;
                show(replay.output(), self.exits, self.vocab, &mut self.workers, visit)
            }
        }
    }

    /// Computes the logits of hidden states `[exits × width]` for
    /// [`ExitHead::logits`].
    pub(crate) fn compute(&mut self, states: &[f32]) -> Result<(), Error> {
        match &mut self.way {
            Way::Fused(fused) => fused.compute(states, &mut self.workers),
            Way::Replayed(replay) => replay.compute(states),
        }
    }

    /// The logits last computed: `[exits × vocab]`.
    pub(crate) fn logits(&self) -> &[f32] {
        self.way.logits()
    }

    /// Shows the logits last computed, tile by tile.
    pub(crate) fn show(&mut self, visit: &Visit<'_>) -> Result<(), Error> {
        show(self.way.logits(), self.exits, self.vocab, &mut self.workers, visit)
    }

    /// Bytes held for input, result and what lies between.
    pub(crate) fn memory(&self) -> usize {
        let way = match &self.way {
            Way::Fused(fused) => fused.memory(),
            Way::Replayed(replay) => replay.memory(),
        };
        let reduction = self.device.as_ref().and_then(|device| device.reduction.as_ref());
        way + reduction.map_or(0, Reduction::memory)
    }
}

impl Way {
    /// The logits last computed: `[exits × vocab]`.
    fn logits(&self) -> &[f32] {
        match self {
            Way::Fused(fused) => &fused.logits,
            Way::Replayed(replay) => replay.output(),
        }
    }
}

/// Passes logits `[exits × vocab]` by, tile by tile, on all threads.
fn show(
    logits: &[f32],
    exits: usize,
    vocab: usize,
    workers: &mut Workers,
    visit: &Visit<'_>,
) -> Result<(), Error> {
    assert_eq!(logits.len(), exits * vocab);
    let next = AtomicUsize::new(0);
    workers.run(&|| {
        while let Some((start, length)) = take(&next, vocab) {
            visit(ExitTile { start, length, stride: vocab, logits: &logits[start..] });
        }
    })
}

/// The next stretch of the vocabulary that no thread has taken.
fn take(next: &AtomicUsize, vocab: usize) -> Option<(usize, usize)> {
    let start = next.fetch_add(TILE, Ordering::Relaxed);
    (start < vocab).then(|| (start, TILE.min(vocab - start)))
}
