//! The exits of the last batch: what is captured, and how it is read.
//!
//! The two are apart. Layers are captured while a batch is computed, for all its
//! outputs alike ([`Context::set_exit_layers`]). What was captured is then read in
//! one form or another ([`HeadForm`]), at as many tokens as one likes, all in one
//! product ([`ExitsAt`]). Heads stay for the context's life, so that layers may
//! change from batch to batch. Where all looking is of one kind, an [`ExitSpec`]
//! says both.

use super::{Context, RawContext, SharedTaps, output_number};
use crate::backend::Threadpool;
use crate::exit_head::workers::Workers;
use crate::exit_head::{At, ExitHead, ExitSum, ExitTile, Wanted, show};
use crate::graph::{ModelGraph, Obstacle, without_softcap};
use crate::taps::{Capture, Taps};
use crate::{Batch, Error};

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

impl ExitSpec {
    fn form(&self) -> HeadForm {
        HeadForm { final_norm: self.final_norm, softcap: self.softcap }
    }
}

/// How hidden states are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadForm {
    /// Whether states pass the model's final norm before the head. The last block's
    /// output is read so only.
    pub final_norm: bool,
    /// Whether exits pass the head's softcap, where it has one.
    pub softcap: bool,
}

/// The exits wanted at one output of the last batch.
#[derive(Debug, Clone, Copy)]
pub struct ExitsAt<'a> {
    /// The token, by its place in the batch: an output.
    pub index: usize,
    /// Which of the layers that are set. Exits come in this order.
    pub layers: &'a [usize],
}

/// The heads there are.
#[derive(Default)]
pub(super) struct ExitHeads {
    /// One a form, from when it is first asked for.
    heads: Vec<(HeadForm, ExitHead)>,
    /// The form that was set together with the layers.
    form: HeadForm,
    /// The output whose exits in that form, of all layers, are kept.
    kept: Option<usize>,
}

impl ExitHeads {
    /// Makes the exits that are kept unknown.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    fn get(&mut self, form: HeadForm) -> Option<&mut ExitHead> {
        self.heads.iter_mut().find(|(own, _)| *own == form).map(|(_, head)| head)
    }
}

impl Context {
    /// Sets which exits later batches make available, and how the methods that
    /// take no [`HeadForm`] read them. Without layers, looking ends, costs nothing
    /// and leaves nothing behind.
    ///
    /// The first call with layers computes one token, on a sequence of its own,
    /// to find out the architecture's graph.
    ///
    /// # Errors
    /// Those of [`Context::set_exit_layers`] and [`Context::prepare_head`]. Then
    /// nothing is looked at.
    ///
    /// # Panics
    /// If a layer is not one of the model's.
    pub fn set_exits(&mut self, spec: &ExitSpec) -> Result<(), Error> {
        let form = spec.form();
        let last = self.model.n_layers();
        assert!(
            form.final_norm || !spec.layers.contains(&last),
            "layer {last}, the last block's output, without the final norm",
        );
        if spec.layers.is_empty() {
            self.heads = ExitHeads::default();
            return self.set_exit_layers(&[]);
        }
        let done = self.set_exit_layers(&spec.layers).and_then(|()| self.prepare_head(form));
        if done.is_err() {
            self.set_exit_layers(&[])?;
        }
        if self.heads.form != form {
            (self.heads.form, self.heads.kept) = (form, None);
        }
        done
    }

