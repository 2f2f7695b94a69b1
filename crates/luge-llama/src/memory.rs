//! Memory that no one uses any more.

/// Gives freed memory back to the system, where the allocator would keep it for
/// later. For measuring: it takes milliseconds, and so does asking for the memory
/// again. Does nothing where the allocator does not offer it (it is glibc's).
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;

        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> c_int;
        }
        // SAFETY: glibc's, which any thread may call at any time.
        unsafe { malloc_trim(0) };
    }
}
