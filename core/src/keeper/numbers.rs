//! Numbers that tell slots and jobs apart.

/// The number of a slot, never used twice: what a job brings back for a slot that is gone finds none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotKey(pub(super) u64);

/// The number of a job, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct JobNumber(pub(super) u64);
