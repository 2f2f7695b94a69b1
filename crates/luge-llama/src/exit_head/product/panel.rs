//! A piece of the head's matrix, made ready for multiplying.

/// Rows of the matrix, that is entries of the vocabulary, in a panel.
pub(super) const ROWS: usize = 16;

/// Neighbouring inputs that share a scale.
pub(super) const GROUP: usize = 32;

/// Groups in a block, the piece of the rows that a panel holds at a time. A
/// block is 256 inputs: what the K-quants store together, and small enough
/// that panel and columns stay in the first-level cache.
pub(super) const GROUPS: usize = 8;

/// Inputs in a block.
pub(super) const BLOCK: usize = GROUP * GROUPS;

/// A block of [`ROWS`] rows as it is read, row by row.
#[repr(C, align(64))]
pub(super) struct Stage {
    /// `[rows][inputs]`: the format's integers, as the bytes of 8-bit ones.
    pub(super) weights: [[u8; BLOCK]; ROWS],
    /// `[rows][groups × 1 or 2]`: the factor of each group or half group.
    pub(super) scales: [[f32; 2 * GROUPS]; ROWS],
    /// `[rows][groups]`: what is taken off every weight of a group.
    pub(super) mins: [[f32; GROUPS]; ROWS],
}

impl Stage {
    pub(super) fn new() -> Self {
        Stage {
            weights: [[0; BLOCK]; ROWS],
            scales: [[0.0; 2 * GROUPS]; ROWS],
            mins: [[0.0; GROUPS]; ROWS],
        }
    }
}

/// The same with the rows side by side, and the integers widened.
#[repr(C, align(64))]
pub(super) struct Panel {
    /// `[pairs][rows][2]`. Pairs are made of every second input, as that is
    /// what widening by shifts gives: inputs 0 and 2, 1 and 3, 4 and 6, and so
    /// on (see [`first_of_pair`]).
    pub(super) pairs: [[[i16; 2]; ROWS]; BLOCK / 2],
    /// `[groups × 1 or 2][rows]`.
    pub(super) scales: [[f32; ROWS]; 2 * GROUPS],
    /// `[groups][rows]`.
    pub(super) mins: [[f32; ROWS]; GROUPS],
}

impl Panel {
    pub(super) fn new() -> Self {
        Panel {
            pairs: [[[0; 2]; ROWS]; BLOCK / 2],
            scales: [[0.0; ROWS]; 2 * GROUPS],
            mins: [[0.0; ROWS]; GROUPS],
        }
    }
}

/// The first input of a pair; the second is two behind it.
pub(super) const fn first_of_pair(pair: usize) -> usize {
    pair / 2 * 4 + pair % 2
}
