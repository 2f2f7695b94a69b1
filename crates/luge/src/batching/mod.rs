//! Many texts at once: continuous batching.
//!
//! A [`Batcher`] writes any number of texts with one model. Each step computes one batch:
//! the last token of every text that is being written, and stretches of the prompts of
//! those that are not there yet. Texts join and leave between steps, and each has a
//! method, a sampler, a seed and a grammar of its own. Exits are asked for as by a text
//! alone, and those that a step needs are computed together, as few products with the head:
//! one for methods that want sums over the vocabulary, one for those that want every logit,
//! for each form in which exits are read.
//!
//! Whoever asks with [`Batcher::submit`] hears of a text in [`TextEvent`]s, which
//! [`Batcher::step`] hands out: in the order of the text, and as they come.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use luge::batching::{Batcher, BatcherOptions, TextEvent, TextRequest};
//! use luge::{Model, ModelParams, Pipeline};
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut batcher = Batcher::new(&model, &BatcherOptions::default())?;
//! for method in ["greedy", "sled"] {
//!     let decoder = Arc::new(batcher.decoder(&method.parse::<Pipeline>()?)?);
//!     let prompt = model.tokenize_prompt("The capital of British Columbia is")?;
//!     batcher.submit(TextRequest::new(decoder, prompt))?;
//! }
//! while batcher
//!     .step(&mut |_, event| {
//!         if let TextEvent::Finished(end) = event {
//!             println!("{}", end.completion.text);
//!         }
//!     })?
//!     .is_some()
//! {}
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! # What a text depends on
//! On its request, and on nothing else that the batcher does: not on the order in which
//! texts come, nor on the samplers, seeds and methods of others. What is left is rounding.
//! llama.cpp multiplies matrices in another order for a batch of another shape, and adds
//! up attention in the order of the cache's cells; and a prompt that goes on from the
//! cache is computed in other pieces than one that does not. So a logit may differ a little,
//! as between any two batches of llama.cpp, and a token where two are almost as good: by
//! some 1e-4 where all is computed in 32 bits, by hundredths where activations are rounded to
//! 8 bits, as with quantised weights on a CPU. The boundaries of a prompt's pieces are the same whatever else is
//! computed; exits come out the same to the bit where the product is luge's own. With
//! `parallel` of 1 and without `reuse` nothing is left: a text is then the same to the bit.
//!
//! # Memory
//! The cache has room for [`BatcherOptions::parallel`] texts of full length from the
//! start. A text that ended stays there until its room is needed, so that one that begins
//! alike goes on from it. A prompt that begins like one that is being computed waits for
//! it and then shares its part of the cache. Of recurrent models, and of those that look back
//! through a sliding window, a text in the cache serves as a whole or not at all.

mod grammars;
mod request;
mod slots;
mod step;
mod text;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use luge_decoding::{Decoder, Pipeline};
use luge_llama::{Context, ContextParams, HeadForm, Model};

pub use grammars::{Grammars, ReadRequest};
pub use request::{
    PromptReport, TextEnd, TextEvent, TextRequest, TokenLogprob, TokenLogprobs, WrittenToken,
};

use crate::exits::head_form;
use crate::session::{context_params, shape_of};
use crate::{Error, ExitCounts, SessionOptions};
use slots::{Placement, Slot};
use text::Text;

/// How to set up a batcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatcherOptions {
    /// Threads, cache and so on; its `ctx_size` is the room for one text.
    pub session: SessionOptions,
    /// How many texts may be written at the same time, at least 1. The cache has room for
    /// so many texts of full length.
    pub parallel: u32,
    /// The most tokens computed in a step, more than `parallel`: less are taken for one
    /// more than that. While a prompt's piece is computed, all others wait for it.
    pub step_tokens: u32,
    /// Whether a prompt may go on from what the cache holds of texts before it.
    pub reuse: bool,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        BatcherOptions {
            session: SessionOptions::default(),
            parallel: 4,
            step_tokens: 256,
            reuse: true,
        }
    }
}

/// A text's number: no two of a batcher have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(u64);

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepReport {
    /// Prompt tokens computed.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub written_tokens: usize,
    /// Texts that had a token in the batch, or a piece of their prompt.
    pub texts: usize,
    /// What exits were computed.
    pub exits: ExitCounts,
    /// How long the transformer took.
    pub transformer: Duration,
    /// Of that, the share of prompts: by the number of tokens.
    pub prompt: Duration,
    /// How long exits, methods and the choosing of tokens took.
    pub decoding: Duration,
}

/// Writes texts, many at once.
pub struct Batcher {
    context: Context,
    interrupt: Arc<AtomicBool>,
    slots: Vec<Slot<Text>>,
    waiting: VecDeque<Waiting>,
    /// The next text's number.
    next: u64,
    /// How many steps there have been.
    steps: u64,
    /// The most tokens of a prompt in a step.
    piece: usize,
    step_tokens: usize,
    reuse: bool,
    grammars: Grammars,
    room: step::Room,
}

/// A text that waits for a slot.
struct Waiting {
    id: TextId,
    text: Text,
    reuse: bool,
}

