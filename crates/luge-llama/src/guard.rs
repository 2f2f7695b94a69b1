//! The calls of `guard.cpp`: llama.cpp's, with C++ exceptions turned into
//! results.

use std::ffi::c_char;

use llama_cpp_sys_2 as sys;

/// What a call returns instead of throwing.
pub(crate) const THROWN: i32 = i32::MIN + 1;

unsafe extern "C" {
    /// `llama_tokenize`, or [`THROWN`].
    pub(crate) fn luge_tokenize(
        vocab: *const sys::llama_vocab,
        text: *const c_char,
        text_len: i32,
        tokens: *mut i32,
        n_tokens_max: i32,
        add_special: bool,
        parse_special: bool,
    ) -> i32;

    /// `llama_decode`, or [`THROWN`].
    pub(crate) fn luge_decode(context: *mut sys::llama_context, batch: sys::llama_batch) -> i32;
}
