//! Taps: hidden states copied out of a running computation.
//!
//! llama.cpp calls [`callback`] for every node of its graph, once before the
//! node is computed, to ask whether anyone wants it, and once after, if so.
//! While no one looks, the answer is always no, at once. While states are
//! captured, it is yes for the nodes of the wanted layers, and the rows whose
//! logits were asked for are copied.
//!
//! A batch is computed in micro-batches, each a graph of its own. Blocks carry
//! every row of the micro-batch, the last may carry the outputs' rows only.
//! Contexts are made with a unified KV cache, where the rows of a micro-batch
//! follow the order of the batch.

use std::ffi::c_void;

use llama_cpp_sys_2 as sys;

use crate::graph::{Record, name_of};

/// What the callback does; shared with llama.cpp by address.
#[derive(Debug, Default)]
pub(crate) enum Taps {
    /// Nothing.
    #[default]
    Off,
    /// Writes down every node.
    Record(Record),
    /// Copies hidden states.
    Capture(Capture),
}

/// The evaluation callback to give to llama.cpp, with a `*mut Taps`.
///
/// # Safety
/// `tensor` must be live, and `user` a [`Taps`] that no one else uses meanwhile.
pub(crate) unsafe extern "C" fn callback(
    tensor: *mut sys::ggml_tensor,
    ask: bool,
    user: *mut c_void,
) -> bool {
    // SAFETY: passed on to the caller. llama.cpp computes on behalf of
    // `Context::decode` only, which holds the context, and with it the taps,
    // exclusively.
    let (tensor, taps) = unsafe { (&*tensor, &mut *user.cast::<Taps>()) };
    match taps {
        Taps::Off => false,
        Taps::Record(record) => {
            if ask {
                record.push(tensor);
            }
            false
        }
        Taps::Capture(capture) if ask => capture.asked(tensor),
        Taps::Capture(capture) => {
            capture.computed(tensor);
            true
        }
    }
}

/// Hidden states of a batch's outputs.
#[derive(Debug)]
pub(crate) struct Capture {
    /// The node of hidden state 0.
    embedding: String,
    /// The place of each layer among the wanted ones, by layer.
    places: Vec<Option<usize>>,
    /// The layers that are wanted, ascending. None, and nothing is looked at.
    layers: Vec<usize>,
    /// The width of a hidden state.
    width: usize,
    /// For each row of the batch, its number among the outputs.
    outputs: Vec<Option<usize>>,
    /// Rows of the batch that earlier micro-batches held.
    rows_before: usize,
    /// Rows in the current micro-batch.
    rows: usize,
    /// Whether any of them is an output.
    watching: bool,
    /// Whether the current micro-batch has been gone through.
    finished: bool,
    /// `[outputs × layers × width]`.
    states: Vec<f32>,
    /// How many states have been copied.
    copied: usize,
    /// The first thing that was not as expected.
    surprise: Option<String>,
}

impl Capture {
    /// Captures nothing yet, of a model with `blocks` blocks.
    pub(crate) fn new(embedding: String, width: usize, blocks: usize) -> Self {
        Capture {
            embedding,
            places: vec![None; blocks + 1],
            layers: Vec::new(),
            width,
            outputs: Vec::new(),
            rows_before: 0,
            rows: 0,
            watching: false,
            finished: true,
            states: Vec::new(),
            copied: 0,
            surprise: None,
        }
    }

    /// Captures `layers` (ascending) from the next batch on. States of the last are
    /// there no more.
    pub(crate) fn set_layers(&mut self, layers: &[usize]) {
        self.layers.clear();
        self.layers.extend(layers);
        self.places.fill(None);
        for (place, &layer) in layers.iter().enumerate() {
            self.places[layer] = Some(place);
        }
        self.outputs.clear();
    }

    /// The layers that are captured.
    pub(crate) fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// Makes ready for a batch: one flag for each row, whether it is an output.
    pub(crate) fn begin(&mut self, outputs: impl Iterator<Item = bool>) {
        let mut count = 0;
        self.outputs.clear();
        self.outputs.extend(outputs.map(|output| {
            output.then(|| {
                count += 1;
                count - 1
            })
        }));
        // What is left of the last batch is written over, or `end` has missed it.
        self.states.resize(count * self.layers.len() * self.width, 0.0);
        (self.rows_before, self.rows, self.finished, self.copied) = (0, 0, true, 0);
        self.surprise = None;
    }

