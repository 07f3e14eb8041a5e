//! When to try again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::{RECONNECT_MAX, RECONNECT_MIN};

/// A stream that lasted this long was a good one: the daemon behind it was restarted, and is likely back already. One that ends
/// sooner counts as a failed attempt, or a daemon that ends every stream would be asked in a tight loop.
const GOOD_STREAM: Duration = Duration::from_secs(1);

/// The delays between attempts to reconnect.
#[derive(Debug)]
pub(super) struct Retry(ExponentialBackoff);

impl Retry {
    pub(super) fn new() -> Self {
        Self(Self::delays(RECONNECT_MIN))
    }

    /// The delay after an attempt whose stream lasted `lasted`. `refused`: the daemon said no, and will say so again.
    pub(super) fn delay(&mut self, lasted: Duration, refused: bool) -> Duration {
        if refused {
            self.0 = Self::delays(RECONNECT_MAX);
        } else if lasted >= GOOD_STREAM {
            *self = Self::new();
            return Duration::ZERO;
        }
        self.0.next().unwrap_or(RECONNECT_MAX)
    }

    fn delays(first: Duration) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(RECONNECT_MAX)
            .without_max_times()
            .with_jitter()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_bound_and_no_further() {
        let mut retry = Retry::new();
        let delays: Vec<_> = (0..40).map(|_| retry.delay(Duration::ZERO, false)).collect();
        assert!((RECONNECT_MIN..=2 * RECONNECT_MIN).contains(&delays[0]), "{delays:?}");
        assert!(delays[39] >= RECONNECT_MAX && delays.iter().all(|delay| *delay <= 2 * RECONNECT_MAX), "{delays:?}");
    }

    #[test]
    fn a_good_stream_that_ends_is_opened_again_at_once_and_only_once() {
        let mut retry = Retry::new();
        (0..9).for_each(|_| assert!(retry.delay(Duration::ZERO, false) > Duration::ZERO));
        assert_eq!(retry.delay(GOOD_STREAM, false), Duration::ZERO);
        assert!((RECONNECT_MIN..=2 * RECONNECT_MIN).contains(&retry.delay(Duration::ZERO, false)));
    }

    #[test]
    fn a_refusal_is_asked_about_at_the_slow_end() {
        assert!(Retry::new().delay(GOOD_STREAM, true) >= RECONNECT_MAX);
    }
}
