//! A session: a model at work on one text at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use luge_decoding::{Decoder, ExitNorm, ExitPlan, ModelShape, Pipeline};
use luge_llama::{Batch, CacheType, Context, ContextParams, ExitSpec, FlashAttention, Model};

use crate::Error;
use crate::exits::{Source, TakenSums};
use crate::grammar::{Constraint, Grammar, Vocabulary};
use crate::output::Output;

/// The context size where neither the user nor the model asks for less.
const DEFAULT_CTX_SIZE: u32 = 4096;

/// How to set up a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Room for prompt and text together, in tokens; 0 for what the model was
    /// trained with, `None` for the smaller of that and 4096.
    pub ctx_size: Option<u32>,
    /// Worker threads; `None` for one for each physical core.
    pub threads: Option<u32>,
    /// The type of the K cache.
    pub cache_type_k: CacheType,
    /// The type of the V cache.
    pub cache_type_v: CacheType,
    /// Whether to use flash attention.
    pub flash_attention: FlashAttention,
    /// How many texts that begin with the same tokens may be computed in one batch, at
    /// least 1: see [`Session::score_together`]. They share the room for one text.
    pub branches: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            ctx_size: None,
            threads: None,
            cache_type_k: CacheType::F16,
            cache_type_v: CacheType::F16,
            flash_attention: FlashAttention::Auto,
            branches: 1,
        }
    }
}

/// How many exits a decoder made the engine compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExitCounts {
    /// Exits computed: layers, summed over positions.
    pub evaluated: u64,
    /// Exits that the decoder could have asked for, but that no token depended on.
    pub skipped: u64,
}

/// A model at work: generates and scores, one text at a time.
///
/// The KV cache is kept between calls: what the next prompt shares with the
/// last text from its beginning is not computed again. The last token of a
/// prompt always is, and on its own, so that a repeated prompt gives the same
/// text to the bit. Where the shared part was itself generated, token by token
/// instead of in a batch, the back end's rounding may differ.
pub struct Session {
    context: Context,
    /// The tokens in the KV cache.
    cached: Vec<u32>,
    /// How many of them, from the first, are a header: see [`Session::begin_behind`].
    header: usize,
    interrupt: Arc<AtomicBool>,
    threads: u32,
    /// The final logits of a position, while a decoder works on a copy.
    final_logits: Vec<f32>,
    /// Sums over the exits at a position of the last batch, for the next method.
    taken: Option<TakenSums>,
    /// How many texts a batch may hold.
    branches: u32,
    /// The vocabulary as grammars see it, once there was one.
    vocabulary: Option<Vocabulary>,
}

