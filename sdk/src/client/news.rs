//! The lines that channels write to the log, at a bounded rate: an outage is one event, however many channels see it and however often they
//! try. What is left out of the log is counted there, and a channel's state tells of each failure.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time after which a channel says the same sentence again.
const REPEAT: Duration = Duration::from_secs(60);
/// The number of lines of one kind that the channels of the process may write at once.
const BURST: u32 = 10;
/// The time after which they may write another.
const REFILL: Duration = Duration::from_secs(2);

/// Lines of failed attempts, of connections that were made, and of those that ended.
pub(super) static FAILED: LazyLock<Quota> = LazyLock::new(Quota::default);
pub(super) static CONNECTED: LazyLock<Quota> = LazyLock::new(Quota::default);
pub(super) static ENDED: LazyLock<Quota> = LazyLock::new(Quota::default);

/// The last sentence of a channel about a failure.
#[derive(Debug, Default)]
pub(super) struct Said(Option<(String, Instant)>);

impl Said {
    /// Whether it is time to say `sentence`.
    pub(super) fn is_due(&self, sentence: &str, now: Instant) -> bool {
        let Some((last, since)) = &self.0 else { return true };
        last != sentence || now.saturating_duration_since(*since) >= REPEAT
    }

    pub(super) fn note(&mut self, sentence: String, now: Instant) {
        self.0 = Some((sentence, now));
    }

    /// The next failure is another one.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

/// The lines of one kind that all channels together may write.
#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<Bucket>);

impl Quota {
    /// Whether a line may be written at `now`, and then how many were left out before it.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        self.0.lock().take(now)
    }
}

#[derive(Debug, Default)]
struct Bucket {
    /// The time at which the whole burst is there again.
    full_at: Option<Instant>,
    left_out: u64,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Option<u64> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + REFILL;
        if full_at.saturating_duration_since(now) > REFILL * BURST {
            self.left_out += 1;
            return None;
        }
        self.full_at = Some(full_at);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_said_once_and_then_at_a_rate_and_another_one_at_once() {
        let (mut said, now) = (Said::default(), Instant::now());
        assert!(said.is_due("refused", now));
        said.note("refused".into(), now);
        assert!(!said.is_due("refused", now + REPEAT / 2) && said.is_due("refused", now + REPEAT));
        assert!(said.is_due("untrusted", now));
        said.forget();
        assert!(said.is_due("refused", now));
    }

    #[test]
    fn a_thousand_channels_write_few_lines_in_twenty_seconds_and_tell_what_they_left_out() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let (mut written, mut left_out) = (0_u64, 0);
        for second in 0..20 {
            for _ in 0..1000 {
                if let Some(before) = bucket.take(start + Duration::from_secs(second)) {
                    (written, left_out) = (written + 1, left_out + before);
                }
            }
        }
        assert!((19..=20).contains(&written), "{written}");
        let last = bucket.take(start + Duration::from_secs(3600)).unwrap();
        assert_eq!(written + left_out + last, 20_000);
        assert_eq!(bucket.take(start + Duration::from_secs(3600)), Some(0));
    }
}
