//! What can go wrong.

/// What can go wrong, in one sentence with the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}
