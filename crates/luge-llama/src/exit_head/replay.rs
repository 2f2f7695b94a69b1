//! Operations of the model's graph, replayed in a small graph of our own.
//!
//! With the model's own weights, on the device that holds them. Memory is that
//! of the result, `[columns × outputs]` floats, and of the input, for the most
//! columns there have been.

use std::ffi::c_void;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use crate::Error;
use crate::backend::{Threadpool, with_log};
use crate::graph::{Step, op_name};

/// Nodes and leaves that a graph may have: a recipe is a handful of operations.
const GRAPH_SIZE: usize = 128;

/// A recipe as a graph, ready to run.
pub(crate) struct Replay {
    // Dropped in this order: the scheduler uses the back ends and the graph.
    scheduler: Scheduler,
    backends: Vec<Backend>,
    /// None only when the last attempt to make it failed.
    graph: Option<Graph>,
    recipe: Vec<Step>,
    width: usize,
    /// The result, where it has to be fetched from a device.
    fetched: Vec<f32>,
}

/// The graph for so many columns.
struct Graph {
    _tensors: Tensors,
    raw: *mut sys::ggml_cgraph,
    columns: usize,
    /// `[width × columns]`, in the CPU's memory, as all inputs are.
    input: *mut sys::ggml_tensor,
    /// `[outputs × columns]`.
    output: *mut sys::ggml_tensor,
}

impl Replay {
    /// A graph of `recipe` for `columns` columns of `width` floats, for now.
    ///
    /// # Safety
    /// The recipe's weights must be live, and stay so.
    pub(crate) unsafe fn new(
        recipe: &[Step],
        width: usize,
        columns: usize,
        threads: u32,
        threadpool: &Threadpool,
    ) -> Result<Self, Error> {
        // SAFETY: passed on to the caller.
        unsafe {
            Replay::with_tail(recipe, width, columns, threads, threadpool, |_, output| output)
        }
    }

    /// The same with operations behind it: see [`Replay::build`].
    ///
    /// # Safety
    /// As for [`Replay::new`] and [`Replay::build`].
    pub(crate) unsafe fn with_tail(
        recipe: &[Step],
        width: usize,
        columns: usize,
        threads: u32,
        threadpool: &Threadpool,
        tail: impl FnOnce(*mut sys::ggml_context, *mut sys::ggml_tensor) -> *mut sys::ggml_tensor,
    ) -> Result<Self, Error> {
        let cpu = Backend::cpu(threads, threadpool).ok_or_else(|| failed("CPU is missing"))?;
        let mut backends: Vec<Backend> =
            head_device(recipe).and_then(Backend::of_device).into_iter().collect();
        backends.push(cpu);
        let scheduler = Scheduler::new(&backends).ok_or_else(|| failed("scheduler is missing"))?;
        let recipe = recipe.to_vec();
        let mut replay =
            Replay { scheduler, backends, graph: None, recipe, width, fetched: Vec::new() };
        // SAFETY: passed on to the caller.
        unsafe { replay.build(columns, tail)? };
        Ok(replay)
    }

