//! A context: KV cache, computation, taps and exits.

mod exits;
mod params;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llama_cpp_sys_2 as sys;

use crate::backend::{Threadpool, with_log};
use crate::exit_head::workers::Workers;
use crate::graph::ModelGraph;
use crate::taps::{self, Taps};
use crate::{Batch, Error, Model, guard};
use exits::ExitHeads;
pub use exits::{ExitSpec, ExitsAt, HeadForm};
pub use params::{CacheType, ContextParams, FlashAttention};

/// ggml's `GGML_MAX_N_THREADS`.
const MAX_THREADS: u32 = 512;

/// Architectures whose graph llama.cpp cannot build for a micro-batch without outputs.
const NEEDS_AN_OUTPUT: [&str; 1] = ["chameleon"];

/// A model at work: its KV cache, and the logits and exits of the last batch.
pub struct Context {
    // Dropped in this order: heads, workers and llama.cpp's context use the threads
    // and the taps, and all of them the model.
    heads: ExitHeads,
    workers: Workers,
    raw: RawContext,
    threadpool: Threadpool,
    taps: SharedTaps,
    interrupt: Option<Arc<AtomicBool>>,
    model: Model,

    graph: Option<ModelGraph>,
    n_ctx: u32,
    threads: u32,
    n_sequences: u32,
    /// For each token of the last batch, its number among the outputs.
    outputs: Vec<Option<usize>>,
    exits_computed: u64,
}

struct RawContext(NonNull<sys::llama_context>);

impl RawContext {
    /// The logits of an output by its place in the last batch: `[vocab]`.
    fn logits(&self, index: usize, vocab: usize) -> &[f32] {
        // SAFETY: the context is live and the token was an output, or null comes
        // back; so there are `vocab` floats, valid until the next computation,
        // which takes the context exclusively.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.0.as_ptr(), index as i32);
            assert!(!logits.is_null(), "the logits of an output are there");
            std::slice::from_raw_parts(logits, vocab)
        }
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: the context is live and owned.
        unsafe { sys::llama_free(self.0.as_ptr()) }
    }
}

// SAFETY: everything a context points to is its own or, like the model, made
// for sharing; nothing of it is bound to a thread.
unsafe impl Send for Context {}

/// Taps that llama.cpp has the address of.
struct SharedTaps(NonNull<Taps>);

impl SharedTaps {
    fn new() -> Self {
        SharedTaps(NonNull::from(Box::leak(Box::new(Taps::Off))))
    }

    fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr().cast::<c_void>()
    }

    fn get(&self) -> &Taps {
        // SAFETY: the box is live. llama.cpp uses it only while it computes,
        // which takes the context, and with it this, exclusively.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut Taps {
        // SAFETY: as in `get`.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for SharedTaps {
    fn drop(&mut self) {
        // SAFETY: from the box in `new`; whoever had the address is dropped
        // before (see the order of `Context`'s fields).
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Context {
    /// Makes a context.
    ///
    /// # Errors
    /// [`Error::Context`], with what llama.cpp said.
    pub fn new(model: &Model, params: &ContextParams) -> Result<Self, Error> {
        let failed = |reason: &str| Error::Context { reason: reason.to_owned() };
        let wanted = match params.n_ctx {
            0 => model.n_ctx_train(),
            wanted => wanted,
        };
        if let Some(positions) = model.positions().filter(|&positions| positions < wanted) {
            return Err(failed(&format!(
                "{wanted} tokens are more than the {positions} positions this model has learned"
            )));
        }
        if !(1..=MAX_THREADS).contains(&params.threads) {
            return Err(failed(&format!("it takes 1 to {MAX_THREADS} threads")));
        }
        let threadpool = Threadpool::new(params.threads)
            .ok_or_else(|| failed("the worker threads could not be started"))?;
        let workers = Workers::new(params.threads, &threadpool)?;
        let taps = SharedTaps::new();
        // SAFETY: the parameters are plain values and two pointers that stay
        // valid as long as the context: the callback, and the taps, which are
        // dropped after it. So is the pool.
        let (raw, reason) = with_log(|| unsafe {
            let mut raw = sys::llama_context_default_params();
            raw.n_ctx = wanted.saturating_mul(params.texts.max(1));
            raw.n_batch = params.n_batch;
            raw.n_ubatch = params.n_ubatch;
            // One more for finding out the graph without touching the others.
            raw.n_seq_max = params.n_sequences + 1;
            // A context of fewer tokens than there are sequences would end the process.
            raw.n_outputs_max = params.n_batch.max(raw.n_seq_max);
            raw.n_threads = params.threads as i32;
            raw.n_threads_batch = params.threads as i32;
            raw.type_k = params.type_k.raw();
            raw.type_v = params.type_v.raw();
            raw.flash_attn_type = match params.flash_attention {
                FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
                FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
                FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            };
            raw.no_perf = true;
            // Rows of a micro-batch then follow the order of the batch.
            raw.kv_unified = true;
            raw.cb_eval = Some(taps::callback);
            raw.cb_eval_user_data = taps.as_ptr();
            let context = sys::llama_init_from_model(model.as_ptr(), raw);
            if !context.is_null() {
                sys::llama_attach_threadpool(context, threadpool.as_ptr(), threadpool.as_ptr());
            }
            context
        });
        let raw = NonNull::new(raw)
            .ok_or_else(|| failed(reason.as_deref().unwrap_or("llama.cpp gave no reason")))?;
        // SAFETY: the context is live.
        let available = unsafe { sys::llama_n_ctx(raw.as_ptr()) };
        Ok(Context {
            heads: ExitHeads::default(),
            workers,
            raw: RawContext(raw),
            threadpool,
            taps,
            interrupt: None,
            model: model.clone(),
            graph: None,
            // llama.cpp rounds up; what was asked for is what there is.
            n_ctx: wanted.min(available),
            threads: params.threads,
            n_sequences: params.n_sequences,
            outputs: Vec::new(),
            exits_computed: 0,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Room for a text, in tokens.
    pub fn n_ctx(&self) -> u32 {
        self.n_ctx
    }

    /// The most tokens in a batch.
    pub fn n_batch(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.raw.0.as_ptr()) }
    }

    /// Makes computations stop soon after the flag turns true, with
    /// [`Error::Interrupted`]. On the CPU within an operation or two.
    pub fn set_interrupt(&mut self, flag: Arc<AtomicBool>) {
        /// # Safety
        /// `flag` must point to a live `AtomicBool`.
        unsafe extern "C" fn interrupted(flag: *mut c_void) -> bool {
            // SAFETY: passed on to the caller.
            unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
        }
        let address = Arc::as_ptr(&flag).cast_mut().cast::<c_void>();
        // SAFETY: the context is live; the flag is kept until it is replaced,
        // after this call, or the context is gone.
        unsafe {
            sys::llama_set_abort_callback(self.raw.0.as_ptr(), Some(interrupted), address);
        }
        self.interrupt = Some(flag);
    }

    fn set_taps(&mut self, taps: Taps) -> Taps {
        std::mem::replace(self.taps.get_mut(), taps)
    }

    /// Computes a batch. Afterwards [`Context::logits`] and
    /// [`Context::exit_logits`] give what it asked for, until the next one.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::TokenOutOfRange`] and [`Error::ContextFull`]
    /// before anything is computed; [`Error::Interrupted`] and
    /// [`Error::Compute`].
    pub fn decode(&mut self, batch: &Batch) -> Result<(), Error> {
        self.check(batch)?;
        if let Taps::Capture(capture) = self.taps.get_mut() {
            capture.begin(batch.tokens().iter().map(|token| token.output));
        }
        self.heads.forget();
        self.compute(batch)?;
        if let Taps::Capture(capture) = self.taps.get()
            && let Err(missing) = capture.end()
        {
            self.outputs.clear();
            return Err(Error::Compute(missing));
        }
        Ok(())
    }

    fn check(&self, batch: &Batch) -> Result<(), Error> {
        let tokens = batch.tokens();
        let limit = self.n_batch() as usize;
        if tokens.is_empty() || tokens.len() > limit {
            return Err(Error::Batch(format!(
                "a batch has 1 to {limit} tokens, this one {}",
                tokens.len()
            )));
        }
        for token in tokens {
            self.model.check_token(token.token)?;
            if token.sequences.is_empty() || token.sequences.end > self.n_sequences {
                return Err(Error::Batch(format!(
                    "sequences {:?} are out of range: the context has {}",
                    token.sequences, self.n_sequences
                )));
            }
            if token.position >= self.n_ctx {
                return Err(Error::ContextFull(self.n_ctx));
            }
        }
        // A recurrent state is computed sequence by sequence, so rows of
        // several would not keep the order that taps rely on.
        let one = &tokens[0].sequences;
        let several = one.len() > 1 || tokens.iter().any(|token| token.sequences != *one);
        if several && self.looked_at().is_some() && self.model.is_recurrent() {
            return Err(Error::Batch(
                "exits of a recurrent model are computed for one sequence at a time".to_owned(),
            ));
        }
        Ok(())
    }

    fn compute(&mut self, batch: &Batch) -> Result<(), Error> {
        let tokens = batch.tokens();
        let mut ids: Vec<i32> = tokens.iter().map(|token| token.token as i32).collect();
        let mut positions: Vec<i32> = tokens.iter().map(|token| token.position as i32).collect();
        // Each token's sequences are a stretch of these.
        let most = tokens.iter().map(|token| token.sequences.end).max().unwrap_or(0);
        let mut sequences: Vec<i32> = (0..most as i32).collect();
        let mut sequence_counts: Vec<i32> =
            tokens.iter().map(|token| token.sequences.len() as i32).collect();
        let mut sequence_pointers: Vec<*mut i32> = tokens
            .iter()
            .map(|token| sequences[token.sequences.start as usize..].as_mut_ptr())
            .collect();
        let mut outputs: Vec<i8> = tokens.iter().map(|token| i8::from(token.output)).collect();
        if NEEDS_AN_OUTPUT.contains(&self.model.architecture()) {
            // SAFETY: the context is live.
            let n_ubatch = unsafe { sys::llama_n_ubatch(self.raw.0.as_ptr()) } as usize;
            for micro_batch in outputs.chunks_mut(n_ubatch.max(1)) {
                if let Some(last) = micro_batch.last_mut() {
                    *last = 1;
                }
            }
        }
        let raw = sys::llama_batch {
            n_tokens: tokens.len() as i32,
            token: ids.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: sequence_counts.as_mut_ptr(),
            seq_id: sequence_pointers.as_mut_ptr(),
            logits: outputs.as_mut_ptr(),
        };
        self.outputs.clear();
        // SAFETY: the context is live; the batch's arrays hold `n_tokens`
        // entries each and outlive the call.
        let (status, reason) = with_log(|| unsafe { guard::luge_decode(self.raw.0.as_ptr(), raw) });
        match status {
            0 => {}
            1 => return Err(Error::ContextFull(self.n_ctx)),
            2 => return Err(Error::Interrupted),
            guard::THROWN => {
                let unknown = || "it threw an exception".to_owned();
                return Err(Error::Compute(reason.unwrap_or_else(unknown)));
            }
            _ => {
                let unknown = || format!("llama_decode returned {status}");
                return Err(Error::Compute(reason.unwrap_or_else(unknown)));
            }
        }
        let mut count = 0;
        self.outputs.extend(tokens.iter().map(|token| {
            token.output.then(|| {
                count += 1;
                count - 1
            })
        }));
        Ok(())
    }

    /// The model's own logits at a token of the last batch, by its place in the
    /// batch: `[vocab]`.
    ///
    /// # Panics
    /// If that token was not an output.
    pub fn logits(&self, index: usize) -> &[f32] {
        self.output_number(index);
        self.raw.logits(index, self.model.n_vocab())
    }

    fn output_number(&self, index: usize) -> usize {
        output_number(&self.outputs, index)
    }

    /// Removes a sequence's tokens from `position` on. False if the model's
    /// state cannot be cut back there: then nothing has changed.
    pub fn remove(&mut self, sequence: u32, position: u32) -> bool {
        // SAFETY: the context and its memory are live; −1 means to the end.
        unsafe {
            let memory = sys::llama_get_memory(self.raw.0.as_ptr());
            sys::llama_memory_seq_rm(memory, sequence as i32, position as i32, -1)
        }
    }

    /// Makes `to` a copy of `from`; the cache's cells are shared.
    pub fn copy_sequence(&mut self, from: u32, to: u32) {
        // SAFETY: as in `remove`.
        unsafe {
            let memory = sys::llama_get_memory(self.raw.0.as_ptr());
            sys::llama_memory_seq_cp(memory, from as i32, to as i32, -1, -1);
        }
    }

    /// Empties the KV cache.
    pub fn clear(&mut self) {
        // SAFETY: as in `remove`.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.raw.0.as_ptr()), true) }
    }
}

/// The number among the outputs of a token of the last batch.
fn output_number(outputs: &[Option<usize>], index: usize) -> usize {
    let output = outputs.get(index).copied().flatten();
    output.unwrap_or_else(|| panic!("token {index} is no output of the last batch"))
}
