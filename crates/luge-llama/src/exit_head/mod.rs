//! The exit head: the model's own LM head applied to early hidden states.
//!
//! All exits of a step are the columns of one product, `[width × exits]` against
//! the head, so the head's weights are read once, not once an exit, nor once a
//! text of those that are decoded together. They are taken in pieces ([`Wanted`]),
//! which bound the memory.
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

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::backend::Threadpool;
use crate::graph::Step;
use fused::Fused;
pub(crate) use reduction::At;
pub use reduction::ExitSum;
use reduction::Reduction;
use replay::Replay;
use workers::Workers;

/// Entries of the vocabulary that are computed and looked at together.
pub(crate) const TILE: usize = 512;

/// The most exits that are computed together, unless one token has more.
///
/// Unpacking the head's weights for a product is by then a small part of it. A
/// thread's tile of logits takes 128 KB, and what of the states is multiplied with
/// one block of weights 32 KB: they stay in the second and in the first level of
/// the cache. And a graph of ggml's has no more than 64 vocabularies of logits.
const PIECE: usize = 64;

/// Hidden states to compute the exits of, those of one token of the batch behind
/// those of the other, in pieces that are computed together.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// `[width]` each.
    states: Vec<&'a [f32]>,
    pieces: Vec<Piece>,
    /// How many tokens there are.
    tokens: usize,
}

/// Neighbouring exits; all exits of a token are in the same piece.
struct Piece {
    exits: Range<usize>,
    tokens: Range<usize>,
}

impl<'a> Wanted<'a> {
    /// Adds the states of another token, if there are any.
    pub(crate) fn push(&mut self, states: impl Iterator<Item = &'a [f32]>) {
        let start = self.states.len();
        self.states.extend(states);
        let end = self.states.len();
        if start == end {
            return;
        }
        let token = self.tokens;
        self.tokens += 1;
        match self.pieces.last_mut() {
            Some(piece) if end - piece.exits.start <= PIECE => {
                (piece.exits.end, piece.tokens.end) = (end, token + 1);
            }
            _ => self.pieces.push(Piece { exits: start..end, tokens: token..token + 1 }),
        }
    }

    /// How many exits there are.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The exits of each piece.
    fn pieces(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.pieces.iter().map(|piece| piece.exits.clone())
    }
}

/// The logits of exits for a stretch of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct ExitTile<'a> {
    start: usize,
    length: usize,
    /// The first of the exits that are in it.
    first: usize,
    /// How many there are.
    exits: usize,
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

    /// The exits that are in it, by their places among all that are shown. Where
    /// there are many, a stretch of the vocabulary comes as several tiles, with
    /// some of the exits each; all exits of a token are in the same.
    pub fn exits(&self) -> Range<usize> {
        self.first..self.first + self.exits
    }

    /// The logits of an exit, by its place among all that are shown, for the
    /// tokens from `start` on.
    ///
    /// # Panics
    /// If it is not in the tile.
    pub fn exit(&self, exit: usize) -> &'a [f32] {
        assert!(self.exits().contains(&exit), "exit {exit} is not among {:?}", self.exits());
        &self.logits[(exit - self.first) * self.stride..][..self.length]
    }
}

/// What is called with every tile, from several threads at once.
pub(crate) type Visit<'a> = dyn Fn(ExitTile<'_>) + Sync + 'a;

/// From hidden states to logits.
pub(crate) struct ExitHead {
    way: Way,
    vocab: usize,
    /// The logits last kept, `[exits × vocab]`, where the way does not keep them.
    kept: Vec<f32>,
    /// For sums on a device.
    device: Option<Device>,
}

/// How to take sums on the device that holds the head.
struct Device {
    recipe: Vec<Step>,
    threads: u32,
    /// From when sums are first asked for.
    reduction: Option<Reduction>,
}

enum Way {
    Fused(Box<Fused>),
    Replayed(Box<Replay>),
}

