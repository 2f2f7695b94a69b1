//! Sixteen numbers at a time, one for each row of a panel.
//!
//! The kernel is written once, over this trait. Every implementation computes
//! the same numbers to the bit: sums of integers are exact, and the few
//! operations on floats are the same ones in the same order. So the plain one,
//! which the compiler can run anywhere, is the measure that tests hold the
//! others to.

use super::panel::ROWS;

/// Bytes of a row that are transposed at a time.
pub(super) const SPAN: usize = 32;

/// An instruction set's way of working on [`ROWS`] numbers.
///
/// # Safety
/// Of all functions: the processor must have the instruction set.
pub(super) trait Lanes {
    /// 32 bits a row.
    type Ints: Copy;
    /// A 32-bit float a row.
    type Floats: Copy;

    /// How many columns are worked on at a time: as many as registers allow.
    const COLUMNS: usize;

    /// Zeros.
    unsafe fn zero() -> Self::Ints;
    /// A pair of weights of each row, as 32 bits.
    unsafe fn pairs(pairs: &[[i16; 2]; ROWS]) -> Self::Ints;
    /// `sums + a₀x₀ + a₁x₁` of each row's pair `a` with the pair `x`.
    unsafe fn dot(sums: Self::Ints, a: Self::Ints, x: [i16; 2]) -> Self::Ints;
    /// Reads floats.
    unsafe fn load(floats: &[f32; ROWS]) -> Self::Floats;
    /// Writes floats.
    unsafe fn store(floats: Self::Floats, to: &mut [f32; ROWS]);
    /// `to + sums · (scale · x)`, the outer product and the sum rounded once.
    unsafe fn add(to: Self::Floats, sums: Self::Ints, scale: Self::Floats, x: f32) -> Self::Floats;
    /// `to − a · x`, rounded once.
    unsafe fn subtract(to: Self::Floats, a: Self::Floats, x: f32) -> Self::Floats;
    /// Four bytes of each row at a time: result q holds bytes 4q to 4q + 3.
    unsafe fn transpose(rows: [&[u8; SPAN]; ROWS]) -> [Self::Ints; SPAN / 4];
    /// The results of [`Lanes::transpose`] as floats.
    unsafe fn store_bits(bits: Self::Ints, to: &mut [f32; ROWS]);
    /// Each row's four bytes as signed 16-bit numbers: bytes 0 and 2 to the
    /// first pair, 1 and 3 to the second.
    unsafe fn widen(bytes: Self::Ints, to: &mut [[[i16; 2]; ROWS]; 2]);
}

/// Arrays, on any processor: too slow to be chosen, and what tests hold the others
/// to.
pub(super) struct Plain;

impl Lanes for Plain {
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];

    const COLUMNS: usize = 4;

    unsafe fn zero() -> Self::Ints {
        [0; ROWS]
    }

    unsafe fn pairs(pairs: &[[i16; 2]; ROWS]) -> Self::Ints {
        pairs.map(|[low, high]| i32::from(high) << 16 | i32::from(low as u16))
    }

    unsafe fn dot(mut sums: Self::Ints, a: Self::Ints, x: [i16; 2]) -> Self::Ints {
        for (sum, a) in sums.iter_mut().zip(a) {
            *sum += i32::from(a as i16) * i32::from(x[0]) + (a >> 16) * i32::from(x[1]);
        }
        sums
    }

    unsafe fn load(floats: &[f32; ROWS]) -> Self::Floats {
        *floats
    }

    unsafe fn store(floats: Self::Floats, to: &mut [f32; ROWS]) {
        *to = floats;
    }

    unsafe fn add(
        mut to: Self::Floats,
        sums: Self::Ints,
        scale: Self::Floats,
        x: f32,
    ) -> Self::Floats {
        for ((to, sum), scale) in to.iter_mut().zip(sums).zip(scale) {
            *to = (sum as f32).mul_add(scale * x, *to);
        }
        to
    }

    unsafe fn subtract(mut to: Self::Floats, a: Self::Floats, x: f32) -> Self::Floats {
        for (to, a) in to.iter_mut().zip(a) {
            *to = (-a).mul_add(x, *to);
        }
        to
    }

    unsafe fn transpose(rows: [&[u8; SPAN]; ROWS]) -> [Self::Ints; SPAN / 4] {
        std::array::from_fn(|quad| rows.map(|row| i32::from_le_bytes(row.as_chunks::<4>().0[quad])))
    }

    unsafe fn store_bits(bits: Self::Ints, to: &mut [f32; ROWS]) {
        *to = bits.map(|bits| f32::from_bits(bits as u32));
    }

    unsafe fn widen(bytes: Self::Ints, to: &mut [[[i16; 2]; ROWS]; 2]) {
        for (row, bytes) in bytes.into_iter().enumerate() {
            let [a, b, c, d] = bytes.to_le_bytes().map(|byte| i16::from(byte as i8));
            (to[0][row], to[1][row]) = ([a, c], [b, d]);
        }
    }
}
