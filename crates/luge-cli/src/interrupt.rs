//! Ctrl-C, and what else asks the program to end (SIGTERM, SIGHUP): whatever is at work
//! says what comes of it.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use crate::failure::INTERRUPTED;
use crate::output;

/// What Ctrl-C does.
enum Pressed {
    /// It sets this flag, and the second time ends the program.
    Sets(Arc<AtomicBool>),
    /// It sets this flag, however often.
    OnlySets(Arc<AtomicBool>),
    /// It calls this, and the second time ends the program.
    Calls(Option<Box<dyn FnOnce() + Send>>),
    /// It ends the program, with a last word if there is one.
    Ends(Option<&'static str>),
}

static PRESSED: Mutex<Pressed> = Mutex::new(Pressed::Ends(None));

fn pressed() -> MutexGuard<'static, Pressed> {
    PRESSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, Ctrl-C sets this flag, and the second time ends the program.
pub fn sets(flag: Arc<AtomicBool>) {
    becomes(Pressed::Sets(flag));
}

/// From now on, Ctrl-C sets this flag, however often it is pressed.
pub fn only_sets(flag: Arc<AtomicBool>) {
    becomes(Pressed::OnlySets(flag));
}

/// From now on, Ctrl-C calls this, and the second time ends the program.
pub fn calls(what: impl FnOnce() + Send + 'static) {
    becomes(Pressed::Calls(Some(Box::new(what))));
}

/// From now on, Ctrl-C ends the program, with a last word if there is one.
pub fn ends(word: Option<&'static str>) {
    becomes(Pressed::Ends(word));
}

/// Does something during which Ctrl-C ends the program without a word, such as waiting
/// for an answer.
pub fn ends_during<T>(what: impl FnOnce() -> T) -> T {
    let before = mem::replace(&mut *pressed(), Pressed::Ends(None));
    let result = what();
    *pressed() = before;
    result
}

fn becomes(what: Pressed) {
    static HANDLER: Once = Once::new();
    *pressed() = what;
    HANDLER.call_once(|| {
        if let Err(error) = ctrlc::set_handler(handle) {
            output::say(format_args!("Ctrl-C will end the program at once: {error}"));
        }
    });
}

fn handle() {
    if output::is_paging() {
        return;
    }
    let word = match &mut *pressed() {
        Pressed::OnlySets(flag) => return flag.store(true, Ordering::Relaxed),
        Pressed::Sets(flag) if !flag.swap(true, Ordering::Relaxed) => return,
        Pressed::Calls(what) if what.is_some() => {
            return what.take().into_iter().for_each(|what| what());
        }
        // Whatever is still running does not listen.
        Pressed::Sets(_) | Pressed::Calls(_) => None,
        Pressed::Ends(word) => *word,
    };
    if output::is_watched() {
        // The shell's prompt is to stand on a line of its own.
        eprintln!();
    }
    if let Some(word) = word {
        output::say(format_args!("{word}"));
    }
    std::process::exit(i32::from(INTERRUPTED));
}