impl Batcher {
    /// Sets one up.
    ///
    /// # Errors
    /// [`luge_llama::Error::Context`], with what llama.cpp said.
    pub fn new(model: &Model, options: &BatcherOptions) -> Result<Self, Error> {
        let BatcherOptions { session, parallel, step_tokens, reuse } = options;
        let parallel = (*parallel).max(1);
        let step_tokens = (*step_tokens).max(parallel.saturating_add(1));
        let params = ContextParams {
            texts: parallel,
            n_sequences: parallel,
            n_batch: step_tokens,
            n_ubatch: step_tokens,
            ..context_params(model, session)
        };
        let mut context = Context::new(model, &params)?;
        // While the cache is empty: finding out the graph takes room in it. What is in the
        // way shows again where a method needs exits.
        let _ = context.prepare_head(HeadForm { final_norm: false, softcap: true });
        let interrupt = Arc::new(AtomicBool::new(false));
        context.set_interrupt(Arc::clone(&interrupt));
        Ok(Batcher {
            context,
            interrupt,
            slots: (0..parallel).map(|_| Slot::default()).collect(),
            waiting: VecDeque::new(),
            next: 0,
            steps: 0,
            piece: (step_tokens - parallel) as usize,
            step_tokens: step_tokens as usize,
            reuse: *reuse,
            grammars: Grammars::new(model),
            room: step::Room::default(),
        })
    }

    /// A flag that, set to true from anywhere, ends the step that is being computed, and
    /// with it all texts that are being written. It stays true until it is set to false.
    pub fn interrupt(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.context.model()
    }

    /// Room for one text, prompt included, in tokens.
    pub fn ctx_size(&self) -> usize {
        self.context.n_ctx() as usize
    }

    /// Bytes held for computing exits.
    pub fn exit_memory(&self) -> usize {
        self.context.exit_memory() + self.room.memory()
    }

    /// Binds a pipeline to the model.
    ///
    /// # Errors
    /// Where the pipeline does not fit the model, such as a layer out of range.
    pub fn decoder(&self, pipeline: &Pipeline) -> Result<Decoder, Error> {
        Ok(pipeline.bind(&shape_of(self.model()))?)
    }

    /// Reads grammars for [`Batcher::submit_read`].
    pub fn grammars(&self) -> Grammars {
        self.grammars.clone()
    }

    /// Takes a text to write, and reads its grammar. It waits until there is room for it.
    ///
    /// # Errors
    /// As [`Grammars::read`] and [`Batcher::submit_read`].
    pub fn submit(&mut self, request: TextRequest) -> Result<TextId, Error> {
        self.submit_read(self.grammars.read(request)?)
    }

    /// Takes a text to write whose grammar has been read, by [`Grammars`] of the same
    /// batcher. It waits until there is room for it.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], [`Error::OtherModel`];
    /// [`luge_llama::Error::TokenOutOfRange`];
    /// [`luge_llama::Error::NoTaps`] and [`luge_llama::Error::UnknownHead`] where it reads
    /// exits and the architecture does not let them be read.
    pub fn submit_read(&mut self, request: ReadRequest) -> Result<TextId, Error> {
        let ReadRequest { request, constraint, setup } = request;
        let model = self.context.model().clone();
        if *request.decoder.shape() != shape_of(&model) {
            return Err(Error::OtherModel);
        }
        let (tokens, context) = (request.prompt.len(), self.ctx_size());
        if tokens == 0 {
            return Err(Error::EmptyPrompt);
        }
        if tokens > context {
            return Err(Error::TooLong { what: "the prompt", tokens, context });
        }
        let biased = request.options.sampler.logit_bias.iter().map(|(token, _)| token);
        request.prompt.iter().chain(biased).try_for_each(|&token| model.check_token(token))?;
        let reuse = self.reuse && request.reuse;
        let text = Text::new(&model, context, request, constraint, setup)?;
        if !text.plan().layers.is_empty() {
            self.context.prepare_head(head_form(text.plan()))?;
        }
        let id = TextId(self.next);
        self.next += 1;
        self.waiting.push_back(Waiting { id, text, reuse });
        Ok(id)
    }

    /// Drops a text: it is written no further, and nothing more is heard of it.
    pub fn cancel(&mut self, id: TextId) {
        self.waiting.retain(|waiting| waiting.id != id);
        for slot in &mut self.slots {
            slot.text.take_if(|(own, _)| *own == id);
        }
    }

    /// How many texts wait for room.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are being written.
    pub fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.text.is_some()).count()
    }

    /// Gives slots to texts that wait, in their order.
    fn admit(&mut self) {
        let model = self.context.model();
        // What is cut back might look at cells that others have by now.
        let whole_only = model.is_recurrent() || model.has_sliding_window();
        let mut at = 0;
        while at < self.waiting.len() {
            let Waiting { text, reuse, .. } = &self.waiting[at];
            let target = if *reuse && text.may_reuse() { text.before_last() } else { &[] };
            let placement = slots::place(&self.slots, target, whole_only);
            let (number, kept) = match placement {
                Placement::Full => return,
                Placement::Later => {
                    at += 1;
                    continue;
                }
                Placement::Keep { slot, tokens } => {
                    let kept = self.slots[slot].cut(&mut self.context, slot, tokens);
                    (slot, kept)
                }
                Placement::Copy { slot, from, tokens } => {
                    self.slots[slot].cut(&mut self.context, slot, 0);
                    self.context.copy_sequence(from as u32, slot as u32);
                    self.slots[slot].cached = self.slots[from].cached.clone();
                    let kept = self.slots[slot].cut(&mut self.context, slot, tokens);
                    (slot, kept)
                }
            };
            if let Some(Waiting { id, mut text, .. }) = self.waiting.remove(at) {
                text.begin(kept);
                self.slots[number].text = Some((id, text));
            }
        }
    }
}