    /// Checks, after the batch, that every state was seen.
    pub(crate) fn end(&self) -> Result<(), String> {
        let wanted = self.outputs.iter().flatten().count() * self.layers.len();
        match &self.surprise {
            Some(surprise) => Err(surprise.clone()),
            None if self.copied != wanted => {
                Err(format!("{} of {wanted} hidden states were seen", self.copied))
            }
            None => Ok(()),
        }
    }

    /// The state of a layer at an output, by its number: `[width]`. `None` if the
    /// layer is not captured.
    pub(crate) fn state(&self, output: usize, layer: usize) -> Option<&[f32]> {
        let start = (output * self.layers.len() + self.place(layer)?) * self.width;
        self.states.get(start..start + self.width)
    }

    /// Whether a node is wanted; keeps track of micro-batches on the way.
    fn asked(&mut self, tensor: &sys::ggml_tensor) -> bool {
        if self.layers.is_empty() {
            return false;
        }
        // Hundreds of nodes are asked about in every step: most are told apart by
        // their first letter.
        let first = tensor.name[0] as u8;
        if !self.finished && first != b'l' && first != b'r' {
            return false;
        }
        let name = name_of(tensor).to_bytes();
        if self.finished && name == self.embedding.as_bytes() {
            self.rows_before += self.rows;
            self.rows = usize::try_from(tensor.ne[1]).unwrap_or(0);
            self.finished = false;
            self.watching = self.micro_batch().0.iter().any(Option::is_some);
            return self.watching && self.place(0).is_some();
        }
        if name == b"result_output" {
            self.finished = true;
            return false;
        }
        self.watching && block_output(name).is_some_and(|layer| self.place(layer).is_some())
    }

    /// Of the current micro-batch, each row's number among the outputs; and the
    /// states of all outputs.
    fn micro_batch(&mut self) -> (&[Option<usize>], &mut [f32]) {
        let rows = self.rows_before..self.rows_before + self.rows;
        (self.outputs.get(rows).unwrap_or_default(), &mut self.states)
    }

    /// Copies the outputs' rows of a node that was asked for.
    fn computed(&mut self, tensor: &sys::ggml_tensor) {
        let name = name_of(tensor).to_bytes();
        let layer = block_output(name).unwrap_or(0);
        let Some(place) = self.place(layer) else { return };
        let (rows, layers, width) = (self.rows, self.layers.len(), self.width);
        let (outputs, states) = self.micro_batch();
        let count = outputs.iter().flatten().count();
        let carried = usize::try_from(tensor.ne[1]).unwrap_or(0);

        if tensor.type_ != sys::GGML_TYPE_F32
            || tensor.nb[0] != size_of::<f32>()
            || tensor.ne[0] as usize != width
            || (carried != rows && carried != count)
        {
            let name = String::from_utf8_lossy(name);
            let shape = &tensor.ne[..2];
            self.surprise.get_or_insert_with(|| {
                format!("node {name} has shape {shape:?}, with {count} outputs of {rows} rows")
            });
            return;
        }
        let wanted = outputs.iter().enumerate().filter_map(|(row, output)| Some((row, (*output)?)));
        for (number, (row, output)) in wanted.enumerate() {
            let row = if carried == rows { row } else { number };
            let start = (output * layers + place) * width;
            let Some(state) = states.get_mut(start..start + width) else { return };
            // SAFETY: the tensor has been computed; row `row` lies within its
            // `carried` rows, `width` contiguous floats at a stride of `nb[1]`.
            unsafe {
                sys::ggml_backend_tensor_get(
                    tensor,
                    state.as_mut_ptr().cast::<c_void>(),
                    row * tensor.nb[1],
                    size_of_val(state),
                );
            }
        }
        self.copied += count;
    }

    fn place(&self, layer: usize) -> Option<usize> {
        self.places.get(layer).copied().flatten()
    }
}

/// The hidden state that `l_out-N` holds: N + 1.
fn block_output(name: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(name.strip_prefix(b"l_out-")?).ok()?;
    digits.parse::<usize>().ok().map(|block| block + 1)
}
