//! The wait before something that ended is tried again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The waits between tries, each twice as long as the one before up to a bound; up to as much again is added by chance.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// An attempt this long was good: after it the waits begin anew, and the first try comes at once. A peer that accepts
    /// connections only to end them is not asked in a tight loop.
    pub(crate) const GOOD: Duration = Duration::from_secs(1);

    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, waits: waits(first, longest) }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.longest)
    }

    /// The wait after something that lasted so long.
    pub(crate) fn after(&mut self, lasted: Duration) -> Duration {
        if lasted < Self::GOOD {
            return self.next();
        }
        self.reset();
        Duration::ZERO
    }

    /// The longest wait, now and until something lasts again: for a refusal, which will be the same next time.
    pub(crate) fn longest(&mut self) -> Duration {
        self.waits = waits(self.longest, self.longest);
        self.next()
    }

    /// The waits begin anew.
    pub(crate) fn reset(&mut self) {
        self.waits = waits(self.first, self.longest);
    }
}

fn waits(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().with_jitter().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn waits_grow_to_the_bound_and_no_further() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let waits: Vec<_> = (0..40).map(|_| backoff.after(Duration::ZERO)).collect();
        assert!((FIRST..=2 * FIRST).contains(&waits[0]), "{waits:?}");
        assert!(waits[39] >= LONGEST && waits.iter().all(|wait| *wait <= 2 * LONGEST), "{waits:?}");
    }

    #[test]
    fn what_was_good_is_tried_again_at_once_and_only_once() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        (0..9).for_each(|_| assert!(backoff.after(Duration::ZERO) > Duration::ZERO));
        assert_eq!(backoff.after(Backoff::GOOD), Duration::ZERO);
        assert!((FIRST..=2 * FIRST).contains(&backoff.after(Duration::ZERO)));
    }

    #[test]
    fn a_refusal_is_asked_about_at_the_slow_end_until_something_lasts() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        assert!(backoff.longest() >= LONGEST);
        assert!(backoff.next() >= LONGEST);
        assert_eq!(backoff.after(Backoff::GOOD), Duration::ZERO);
        assert!(backoff.next() <= 2 * FIRST);
    }
}
