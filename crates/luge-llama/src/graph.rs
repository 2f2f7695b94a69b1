//! Reading llama.cpp's computation graph: where the layers and the LM head are.
//!
//! llama.cpp builds its graph anew for each architecture, and tells no one what
//! is where. But every node passes the evaluation callback before it is
//! computed, with its name, operation and sources. From one recorded pass this
//! module finds out, whatever the architecture:
//!
//! * **the hidden states.** State i ≥ 1 is the node `l_out-(i−1)`. State 0 has
//!   no one name: it is the embedding after whatever the model does to it
//!   before block 0 (a scale, a norm, a position embedding). In the graph: from
//!   the token look-up on, follow the one node that reads it until several do;
//!   there the residual stream forks into block 0. Or until one reads a weight
//!   of block 0.
//! * **the LM head**, as a recipe: the chain of operations from `result_norm`
//!   to `result_output`, that is the product with the output matrix and
//!   whatever comes with it (bias, scale, softcap).
//! * **the final norm**, as a recipe too: from the last `l_out` to
//!   `result_norm`.
//!
//! Recipes keep pointers to the model's own weights, so replaying one computes
//! with the very tensors the model computes with.

use std::collections::HashMap;
use std::ffi::CStr;

use llama_cpp_sys_2 as sys;

/// A node of the graph as it passed the callback.
#[derive(Debug)]
struct Node {
    address: *const sys::ggml_tensor,
    name: String,
    op: sys::ggml_op,
    params: [i32; 16],
    shape: [i64; 4],
    sources: Vec<*mut sys::ggml_tensor>,
}

/// Every node of one pass, in the order of computation.
#[derive(Debug, Default)]
pub(crate) struct Record {
    nodes: Vec<Node>,
}

impl Record {
    pub(crate) fn push(&mut self, tensor: &sys::ggml_tensor) {
        self.nodes.push(Node {
            address: tensor,
            name: name_of(tensor).to_string_lossy().into_owned(),
            op: tensor.op,
            params: tensor.op_params,
            shape: tensor.ne,
            sources: tensor.src.iter().copied().take_while(|source| !source.is_null()).collect(),
        });
    }
}

/// The name of a tensor.
pub(crate) fn name_of(tensor: &sys::ggml_tensor) -> &CStr {
    // SAFETY: `name` is an array of 64 chars; the bytes are valid whatever
    // their sign.
    let bytes =
        unsafe { std::slice::from_raw_parts(tensor.name.as_ptr().cast::<u8>(), tensor.name.len()) };
    CStr::from_bytes_until_nul(bytes).unwrap_or_default()
}

/// One operation of a recipe: on what came before and perhaps one weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) op: sys::ggml_op,
    pub(crate) params: [i32; 16],
    /// The other operand, one of the model's own tensors.
    pub(crate) weight: Option<*mut sys::ggml_tensor>,
}

/// Operations in a row, on columns that do not mix: `[width × columns]` in,
/// `[anything × columns]` out.
pub(crate) type Recipe = Vec<Step>;

/// What a model's graph looks like.
#[derive(Debug)]
pub(crate) struct ModelGraph {
    /// The node of hidden state 0.
    pub(crate) embedding: String,
    /// The width of a hidden state.
    pub(crate) width: usize,
    /// From the last block's output to the head's input, or why there is no
    /// replaying it.
    pub(crate) norm: Result<Recipe, Obstacle>,
    /// From the head's input to the logits.
    pub(crate) head: Recipe,
}

/// Why a graph cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The hidden states are not to be found.
    Taps(String),
    /// The LM head does something unexpected.
    Head(String),
}

impl ModelGraph {
    /// Reads a recorded pass of one token with one output through a model of
    /// `layers` blocks.
    ///
    /// # Safety
    /// The record's tensors must still be live: nothing may have been computed
    /// in its context since.
    pub(crate) unsafe fn read(record: &Record, layers: usize) -> Result<Self, Obstacle> {
        // SAFETY: passed on to the caller.
        let reader = unsafe { Reader::new(record) };
        let (embedding, width) = reader.embedding()?;
        for layer in 1..layers {
            let name = format!("l_out-{}", layer - 1);
            let node = reader
                .named(&name)
                .ok_or_else(|| Obstacle::Taps(format!("its graph has no node {name}")))?;
            if node.shape[0] != width || node.shape[2..] != [1, 1] {
                return Err(Obstacle::Taps(format!("its {name} is not one vector a token")));
            }
        }
        let (head, input) = reader.head()?;
        let norm = reader.norm(input, &format!("l_out-{}", layers.saturating_sub(1)));
        let embedding = embedding.to_owned();
        Ok(ModelGraph { embedding, width: width as usize, norm, head })
    }
}

