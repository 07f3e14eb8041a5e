//! The time at which a channel leaves a connection that still works.

use std::time::{Duration, SystemTime};

use crate::phase::Phase;

/// The share of what is left of a leaf that the window may take: one in so many. A server that shows the same leaf again is asked
/// only a few times, each time after at least three quarters of what was left.
const WINDOW_SHARE: u32 = 4;
/// The share of the window that is left for the move itself: one in so many.
const MARGIN_SHARE: u32 = 4;
/// With less left, a move would come too late.
const LEAST_LEFT: Duration = Duration::from_secs(1);

/// The time a connection made at `now` to a server whose leaf ends at `not_after` is made anew: a random point of `window` before that,
/// which is bounded by a share of what is left. `None` where too little is left.
pub(super) fn renewal(now: SystemTime, not_after: SystemTime, window: Duration) -> Option<SystemTime> {
    renewal_at(now, not_after, window, Phase::random())
}

fn renewal_at(now: SystemTime, not_after: SystemTime, window: Duration, phase: Phase) -> Option<SystemTime> {
    let left = not_after.duration_since(now).ok().filter(|left| *left >= LEAST_LEFT)?;
    let window = window.min(left / WINDOW_SHARE);
    let margin = window / MARGIN_SHARE;
    Some(not_after - (margin + phase.of(window - margin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_connection_is_made_anew_within_the_window_before_the_leaf_ends() {
        let now = SystemTime::now();
        let end = now + 24 * HOUR;
        for chance in [0.0, 0.3, 0.999] {
            let at = renewal_at(now, end, HOUR, Phase(chance)).unwrap();
            assert!(at >= end - HOUR && at <= end - HOUR / 4, "{chance}");
        }
        let [first, last] = [0.999, 0.0].map(|chance| renewal_at(now, end, HOUR, Phase(chance)).unwrap());
        assert!(last.duration_since(first).unwrap() > HOUR / 2);
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
