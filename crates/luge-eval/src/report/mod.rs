//! What a run has found, for people.

mod html;

pub use html::{Shown, ShownAnswer, ShownDocument, ShownTask, html};
