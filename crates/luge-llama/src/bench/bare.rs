//! llama.cpp without luge: what a minimal program does with it.
//!
//! It shares nothing with the rest of the crate, neither taps nor checks.

use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;

use crate::backend::{self, Threadpool};

/// A model and a context with llama.cpp's own defaults, and the loop of a
/// minimal program: the best logit, decode it, again.
pub struct BareLoop {
    model: NonNull<sys::llama_model>,
    context: NonNull<sys::llama_context>,
    // Dropped after the context has been freed, in `drop`.
    _threadpool: Threadpool,
    vocab: usize,
}

impl BareLoop {
    /// Loads a model, which should be known to be whole: nothing is checked.
    /// `None` if llama.cpp refuses.
    pub fn new(path: &Path, n_ctx: u32, threads: u32) -> Option<Self> {
        backend::init();
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let threadpool = Threadpool::new(threads)?;
        // SAFETY: plain parameters and live pointers; the pool outlives the
        // context.
        unsafe {
            let model =
                sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params());
            let model = NonNull::new(model)?;
            let mut params = sys::llama_context_default_params();
            params.n_ctx = n_ctx;
            params.n_threads = threads as i32;
            params.n_threads_batch = threads as i32;
            params.no_perf = true;
            let context = NonNull::new(sys::llama_init_from_model(model.as_ptr(), params))?;
            let pool = threadpool.as_ptr();
            sys::llama_attach_threadpool(context.as_ptr(), pool, pool);
            let vocab = sys::llama_model_get_vocab(model.as_ptr());
            let vocab = sys::llama_vocab_n_tokens(vocab) as usize;
            Some(BareLoop { model, context, _threadpool: threadpool, vocab })
        }
    }

    /// Computes the prompt, then the best token and its successors; returns how
    /// long the `tokens` steps after the prompt took. `None` if llama.cpp fails.
    pub fn run(&mut self, prompt: &[u32], tokens: usize) -> Option<Duration> {
        let mut ids: Vec<i32> = prompt.iter().map(|&id| id as i32).collect();
        let context = self.context.as_ptr();
        // SAFETY: the context is live; batches point to `ids` and `next`, which
        // outlive the calls; the last token of such a batch has `vocab` logits.
        unsafe {
            sys::llama_memory_clear(sys::llama_get_memory(context), true);
            let batch = sys::llama_batch_get_one(ids.as_mut_ptr(), ids.len() as i32);
            if sys::llama_decode(context, batch) != 0 {
                return None;
            }
            let start = Instant::now();
            for _ in 0..tokens {
                let logits = sys::llama_get_logits_ith(context, -1);
                let mut next = best(std::slice::from_raw_parts(logits, self.vocab)) as i32;
                if sys::llama_decode(context, sys::llama_batch_get_one(&mut next, 1)) != 0 {
                    return None;
                }
            }
            sys::llama_synchronize(context);
            Some(start.elapsed())
        }
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        // SAFETY: both are live and owned; the context goes first.
        unsafe {
            sys::llama_free(self.context.as_ptr());
            sys::llama_model_free(self.model.as_ptr());
        }
    }
}

fn best(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best
}
