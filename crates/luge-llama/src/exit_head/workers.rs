//! Work of our own on ggml's threads.
//!
//! After a computation ggml's worker threads wait for the next by spinning. A
//! second set of threads would fight them for the processor. So what luge
//! computes by itself goes to the same threads, as an operation of a graph.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use llama_cpp_sys_2 as sys;

use super::replay::Backend;
use crate::Error;
use crate::backend::Threadpool;

/// Bytes for the one operation's tensor and graph.
const ROOM: usize = 1 << 16;

/// Threads ready to work.
pub(crate) struct Workers {
    backend: Backend,
    context: NonNull<sys::ggml_context>,
    graph: *mut sys::ggml_cgraph,
    // Dropped after the graph, in `drop`.
    job: SharedJob,
}

/// What the operation is told to do: it has the address.
struct SharedJob(NonNull<Job>);

impl SharedJob {
    fn new() -> Self {
        let job = Job { call: None, panicked: Mutex::new(None) };
        SharedJob(NonNull::from(Box::leak(Box::new(job))))
    }

    /// # Safety
    /// The operation must not be running.
    unsafe fn get_mut(&mut self) -> &mut Job {
        // SAFETY: the box is live; passed on to the caller.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for SharedJob {
    fn drop(&mut self) {
        // SAFETY: from the box in `new`; the operation runs in `Workers::run` only.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A call to make on every thread.
struct Job {
    /// Set only while [`Workers::run`] waits for it.
    call: Option<*const (dyn Fn() + Sync)>,
    /// What the first thread to panic said.
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Workers {
    pub(crate) fn new(threads: u32, threadpool: &Threadpool) -> Result<Self, Error> {
        let failed = || Error::Compute("the exit head's threads could not be set up".to_owned());
        let backend = Backend::cpu(threads, threadpool).ok_or_else(failed)?;
        let job = SharedJob::new();
        // SAFETY: plain parameters; the context has room for one small tensor
        // and a graph; the job outlives both (see `drop`).
        let (context, graph) = unsafe {
            let context = NonNull::new(sys::ggml_init(sys::ggml_init_params {
                mem_size: ROOM,
                mem_buffer: std::ptr::null_mut(),
                no_alloc: false,
            }))
            .ok_or_else(failed)?;
            let node = sys::ggml_custom_4d(
                context.as_ptr(),
                sys::GGML_TYPE_F32,
                1,
                1,
                1,
                1,
                std::ptr::null_mut(),
                0,
                Some(work),
                // As many threads as there are.
                -1,
                job.0.as_ptr().cast::<c_void>(),
            );
            let graph = sys::ggml_new_graph_custom(context.as_ptr(), 8, false);
            sys::ggml_build_forward_expand(graph, node);
            (context, graph)
        };
        Ok(Workers { backend, context, graph, job })
    }

    /// Runs `call` once on each thread, at the same time; returns when all are
    /// done. A panic in it becomes one here.
    pub(crate) fn run(&mut self, call: &(dyn Fn() + Sync)) -> Result<(), Error> {
        // SAFETY: only the lifetime is changed. The pointer is used by `work`
        // alone, which the computation below waits for, and taken away behind
        // it.
        let call =
            unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(call) };
        // SAFETY: nothing is running yet; then, back end and graph are live; and
        // what ran has ended.
        let (status, job) = unsafe {
            self.job.get_mut().call = Some(call);
            let status = sys::ggml_backend_graph_compute(self.backend.as_ptr(), self.graph);
            (status, self.job.get_mut())
        };
        job.call = None;
        let panicked = job.panicked.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(panic) = panicked.take() {
            resume_unwind(panic);
        }
        match status {
            sys::GGML_STATUS_SUCCESS => Ok(()),
            status => Err(Error::Compute(format!("the exit head ended with status {status}"))),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // SAFETY: the context is live and owned.
        unsafe { sys::ggml_free(self.context.as_ptr()) }
    }
}

/// The operation, called by ggml on each thread.
///
/// # Safety
/// `user` must be a [`Job`], and its call live.
unsafe extern "C" fn work(_: *mut sys::ggml_tensor, _: c_int, _: c_int, user: *mut c_void) {
    // SAFETY: passed on to the caller; the threads only share the job.
    let job = unsafe { &*user.cast::<Job>() };
    let Some(call) = job.call else { return };
    // SAFETY: passed on to the caller.
    let call = unsafe { &*call };
    // Unwinding must not reach C. What the call has touched is dropped with the
    // panic, which goes on in `Workers::run`.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        let mut first = job.panicked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert(panic);
    }
}
