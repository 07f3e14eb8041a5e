//! The clocks of this process.

use std::time::{Duration, SystemTime};

use evercert_core::clock::Now;
use tokio::time::Instant;

/// How often the wall clock is looked at, at the least: it may be set meanwhile.
pub(crate) const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Both clocks, read together. The monotonic one is the runtime's.
pub(crate) fn now() -> Now {
    Now { wall: SystemTime::now(), monotonic: Instant::now().into_std() }
}
