//! The product of a head with hidden states, as luge computes it and as ggml.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use llama_cpp_sys_2 as sys;

use crate::backend::{self, Threadpool};
use crate::exit_head::product::{InstructionSet, Matrix, Product};
use crate::exit_head::replay::Backend;
use crate::exit_head::workers::Workers;

/// Rows that a thread takes at a time.
const TILE: usize = crate::exit_head::TILE;

/// A random matrix in one of ggml's formats, and random columns.
pub struct HeadProduct {
    tensors: Tensors,
    /// `[rows × inputs]`.
    kind: sys::ggml_type,
    rows: usize,
    inputs: usize,
    /// `[columns × inputs]`.
    states: Vec<f32>,
    workers: Workers,
    backend: Backend,
    // Dropped after its users.
    _threadpool: Threadpool,
}

/// ggml's side of it.
struct Tensors {
    context: NonNull<sys::ggml_context>,
    graph: *mut sys::ggml_cgraph,
    weight: *mut sys::ggml_tensor,
}

impl Tensors {
    /// The matrix.
    fn bytes(&self) -> &[u8] {
        // SAFETY: the tensor is live, and its data lie in the context.
        unsafe {
            let data = (*self.weight).data.cast::<u8>();
            std::slice::from_raw_parts(data, sys::ggml_nbytes(self.weight))
        }
    }
}

impl HeadProduct {
    /// The formats that heads are stored in.
    pub const FORMATS: [(&'static str, sys::ggml_type); 8] = [
        ("q8_0", sys::GGML_TYPE_Q8_0),
        ("q6_k", sys::GGML_TYPE_Q6_K),
        ("q5_k", sys::GGML_TYPE_Q5_K),
        ("q4_k", sys::GGML_TYPE_Q4_K),
        ("q4_0", sys::GGML_TYPE_Q4_0),
        ("f16", sys::GGML_TYPE_F16),
        ("bf16", sys::GGML_TYPE_BF16),
        ("f32", sys::GGML_TYPE_F32),
    ];

    /// Whether rows of so many inputs can be stored in a format.
    pub fn fits(format: sys::ggml_type, inputs: usize) -> bool {
        // SAFETY: a format's block size is a plain number.
        inputs.is_multiple_of(unsafe { sys::ggml_blck_size(format) } as usize)
    }

    /// A matrix `[rows × inputs]` and `columns` columns. `None` where there is
    /// no memory, or the inputs do not fit the format.
    pub fn new(
        format: sys::ggml_type,
        rows: usize,
        inputs: usize,
        columns: usize,
        threads: u32,
    ) -> Option<Self> {
        backend::init();
        if !Self::fits(format, inputs) {
            return None;
        }
        let threadpool = Threadpool::new(threads)?;
        let workers = Workers::new(threads, &threadpool).ok()?;
        let backend = Backend::cpu(threads, &threadpool)?;
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let row: Vec<f32> = (0..inputs).map(|_| noise()).collect();
        let states: Vec<f32> = (0..columns * inputs).map(|_| noise()).collect();
        // SAFETY: the context has room for the three tensors; what is written
        // to them has their size.
        unsafe {
            let row_size = sys::ggml_row_size(format, inputs as i64);
            let context = NonNull::new(sys::ggml_init(sys::ggml_init_params {
                mem_size: rows * row_size + columns * (rows + inputs) * 4 + (1 << 20),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: false,
            }))?;
            let new = |kind, width: usize, height: usize| {
                sys::ggml_new_tensor_2d(context.as_ptr(), kind, width as i64, height as i64)
            };
            let weight = new(format, inputs, rows);
            let input = new(sys::GGML_TYPE_F32, inputs, columns);
            // One row is quantised, and copied: the numbers do not matter.
            let first = (*weight).data.cast::<u8>();
            let none = std::ptr::null();
            if format == sys::GGML_TYPE_F32 {
                std::ptr::copy_nonoverlapping(row.as_ptr().cast::<u8>(), first, row_size);
            } else {
                let to = first.cast::<c_void>();
                sys::ggml_quantize_chunk(format, row.as_ptr(), to, 0, 1, inputs as i64, none);
            }
            for row in 1..rows {
                std::ptr::copy_nonoverlapping(first, first.add(row * row_size), row_size);
            }
            let to = (*input).data.cast::<f32>();
            std::ptr::copy_nonoverlapping(states.as_ptr(), to, states.len());
            let output = sys::ggml_mul_mat(context.as_ptr(), weight, input);
            let graph = sys::ggml_new_graph(context.as_ptr());
            sys::ggml_build_forward_expand(graph, output);
            Some(HeadProduct {
                tensors: Tensors { context, graph, weight },
                kind: format,
                rows,
                inputs,
                states,
                workers,
                backend,
                _threadpool: threadpool,
            })
        }
    }

    /// ggml's product.
    ///
    /// # Panics
    /// If it fails.
    pub fn ggml(&mut self) {
        // SAFETY: back end and graph are live.
        let status =
            unsafe { sys::ggml_backend_graph_compute(self.backend.as_ptr(), self.tensors.graph) };
        assert_eq!(status, sys::GGML_STATUS_SUCCESS);
    }

    /// Our products that there are for a format on this processor.
    pub fn kernels(format: sys::ggml_type) -> Vec<InstructionSet> {
        if Matrix::stored(format).is_some() { InstructionSet::available() } else { Vec::new() }
    }

    /// Our product, of a format that has one.
    ///
    /// # Panics
    /// If the format has none.
    pub fn luge(&mut self, set: InstructionSet) {
        let (rows, inputs) = (self.rows, self.inputs);
        let matrix = Matrix::new(self.kind, self.tensors.bytes(), rows, inputs).expect("a kernel");
        let states: Vec<&[f32]> = self.states.chunks_exact(inputs).collect();
        let columns = states.len();
        let mut product = Product::new(set, inputs);
        product.set_columns(&states);
        let next = AtomicUsize::new(0);
        let call = || {
            let mut out = vec![0.0f32; columns * TILE];
            loop {
                let start = next.fetch_add(TILE, Ordering::Relaxed);
                if start >= rows {
                    break;
                }
                let end = rows.min(start + TILE);
                product.rows(&matrix, start..end, &mut out[..columns * (end - start)]);
                std::hint::black_box(&mut out);
            }
        };
        self.workers.run(&call).expect("it runs");
    }

    /// Reads the matrix, and does nothing else: the floor that memory sets.
    ///
    /// # Panics
    /// If it fails.
    pub fn read(&mut self) {
        let data = self.tensors.bytes();
        const PIECE: usize = 1 << 20;
        let (next, all) = (AtomicUsize::new(0), Mutex::new(0u64));
        let call = || {
            let mut sum = 0u64;
            while let Some(piece) = data.chunks(PIECE).nth(next.fetch_add(1, Ordering::Relaxed)) {
                let (words, _) = piece.as_chunks::<8>();
                sum ^= words.iter().fold(0, |sum, word| sum ^ u64::from_le_bytes(*word));
            }
            *all.lock().expect("no thread panics") ^= sum;
        };
        self.workers.run(&call).expect("it runs");
        std::hint::black_box(all);
    }
}

impl Drop for Tensors {
    fn drop(&mut self) {
        // SAFETY: the context is live and owned, and no computation runs.
        unsafe { sys::ggml_free(self.context.as_ptr()) }
    }
}
