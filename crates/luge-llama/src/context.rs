//! A context: KV cache, computation, taps and exits.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llama_cpp_sys_2 as sys;

use crate::backend::{Threadpool, with_log};
use crate::exit_head::{ExitHead, ExitSum, ExitTile};
use crate::graph::{ModelGraph, Obstacle, without_softcap};
use crate::taps::{self, Capture, Taps};
use crate::{Batch, Error, Model, guard};

/// ggml's `GGML_MAX_N_THREADS`.
const MAX_THREADS: u32 = 512;

/// Architectures whose graph llama.cpp cannot build for a micro-batch without outputs.
const NEEDS_AN_OUTPUT: [&str; 1] = ["chameleon"];

/// How to make a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextParams {
    /// Room in the KV cache, in tokens; 0 for what the model was trained with.
    pub n_ctx: u32,
    /// The most tokens in a batch.
    pub n_batch: u32,
    /// The most tokens computed at once; larger batches are taken in pieces.
    pub n_ubatch: u32,
    /// How many sequences the KV cache may hold.
    pub n_sequences: u32,
    /// Worker threads, at least 1.
    pub threads: u32,
    /// The type of the K cache.
    pub type_k: CacheType,
    /// The type of the V cache. Quantised ones need flash attention.
    pub type_v: CacheType,
    /// Whether to use flash attention.
    pub flash_attention: FlashAttention,
}

impl Default for ContextParams {
    fn default() -> Self {
        ContextParams {
            n_ctx: 0,
            n_batch: 2048,
            n_ubatch: 512,
            n_sequences: 1,
            threads: 1,
            type_k: CacheType::F16,
            type_v: CacheType::F16,
            flash_attention: FlashAttention::Auto,
        }
    }
}

/// The type of the numbers in a KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are ggml's and say it all")]
pub enum CacheType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
    Q4_1,
    Iq4Nl,
    Q5_0,
    Q5_1,
}

impl CacheType {
    /// Every type and its name.
    pub const ALL: [(CacheType, &'static str); 9] = [
        (CacheType::F32, "f32"),
        (CacheType::F16, "f16"),
        (CacheType::Bf16, "bf16"),
        (CacheType::Q8_0, "q8_0"),
        (CacheType::Q4_0, "q4_0"),
        (CacheType::Q4_1, "q4_1"),
        (CacheType::Iq4Nl, "iq4_nl"),
        (CacheType::Q5_0, "q5_0"),
        (CacheType::Q5_1, "q5_1"),
    ];

    fn raw(self) -> sys::ggml_type {
        match self {
            CacheType::F32 => sys::GGML_TYPE_F32,
            CacheType::F16 => sys::GGML_TYPE_F16,
            CacheType::Bf16 => sys::GGML_TYPE_BF16,
            CacheType::Q8_0 => sys::GGML_TYPE_Q8_0,
            CacheType::Q4_0 => sys::GGML_TYPE_Q4_0,
            CacheType::Q4_1 => sys::GGML_TYPE_Q4_1,
            CacheType::Iq4Nl => sys::GGML_TYPE_IQ4_NL,
            CacheType::Q5_0 => sys::GGML_TYPE_Q5_0,
            CacheType::Q5_1 => sys::GGML_TYPE_Q5_1,
        }
    }
}

impl FromStr for CacheType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = CacheType::ALL.iter().find(|(_, name)| *name == text);
        found.map(|&(kind, _)| kind).ok_or_else(|| {
            let names: Vec<_> = CacheType::ALL.iter().map(|&(_, name)| name).collect();
            format!("the types are {}", names.join(", "))
        })
    }
}

/// Whether to use flash attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum FlashAttention {
    /// Where the device supports it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Which exits to make available after a [`Context::decode`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitSpec {
    /// Layers, ascending: 0 the embedding, i the output of block i−1. With
    /// `final_norm` also L, the last block's output, whose exit is then the
    /// model's ordinary output.
    pub layers: Vec<usize>,
    /// Whether states pass the model's final norm before the head.
    pub final_norm: bool,
    /// Whether exits pass the head's softcap, where it has one.
    pub softcap: bool,
}

/// A model at work: its KV cache, and the logits and exits of the last batch.
pub struct Context {
    // Dropped in this order: head and llama.cpp's context use the threads and
    // the taps, and all of them the model.
    exits: Option<ActiveExits>,
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
    /// How many exits have been computed.
    exits_computed: u64,
}

struct ActiveExits {
    spec: ExitSpec,
    head: ExitHead,
    /// The output of the last batch that the head has been computed for.
    computed: Option<usize>,
}

