//! How much there may be of something.

/// So much in all, and so much of it for one party.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cap<T> {
    pub(crate) in_all: T,
    pub(crate) per_caller: T,
}
