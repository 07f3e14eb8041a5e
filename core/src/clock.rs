//! Time as an argument.

use std::time::{Instant, SystemTime};

/// One reading of both clocks, taken together.
///
/// The wall clock decides whether a certificate is valid; the monotonic clock measures how long something took and,
/// held against the wall clock, shows that the latter was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: SystemTime,
    /// The monotonic clock.
    pub monotonic: Instant,
}
