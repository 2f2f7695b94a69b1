//! Sums over the vocabulary, taken on the device that computes the exits.
//!
//! A device's logits are far from the processor: fetching them costs more than
//! summing them where they are. So the sums that SLED needs are operations of
//! the same graph as the head, and a handful of numbers for each exit comes
//! back, in one piece.

use std::ffi::c_void;

use llama_cpp_sys_2 as sys;

use super::replay::Replay;
use crate::Error;
use crate::backend::Threadpool;
use crate::graph::Step;

/// Sums over the vocabulary of one exit's logits z and the final logits z_L, with
/// d_j = z_j − z_L,j and q_j = e^(z_j − z_m) for the largest logit z_m. Tokens
/// that have it, the best, are left out of the sums of q.
#[derive(Debug, Clone, PartialEq)]
pub struct ExitSum {
    /// z_m.
    pub best: f32,
    /// How many tokens have it.
    pub best_count: f32,
    /// Σ d_j over those.
    pub best_d: f32,
    /// Σ q_j over the others.
    pub q: f32,
    /// Σ q_j² over the others.
    pub q_squared: f32,
    /// Σ q_j d_j over the others.
    pub q_d: f32,
    /// Σ d_j² over all.
    pub d_squared: f32,
    /// The exit's logits of the tokens asked for.
    pub logits: Vec<f32>,
}

/// Numbers that an exit has beside the logits of tokens.
const SUMS: usize = 7;

/// The lowest logit that is computed with; a token that is ruled out (−∞) has
/// this one, in the exit and in the final layer, so that their difference is 0.
const LOWEST: f32 = -1e30;

/// A head with sums behind it.
pub(super) struct Reduction {
    replay: Replay,
    inputs: Inputs,
    tokens: usize,
}

/// What the sums need beside the exits' logits.
#[derive(Clone, Copy)]
struct Inputs {
    /// `[vocab]`.
    final_logits: *mut sys::ggml_tensor,
    /// `[tokens × exits]`: the same ids for every exit.
    ids: *mut sys::ggml_tensor,
}

impl Reduction {
    /// Sums of `exits` exits, with the logits of so many tokens.
    ///
    /// # Safety
    /// The recipe's weights must be live, and stay so.
    pub(super) unsafe fn new(
        recipe: &[Step],
        [width, exits, vocab, tokens]: [usize; 4],
        threads: u32,
        threadpool: &Threadpool,
    ) -> Result<Self, Error> {
        let mut inputs = None;
        let tail = |context, logits| {
            // SAFETY: called with a live context that has room, and `[vocab ×
            // exits]` logits in it.
            let (made, output) = unsafe { sums(context, logits, [exits, vocab, tokens]) };
            inputs = Some(made);
            output
        };
        // SAFETY: passed on to the caller.
        let replay = unsafe { Replay::with_tail(recipe, width, exits, threads, threadpool, tail)? };
        let inputs = inputs.expect("the tail has been called");
        Ok(Reduction { replay, inputs, tokens })
    }

    /// How many tokens' logits it gives.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// The sums of the exits of hidden states `[exits × width]`.
    pub(super) fn compute(
        &mut self,
        states: &[f32],
        final_logits: &[f32],
        tokens: &[u32],
    ) -> Result<Vec<ExitSum>, Error> {
        assert_eq!(tokens.len(), self.tokens);
        // SAFETY: the inputs are live and allocated; what is written has their
        // size, which is checked for the first and so made for the second.
        unsafe {
            let Inputs { final_logits: last, ids } = self.inputs;
            assert_eq!(size_of_val(final_logits), sys::ggml_nbytes(last));
            let from = final_logits.as_ptr().cast::<c_void>();
            sys::ggml_backend_tensor_set(last, from, 0, size_of_val(final_logits));
            let exits = (*ids).ne[1] as usize;
            let all: Vec<i32> =
                tokens.iter().map(|&token| token as i32).collect::<Vec<_>>().repeat(exits);
            let from = all.as_ptr().cast::<c_void>();
            sys::ggml_backend_tensor_set(ids, from, 0, size_of_val(&all[..]));
        }
        self.replay.compute(states)?;
        let rows = self.replay.output().chunks_exact(SUMS + self.tokens);
        Ok(rows.map(ExitSum::of).collect())
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.replay.memory()
    }
}

impl ExitSum {
    /// From a row of what [`sums`] gives.
    fn of(row: &[f32]) -> Self {
        let (sums, logits) = row.split_at(SUMS);
        let &[best, best_count, best_d, q, q_squared, q_d, d_squared] = sums else {
            unreachable!("a row begins with {SUMS} sums")
        };
        // What was ruled out is so again.
        let own = |&logit: &f32| if logit <= LOWEST { f32::NEG_INFINITY } else { logit };
        let logits = logits.iter().map(own).collect();
        ExitSum { best, best_count, best_d, q, q_squared, q_d, d_squared, logits }
    }
}

