//! Pictures of the same data for a README or a paper: plain SVG, without scripts,
//! which draws itself dark where its surroundings are dark.
//!
//! * `map`: the heat map, layers by positions;
//! * `depth`: one position, its tokens' probabilities through the layers;
//! * `frame`: what is around both;
//! * `words`: tokens and other texts;
//! * `colour`: colours for light and for dark surroundings.

mod colour;
mod depth;
mod frame;
mod map;
mod words;

use crate::data::{LensPage, Position};

/// The picture of `luge lens --svg`: all positions as a heat map or, where one is
/// open, that one in depth.
///
/// The same data makes the same picture to the byte.
pub fn svg(page: &LensPage) -> String {
    match page.open.and_then(|index| Some((index, page.positions.get(index)?))) {
        Some((index, position)) => depth::draw(page, index, position),
        None => map::draw(page),
    }
}

impl Position {
    /// What follows here: in the text or, behind its end, by the method.
    fn follower(&self) -> u32 {
        self.next.unwrap_or(self.after.0)
    }

    /// What the final layer alone would have put in the follower's place, where that
    /// is something else and the method's doing. A given text may hold a third token,
    /// which neither chose.
    fn instead(&self) -> Option<u32> {
        (self.changed && self.follower() == self.after.0).then_some(self.before.0)
    }

    /// How the follower is written.
    fn follower_class(&self) -> String {
        let classes = [
            ("next", true),
            ("generated", self.generated),
            ("guess", self.next.is_none()),
            ("changed", self.instead().is_some()),
        ];
        let classes = classes.into_iter().filter_map(|(class, wanted)| wanted.then_some(class));
        classes.collect::<Vec<_>>().join(" ")
    }
}