struct RawContext(NonNull<sys::llama_context>);

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
        let taps = SharedTaps::new();
        // SAFETY: the parameters are plain values and two pointers that stay
        // valid as long as the context: the callback, and the taps, which are
        // dropped after it. So is the pool.
        let (raw, reason) = with_log(|| unsafe {
            let mut raw = sys::llama_context_default_params();
            raw.n_ctx = params.n_ctx;
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
            exits: None,
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

    /// Room in the KV cache, in tokens.
    pub fn n_ctx(&self) -> u32 {
        self.n_ctx
    }

    /// The most tokens in a batch.
    pub fn n_batch(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.raw.0.as_ptr()) }
    }

    /// Bytes held for computing exits, 0 while no exits are set. `[exits × vocab]`
    /// floats and a little once [`Context::exit_logits`] has been called, and from
    /// the beginning where ggml computes the exits; before that only the hidden
    /// states. Threads hold some tens of kilobytes more while they compute.
    pub fn exit_memory(&self) -> usize {
        self.exits.as_ref().map_or(0, |exits| exits.head.memory())
    }

    /// How many exits have been computed since the context was made: those of all layers
    /// that were set, each time that the head went over a position.
    pub fn exits_computed(&self) -> u64 {
        self.exits_computed
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

    /// Sets which exits later batches make available. Without layers, looking
    /// ends, and costs nothing.
    ///
    /// The first call with layers computes one token, on a sequence of its own,
    /// to find out the architecture's graph.
    ///
    /// # Errors
    /// [`Error::NoTaps`] and [`Error::UnknownHead`] if the architecture does
    /// not let itself be read, [`Error::ContextFull`] if the first call finds
    /// no room in the cache, [`Error::Interrupted`], [`Error::Kernel`], and
    /// [`Error::Compute`] if there is no memory.
    ///
    /// # Panics
    /// If a layer is not one of the model's.
    pub fn set_exits(&mut self, spec: &ExitSpec) -> Result<(), Error> {
        if self.exits.as_ref().map(|exits| &exits.spec) == Some(spec) {
            return Ok(());
        }
        self.exits = None;
        self.set_taps(Taps::Off);
        if spec.layers.is_empty() {
            return Ok(());
        }
        let blocks = self.model.n_layers();
        let last = if spec.final_norm { blocks } else { blocks - 1 };
        assert!(
            spec.layers.is_sorted_by(|a, b| a < b)
                && spec.layers.iter().all(|&layer| layer <= last),
            "layers {:?} of a model with {blocks} blocks",
            spec.layers,
        );
        if self.graph.is_none() {
            self.graph = Some(self.read_graph()?);
        }
        let architecture = self.model.architecture();
        let graph = self.graph.as_ref().expect("it has just been read");
        let mut recipe = Vec::new();
        if spec.final_norm {
            recipe.extend(graph.norm.clone().map_err(|obstacle| explain(architecture, obstacle))?);
        }
        recipe.extend(if spec.softcap { graph.head.clone() } else { without_softcap(&graph.head) });

        let exits = spec.layers.len();
        let vocab = self.model.n_vocab();
        // SAFETY: a recipe's weights are the model's, which `self` holds.
        let head = unsafe {
            ExitHead::new(&recipe, graph.width, exits, vocab, self.threads, &self.threadpool)?
        };
        let capture = Capture::new(graph.embedding.clone(), graph.width, blocks, &spec.layers);
        self.set_taps(Taps::Capture(capture));
        self.outputs.clear();
        self.exits = Some(ActiveExits { spec: spec.clone(), head, computed: None });
        Ok(())
    }

    /// Records the graph of one token and reads it.
    fn read_graph(&mut self) -> Result<ModelGraph, Error> {
        let token = self.model.bos().unwrap_or(0);
        let probe = self.n_sequences;
        self.set_taps(Taps::Record(Default::default()));
        let result = self.compute(&Batch::run(&[token], 0, probe, |_| true));
        let Taps::Record(record) = self.set_taps(Taps::Off) else {
            unreachable!("it has just been set");
        };
        self.remove(probe, 0);
        self.outputs.clear();
        result?;
        // SAFETY: nothing has been computed since.
        let graph = unsafe { ModelGraph::read(&record, self.model.n_layers()) };
        graph.map_err(|obstacle| explain(self.model.architecture(), obstacle))
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
        let capturing = match self.taps.get_mut() {
            Taps::Capture(capture) => {
                capture.begin(batch.tokens().iter().map(|token| token.output));
                true
            }
            _ => false,
        };
        if let Some(exits) = &mut self.exits {
            exits.computed = None;
        }
        self.compute(batch)?;
        if capturing {
            self.capture().end().map_err(Error::Compute)?;
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
        if several && self.exits.is_some() && self.model.is_recurrent() {
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
        // SAFETY: the context is live and the token was an output, so there are
        // `vocab` floats, valid until the next computation, which takes `&mut`.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.raw.0.as_ptr(), index as i32);
            assert!(!logits.is_null(), "the logits of an output are there");
            std::slice::from_raw_parts(logits, self.model.n_vocab())
        }
    }

    /// The exits at a token of the last batch: `[layers × vocab]` in the order
    /// of [`ExitSpec::layers`]. Computed by the first call; asking again for
    /// the same token costs nothing.
    ///
    /// # Errors
    /// [`Error::Compute`].
    ///
    /// # Panics
    /// If that token was not an output, or no exits are set.
    pub fn exit_logits(&mut self, index: usize) -> Result<&[f32], Error> {
        let output = self.output_number(index);
        let Taps::Capture(capture) = self.taps.get() else {
            panic!("no exits are set");
        };
        let exits = self.exits.as_mut().expect("they are set with the taps");
        if exits.computed != Some(output) {
            exits.computed = None;
            exits.head.compute(capture.states(output))?;
            exits.computed = Some(output);
            self.exits_computed += exits.spec.layers.len() as u64;
        }
        Ok(exits.head.logits())
    }

    /// Computes the exits at a token of the last batch, or takes them where
    /// [`Context::exit_logits`] has computed them, and shows them tile by tile,
    /// from several threads at once. Without `exit_logits` their logits are
    /// never in memory together.
    ///
    /// # Errors
    /// [`Error::Compute`].
    ///
    /// # Panics
    /// If that token was not an output, or no exits are set; and if `visit`
    /// panics.
    pub fn visit_exits(
        &mut self,
        index: usize,
        visit: &(dyn Fn(ExitTile<'_>) + Sync),
    ) -> Result<(), Error> {
        let output = self.output_number(index);
        let Taps::Capture(capture) = self.taps.get() else {
            panic!("no exits are set");
        };
        let exits = self.exits.as_mut().expect("they are set with the taps");
        if exits.computed == Some(output) {
            exits.head.show(visit)
        } else {
            // The logits that were kept may be written over.
            exits.computed = None;
            self.exits_computed += exits.spec.layers.len() as u64;
            exits.head.visit(capture.states(output), visit)
        }
    }

    /// Sums over the vocabulary of the exits at a token of the last batch, one an
    /// exit, and their logits of `tokens`, if the model's head is on a device.
    /// `None` where it is in the CPU's memory: there [`Context::visit_exits`]
    /// shows the logits while they are near.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`] and [`Error::Compute`].
    ///
    /// # Panics
    /// If that token was not an output, no exits are set, or no tokens are asked
    /// for.
    pub fn exit_sums(
        &mut self,
        index: usize,
        tokens: &[u32],
    ) -> Result<Option<Vec<ExitSum>>, Error> {
        assert!(!tokens.is_empty(), "the logits of no tokens");
        tokens.iter().try_for_each(|&token| self.model.check_token(token))?;
        let output = self.output_number(index);
        let Taps::Capture(capture) = self.taps.get() else {
            panic!("no exits are set");
        };
        let exits = self.exits.as_mut().expect("they are set with the taps");
        // SAFETY: as in `logits`; spelled out, as the exits are borrowed beside it.
        let final_logits = unsafe {
            let logits = sys::llama_get_logits_ith(self.raw.0.as_ptr(), index as i32);
            assert!(!logits.is_null(), "the logits of an output are there");
            std::slice::from_raw_parts(logits, self.model.n_vocab())
        };
        let layers = exits.spec.layers.len() as u64;
        let sums =
            exits.head.sums(capture.states(output), final_logits, tokens, &self.threadpool)?;
        self.exits_computed += if sums.is_some() { layers } else { 0 };
        Ok(sums)
    }

    fn output_number(&self, index: usize) -> usize {
        let output = self.outputs.get(index).copied().flatten();
        output.unwrap_or_else(|| panic!("token {index} is no output of the last batch"))
    }

    fn capture(&self) -> &Capture {
        match self.taps.get() {
            Taps::Capture(capture) => capture,
            _ => unreachable!("only called while capturing"),
        }
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

fn explain(architecture: &str, obstacle: Obstacle) -> Error {
    let architecture = architecture.to_owned();
    match obstacle {
        Obstacle::Taps(missing) => Error::NoTaps { architecture, missing },
        Obstacle::Head(reason) => Error::UnknownHead { architecture, reason },
    }
}
