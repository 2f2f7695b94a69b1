//! The exit head computed here, on the CPU: norm, product, and what follows it.

use std::sync::atomic::AtomicUsize;

use llama_cpp_sys_2 as sys;

use super::product::{InstructionSet, Matrix, Product};
use super::replay::Replay;
use super::workers::Workers;
use super::{ExitTile, TILE, Visit, Wanted, take};
use crate::Error;
use crate::backend::Threadpool;
use crate::graph::Step;

/// Norm, product, and what follows it.
pub(super) struct Fused {
    /// The final norm, if exits pass it.
    norm: Option<Replay>,
    set: InstructionSet,
    width: usize,
    /// One for each piece of what is wanted, as many as there have been.
    products: Vec<Product>,
    matrix: Matrix<'static>,
    finish: Vec<Finish>,
    vocab: usize,
}

/// What a head does to its logits behind the product.
#[derive(Debug, Clone, Copy)]
enum Finish {
    /// `factor · z + offset`.
    Scale { factor: f32, offset: f32 },
    /// Adds one number a token, `[vocab]`.
    Bias(&'static [f32]),
    /// The hyperbolic tangent.
    Tanh,
}

impl Fused {
    /// `None` where the recipe or the matrix ask for more than is here.
    ///
    /// # Safety
    /// The recipe's weights must be live, and stay so.
    pub(super) unsafe fn new(
        recipe: &[Step],
        width: usize,
        exits: usize,
        vocab: usize,
        threads: u32,
        threadpool: &Threadpool,
    ) -> Result<Option<Self>, Error> {
        let Some(set) = InstructionSet::chosen()? else { return Ok(None) };
        let at = recipe.iter().position(|step| step.op == sys::GGML_OP_MUL_MAT);
        let Some((norm, [product, finish @ ..])) = at.map(|at| recipe.split_at(at)) else {
            return Ok(None);
        };
        // SAFETY: passed on to the caller.
        let matrix = unsafe { matrix(product, width, vocab) };
        // SAFETY: passed on to the caller.
        let finish = finish
            .iter()
            .map(|step| unsafe { Finish::of(step, vocab) })
            .collect::<Option<Vec<_>>>();
        let (Some(matrix), Some(finish)) = (matrix, finish) else { return Ok(None) };
        let norm = if norm.is_empty() {
            None
        } else {
            // SAFETY: passed on to the caller.
            Some(unsafe { Replay::new(norm, width, exits, threads, threadpool)? })
        };
        let mut product = Product::new(set, width);
        product.reserve(exits);
        Ok(Some(Fused { norm, set, width, products: vec![product], matrix, finish, vocab }))
    }

    /// Each thread takes a stretch of the vocabulary and computes it piece by piece:
    /// the head's weights come from memory for the first, and from the cache for
    /// the others.
    pub(super) fn visit(
        &mut self,
        wanted: &Wanted<'_>,
        workers: &mut Workers,
        visit: &Visit<'_>,
    ) -> Result<(), Error> {
        let (set, width) = (self.set, self.width);
        if self.products.len() < wanted.pieces().len() {
            self.products.resize_with(wanted.pieces().len(), || Product::new(set, width));
        }
        for (product, piece) in self.products.iter_mut().zip(wanted.pieces()) {
            let states = &wanted.states[piece];
            match &mut self.norm {
                None => product.set_columns(states),
                Some(norm) => {
                    norm.compute(states)?;
                    let normed: Vec<&[f32]> = norm.output().chunks_exact(width).collect();
                    product.set_columns(&normed);
                }
            }
        }
        let Fused { products, matrix, finish, vocab, .. } = &*self;
        let most = wanted.pieces().map(|piece| piece.len()).max().unwrap_or(0);
        let next = AtomicUsize::new(0);
        workers.run(&|| {
            let mut logits = vec![0.0f32; most * TILE];
            while let Some((start, length)) = take(&next, *vocab) {
                for (product, piece) in products.iter().zip(wanted.pieces()) {
                    let logits = &mut logits[..piece.len() * length];
                    product.rows(matrix, start..start + length, logits);
                    for row in logits.chunks_exact_mut(length) {
                        finish.iter().for_each(|step| step.apply(start, row));
                    }
                    let (first, exits) = (piece.start, piece.len());
                    visit(ExitTile { start, length, first, exits, stride: length, logits });
                }
            }
        })
    }

