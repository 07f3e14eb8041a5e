//! When a channel leaves a connection that still works.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The largest share of what is left of a leaf in which the channel moves; so a server that shows the same leaf again is asked a few
/// times at most, each time after a wait of three quarters of what was left.
const WINDOW_SHARE: u32 = 4;
/// The part of the window that is left for the move itself.
const MARGIN_SHARE: f64 = 0.25;
/// With less left, a move would come too late.
const LEAST_LEFT: Duration = Duration::from_secs(1);

/// Where in a span a channel moves, from 0 to 1: the phases of the channels of a process are spread evenly, however many there are,
/// and those of several processes have nothing to do with each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase(f64);

impl Phase {
    /// The next channel's. Steps of the golden ratio leave no large gap anywhere (low discrepancy).
    pub(super) fn next() -> Self {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        static PHASES: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(random()));
        Self(fraction(PHASES.fetch_add(GOLDEN, Relaxed)))
    }

    /// The point of a span.
    pub(super) fn of(self, span: Duration) -> Duration {
        span.mul_f64(self.0)
    }
}

/// When a connection made at `now` to a server whose leaf ends at `not_after` is made anew: at a random point of `window` before that,
/// which is bounded by a share of what is left. `None` where too little is left.
pub(super) fn renewal(now: SystemTime, not_after: SystemTime, window: Duration) -> Option<SystemTime> {
    renewal_at(now, not_after, window, fraction(random()))
}

fn renewal_at(now: SystemTime, not_after: SystemTime, window: Duration, chance: f64) -> Option<SystemTime> {
    let left = not_after.duration_since(now).ok().filter(|left| *left >= LEAST_LEFT)?;
    let window = window.min(left / WINDOW_SHARE);
    Some(not_after - window.mul_f64(MARGIN_SHARE + (1.0 - MARGIN_SHARE) * chance))
}

/// The standard library seeds its hashers at random.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

fn fraction(random: u64) -> f64 {
    // 53 bits are what the mantissa holds.
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_phases_of_a_hundred_channels_are_even() {
        let mut tenths = [0; 10];
        for _ in 0..100 {
            tenths[(Phase::next().0 * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (8..=12).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_connection_is_made_anew_within_the_window_before_the_leaf_ends() {
        let now = SystemTime::now();
        let end = now + 24 * HOUR;
        for chance in [0.0, 0.3, 0.999] {
            let at = renewal_at(now, end, HOUR, chance).unwrap();
            assert!(at >= end - HOUR && at <= end - HOUR / 4, "{chance}");
        }
        let spread =
            renewal_at(now, end, HOUR, 0.0).unwrap().duration_since(renewal_at(now, end, HOUR, 0.999).unwrap());
        assert!(spread.unwrap() > HOUR / 2);
    }

    #[test]
    fn a_server_that_shows_the_same_leaf_again_is_asked_a_few_times_at_most() {
        let mut now = SystemTime::now();
        let end = now + 90 * 24 * HOUR;
        let mut times = 0;
        while let Some(at) = renewal(now, end, HOUR) {
            assert!(at > now && at < end);
            (now, times) = (at, times + 1);
        }
        assert!((2..=20).contains(&times), "{times}");
    }

    #[test]
    fn a_leaf_about_to_end_is_waited_for_to_end() {
        let now = SystemTime::now();
        assert_eq!(renewal(now, now + LEAST_LEFT / 2, HOUR), None);
        assert_eq!(renewal(now, now - HOUR, HOUR), None);
    }
}
