//! llama.cpp as a whole: start-up, its log, its threads.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use llama_cpp_sys_2 as sys;

thread_local! {
    /// The first error that llama.cpp logged since it was last asked for.
    static FIRST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Starts llama.cpp, once for the process.
pub(crate) fn init() {
    static INIT: OnceLock<()> = OnceLock::new();
    INIT.get_or_init(|| {
        // SAFETY: `log` matches the callback's type, needs no user data, and
        // does not unwind. Initialisation happens once and before any use.
        unsafe {
            sys::llama_log_set(Some(log), std::ptr::null_mut());
            sys::llama_backend_init();
        }
    });
}

/// Receives llama.cpp's log lines: all go to `tracing`, the first error is kept
/// for the message of the call that failed.
unsafe extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _user: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated string that outlives the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim_end();
    if text.is_empty() || text == "." {
        return;
    }
    match level {
        sys::GGML_LOG_LEVEL_ERROR => {
            // An access while the thread ends finds no store: then it is only logged.
            let _ = FIRST_ERROR.try_with(|first| {
                if let Ok(mut first) = first.try_borrow_mut() {
                    first.get_or_insert_with(|| without_function_name(text).to_owned());
                }
            });
            tracing::error!(target: "llama.cpp", "{text}");
        }
        sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama.cpp", "{text}"),
        sys::GGML_LOG_LEVEL_INFO => tracing::debug!(target: "llama.cpp", "{text}"),
        _ => tracing::trace!(target: "llama.cpp", "{text}"),
    }
}

/// `llama_model_load: error loading model: x` without the leading C++ names.
fn without_function_name(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, rest)) if !name.contains(' ') => without_function_name(rest),
        _ => line.strip_prefix("error loading model: ").unwrap_or(line),
    }
}

/// Forgets earlier errors, runs `call`, and returns its result with the first
/// error logged meanwhile on this thread.
pub(crate) fn with_log<T>(call: impl FnOnce() -> T) -> (T, Option<String>) {
    FIRST_ERROR.with_borrow_mut(|first| *first = None);
    let result = call();
    (result, FIRST_ERROR.with_borrow_mut(Option::take))
}

/// Sets what is called when llama.cpp gives up on the whole process, with its
/// message, in place of printing a stack trace. The process is aborted after
/// that, unless the hook ends it.
///
/// Files are examined so that it does not come to that; this is for what the
/// examination does not know.
pub fn set_abort_hook(hook: fn(&str)) {
    static HOOK: OnceLock<fn(&str)> = OnceLock::new();
    unsafe extern "C" fn aborting(message: *const c_char) {
        if let (Some(hook), false) = (HOOK.get(), message.is_null()) {
            // SAFETY: ggml passes a NUL-terminated string.
            hook(&unsafe { CStr::from_ptr(message) }.to_string_lossy());
        }
    }
    if HOOK.set(hook).is_ok() {
        // SAFETY: `aborting` is of the callback's type and needs no data.
        unsafe { sys::ggml_set_abort_callback(Some(aborting)) };
    }
}

/// Worker threads that stay alive between computations. The transformer and the
/// exit head take turns on the same ones.
pub(crate) struct Threadpool(NonNull<sys::ggml_threadpool>);

impl Threadpool {
    pub(crate) fn new(threads: u32) -> Option<Self> {
        // SAFETY: the parameters are a plain struct that the call only reads.
        let pool = unsafe {
            let mut params = sys::ggml_threadpool_params_default(threads as i32);
            sys::ggml_threadpool_new(&mut params)
        };
        NonNull::new(pool).map(Threadpool)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::ggml_threadpool {
        self.0.as_ptr()
    }
}

impl Drop for Threadpool {
    fn drop(&mut self) {
        // SAFETY: the pool is live, and its users, the context and the exit
        // head, are dropped before it (see `Context`).
        unsafe { sys::ggml_threadpool_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_are_dropped_from_messages() {
        let line = "llama_model_load: error loading model: missing tensor 'output_norm.weight'";
        assert_eq!(without_function_name(line), "missing tensor 'output_norm.weight'");
        assert_eq!(without_function_name("no name here: really"), "no name here: really");
    }
}