impl Session {
    /// Sets up a session.
    ///
    /// # Errors
    /// [`luge_llama::Error::Context`], with what llama.cpp said.
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self, Error> {
        let base = context_params(model, options);
        let threads = base.threads;
        // A recurrent state cannot be shared: branches are then computed one by one.
        let branches = if model.is_recurrent() { 1 } else { options.branches.max(1) };
        let mut context = Context::new(
            model,
            &ContextParams {
                // The text that they begin with has one of its own.
                n_sequences: if branches > 1 { branches + 1 } else { 1 },
                ..base
            },
        )?;
        let interrupt = Arc::new(AtomicBool::new(false));
        context.set_interrupt(Arc::clone(&interrupt));
        Ok(Session {
            context,
            cached: Vec::new(),
            header: 0,
            interrupt,
            threads,
            final_logits: Vec::new(),
            taken: None,
            branches,
            vocabulary: None,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.context.model()
    }

    /// What methods are bound to.
    pub fn shape(&self) -> ModelShape {
        shape_of(self.model())
    }

    /// Binds a pipeline to the model.
    ///
    /// # Errors
    /// Where the pipeline does not fit the model, such as a layer out of range.
    pub fn decoder(&self, pipeline: &Pipeline) -> Result<Decoder, Error> {
        Ok(pipeline.bind(&self.shape())?)
    }

    /// Room for prompt and text together, in tokens.
    pub fn ctx_size(&self) -> usize {
        self.context.n_ctx() as usize
    }

    /// Worker threads.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// Bytes held for computing exits: see [`Context::exit_memory`].
    pub fn exit_memory(&self) -> usize {
        self.context.exit_memory()
    }

    /// How many exits have been computed so far: layers, summed over positions.
    pub(crate) fn exits_computed(&self) -> u64 {
        self.context.exits_computed()
    }

    /// A flag that, set to true from anywhere, ends a running generation with
    /// [`FinishReason::Interrupted`](crate::FinishReason::Interrupted). It stays
    /// true until it is set to false.
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// Makes ready for a decoder: finds out whether the model's architecture lets
    /// its exits be read, and reserves memory for them. Generating and scoring
    /// do it by themselves.
    ///
    /// # Errors
    /// [`Error::OtherModel`]; [`luge_llama::Error::NoTaps`] and
    /// [`luge_llama::Error::UnknownHead`] where the decoder reads exits and the
    /// architecture does not let them be read; otherwise as
    /// [`luge_llama::Context::set_exits`].
    pub fn prepare(&mut self, decoder: &Decoder) -> Result<(), Error> {
        self.check_decoder(decoder)?;
        self.set_exits(decoder.plan())
    }

    /// Whether a decoder was bound to a model of this shape.
    ///
    /// # Errors
    /// [`Error::OtherModel`].
    pub(crate) fn check_decoder(&self, decoder: &Decoder) -> Result<(), Error> {
        if *decoder.shape() == self.shape() { Ok(()) } else { Err(Error::OtherModel) }
    }

    /// A grammar at the beginning of a text of this model's tokens.
    ///
    /// # Errors
    /// [`Error::Grammar`] and [`Error::GrammarVocabulary`].
    pub(crate) fn constraint(&mut self, grammar: &Grammar) -> Result<Constraint, Error> {
        let vocabulary = match self.vocabulary.take() {
            Some(vocabulary) => vocabulary,
            None => Vocabulary::new(self.model())?,
        };
        self.vocabulary.insert(vocabulary).constraint(grammar)
    }

    /// Forgets the text in the KV cache: the next one is computed from its
    /// beginning, whatever it shares with the last.
    pub fn clear(&mut self) {
        self.context.clear();
        self.cached.clear();
        self.header = 0;
    }

    /// Makes ready for the exits of a plan.
    pub(crate) fn set_exits(&mut self, plan: &ExitPlan) -> Result<(), Error> {
        self.taken = None;
        self.context.set_exits(&ExitSpec {
            layers: plan.layers.clone(),
            final_norm: plan.form.norm == ExitNorm::Final,
            softcap: plan.form.softcap,
        })?;
        Ok(())
    }

    /// An output of the last batch, with the exits of a plan that has been set; and the
    /// tokens in the KV cache.
    pub(crate) fn output<'a>(
        &'a mut self,
        plan: &'a ExitPlan,
        index: usize,
    ) -> (Output<'a>, &'a [u32]) {
        let Session { context, taken, final_logits: room, cached, .. } = self;
        (Output { context, taken, room, plan, source: Source::Context, index }, cached)
    }

    /// The most tokens in a batch.
    pub(crate) fn batch_size(&self) -> usize {
        self.context.n_batch() as usize
    }

    /// How many texts that begin with the same tokens a batch may hold.
    pub(crate) fn branches(&self) -> usize {
        self.branches as usize
    }

    /// Computes tokens of texts that go on from the one in the KV cache, each a sequence
    /// of its own from 1 on. They stay until [`Session::drop_branches`].
    pub(crate) fn extend_branches(&mut self, batch: &Batch) -> Result<(), Error> {
        self.taken = None;
        Ok(self.context.decode(batch)?)
    }

    /// Lets so many texts go on from the one in the KV cache.
    pub(crate) fn begin_branches(&mut self, count: usize) {
        for sequence in 1..=count as u32 {
            self.context.copy_sequence(0, sequence);
        }
    }

    /// Forgets the texts that went on from the one in the KV cache.
    pub(crate) fn drop_branches(&mut self, count: usize) {
        for sequence in 1..=count as u32 {
            self.context.remove(sequence, 0);
        }
    }

    /// Whether so many tokens of a text fit into the context.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub(crate) fn check_room(&self, what: &'static str, tokens: usize) -> Result<(), Error> {
        let context = self.ctx_size();
        if tokens > context { Err(Error::TooLong { what, tokens, context }) } else { Ok(()) }
    }

    /// Brings the KV cache to `tokens`, without logits. Computes only what it
    /// does not hold yet, in batches; returns how many tokens that was.
    pub(crate) fn fill(&mut self, tokens: &[u32]) -> Result<usize, Error> {
        let kept = self.rewind(tokens);
        let limit = self.context.n_batch() as usize;
        for chunk in tokens[kept..].chunks(limit) {
            self.extend(chunk, false)?;
        }
        Ok(tokens.len() - kept)
    }

