//! What the files of one reading parse to.

/// The most certificates a chain may have.
pub const MAX_CHAIN: usize = 100;

/// The most anchors a bundle may have.
pub const MAX_ANCHORS: usize = 10_000;
