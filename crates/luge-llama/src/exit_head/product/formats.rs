//! The formats that heads are stored in: from a row's bytes to small integers
//! with scales.
//!
//! The layouts are ggml's (`ggml-common.h`). A weight is `scale · integer`, or
//! `scale · integer − min` in the formats that have a min. Tests hold every
//! format to ggml's own way of reading it.

use super::panel::{BLOCK, GROUP, GROUPS, Stage};

/// A format whose weights are small integers times a scale.
pub(super) trait Format {
    /// Scales in a group of 32 inputs: 1, or 2 for the first and second half.
    const SCALES: usize;
    /// Whether weights have a min taken off them.
    const MIN: bool;
    /// Inputs that are stored together, and the bytes they take.
    const STORED: (usize, usize);

    /// Reads a block of a row, or what there is of the last, into the stage.
    fn read(bytes: &[u8], row: usize, stage: &mut Stage);

    /// The bytes that so many inputs take.
    fn bytes(inputs: usize) -> usize {
        inputs / Self::STORED.0 * Self::STORED.1
    }
}

/// A 16-bit float. Written out, so that several are converted at a time.
#[inline(always)]
fn half(half: u16) -> f32 {
    let half = u32::from(half);
    // Moved to where a 32-bit float has them, exponent and mantissa mean a
    // number 2^112 times too small; the product is exact, subnormals included.
    let magnitude = f32::from_bits((half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    let special = if half & 0x7c00 == 0x7c00 { f32::INFINITY.to_bits() } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (half & 0x8000) << 16)
}

/// The 16-bit float at `at`.
#[inline(always)]
fn half_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*array(bytes, at))
}

/// The `N` bytes at `at`.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}

/// Groups of 32 that begin with their scale, of `SIZE` bytes each: hands out
/// each group's other bytes and its place for weights.
#[inline(always)]
fn scaled_groups<const SIZE: usize>(
    bytes: &[u8],
    row: usize,
    stage: &mut Stage,
    read: impl Fn(&[u8], &mut [u8; GROUP]),
) {
    let mut halves = [0u16; GROUPS];
    let (weights, _) = stage.weights[row].as_chunks_mut::<GROUP>();
    let groups = bytes.as_chunks::<SIZE>().0.iter().zip(weights).zip(&mut halves);
    for ((bytes, weights), scale) in groups {
        *scale = half_at(bytes, 0);
        read(&bytes[2..], weights);
    }
    for (scale, bits) in stage.scales[row].iter_mut().zip(halves) {
        *scale = half(bits);
    }
}

/// Groups of 32 with a scale; 8 bits a weight.
pub(super) struct Q8_0;

impl Format for Q8_0 {
    const SCALES: usize = 1;
    const MIN: bool = false;
    const STORED: (usize, usize) = (32, 34);

    #[inline(always)]
    fn read(bytes: &[u8], row: usize, stage: &mut Stage) {
        scaled_groups::<34>(bytes, row, stage, |bytes, weights| {
            *weights = *array(bytes, 0);
        });
    }
}

/// Groups of 32 with a scale; 4 bits a weight, the first 16 in the low halves.
pub(super) struct Q4_0;

impl Format for Q4_0 {
    const SCALES: usize = 1;
    const MIN: bool = false;
    const STORED: (usize, usize) = (32, 18);

    #[inline(always)]
    fn read(bytes: &[u8], row: usize, stage: &mut Stage) {
        scaled_groups::<18>(bytes, row, stage, |bytes, weights| {
            let nibbles: [u8; GROUP / 2] = *array(bytes, 0);
            let mut own = [0; GROUP];
            for i in 0..GROUP / 2 {
                own[i] = (nibbles[i] & 15).wrapping_sub(8);
                own[i + GROUP / 2] = (nibbles[i] >> 4).wrapping_sub(8);
            }
            *weights = own;
        });
    }
}

/// Blocks of 256 in groups of 32, each with a 6-bit scale and min; 4 bits a
/// weight.
pub(super) struct Q4K;

impl Format for Q4K {
    const SCALES: usize = 1;
    const MIN: bool = true;
    const STORED: (usize, usize) = (256, 144);

    #[inline(always)]
    fn read(bytes: &[u8], row: usize, stage: &mut Stage) {
        scales_and_mins(bytes, row, stage);
        let nibbles: &[u8; BLOCK / 2] = array(bytes, 16);
        let (twins, _) = stage.weights[row].as_chunks_mut::<{ 2 * GROUP }>();
        for (nibbles, weights) in nibbles.as_chunks::<GROUP>().0.iter().zip(twins) {
            let nibbles = *nibbles;
            let mut own = [0; 2 * GROUP];
            for i in 0..GROUP {
                own[i] = nibbles[i] & 15;
                own[i + GROUP] = nibbles[i] >> 4;
            }
            *weights = own;
        }
    }
}

