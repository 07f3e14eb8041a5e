//! Waiting for a state, with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a scenario waits for a state that must come.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a state is looked at that cannot be awaited.
const PACE: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something, and returns it.
///
/// # Panics
///
/// Nothing was found within [`DEADLINE`]; the message says what was waited for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_within(DEADLINE, what, look).await
}

/// As [`until`], for a state that may take longer.
///
/// # Panics
///
/// Nothing was found within `limit`.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(PACE).await;
    }
}
