//! What can go wrong.

/// What can go wrong, in one sentence with the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is no `results.json`.
    #[error(
        "{name} is not a results.json of this version of luge ({why}); give the one that luge \
         eval wrote, or make it again from its documents with luge eval merge"
    )]
    NotResults {
        /// What the file is called.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}