struct Reader<'a> {
    nodes: &'a [Node],
    by_address: HashMap<*const sys::ggml_tensor, usize>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Reader<'a> {
    /// # Safety
    /// As for [`ModelGraph::read`].
    unsafe fn new(record: &'a Record) -> Self {
        let nodes = &record.nodes;
        let index = |(index, node): (usize, &Node)| (node.address, index);
        let by_address = nodes.iter().enumerate().map(index).collect();
        let by_name = nodes.iter().enumerate().map(|(i, node)| (&*node.name, i)).collect();
        Reader { nodes, by_address, by_name }
    }

    fn named(&self, name: &str) -> Option<&'a Node> {
        self.by_name.get(name).map(|&index| &self.nodes[index])
    }

    /// The node that a source is, or is a copy of.
    fn node(&self, source: *mut sys::ggml_tensor) -> Option<usize> {
        if let Some(&index) = self.by_address.get(&source.cast_const()) {
            return Some(index);
        }
        let name = leaf_name(source);
        let original = without_device(&name);
        (original != name).then(|| self.by_name.get(original).copied()).flatten()
    }

    /// The name and width of hidden state 0: see the module's description.
    fn embedding(&self) -> Result<(&'a str, i64), Obstacle> {
        let is_lookup = |node: &Node| {
            node.op == sys::GGML_OP_GET_ROWS
                && node.sources.len() >= 2
                && without_device(&leaf_name(node.sources[0])) == "token_embd.weight"
                && without_device(&leaf_name(node.sources[1])) == "inp_tokens"
        };
        let lookup = self
            .nodes
            .iter()
            .position(is_lookup)
            .ok_or_else(|| Obstacle::Taps("its graph has no token embedding".to_owned()))?;
        let mut chain = vec![lookup];
        while let Some(next) = self.only_reader(chain[chain.len() - 1]) {
            chain.push(next);
        }
        // Where the residual stream does not fork, the chain runs on into block
        // 0: cut it in front of the block's first weight, and of the norm whose
        // weight that is.
        if let Some(begun) = chain.iter().position(|&index| self.reads_block(index)) {
            chain.truncate(begun);
            self.drop_last_while(&mut chain, &[sys::GGML_OP_NORM, sys::GGML_OP_RMS_NORM]);
        }
        self.drop_last_while(&mut chain, &[sys::GGML_OP_RESHAPE, sys::GGML_OP_VIEW]);
        let node = &self.nodes[*chain.last().unwrap_or(&lookup)];
        if node.shape[2..] != [1, 1] {
            return Err(Obstacle::Taps("its embedding is not one vector a token".to_owned()));
        }
        Ok((&node.name, node.shape[0]))
    }

    /// The one node that reads a node, if it is one.
    fn only_reader(&self, at: usize) -> Option<usize> {
        let reads = |node: &Node| node.sources.iter().any(|&source| self.node(source) == Some(at));
        let mut readers = (0..self.nodes.len()).filter(|&index| reads(&self.nodes[index]));
        match (readers.next(), readers.next()) {
            (Some(next), None) => Some(next),
            _ => None,
        }
    }

    /// Whether a node reads a weight of a transformer block.
    fn reads_block(&self, at: usize) -> bool {
        let is_block = |name: String| without_device(&name).starts_with("blk.");
        self.nodes[at].sources.iter().any(|&source| is_block(leaf_name(source)))
    }

    /// Shortens a chain of nodes while its last is one of these operations.
    fn drop_last_while(&self, chain: &mut Vec<usize>, ops: &[sys::ggml_op]) {
        while chain.len() > 1 && ops.contains(&self.nodes[chain[chain.len() - 1]].op) {
            chain.pop();
        }
    }

    /// The head's recipe and the node it starts from.
    fn head(&self) -> Result<(Recipe, usize), Obstacle> {
        let output = self
            .by_name
            .get("result_output")
            .ok_or_else(|| Obstacle::Head("its graph has no node result_output".to_owned()))?;
        let norm = self.by_name.get("result_norm").copied();
        let mut multiplied = false;
        let (recipe, input) = self.back_from(*output, |index, behind| {
            multiplied |= behind.is_some_and(|step| step.op == sys::GGML_OP_MUL_MAT);
            // Without a named norm the head is the product and what follows it.
            norm.map_or(multiplied, |norm| index == norm)
        })?;
        let matrix = |step: &&Step| step.op == sys::GGML_OP_MUL_MAT;
        let weight = recipe.iter().find(matrix).and_then(|step| step.weight).map(leaf_name);
        match weight.as_deref() {
            Some("output.weight" | "token_embd.weight") => Ok((recipe, input)),
            Some(other) => Err(Obstacle::Head(format!("its matrix is {other}"))),
            None => Err(Obstacle::Head("it multiplies with no matrix".to_owned())),
        }
    }

    /// The recipe from the last block's output to the head's input.
    fn norm(&self, input: usize, last: &str) -> Result<Recipe, Obstacle> {
        self.back_from(input, |index, _| self.nodes[index].name == last).map(|(recipe, _)| recipe)
    }

    /// Walks back from a node to the one that `stop` accepts (it is told the
    /// step just passed) and returns the operations in between, in order of
    /// computation, and the node stopped at.
    fn back_from(
        &self,
        from: usize,
        mut stop: impl FnMut(usize, Option<&Step>) -> bool,
    ) -> Result<(Recipe, usize), Obstacle> {
        let mut recipe = Recipe::new();
        let mut at = from;
        while !stop(at, recipe.last()) {
            let node = &self.nodes[at];
            let source = |index: usize| {
                let missing = || Obstacle::Head(format!("{} lacks a source", node.name));
                node.sources.get(index).copied().ok_or_else(missing)
            };
            let (input, weight) = match node.op {
                sys::GGML_OP_MUL_MAT => (source(1)?, Some(source(0)?)),
                sys::GGML_OP_ADD | sys::GGML_OP_MUL => (source(0)?, Some(source(1)?)),
                sys::GGML_OP_SCALE
                | sys::GGML_OP_UNARY
                | sys::GGML_OP_NORM
                | sys::GGML_OP_RMS_NORM => (source(0)?, None),
                // Picks the rows whose logits were asked for.
                sys::GGML_OP_GET_ROWS => {
                    at = self.input_node(source(0)?, node)?;
                    continue;
                }
                op => {
                    return Err(Obstacle::Head(format!(
                        "{} is computed by {}",
                        node.name,
                        op_name(op)
                    )));
                }
            };
            if let Some(weight) = weight.filter(|&weight| !is_weight(weight)) {
                let weight = leaf_name(weight);
                return Err(Obstacle::Head(format!("{} reads {weight}, no weight", node.name)));
            }
            recipe.push(Step { op: node.op, params: node.params, weight });
            at = self.input_node(input, node)?;
        }
        recipe.reverse();
        Ok((recipe, at))
    }

    fn input_node(&self, source: *mut sys::ggml_tensor, reader: &Node) -> Result<usize, Obstacle> {
        self.node(source).ok_or_else(|| {
            Obstacle::Head(format!("{} reads {}, no node", reader.name, leaf_name(source)))
        })
    }
}

