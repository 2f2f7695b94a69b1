//! From many numbers to what one may say about them.
//!
//! * [`Bootstrap`]: how much a mean, and the difference of two, would vary with other
//!   documents of the same kind.
//! * [`mcnemar`] and [`Bootstrap::p`]: how probable a difference at least that large is
//!   where there is none.
//! * [`holm`]: the same for several methods at once, the luckiest of which would look
//!   good by chance.

mod bootstrap;
mod significance;

pub use bootstrap::{Bootstrap, RESAMPLES};
pub use significance::{holm, mcnemar};

#[cfg(test)]
mod tests;