impl ExitHead {
    /// A head of `recipe` for states of `width` floats, with room for `exits` of
    /// them: others are made room for when they come.
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
        // SAFETY: passed on to the caller.
        let fused = unsafe { Fused::new(recipe, width, exits, vocab, threads, threadpool)? };
        let way = match fused {
            Some(fused) => Way::Fused(Box::new(fused)),
            None => {
                // SAFETY: passed on to the caller.
                let replay = unsafe { Replay::new(recipe, width, exits, threads, threadpool)? };
                Way::Replayed(Box::new(replay))
            }
        };
        let replayed = matches!(way, Way::Replayed(_));
        let device = replay::head_device(recipe).filter(|_| replayed).map(|_| Device {
            recipe: recipe.to_vec(),
            threads,
            reduction: None,
        });
        Ok(ExitHead { way, vocab, kept: Vec::new(), device })
    }

    /// The sums over the vocabulary of the exits, in the order of `wanted`, and the
    /// logits of the tokens asked for, if the head is on a device: elsewhere, look
    /// at them with [`ExitHead::visit`]. `at` are the tokens that have exits.
    pub(crate) fn sums(
        &mut self,
        wanted: &Wanted<'_>,
        at: &[At<'_>],
        threadpool: &Threadpool,
    ) -> Result<Option<Vec<ExitSum>>, Error> {
        let Some(Device { recipe, threads, reduction }) = &mut self.device else {
            return Ok(None);
        };
        let mut sums = Vec::with_capacity(wanted.len());
        for piece in &wanted.pieces {
            let states = &wanted.states[piece.exits.clone()];
            let at = &at[piece.tokens.clone()];
            let reduction = match &mut *reduction {
                Some(reduction) => reduction,
                none => {
                    let (first, vocab) = ((states, at), self.vocab);
                    // SAFETY: whoever made this head sees to it that the weights live.
                    none.insert(unsafe {
                        Reduction::new(recipe, vocab, first, *threads, threadpool)?
                    })
                }
            };
            sums.extend(reduction.compute(states, at)?);
        }
        Ok(Some(sums))
    }

    /// Computes the logits, and shows them tile by tile.
    pub(crate) fn visit(
        &mut self,
        wanted: &Wanted<'_>,
        workers: &mut Workers,
        visit: &Visit<'_>,
    ) -> Result<(), Error> {
        match &mut self.way {
            Way::Fused(fused) => fused.visit(wanted, workers, visit),
            Way::Replayed(replay) => wanted.pieces().try_for_each(|piece| {
                replay.compute(&wanted.states[piece.clone()])?;
                show(replay.output(), piece.start, self.vocab, workers, visit)
            }),
        }
    }

    /// Computes the logits, and writes them to `logits`, `[exits × vocab]`.
    pub(crate) fn compute(
        &mut self,
        wanted: &Wanted<'_>,
        workers: &mut Workers,
        logits: &mut [f32],
    ) -> Result<(), Error> {
        match &mut self.way {
            Way::Fused(fused) => fused.compute(wanted, workers, logits),
            Way::Replayed(replay) => wanted.pieces().try_for_each(|piece| {
                let to = piece.start * self.vocab..piece.end * self.vocab;
                replay.compute_to(&wanted.states[piece], &mut logits[to])
            }),
        }
    }

    /// Computes the logits of one token's exits for [`ExitHead::kept`].
    pub(crate) fn keep(&mut self, wanted: &Wanted<'_>, workers: &mut Workers) -> Result<(), Error> {
        match &mut self.way {
            Way::Fused(fused) => {
                self.kept.resize(wanted.len() * self.vocab, 0.0);
                fused.compute(wanted, workers, &mut self.kept)
            }
            Way::Replayed(replay) => replay.compute(&wanted.states),
        }
    }

    /// The logits last kept, if nothing has been computed since: `[exits × vocab]`.
    pub(crate) fn kept(&self) -> &[f32] {
        match &self.way {
            Way::Fused(_) => &self.kept,
            Way::Replayed(replay) => replay.output(),
        }
    }

    /// Bytes held for input, result and what lies between.
    pub(crate) fn memory(&self) -> usize {
        let way = match &self.way {
            Way::Fused(fused) => fused.memory() + self.kept.capacity() * size_of::<f32>(),
            Way::Replayed(replay) => replay.memory(),
        };
        let reduction = self.device.as_ref().and_then(|device| device.reduction.as_ref());
        way + reduction.map_or(0, Reduction::memory)
    }
}

/// Passes logits `[exits × vocab]` by, tile by tile, on all threads. The first exit
/// is the `first`th of those that are shown.
pub(crate) fn show(
    logits: &[f32],
    first: usize,
    vocab: usize,
    workers: &mut Workers,
    visit: &Visit<'_>,
) -> Result<(), Error> {
    let exits = logits.len() / vocab;
    assert_eq!(logits.len(), exits * vocab, "whole vocabularies");
    if exits == 0 {
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    workers.run(&|| {
        while let Some((start, length)) = take(&next, vocab) {
            let logits = &logits[start..];
            visit(ExitTile { start, length, first, exits, stride: vocab, logits });
        }
    })
}

/// The next stretch of the vocabulary that no thread has taken.
fn take(next: &AtomicUsize, vocab: usize) -> Option<(usize, usize)> {
    let start = next.fetch_add(TILE, Ordering::Relaxed);
    (start < vocab).then(|| (start, TILE.min(vocab - start)))
}
