//! The lines that channels write to the log, at a bounded rate: an outage is one event, however many channels see it and however often they
//! try. What is left out of the log is counted there, and a channel's state tells of each failure.

use std::time::{Duration, Instant};

use evercert_core::throttle::Throttle;
use parking_lot::Mutex;

/// The time after which a channel says the same sentence again.
const REPEAT: Duration = Duration::from_secs(60);
/// The number of lines of one kind that the channels of the process may write at once.
const BURST: u32 = 10;
/// The time after which they may write another.
const REFILL: Duration = Duration::from_secs(2);

/// The lines of one kind that all channels together may write.
const LINES: Throttle = Throttle::new(REFILL).with_burst(BURST);

/// Lines of attempts that failed.
pub(super) static FAILED: Mutex<Throttle> = Mutex::new(LINES);
/// Lines of connections that were made.
pub(super) static CONNECTED: Mutex<Throttle> = Mutex::new(LINES);
/// Lines of connections that ended.
pub(super) static ENDED: Mutex<Throttle> = Mutex::new(LINES);

/// Whether a line of this kind may be written at `now`, and then how many were left out before it. The lock is free while it is written.
pub(super) fn take(lines: &Mutex<Throttle>, now: Instant) -> Option<u64> {
    lines.lock().take(now)
}

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
}