    /// Brings the KV cache to `header`, if `text` goes on from it, and otherwise to
    /// nothing; returns how many tokens had to be computed. A header is kept from one
    /// text to the next, and is computed on its own: so what comes of a text does not
    /// depend on the texts before it, not even in its last digits.
    pub(crate) fn begin_behind(&mut self, header: &[u32], text: &[u32]) -> Result<usize, Error> {
        let is_header = text.len() > header.len() && text.starts_with(header);
        if is_header && self.header == header.len() && self.cached.starts_with(header) {
            self.cut(header.len());
            if self.cached.len() == header.len() {
                return Ok(0);
            }
        }
        self.clear();
        if !is_header {
            return Ok(0);
        }
        let computed = self.fill(header)?;
        self.header = header.len();
        Ok(computed)
    }

    /// Cuts the KV cache back to what it shares with `tokens`; returns how many
    /// tokens that is.
    pub(crate) fn rewind(&mut self, tokens: &[u32]) -> usize {
        let shared = self.cached.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        self.cut(shared)
    }

    /// Cuts the KV cache back to its first `length` tokens, or to nothing where
    /// the model's state cannot be cut; returns what is left.
    fn cut(&mut self, length: usize) -> usize {
        if length < self.cached.len() {
            if length > 0 && self.context.remove(0, length as u32) {
                self.cached.truncate(length);
                if length < self.header {
                    self.header = 0;
                }
            } else {
                self.clear();
            }
        }
        self.cached.len()
    }

    /// Computes tokens behind those in the cache, with or without logits.
    pub(crate) fn extend(&mut self, tokens: &[u32], output: bool) -> Result<(), Error> {
        self.taken = None;
        let batch = Batch::run(tokens, self.cached.len() as u32, 0, |_| output);
        if let Err(error) = self.context.decode(&batch) {
            // Part of the batch may be in the cache: forget that part.
            let length = self.cached.len();
            if !self.context.remove(0, length as u32) {
                self.clear();
            }
            return Err(error.into());
        }
        self.cached.extend_from_slice(tokens);
        Ok(())
    }
}

/// What methods are bound to: the shape of a model.
pub fn shape_of(model: &Model) -> ModelShape {
    ModelShape { layers: model.n_layers(), vocab: model.n_vocab(), tied: model.tied() }
}

/// A context as the options want it, for one text.
pub(crate) fn context_params(model: &Model, options: &SessionOptions) -> ContextParams {
    let default = || model.n_ctx_train().clamp(1, DEFAULT_CTX_SIZE);
    // Physical cores, but no more than a container or affinity allows.
    let cores = || num_cpus::get_physical().min(num_cpus::get()) as u32;
    ContextParams {
        n_ctx: options.ctx_size.unwrap_or_else(default),
        threads: options.threads.unwrap_or_else(cores).max(1),
        type_k: options.cache_type_k,
        type_v: options.cache_type_v,
        flash_attention: options.flash_attention,
        ..ContextParams::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use luge_llama::ModelParams;

    use super::*;
    use crate::{GenerateOptions, Grammar};

    /// The trie is made for the first grammar, and kept for the next.
    #[test]
    fn the_vocabulary_is_read_where_there_is_a_grammar_and_once() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity/llama.gguf");
        let model = Model::load(&file, &ModelParams::default()).unwrap();
        let one = SessionOptions { threads: Some(1), ..SessionOptions::default() };
        let mut session = Session::new(&model, &one).unwrap();
        let sled = session.decoder(&"sled".parse().unwrap()).unwrap();
        let mut run = |grammar: Option<&str>| {
            let grammar = grammar.map(|text| Grammar::regex(text).unwrap());
            let options =
                GenerateOptions { grammar, max_tokens: Some(3), ..GenerateOptions::default() };
            session.generate(&sled, &[5, 6], &options).unwrap().finish().unwrap();
            session.vocabulary.as_ref().map(Vocabulary::trie)
        };
        assert_eq!(run(None), None);
        let first = run(Some("[a-z]+"));
        assert!(first.is_some());
        assert_eq!(run(Some("[0-9]+")), first);
        assert_eq!(run(None), first);
    }
}
