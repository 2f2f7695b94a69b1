//! The loops of the product, written once for all instruction sets and formats.

use std::ops::Range;

use super::Matrix;
use super::columns::{Columns, Tile};
use super::formats::Format;
use super::lanes::{Lanes, SPAN};
use super::panel::{BLOCK, GROUP, GROUPS, Panel, ROWS, Stage};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// [`multiply`] compiled for AVX2.
///
/// # Safety
/// The processor must have it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<F: Format>(
    columns: &Columns,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { multiply::<Avx2, F>(columns, matrix, rows, out) }
}

/// [`multiply`] compiled for AVX-512.
///
/// # Safety
/// The processor must have it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
pub(super) unsafe fn avx512<F: Format>(
    columns: &Columns,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { multiply::<Avx512, F>(columns, matrix, rows, out) }
}

/// Writes `matrix[rows] · columns` to `out`, `[columns × rows.len()]`. Inlined where the instruction set is known.
///
/// # Safety
/// The processor must have the instruction set.
#[inline(always)]
pub(super) unsafe fn multiply<L: Lanes, F: Format>(
    columns: &Columns,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let (stride, length) = (F::bytes(matrix.inputs), rows.len());
    let mut stage = Stage::new();
    let mut panel = Panel::new();
    let mut sums = vec![[0.0f32; ROWS]; columns.count()];
    let steps = matrix.inputs / GROUP * columns.tiles(0, 0).count();
    for first in rows.clone().step_by(ROWS) {
        let here = ROWS.min(rows.end - first);
        sums.fill([0.0; ROWS]);
        // The next panel's rows, asked for a little in every group.
        let next = matrix.bytes.get((first + here) * stride..).unwrap_or_default();
        let mut ahead = Ahead::new(&next[..next.len().min(ROWS * stride)], steps);
        for block in (0..matrix.inputs).step_by(BLOCK) {
            let inputs = BLOCK.min(matrix.inputs - block);
            let range = F::bytes(block)..F::bytes(block + inputs);
            for row in 0..here {
                let bytes = &matrix.bytes[(first + row) * stride..][..stride];
                F::read(&bytes[range.clone()], row, &mut stage);
            }
            let groups = inputs / GROUP;
            // SAFETY: passed on to the caller.
            unsafe {
                interleave::<L, F>(&stage, groups, &mut panel);
                for tile in columns.tiles(block / GROUP, groups) {
                    let sums = &mut sums[tile.first..][..tile.columns];
                    match tile.columns {
                        1 => add::<L, F, 1>(&panel, groups, &tile, sums, &mut ahead),
                        2 => add::<L, F, 2>(&panel, groups, &tile, sums, &mut ahead),
                        3 => add::<L, F, 3>(&panel, groups, &tile, sums, &mut ahead),
                        4 => add::<L, F, 4>(&panel, groups, &tile, sums, &mut ahead),
                        5 => add::<L, F, 5>(&panel, groups, &tile, sums, &mut ahead),
                        6 => add::<L, F, 6>(&panel, groups, &tile, sums, &mut ahead),
                        7 => add::<L, F, 7>(&panel, groups, &tile, sums, &mut ahead),
                        8 => add::<L, F, 8>(&panel, groups, &tile, sums, &mut ahead),
                        columns => unreachable!("{columns} columns in a tile"),
                    }
                }
            }
        }
        for (column, sums) in sums.iter().enumerate() {
            let out = &mut out[column * length + (first - rows.start)..];
            match out.first_chunk_mut::<ROWS>() {
                Some(out) if here == ROWS => *out = *sums,
                _ => out[..here].copy_from_slice(&sums[..here]),
            }
        }
    }
}