    /// Writes the logits, `[exits × vocab]`, to `logits`.
    pub(super) fn compute(
        &mut self,
        wanted: &Wanted<'_>,
        workers: &mut Workers,
        logits: &mut [f32],
    ) -> Result<(), Error> {
        let vocab = self.vocab;
        assert_eq!(logits.len(), wanted.len() * vocab);
        let to = Shared(logits.as_mut_ptr());
        self.visit(wanted, workers, &|tile| {
            for exit in tile.exits() {
                let from = tile.exit(exit);
                // SAFETY: tiles do not overlap, so no two threads write to the
                // same place; each lies within the exit's `vocab` logits, of as
                // many exits as are wanted.
                unsafe {
                    let to = to.get().add(exit * vocab + tile.start());
                    std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len());
                }
            }
        })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.norm.as_ref().map_or(0, Replay::memory)
            + self.products.iter().map(Product::memory).sum::<usize>()
    }
}

/// A place that several threads write to.
struct Shared(*mut f32);

// SAFETY: whoever writes sees to it that no two write to the same place.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

/// The matrix of a product, if it lies in the CPU's memory in its file's format.
///
/// # Safety
/// The weight must be live, and stay so.
unsafe fn matrix(step: &Step, width: usize, vocab: usize) -> Option<Matrix<'static>> {
    // SAFETY: passed on to the caller.
    unsafe {
        let weight = &*step.weight?;
        let [inputs, rows, 1, 1] = weight.ne else { return None };
        let contiguous = weight.nb[1] == sys::ggml_row_size(weight.type_, inputs);
        // What a device or a back end has packed for itself is not host memory.
        let host = !weight.buffer.is_null()
            && sys::ggml_backend_buffer_is_host(weight.buffer)
            && !weight.data.is_null();
        if !(contiguous && host && inputs == width as i64 && rows == vocab as i64) {
            return None;
        }
        let bytes = std::slice::from_raw_parts(weight.data.cast::<u8>(), sys::ggml_nbytes(weight));
        Matrix::new(weight.type_, bytes, vocab, width)
    }
}

impl Finish {
    /// `None` for an operation that is not here.
    ///
    /// # Safety
    /// The step's weight must be live, and stay so.
    unsafe fn of(step: &Step, vocab: usize) -> Option<Self> {
        let float = |index: usize| f32::from_bits(step.params[index] as u32);
        match (step.op, step.weight) {
            (sys::GGML_OP_SCALE, None) => {
                Some(Finish::Scale { factor: float(0), offset: float(1) })
            }
            (sys::GGML_OP_UNARY, None)
                if step.params[0] as sys::ggml_unary_op == sys::GGML_UNARY_OP_TANH =>
            {
                Some(Finish::Tanh)
            }
            // SAFETY: passed on to the caller.
            (sys::GGML_OP_ADD, Some(weight)) => unsafe {
                let weight = &*weight;
                let plain = weight.type_ == sys::GGML_TYPE_F32
                    && weight.ne == [vocab as i64, 1, 1, 1]
                    && !weight.buffer.is_null()
                    && sys::ggml_backend_buffer_is_host(weight.buffer);
                plain.then(|| {
                    Finish::Bias(std::slice::from_raw_parts(weight.data.cast::<f32>(), vocab))
                })
            },
            _ => None,
        }
    }

    /// Applies it to an exit's logits for the tokens from `start` on.
    fn apply(&self, start: usize, logits: &mut [f32]) {
        match *self {
            Finish::Scale { factor, offset } => {
                logits.iter_mut().for_each(|z| *z = *z * factor + offset);
            }
            Finish::Bias(bias) => {
                for (z, bias) in logits.iter_mut().zip(&bias[start..]) {
                    *z += bias;
                }
            }
            Finish::Tanh => logits.iter_mut().for_each(|z| *z = tanh(*z)),
        }
    }
}

/// The hyperbolic tangent to within a relative error of 5e-7, in a form that
/// the compiler turns into vector instructions: Lambert's continued fraction at
/// a quarter of the argument, doubled twice.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    // Beyond, it is 1 to the last bit.
    let y = x.clamp(-9.5, 9.5) * 0.25;
    let s = y * y;
    let above = 135_135.0 + s * (17_325.0 + s * (378.0 + s));
    let below = 135_135.0 + s * (62_370.0 + s * (3_150.0 + s * 28.0));
    let t = y * above / below;
    let t = 2.0 * t / (1.0 + t * t);
    2.0 * t / (1.0 + t * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_agrees_with_the_standard_library() {
        let mut x = -30.0f32;
        while x < 30.0 {
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= 5e-7 * exact.abs(), "tanh({x})");
            x += 0.00137;
        }
        assert_eq!(tanh(0.0), 0.0);
        assert!(tanh(f32::NAN).is_nan());
    }
}