/// The name of the original: where a graph is split over devices, a source may
/// be a copy named `DEVICE#NAME#NUMBER`.
fn without_device(name: &str) -> &str {
    let original = || Some(name.split_once('#')?.1.rsplit_once('#')?.0);
    original().unwrap_or(name)
}

/// The name of a source tensor of a live graph.
fn leaf_name(tensor: *mut sys::ggml_tensor) -> String {
    // SAFETY: only called on sources of recorded nodes, which are live while
    // the record is read (see `ModelGraph::read`).
    name_of(unsafe { &*tensor }).to_string_lossy().into_owned()
}

/// Whether a tensor is one of the model's weights: those outlive every graph.
fn is_weight(tensor: *mut sys::ggml_tensor) -> bool {
    // SAFETY: as for `leaf_name`; the buffer, if set, is live with its tensor.
    unsafe {
        let buffer = (*tensor).buffer;
        (*tensor).op == sys::GGML_OP_NONE
            && !buffer.is_null()
            && sys::ggml_backend_buffer_get_usage(buffer) == sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS
    }
}

/// ggml's name of an operation.
pub(crate) fn op_name(op: sys::ggml_op) -> String {
    // SAFETY: `op` came from a tensor; the result is a static string.
    unsafe { CStr::from_ptr(sys::ggml_op_name(op)) }.to_string_lossy().into_owned()
}

/// A recipe without the softcap c·tanh(z/c), which shows as scale, tanh, scale.
pub(crate) fn without_softcap(recipe: &[Step]) -> Recipe {
    let is_softcap = |steps: &[Step]| {
        let ops = [sys::GGML_OP_SCALE, sys::GGML_OP_UNARY, sys::GGML_OP_SCALE];
        steps.len() >= 3
            && steps.iter().zip(ops).all(|(step, op)| step.op == op)
            && steps[1].params[0] as sys::ggml_unary_op == sys::GGML_UNARY_OP_TANH
    };
    let mut kept = Recipe::new();
    let mut rest = recipe;
    while let [step, tail @ ..] = rest {
        if is_softcap(rest) {
            rest = &rest[3..];
        } else {
            kept.push(*step);
            rest = tail;
        }
    }
    kept
}