/// Turns what was read row by row into a panel.
///
/// # Safety
/// The processor must have the instruction set.
#[inline(always)]
unsafe fn interleave<L: Lanes, F: Format>(stage: &Stage, groups: usize, panel: &mut Panel) {
    // SAFETY: passed on to the caller.
    unsafe {
        let (quads, _) = panel.pairs.as_chunks_mut::<2>();
        for (group, quads) in quads.chunks_exact_mut(GROUP / 4).take(groups).enumerate() {
            let rows = stage.weights.each_ref().map(|row| &row.as_chunks::<GROUP>().0[group]);
            for (quad, bytes) in quads.iter_mut().zip(L::transpose(rows)) {
                L::widen(bytes, quad);
            }
        }
        let (panels, _) = panel.scales.as_chunks_mut::<GROUPS>();
        for (part, scales) in panels.iter_mut().take(F::SCALES).enumerate() {
            floats::<L>(
                stage.scales.each_ref().map(|row| &row.as_chunks::<GROUPS>().0[part]),
                scales,
            );
        }
        if F::MIN {
            floats::<L>(stage.mins.each_ref(), &mut panel.mins);
        }
    }
}

/// Puts the rows' floats side by side.
///
/// # Safety
/// The processor must have the instruction set.
#[inline(always)]
unsafe fn floats<L: Lanes>(rows: [&[f32; GROUPS]; ROWS], to: &mut [[f32; ROWS]; GROUPS]) {
    // SAFETY: passed on to the caller; eight floats are 32 bytes.
    unsafe {
        let rows = rows.map(|row| &*std::ptr::from_ref(row).cast::<[u8; SPAN]>());
        for (to, bits) in to.iter_mut().zip(L::transpose(rows)) {
            L::store_bits(bits, to);
        }
    }
}

/// Adds a panel's products with the `C` columns of a tile to `sums`.
///
/// # Safety
/// The processor must have the instruction set.
#[inline(always)]
unsafe fn add<L: Lanes, F: Format, const C: usize>(
    panel: &Panel,
    groups: usize,
    tile: &Tile<'_>,
    sums: &mut [[f32; ROWS]],
    ahead: &mut Ahead<'_>,
) {
    let sums: &mut [[f32; ROWS]; C] = sums.try_into().expect("C columns");
    let (pairs, _) = tile.pairs.as_chunks::<C>();
    let (scales, _) = tile.scales.as_chunks::<C>();
    let (tile_sums, _) = tile.sums.as_chunks::<C>();
    // Pairs under one scale.
    let run = GROUP / 2 / F::SCALES;
    // SAFETY: passed on to the caller.
    unsafe {
        let mut floats = [L::load(&sums[0]); C];
        for (float, sum) in floats.iter_mut().zip(&*sums) {
            *float = L::load(sum);
        }
        for group in 0..groups {
            ahead.ask();
            for part in 0..F::SCALES {
                let mut ints = [L::zero(); C];
                let start = group * GROUP / 2 + part * run;
                let weights = &panel.pairs[start..start + run];
                for (weights, pairs) in weights.iter().zip(&pairs[start..start + run]) {
                    let weights = L::pairs(weights);
                    for (ints, &pair) in ints.iter_mut().zip(pairs) {
                        *ints = L::dot(*ints, weights, pair);
                    }
                }
                let scale = L::load(&panel.scales[group * F::SCALES + part]);
                for ((float, ints), &x) in floats.iter_mut().zip(ints).zip(&scales[group]) {
                    *float = L::add(*float, ints, scale, x);
                }
            }
            if F::MIN {
                let min = L::load(&panel.mins[group]);
                for (float, &x) in floats.iter_mut().zip(&tile_sums[group]) {
                    *float = L::subtract(*float, min, x);
                }
            }
        }
        for (float, sum) in floats.iter().zip(sums) {
            L::store(*float, sum);
        }
    }
}

/// Memory that will be read soon, to be asked for piece by piece: all at once
/// would have to wait for itself.
struct Ahead<'a> {
    rest: &'a [u8],
    step: usize,
}

impl<'a> Ahead<'a> {
    /// All of it is asked for in so many steps.
    fn new(bytes: &'a [u8], steps: usize) -> Self {
        Ahead { rest: bytes, step: bytes.len().div_ceil(steps).next_multiple_of(LINE) }
    }

    /// Asks for a little more.
    #[inline(always)]
    fn ask(&mut self) {
        let (now, rest) = self.rest.split_at(self.step.min(self.rest.len()));
        self.rest = rest;
        #[cfg(target_arch = "x86_64")]
        for line in now.chunks(LINE) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch(line.as_ptr().cast::<i8>(), _MM_HINT_T0) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = now;
    }
}

/// Bytes that memory hands out together.
const LINE: usize = 64;