/// As [`Q4K`], with a fifth bit a weight.
pub(super) struct Q5K;

impl Format for Q5K {
    const SCALES: usize = 1;
    const MIN: bool = true;
    const STORED: (usize, usize) = (256, 176);

    #[inline(always)]
    fn read(bytes: &[u8], row: usize, stage: &mut Stage) {
        scales_and_mins(bytes, row, stage);
        // Bit g of byte i is the fifth bit of weight i of group g.
        let fifth: [u8; GROUP] = *array(bytes, 16);
        let nibbles: &[u8; BLOCK / 2] = array(bytes, 48);
        let (twins, _) = stage.weights[row].as_chunks_mut::<{ 2 * GROUP }>();
        let twins = nibbles.as_chunks::<GROUP>().0.iter().zip(twins);
        for (twin, (nibbles, weights)) in twins.enumerate() {
            let nibbles = *nibbles;
            let mut own = [0; 2 * GROUP];
            for i in 0..GROUP {
                let bits = fifth[i] >> (2 * twin);
                own[i] = nibbles[i] & 15 | (bits & 1) << 4;
                own[i + GROUP] = nibbles[i] >> 4 | (bits & 2) << 3;
            }
            *weights = own;
        }
    }
}

/// The factors of Q4_K and Q5_K: two floats for the block, and for each group a
/// 6-bit scale and min in 12 bytes. Groups 0 to 3 have theirs in the low six
/// bits of bytes 0 to 3 and 4 to 7; groups 4 to 7 have four bits in bytes 8 to
/// 11 and two in the high bits of those before. Four bytes are taken at a time.
#[inline(always)]
fn scales_and_mins(bytes: &[u8], row: usize, stage: &mut Stage) {
    let (scale, min) = (half(half_at(bytes, 0)), half(half_at(bytes, 2)));
    let word = |at: usize| u32::from_le_bytes(*array(bytes, at));
    let (low, high, last) = (word(4), word(8), word(12));
    let six = |word: u32| word & 0x3f3f_3f3f;
    let joined = |four: u32, two: u32| four & 0x0f0f_0f0f | (two >> 6 & 0x0303_0303) << 4;
    let numbers =
        |first: u32, second: u32| (u64::from(second) << 32 | u64::from(first)).to_le_bytes();
    let scales = numbers(six(low), joined(last, low));
    let mins = numbers(six(high), joined(last >> 4, high));
    for group in 0..GROUPS {
        stage.scales[row][group] = scale * f32::from(scales[group]);
        stage.mins[row][group] = min * f32::from(mins[group]);
    }
}

/// Blocks of 256 in groups of 16, each with an 8-bit scale; 6 bits a weight.
pub(super) struct Q6K;

impl Format for Q6K {
    const SCALES: usize = 2;
    const MIN: bool = false;
    const STORED: (usize, usize) = (256, 210);

    #[inline(always)]
    fn read(bytes: &[u8], row: usize, stage: &mut Stage) {
        let scale = half(half_at(bytes, 208));
        let scales: &[u8; 2 * GROUPS] = array(bytes, 192);
        for (to, &own) in stage.scales[row].iter_mut().zip(scales) {
            *to = scale * f32::from(own as i8);
        }
        // Two halves of 128 weights: four bits of each in 64 bytes, the other
        // two in 32.
        let (halves, _) = stage.weights[row].as_chunks_mut::<{ BLOCK / 2 }>();
        for (half, weights) in halves.iter_mut().enumerate() {
            let four: [u8; 64] = *array(bytes, half * 64);
            let two: [u8; 32] = *array(bytes, 128 + half * 32);
            let mut own = [0u8; BLOCK / 2];
            for i in 0..GROUP {
                let (first, second, two) = (four[i], four[i + 32], two[i]);
                own[i] = (first & 15 | (two & 3) << 4).wrapping_sub(32);
                own[i + 32] = (second & 15 | (two >> 2 & 3) << 4).wrapping_sub(32);
                own[i + 64] = (first >> 4 | (two >> 4 & 3) << 4).wrapping_sub(32);
                own[i + 96] = (second >> 4 | (two >> 6) << 4).wrapping_sub(32);
            }
            *weights = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_read_as_they_are() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f32.powi(-24)),
            (0x83ff, -1023.0 * 2f32.powi(-24)),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), number, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
