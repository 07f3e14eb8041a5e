//! The difference of a generation from the one before it.

/// The part of a generation that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Content,
    /// Nothing but what time makes of it: who is trusted by it, or that its leaf is valid again.
    Time,
}