    /// Makes the graph anew, for another number of columns or with other operations
    /// behind it: `tail` adds them to the context that it is given, and returns the
    /// new output. Devices and memory stay, if there is enough of it: some
    /// microseconds.
    ///
    /// # Safety
    /// What `tail` returns must be in the context.
    pub(crate) unsafe fn build(
        &mut self,
        columns: usize,
        tail: impl FnOnce(*mut sys::ggml_context, *mut sys::ggml_tensor) -> *mut sys::ggml_tensor,
    ) -> Result<(), Error> {
        // SAFETY: the scheduler is live. It forgets the graph before that is gone.
        unsafe { sys::ggml_backend_sched_reset(self.scheduler.0.as_ptr()) };
        self.graph = None;
        self.fetched.clear();
        let tensors = Tensors::new().ok_or_else(|| failed("graph could not be made"))?;
        let context = tensors.0.as_ptr();
        // SAFETY: the context has room for `GRAPH_SIZE` tensors; the weights
        // are live (see `Replay::new`); shapes fit, as the model's own graph has
        // the same operations.
        let (raw, input, output) = unsafe {
            let (width, columns) = (self.width as i64, columns as i64);
            let input = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, width, columns);
            sys::ggml_set_input(input);
            let mut output = input;
            for step in &self.recipe {
                output = replay(context, output, step)?;
            }
            output = tail(context, output);
            sys::ggml_set_output(output);
            let graph = sys::ggml_new_graph_custom(context, GRAPH_SIZE, false);
            sys::ggml_build_forward_expand(graph, output);
            (graph, input, output)
        };
        // SAFETY: scheduler and graph are live.
        let (allocated, reason) = with_log(|| unsafe {
            sys::ggml_backend_sched_alloc_graph(self.scheduler.0.as_ptr(), raw)
        });
        if !allocated {
            return Err(failed(&reason.unwrap_or_else(|| "memory could not be had".to_owned())));
        }
        self.graph = Some(Graph { _tensors: tensors, raw, columns, input, output });
        Ok(())
    }

    /// Computes the outputs of hidden states, `[width]` each. Another number of them
    /// than last time has the graph made anew, without operations behind it.
    pub(crate) fn compute(&mut self, states: &[&[f32]]) -> Result<(), Error> {
        self.run(states)?;
        let output = self.graph().output;
        // SAFETY: the output is live and computed; the buffer has its size.
        unsafe {
            if !sys::ggml_backend_buffer_is_host((*output).buffer) {
                self.fetched.resize(sys::ggml_nelements(output) as usize, 0.0);
                let bytes = size_of_val(&self.fetched[..]);
                let target = self.fetched.as_mut_ptr().cast::<c_void>();
                sys::ggml_backend_tensor_get(output, target, 0, bytes);
            }
        }
        Ok(())
    }

    /// The same, with the outputs written to `to`, `[columns × outputs]`.
    pub(crate) fn compute_to(&mut self, states: &[&[f32]], to: &mut [f32]) -> Result<(), Error> {
        self.run(states)?;
        let output = self.graph().output;
        // SAFETY: the output is live and computed; `to` has its size, which is checked.
        unsafe {
            assert_eq!(size_of_val(to), sys::ggml_nbytes(output), "one row a column");
            let bytes = size_of_val(to);
            sys::ggml_backend_tensor_get(output, to.as_mut_ptr().cast::<c_void>(), 0, bytes);
        }
        Ok(())
    }

    fn run(&mut self, states: &[&[f32]]) -> Result<(), Error> {
        if self.graph.as_ref().is_none_or(|graph| graph.columns != states.len()) {
            // SAFETY: the output that it returns is in the context.
            unsafe { self.build(states.len(), |_, output| output)? };
        }
        let Graph { raw, input, .. } = *self.graph();
        for (column, state) in states.iter().enumerate() {
            assert_eq!(state.len(), self.width, "the width of a hidden state");
            let bytes = size_of_val(*state);
            // SAFETY: the input is live and allocated, and has `width` floats a column.
            unsafe {
                let from = state.as_ptr().cast::<c_void>();
                sys::ggml_backend_tensor_set(input, from, column * bytes, bytes);
            }
        }
        // SAFETY: scheduler and graph are live.
        let (status, reason) = with_log(|| unsafe {
            sys::ggml_backend_sched_graph_compute(self.scheduler.0.as_ptr(), raw)
        });
        if status != sys::GGML_STATUS_SUCCESS {
            let unknown = || format!("the exit head ended with status {status}");
            return Err(Error::Compute(reason.unwrap_or_else(unknown)));
        }
        Ok(())
    }

    fn graph(&self) -> &Graph {
        self.graph.as_ref().expect("there is one when something has been computed")
    }

    /// The outputs last computed: `[columns × outputs]`.
    pub(crate) fn output(&self) -> &[f32] {
        if !self.fetched.is_empty() {
            return &self.fetched;
        }
        // SAFETY: the output is live; not having been fetched, it lies in host
        // memory, contiguous, and is written only by `compute`.
        unsafe {
            let output = self.graph().output;
            let count = sys::ggml_nelements(output) as usize;
            std::slice::from_raw_parts((*output).data.cast::<f32>(), count)
        }
    }

    /// Bytes held for input, result and what lies between.
    pub(crate) fn memory(&self) -> usize {
        let of = |backend: &Backend| {
            // SAFETY: scheduler and back end are live.
            unsafe {
                sys::ggml_backend_sched_get_buffer_size(
                    self.scheduler.0.as_ptr(),
                    backend.0.as_ptr(),
                )
            }
        };
        let fetched = self.fetched.capacity() * size_of::<f32>();
        self.backends.iter().map(of).sum::<usize>() + fetched
    }
}

fn failed(what: &str) -> Error {
    Error::Compute(format!("the exit head's {what}"))
}

