//! Things that happen again and again, of which the log is told at once and then at times.

use std::time::{Duration, Instant};

/// Says when a thing that recurs is worth a line: the first time, and then at most once in a while, with the number of times since the
/// line before. Whoever counts it counts it elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    every: Duration,
    told: Option<Instant>,
    untold: u64,
}

impl Throttle {
    /// At most one line in this time.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, told: None, untold: 0 }
    }

    /// It happened once more. How often since the last line, this time included, where there is to be a line now.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < self.every) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_in_a_while_with_all_that_was_left_out() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(Duration::from_secs(10)));
        let mut at = |seconds| throttle.happened(start + Duration::from_secs(seconds));
        assert_eq!([0, 0, 5, 9].map(&mut at), [Some(1), None, None, None]);
        assert_eq!([10, 19, 20, 60].map(&mut at), [Some(4), None, Some(2), Some(1)]);
        assert_eq!(at(0), None, "an earlier time is no later one");
    }
}
