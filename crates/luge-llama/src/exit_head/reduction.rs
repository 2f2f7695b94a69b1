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
    sizes: Sizes,
    vocab: usize,
    inputs: Inputs,
}

/// What a graph is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    exits: usize,
    /// Tokens of the batch that these are the exits of.
    places: usize,
    /// How many tokens' logits are asked for at each exit, at least one.
    asked: usize,
}

impl Sizes {
    fn of(states: &[&[f32]], at: &[At<'_>]) -> Self {
        let asked = at.iter().map(|at| at.tokens.len()).max().unwrap_or(0).max(1);
        Sizes { exits: states.len(), places: at.len(), asked }
    }
}

/// A token of the batch whose exits are summed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    /// How many exits it has.
    pub(crate) exits: usize,
    /// Its final logits, `[vocab]`.
    pub(crate) final_logits: &'a [f32],
    /// Those whose logits are asked for.
    pub(crate) tokens: &'a [u32],
}

/// What the sums need beside the exits' logits.
#[derive(Clone, Copy)]
struct Inputs {
    /// `[vocab × places]`.
    final_logits: *mut sys::ggml_tensor,
    /// `[exits]`: the place of each, if there are several.
    places: Option<*mut sys::ggml_tensor>,
    /// `[asked × exits]`.
    ids: *mut sys::ggml_tensor,
}