/// Adds an operation to a graph.
///
/// # Safety
/// `context` must have room, `input` and the step's weight must be live, and
/// their shapes must suit the operation.
unsafe fn replay(
    context: *mut sys::ggml_context,
    input: *mut sys::ggml_tensor,
    step: &Step,
) -> Result<*mut sys::ggml_tensor, Error> {
    // Parameters are copied below; what is passed here only makes the node.
    // SAFETY: passed on to the caller.
    unsafe {
        let node = match (step.op, step.weight) {
            (sys::GGML_OP_MUL_MAT, Some(weight)) => sys::ggml_mul_mat(context, weight, input),
            (sys::GGML_OP_ADD, Some(weight)) => sys::ggml_add(context, input, weight),
            (sys::GGML_OP_MUL, Some(weight)) => sys::ggml_mul(context, input, weight),
            (sys::GGML_OP_SCALE, None) => sys::ggml_scale(context, input, 1.0),
            (sys::GGML_OP_UNARY, None) => {
                sys::ggml_unary(context, input, step.params[0] as sys::ggml_unary_op)
            }
            (sys::GGML_OP_NORM, None) => sys::ggml_norm(context, input, 0.0),
            (sys::GGML_OP_RMS_NORM, None) => sys::ggml_rms_norm(context, input, 0.0),
            (op, _) => {
                return Err(Error::Compute(format!("{} cannot be replayed", op_name(op))));
            }
        };
        (*node).op_params = step.params;
        Ok(node)
    }
}

/// The device that holds the head's matrix, unless that is the CPU.
pub(super) fn head_device(recipe: &[Step]) -> Option<NonNull<sys::ggml_backend_device>> {
    let weight = recipe.iter().find(|step| step.op == sys::GGML_OP_MUL_MAT)?.weight?;
    // SAFETY: the weight and its buffer are live (see `Replay::new`). A
    // buffer of mapped memory names no device: that is the CPU's.
    let device = unsafe {
        let buffer = (*weight).buffer;
        sys::ggml_backend_buft_get_device(sys::ggml_backend_buffer_get_type(buffer))
    };
    // SAFETY: a device, once there, is there for good.
    NonNull::new(device).filter(|device| unsafe {
        sys::ggml_backend_dev_type(device.as_ptr()) != sys::GGML_BACKEND_DEVICE_TYPE_CPU
    })
}

/// Holds the graph's tensors.
struct Tensors(NonNull<sys::ggml_context>);

impl Tensors {
    fn new() -> Option<Self> {
        // SAFETY: plain parameters; with `no_alloc` only descriptions are kept.
        NonNull::new(unsafe {
            sys::ggml_init(sys::ggml_init_params {
                mem_size: GRAPH_SIZE * sys::ggml_tensor_overhead()
                    + sys::ggml_graph_overhead_custom(GRAPH_SIZE, false),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: true,
            })
        })
        .map(Tensors)
    }
}

impl Drop for Tensors {
    fn drop(&mut self) {
        // SAFETY: the context is live and owned.
        unsafe { sys::ggml_free(self.0.as_ptr()) }
    }
}

/// A device made ready to compute.
pub(crate) struct Backend(NonNull<sys::ggml_backend>);

impl Backend {
    pub(crate) fn cpu(threads: u32, threadpool: &Threadpool) -> Option<Self> {
        // SAFETY: the thread pool outlives the back end (see `Context`).
        unsafe {
            let backend = NonNull::new(sys::ggml_backend_cpu_init())?;
            sys::ggml_backend_cpu_set_n_threads(backend.as_ptr(), threads as i32);
            sys::ggml_backend_cpu_set_threadpool(backend.as_ptr(), threadpool.as_ptr());
            Some(Backend(backend))
        }
    }

    pub(crate) fn as_ptr(&self) -> sys::ggml_backend_t {
        self.0.as_ptr()
    }

    fn of_device(device: NonNull<sys::ggml_backend_device>) -> Option<Self> {
        // SAFETY: the device is live; no parameters are passed.
        NonNull::new(unsafe { sys::ggml_backend_dev_init(device.as_ptr(), std::ptr::null()) })
            .map(Backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: the back end is live and owned.
        unsafe { sys::ggml_backend_free(self.0.as_ptr()) }
    }
}

/// Places a graph's operations on devices, and runs them.
struct Scheduler(NonNull<sys::ggml_backend_sched>);

impl Scheduler {
    /// The back ends must outlive it; the CPU's must be the last.
    fn new(backends: &[Backend]) -> Option<Self> {
        let mut pointers: Vec<_> = backends.iter().map(|backend| backend.0.as_ptr()).collect();
        // SAFETY: the array holds `len` live back ends, the last the CPU's;
        // null buffer types mean each back end's own.
        NonNull::new(unsafe {
            sys::ggml_backend_sched_new(
                pointers.as_mut_ptr(),
                std::ptr::null_mut(),
                pointers.len() as i32,
                GRAPH_SIZE,
                false,
                false,
            )
        })
        .map(Scheduler)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: the scheduler is live and owned.
        unsafe { sys::ggml_backend_sched_free(self.0.as_ptr()) }
    }
}
