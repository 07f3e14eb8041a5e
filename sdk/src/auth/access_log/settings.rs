//! How much of it is written.

use std::num::NonZeroU32;

/// The calls that succeeded of which one is written, unless set.
const ONE_IN: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// How much is written into the access log. Calls that failed are written whatever it says, unless it is off: as many as 100 at once, and
/// then ten a second; each line says how many were left out before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLog {
    pub(super) successes: Option<NonZeroU32>,
    pub(super) has_failures: bool,
}

impl AccessLog {
    /// One of so many calls that succeeded, and those that failed. With 1, each call is a line. One of 100 unless set.
    #[must_use]
    pub const fn one_in(calls: NonZeroU32) -> Self {
        Self { successes: Some(calls), has_failures: true }
    }

    /// Calls that failed, and no others.
    #[must_use]
    pub const fn failures() -> Self {
        Self { successes: None, has_failures: true }
    }

    /// Nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self { successes: None, has_failures: false }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::one_in(ONE_IN)
    }
}
