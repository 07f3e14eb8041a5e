//! Things that happen again and again, of which the log is told at once and then at a bounded rate.

use std::time::{Duration, Instant};

/// Says when a thing that recurs is worth a line: at once, and then at most once in a while, with the number of times that were left out
/// before. Whoever has to count it counts it elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    every: Duration,
    burst: u32,
    /// The time at which the whole burst may be written again.
    full_at: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// At most one line in this time.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, burst: 1, full_at: None, left_out: 0 }
    }

    /// The same, with so many lines at once after a rest.
    #[must_use]
    pub const fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// It happened at `now`. Where a line may be written of it, how often it happened without one before.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + self.every;
        if full_at.saturating_duration_since(now) > self.every * self.burst {
            self.left_out += 1;
            return None;
        }
        self.full_at = Some(full_at);
        Some(std::mem::take(&mut self.left_out))
    }

    /// How often it happened without a line since the last one, for a line about that. It is told once.
    pub fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_once_in_a_while_with_the_number_that_was_left_out() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(Duration::from_secs(10)));
        let mut at = |seconds| throttle.take(start + Duration::from_secs(seconds));
        assert_eq!([0, 0, 5, 9].map(&mut at), [Some(0), None, None, None]);
        assert_eq!([10, 19, 20, 60].map(&mut at), [Some(3), None, Some(1), Some(0)]);
        assert_eq!(at(0), None, "an earlier time is no later one");
    }

    #[test]
    fn after_a_rest_there_is_a_burst_and_then_the_rate_and_nothing_that_is_left_out_is_lost() {
        let (start, mut throttle) = (Instant::now(), Throttle::new(Duration::from_secs(2)).with_burst(10));
        let (mut written, mut left_out) = (0_u64, 0);
        for second in 0..20 {
            for _ in 0..1000 {
                if let Some(before) = throttle.take(start + Duration::from_secs(second)) {
                    (written, left_out) = (written + 1, left_out + before);
                }
            }
        }
        assert!((19..=20).contains(&written), "{written}");
        let last = throttle.take(start + Duration::from_secs(3600)).unwrap();
        assert_eq!(written + left_out + last, 20_000);
        assert_eq!(throttle.take(start + Duration::from_secs(3600)), Some(0));
    }
}