impl Reduction {
    /// Sums of the exits of such states at such tokens, for now.
    ///
    /// # Safety
    /// The recipe's weights must be live, and stay so.
    pub(super) unsafe fn new(
        recipe: &[Step],
        vocab: usize,
        (states, at): (&[&[f32]], &[At<'_>]),
        threads: u32,
        threadpool: &Threadpool,
    ) -> Result<Self, Error> {
        let sizes = Sizes::of(states, at);
        let width = states[0].len();
        let mut inputs = None;
        // SAFETY: passed on to the caller; what the tail returns is in the context.
        let replay = unsafe {
            let tail = tail(sizes, vocab, &mut inputs);
            Replay::with_tail(recipe, width, sizes.exits, threads, threadpool, tail)?
        };
        let inputs = inputs.expect("the tail has been called");
        Ok(Reduction { replay, sizes, vocab, inputs })
    }

    /// The sums of the exits of hidden states, `[width]` each, in the order of `at`.
    pub(super) fn compute(
        &mut self,
        states: &[&[f32]],
        at: &[At<'_>],
    ) -> Result<Vec<ExitSum>, Error> {
        assert_eq!(states.len(), at.iter().map(|at| at.exits).sum::<usize>());
        let sizes = Sizes::of(states, at);
        if self.sizes != sizes {
            // Should it fail, the next call has to make the graph too.
            self.sizes = Sizes { exits: 0, places: 0, asked: 0 };
            let mut inputs = None;
            // SAFETY: what the tail returns is in the context.
            unsafe { self.replay.build(sizes.exits, tail(sizes, self.vocab, &mut inputs))? };
            self.inputs = inputs.expect("the tail has been called");
            self.sizes = sizes;
        }
        let Inputs { final_logits, places, ids } = self.inputs;
        for (place, at) in at.iter().enumerate() {
            assert_eq!(at.final_logits.len(), self.vocab);
            // SAFETY: the input is live and allocated, with `vocab` floats a place.
            unsafe { set(final_logits, place * self.vocab, at.final_logits) };
        }
        let of_each = || at.iter().enumerate().flat_map(|at| std::iter::repeat_n(at, at.1.exits));
        if let Some(places) = places {
            let numbers: Vec<i32> = of_each().map(|(place, _)| place as i32).collect();
            // SAFETY: the input is live and allocated, with one number an exit.
            unsafe { set(places, 0, &numbers) };
        }
        let mut numbers = Vec::with_capacity(sizes.exits * sizes.asked);
        for (_, at) in of_each() {
            let tokens = at.tokens.iter().map(|&token| token as i32);
            // Where fewer are asked for than elsewhere, token 0 takes the room.
            numbers.extend(tokens.chain(std::iter::repeat(0)).take(sizes.asked));
        }
        // SAFETY: the input is live and allocated, with `asked` numbers an exit.
        unsafe { set(ids, 0, &numbers) };
        self.replay.compute(states)?;
        let rows = self.replay.output().chunks_exact(SUMS + sizes.asked);
        let asked = of_each().map(|(_, at)| at.tokens.len());
        Ok(rows.zip(asked).map(|(row, asked)| ExitSum::of(&row[..SUMS + asked])).collect())
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

/// Writes numbers to a tensor, from its `start`th on.
///
/// # Safety
/// The tensor must be live and allocated, and have room for them.
unsafe fn set<T>(tensor: *mut sys::ggml_tensor, start: usize, numbers: &[T]) {
    let from = numbers.as_ptr().cast::<c_void>();
    // SAFETY: passed on to the caller.
    unsafe {
        sys::ggml_backend_tensor_set(tensor, from, start * size_of::<T>(), size_of_val(numbers));
    }
}

/// What adds [`sums`] to a graph, and says where its inputs are.
fn tail(
    sizes: Sizes,
    vocab: usize,
    inputs: &mut Option<Inputs>,
) -> impl FnOnce(*mut sys::ggml_context, *mut sys::ggml_tensor) -> *mut sys::ggml_tensor {
    move |context, logits| {
        // SAFETY: called with a live context that has room, and `[vocab × exits]`
        // logits in it.
        let (made, output) = unsafe { sums(context, logits, sizes, vocab) };
        *inputs = Some(made);
        output
    }
}

/// Adds the sums of `logits`, `[vocab × exits]`, to a graph: `[7 + asked × exits]`
/// in the order of [`ExitSum`].
///
/// # Safety
/// The context must have room, and `logits` be a tensor in it of that shape.
unsafe fn sums(
    context: *mut sys::ggml_context,
    logits: *mut sys::ggml_tensor,
    sizes: Sizes,
    vocab: usize,
) -> (Inputs, *mut sys::ggml_tensor) {
    let [exits, places, asked] = [sizes.exits, sizes.places, sizes.asked].map(|size| size as i64);
    let vocab = vocab as i64;
    // SAFETY: passed on to the caller; shapes fit, being made here.
    unsafe {
        let input = |kind, width, height| {
            let tensor = sys::ggml_new_tensor_2d(context, kind, width, height);
            sys::ggml_set_input(tensor);
            tensor
        };
        let final_logits = input(sys::GGML_TYPE_F32, vocab, places);
        let ids = input(sys::GGML_TYPE_I32, asked, exits);
        // Where all exits are of one token, its logits serve them all as they are.
        let of_each = (places > 1).then(|| input(sys::GGML_TYPE_I32, exits, 1));
        let numbers = |tensor| sys::ggml_clamp(context, tensor, LOWEST, f32::MAX);
        let z = numbers(logits);
        let last = numbers(final_logits);
        let last = of_each.map_or(last, |places| sys::ggml_get_rows(context, last, places));
        let d = sys::ggml_sub(context, z, last);

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
            sys::ggml_reshape_2d(context, sys::ggml_get_rows(context, each, ids), asked, exits),
        ] {
            all = sys::ggml_concat(context, all, part, 0);
        }
        (Inputs { final_logits, places: of_each, ids }, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_head::replay::Backend;

    #[test]
    fn sums_of_the_graph_are_those_of_their_definition() {
        // A head of 4 inputs and 300 tokens, three exits at one place and one at
        // another; token 7 is ruled out everywhere, by a bias.
        let (width, exits, vocab) = (4, 4, 300);
        let number = |i: usize| ((i * 7919 % 613) as f32 / 306.0 - 1.0) * 2.0;
        let weights: Vec<f32> = (0..vocab * width).map(number).collect();
        let states: Vec<f32> = (0..exits * width).map(|i| number(i + 5) * 3.0).collect();
        let bias: Vec<f32> =
            (0..vocab).map(|i| if i == 7 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let final_logits = [3, 11].map(|factor| -> Vec<f32> {
            let mut last: Vec<f32> = (0..vocab).map(|i| number(i * factor)).collect();
            last[7] = f32::NEG_INFINITY;
            last
        });
        let [first, second] = &final_logits;
        let at = [
            At { exits: 3, final_logits: first, tokens: &[0, 299, 41] },
            At { exits: 1, final_logits: second, tokens: &[12] },
        ];

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
        let states: Vec<&[f32]> = states.chunks(width).collect();
        let first = (&states[..3], &at[..1]);
        // SAFETY: the weights are freed behind the last use of the reduction.
        let made = unsafe { Reduction::new(&recipe, vocab, first, 1, &threadpool) };
        let mut reduction = made.unwrap();
        // For one place, for another, for both, and for the first again.
        let sums = reduction.compute(&states[..3], &at[..1]).unwrap();
        let other = reduction.compute(&states[3..], &at[1..]).unwrap();
        let together = reduction.compute(&states, &at).unwrap();
        assert_eq!(reduction.compute(&states[..3], &at[..1]).unwrap(), sums);
        drop(reduction);
        // SAFETY: nothing uses them any more.
        unsafe {
            sys::ggml_backend_buffer_free(buffer);
            sys::ggml_free(context);
        }

        let apart = sums.iter().chain(&other);
        let places = at.iter().flat_map(|at| std::iter::repeat_n(at, at.exits));
        let all = states.iter().zip(places);
        for (sum, (state, at)) in apart.zip(all.clone()).chain(together.iter().zip(all)) {
            let last = at.final_logits;
            let z: Vec<f64> = weights
                .chunks(width)
                .zip(&bias)
                .map(|(row, &bias)| {
                    let product =
                        row.iter().zip(*state).map(|(w, x)| f64::from(w * x)).sum::<f64>();
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
            ] {
                let off = (f64::from(own) - exact).abs();
                assert!(off <= 2e-5 * exact.abs().max(1.0), "{own} is not {exact}: {sum:?}");
            }
            assert_eq!(sum.logits.len(), at.tokens.len());
            for (&own, &token) in sum.logits.iter().zip(at.tokens) {
                assert!((f64::from(own) - z[token as usize]).abs() <= 2e-5, "{token}: {sum:?}");
            }
        }
    }
}