/// Adds the sums of `logits`, `[vocab × exits]`, to a graph: `[7 + tokens × exits]`
/// in the order of [`ExitSum`].
///
/// # Safety
/// The context must have room, and `logits` be a tensor in it of that shape.
unsafe fn sums(
    context: *mut sys::ggml_context,
    logits: *mut sys::ggml_tensor,
    [exits, vocab, tokens]: [usize; 3],
) -> (Inputs, *mut sys::ggml_tensor) {
    let (exits, vocab, tokens) = (exits as i64, vocab as i64, tokens as i64);
    // SAFETY: passed on to the caller; shapes fit, being made here.
    unsafe {
        let final_logits = sys::ggml_new_tensor_1d(context, sys::GGML_TYPE_F32, vocab);
        let ids = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_I32, tokens, exits);
        sys::ggml_set_input(final_logits);
        sys::ggml_set_input(ids);
        let numbers = |tensor| sys::ggml_clamp(context, tensor, LOWEST, f32::MAX);
        let z = numbers(logits);
        let d = sys::ggml_sub(context, z, numbers(final_logits));

        let each = sys::ggml_reshape_3d(context, z, 1, vocab, exits);
        let at = sys::ggml_reshape_2d(context, sys::ggml_argmax(context, z), 1, exits);
        let best = sys::ggml_reshape_2d(context, sys::ggml_get_rows(context, each, at), 1, exits);
        let below = sys::ggml_sub(context, z, best);
        // 1 for the others, and 1 for the best.
        let is_other = sys::ggml_step(context, sys::ggml_neg(context, below));
        let is_best = sys::ggml_scale_bias(context, is_other, -1.0, 1.0);
        let q = sys::ggml_mul(context, sys::ggml_exp(context, below), is_other);

        let sum = |tensor| sys::ggml_sum_rows(context, tensor);
        let product = |a, b| sys::ggml_mul(context, a, b);
        let mut all = best;
        for part in [
            sum(is_best),
            sum(product(is_best, d)),
            sum(q),
            sum(product(q, q)),
            sum(product(q, d)),
            sum(product(d, d)),
            sys::ggml_reshape_2d(context, sys::ggml_get_rows(context, each, ids), tokens, exits),
        ] {
            all = sys::ggml_concat(context, all, part, 0);
        }
        (Inputs { final_logits, ids }, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_head::replay::Backend;

    #[test]
    fn sums_of_the_graph_are_those_of_their_definition() {
        // A head of 4 inputs and 300 tokens, three exits; token 7 is ruled out
        // everywhere, by a bias.
        let (width, exits, vocab) = (4, 3, 300);
        let number = |i: usize| ((i * 7919 % 613) as f32 / 306.0 - 1.0) * 2.0;
        let weights: Vec<f32> = (0..vocab * width).map(number).collect();
        let states: Vec<f32> = (0..exits * width).map(|i| number(i + 5) * 3.0).collect();
        let bias: Vec<f32> =
            (0..vocab).map(|i| if i == 7 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mut last: Vec<f32> = (0..vocab).map(|i| number(i * 3)).collect();
        last[7] = f32::NEG_INFINITY;
        let tokens = [0, 299, 41];

        let threadpool = Threadpool::new(1).unwrap();
        let cpu = Backend::cpu(1, &threadpool).unwrap();
        // SAFETY: the context has room for two tensors, which are written whole;
        // both outlive the graph.
        let (context, buffer, recipe) = unsafe {
            let context = sys::ggml_init(sys::ggml_init_params {
                mem_size: 1 << 12,
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            });
            let tensor = |inputs: usize, rows: usize| {
                let kind = sys::GGML_TYPE_F32;
                sys::ggml_new_tensor_2d(context, kind, inputs as i64, rows as i64)
            };
            let (matrix, added) = (tensor(width, vocab), tensor(vocab, 1));
            let buffer = sys::ggml_backend_alloc_ctx_tensors(context, cpu.as_ptr());
            for (tensor, values) in [(matrix, &weights), (added, &bias)] {
                let from = values.as_ptr().cast::<c_void>();
                sys::ggml_backend_tensor_set(tensor, from, 0, size_of_val(&values[..]));
            }
            let step = |op, weight| Step { op, params: [0; 16], weight: Some(weight) };
            let recipe = [step(sys::GGML_OP_MUL_MAT, matrix), step(sys::GGML_OP_ADD, added)];
            (context, buffer, recipe)
        };
        let sizes = [width, exits, vocab, tokens.len()];
        // SAFETY: the weights are freed behind the last use of the reduction.
        let mut reduction = unsafe { Reduction::new(&recipe, sizes, 1, &threadpool).unwrap() };
        let sums = reduction.compute(&states, &last, &tokens).unwrap();
        drop(reduction);
        // SAFETY: nothing uses them any more.
        unsafe {
            sys::ggml_backend_buffer_free(buffer);
            sys::ggml_free(context);
        }

        for (sum, state) in sums.iter().zip(states.chunks(width)) {
            let z: Vec<f64> = weights
                .chunks(width)
                .zip(&bias)
                .map(|(row, &bias)| {
                    let product = row.iter().zip(state).map(|(w, x)| f64::from(w * x)).sum::<f64>();
                    product + f64::from(bias)
                })
                .collect();
            let best = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let d = |j: usize| if j == 7 { 0.0 } else { z[j] - f64::from(last[j]) };
            let others =
                || (0..vocab).filter(|&j| z[j] < best - 1e-6).map(|j| ((z[j] - best).exp(), d(j)));
            let bests = || (0..vocab).filter(|&j| z[j] >= best - 1e-6);
            for (own, exact) in [
                (sum.best, best),
                (sum.best_count, bests().count() as f64),
                (sum.best_d, bests().map(d).sum()),
                (sum.q, others().map(|(q, _)| q).sum()),
                (sum.q_squared, others().map(|(q, _)| q * q).sum()),
                (sum.q_d, others().map(|(q, d)| q * d).sum()),
                (sum.d_squared, (0..vocab).map(|j| d(j) * d(j)).sum()),
                (sum.logits[0], z[0]),
                (sum.logits[1], z[299]),
                (sum.logits[2], z[41]),
            ] {
                let off = (f64::from(own) - exact).abs();
                assert!(off <= 2e-5 * exact.abs().max(1.0), "{own} is not {exact}: {sum:?}");
            }
        }
    }
}
