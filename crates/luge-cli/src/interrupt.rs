//! Ctrl-C: whatever is at work says which flag it sets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use crate::failure::INTERRUPTED;
use crate::output;

/// What Ctrl-C sets now, and whether it ends the program where it has been pressed before.
static FLAG: Mutex<Option<(Arc<AtomicBool>, bool)>> = Mutex::new(None);

/// From now on, Ctrl-C sets this flag, and the second time ends the program.
pub fn sets(flag: Arc<AtomicBool>) {
    set(flag, true);
}

/// From now on, Ctrl-C sets this flag, however often it is pressed.
pub fn only_sets(flag: Arc<AtomicBool>) {
    set(flag, false);
}

fn set(flag: Arc<AtomicBool>, ends: bool) {
    static HANDLER: Once = Once::new();
    *FLAG.lock().unwrap_or_else(PoisonError::into_inner) = Some((flag, ends));
    HANDLER.call_once(|| {
        if let Err(error) = ctrlc::set_handler(pressed) {
            output::say(format_args!("Ctrl-C will end the program at once: {error}"));
        }
    });
}

/// Does something during which Ctrl-C ends the program at once, such as waiting for an
/// answer.
pub fn ends_during<T>(what: impl FnOnce() -> T) -> T {
    let flag = FLAG.lock().unwrap_or_else(PoisonError::into_inner).take();
    let result = what();
    *FLAG.lock().unwrap_or_else(PoisonError::into_inner) = flag;
    result
}

fn pressed() {
    if output::is_paging() {
        return;
    }
    let flag = FLAG.lock().unwrap_or_else(PoisonError::into_inner);
    // The second time, whatever is still running does not listen.
    let ends = match flag.as_ref() {
        Some((flag, ends)) => flag.swap(true, Ordering::Relaxed) && *ends,
        None => true,
    };
    if ends {
        if output::is_watched() {
            // The shell's prompt is to stand on a line of its own.
            eprintln!();
        }
        std::process::exit(i32::from(INTERRUPTED));
    }
}