    /// Sets the layers, ascending, that later batches capture, whatever form they are
    /// read in: 0 the embedding, i the output of block i−1, up to the last block's.
    /// What the last batch has is gone if they are others than before. Changing them
    /// takes no time to speak of. Without layers, looking ends, and costs nothing;
    /// heads stay as they are.
    ///
    /// The first call with layers computes one token, on a sequence of its own,
    /// to find out the architecture's graph.
    ///
    /// # Errors
    /// [`Error::NoTaps`] and [`Error::UnknownHead`] if the architecture does
    /// not let itself be read, [`Error::ContextFull`] if the first call finds
    /// no room in the cache, [`Error::Interrupted`] and [`Error::Compute`]. The
    /// layers are then what they were.
    ///
    /// # Panics
    /// If a layer is not one of the model's.
    pub fn set_exit_layers(&mut self, layers: &[usize]) -> Result<(), Error> {
        let before = self.looked_at().map(Capture::layers).unwrap_or_default();
        if before == layers {
            return Ok(());
        }
        let blocks = self.model.n_layers();
        assert!(
            layers.is_sorted_by(|a, b| a < b) && layers.iter().all(|&layer| layer <= blocks),
            "layers {layers:?} of a model with {blocks} blocks",
        );
        if !layers.is_empty() {
            let graph = self.read_graph()?;
            if layers.contains(&blocks)
                && let Err(obstacle) = &graph.norm
            {
                let obstacle = obstacle.clone();
                return Err(explain(self.model.architecture(), obstacle));
            }
            self.outputs.clear();
        }
        self.heads.forget();
        if let Taps::Capture(capture) = self.taps.get_mut() {
            capture.set_layers(layers);
        }
        Ok(())
    }

    /// Makes the head of a form, if it has not been made: what reads exits would do
    /// so when it is first asked to.
    ///
    /// # Errors
    /// As for [`Context::set_exit_layers`], [`Error::UnknownHead`] too if there is no
    /// telling how the final norm is computed; [`Error::Kernel`], and
    /// [`Error::Compute`] if there is no memory.
    pub fn prepare_head(&mut self, form: HeadForm) -> Result<(), Error> {
        if self.heads.get(form).is_some() {
            return Ok(());
        }
        let graph = self.read_graph()?;
        let width = graph.width;
        let mut recipe = Vec::new();
        let norm = if form.final_norm { graph.norm.clone() } else { Ok(Vec::new()) };
        let head = if form.softcap { graph.head.clone() } else { without_softcap(&graph.head) };
        recipe.extend(norm.map_err(|obstacle| explain(self.model.architecture(), obstacle))?);
        recipe.extend(head);
        let exits = self.looked_at().map_or(1, |capture| capture.layers().len());
        let vocab = self.model.n_vocab();
        // SAFETY: a recipe's weights are the model's, which `self` holds.
        let head =
            unsafe { ExitHead::new(&recipe, width, exits, vocab, self.threads, &self.threadpool)? };
        self.heads.heads.push((form, head));
        Ok(())
    }

    /// The model's graph. The first call records that of one token and reads it.
    fn read_graph(&mut self) -> Result<&ModelGraph, Error> {
        if self.graph.is_none() {
            let token = self.model.bos().unwrap_or(0);
            let (probe, blocks) = (self.n_sequences, self.model.n_layers());
            self.set_taps(Taps::Record(Default::default()));
            let result = self.compute(&Batch::run(&[token], 0, probe, |_| true));
            let Taps::Record(record) = self.set_taps(Taps::Off) else {
                unreachable!("it has just been set");
            };
            self.remove(probe, 0);
            self.outputs.clear();
            result?;
            // SAFETY: nothing has been computed since.
            let graph = unsafe { ModelGraph::read(&record, blocks) };
            let graph = graph.map_err(|obstacle| explain(self.model.architecture(), obstacle))?;
            let capture = Capture::new(graph.embedding.clone(), graph.width, blocks);
            self.set_taps(Taps::Capture(capture));
            self.graph = Some(graph);
        }
        Ok(self.graph.as_ref().expect("it has just been read"))
    }

    /// What is looked at, if anything is.
    pub(super) fn looked_at(&self) -> Option<&Capture> {
        looked_at(&self.taps)
    }

    /// Bytes held for computing exits, 0 before any are set and when
    /// [`Context::set_exits`] has ended looking. Where ggml computes the exits
    /// `[exits × vocab]` floats and a little, for the most exits that have been
    /// computed together so far: those of one token, or of several where they are no
    /// more than 64. Elsewhere only the hidden states, and the logits that
    /// [`Context::exit_logits`] keeps; threads hold some tens of kilobytes more while
    /// they compute, up to 128 KB.
    pub fn exit_memory(&self) -> usize {
        self.heads.heads.iter().map(|(_, head)| head.memory()).sum()
    }

    /// How many exits have been computed since the context was made, at all tokens
    /// together, each time that a head went over them.
    pub fn exits_computed(&self) -> u64 {
        self.exits_computed
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
        let form = self.heads.form;
        if self.heads.kept != Some(output) {
            self.heads.forget();
            let layers = self.all_layers();
            let reading = self.reading(form, &[ExitsAt { index, layers: &layers }])?;
            reading.head.keep(&reading.wanted, reading.workers)?;
            *reading.computed += layers.len() as u64;
            self.heads.kept = Some(output);
        }
        Ok(self.heads.get(form).expect("it has computed them").kept())
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
        let layers = self.all_layers();
        let form = self.heads.form;
        if self.heads.kept != Some(output) {
            return self.visit_exits_at(form, &[ExitsAt { index, layers: &layers }], visit);
        }
        let head = self.heads.get(form).expect("it has computed them");
        show(head.kept(), 0, self.model.n_vocab(), &mut self.workers, visit)
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
    /// If that token was not an output, or no exits are set.
    pub fn exit_sums(
        &mut self,
        index: usize,
        tokens: &[u32],
    ) -> Result<Option<Vec<ExitSum>>, Error> {
        let layers = self.all_layers();
        let at = ExitsAt { index, layers: &layers };
        let sums = self.exit_sums_at(self.heads.form, &[(at, tokens)])?;
        Ok(sums.map(|sums| sums.into_iter().flatten().collect()))
    }

    /// Computes the exits at several tokens of the last batch as one product, and
    /// shows them tile by tile, from several threads at once. Exits are those of the
    /// first token, then those of the second, and so on; which of them a tile has,
    /// [`ExitTile::exits`] says. Their logits are never in memory together.
    ///
    /// Where the product is our own, a logit is the same to the bit whatever else is
    /// computed with it.
    ///
    /// # Errors
    /// [`Error::Compute`], and those of [`Context::prepare_head`].
    ///
    /// # Panics
    /// If one of the tokens was not an output, or one of its layers is not set, or is
    /// the last block's and read without the final norm; and if `visit` panics.
    pub fn visit_exits_at(
        &mut self,
        form: HeadForm,
        wanted: &[ExitsAt<'_>],
        visit: &(dyn Fn(ExitTile<'_>) + Sync),
    ) -> Result<(), Error> {
        self.heads.forget();
        let reading = self.reading(form, wanted)?;
        if reading.wanted.len() > 0 {
            reading.head.visit(&reading.wanted, reading.workers, visit)?;
        }
        *reading.computed += reading.wanted.len() as u64;
        Ok(())
    }

    /// Computes the exits at several tokens of the last batch as one product, and
    /// writes their logits to `logits`, resized to `[exits × vocab]`, in the order of
    /// `wanted`. As for bits, see [`Context::visit_exits_at`].
    ///
    /// # Errors
    /// As for [`Context::visit_exits_at`].
    ///
    /// # Panics
    /// As for [`Context::visit_exits_at`].
    pub fn exit_logits_at(
        &mut self,
        form: HeadForm,
        wanted: &[ExitsAt<'_>],
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.heads.forget();
        let vocab = self.model.n_vocab();
        let reading = self.reading(form, wanted)?;
        logits.resize(reading.wanted.len() * vocab, 0.0);
        if reading.wanted.len() > 0 {
            reading.head.compute(&reading.wanted, reading.workers, logits)?;
        }
        *reading.computed += reading.wanted.len() as u64;
        Ok(())
    }

    /// Shows logits that are there, `[exits × vocab]`, tile by tile, from several
    /// threads at once. A tile has all of the exits.
    ///
    /// # Errors
    /// [`Error::Compute`].
    ///
    /// # Panics
    /// If they are not whole vocabularies, and if `visit` panics.
    pub fn show_logits(
        &mut self,
        logits: &[f32],
        visit: &(dyn Fn(ExitTile<'_>) + Sync),
    ) -> Result<(), Error> {
        show(logits, 0, self.model.n_vocab(), &mut self.workers, visit)
    }

    /// Sums over the vocabulary of the exits at several tokens of the last batch,
    /// computed as one product, if the model's head is on a device: for each of
    /// `wanted` one an exit, with the exit's logits of the tokens that stand beside
    /// it. `None` where the head is in the CPU's memory: there
    /// [`Context::visit_exits_at`] shows the logits while they are near.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`], and those of [`Context::visit_exits_at`].
    ///
    /// # Panics
    /// As for [`Context::visit_exits_at`].
    pub fn exit_sums_at(
        &mut self,
        form: HeadForm,
        wanted: &[(ExitsAt<'_>, &[u32])],
    ) -> Result<Option<Vec<Vec<ExitSum>>>, Error> {
        let mut tokens = wanted.iter().flat_map(|(_, tokens)| *tokens);
        tokens.try_for_each(|&token| self.model.check_token(token))?;
        let vocab = self.model.n_vocab();
        let exits: Vec<ExitsAt<'_>> = wanted.iter().map(|(at, _)| *at).collect();
        let reading = self.reading(form, &exits)?;
        let with_exits = wanted.iter().filter(|(at, _)| !at.layers.is_empty());
        let at: Vec<At<'_>> = with_exits
            .map(|&(ExitsAt { index, layers }, tokens)| {
                let final_logits = reading.raw.logits(index, vocab);
                At { exits: layers.len(), final_logits, tokens }
            })
            .collect();
        let Some(sums) = reading.head.sums(&reading.wanted, &at, reading.threadpool)? else {
            return Ok(None);
        };
        *reading.computed += sums.len() as u64;
        let mut sums = sums.into_iter();
        let of_each = exits.iter().map(|at| sums.by_ref().take(at.layers.len()).collect());
        Ok(Some(of_each.collect()))
    }

    /// The layers that are set.
    fn all_layers(&self) -> Vec<usize> {
        self.looked_at().expect("exits are set").layers().to_vec()
    }

    /// What it takes to compute exits.
    fn reading<'a>(&'a mut self, form: HeadForm, at: &[ExitsAt<'_>]) -> Result<Reading<'a>, Error> {
        self.prepare_head(form)?;
        let last = self.model.n_layers();
        let Context { heads, workers, raw, threadpool, taps, outputs, exits_computed, .. } = self;
        let capture = looked_at(taps).expect("exits are set");
        let mut wanted = Wanted::default();
        for &ExitsAt { index, layers } in at {
            let output = output_number(outputs, index);
            wanted.push(layers.iter().map(|&layer| {
                assert!(form.final_norm || layer != last, "layer {last} without the final norm");
                let state = capture.state(output, layer);
                state.unwrap_or_else(|| panic!("layer {layer} is not one of those that are set"))
            }));
        }
        let head = heads.get(form).expect("it has just been prepared");
        Ok(Reading { head, wanted, workers, raw, threadpool, computed: exits_computed })
    }
}

/// Parts of a context, while it computes exits.
struct Reading<'a> {
    head: &'a mut ExitHead,
    wanted: Wanted<'a>,
    workers: &'a mut Workers,
    raw: &'a RawContext,
    threadpool: &'a Threadpool,
    computed: &'a mut u64,
}

fn looked_at(taps: &SharedTaps) -> Option<&Capture> {
    match taps.get() {
        Taps::Capture(capture) if !capture.layers().is_empty() => Some(capture),
        _ => None,
    }
}

fn explain(architecture: &str, obstacle: Obstacle) -> Error {
    let architecture = architecture.to_owned();
    match obstacle {
        Obstacle::Taps(missing) => Error::NoTaps { architecture, missing },
        Obstacle::Head(reason) => Error::UnknownHead { architecture, reason },
    }
}
