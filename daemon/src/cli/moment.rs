//! Times as people read them.

use std::time::{Duration, SystemTime};

use evercert_core::clock::rfc3339;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `in 29 days` or `3 hours ago`.
pub(super) fn relative(moment: SystemTime, now: SystemTime) -> String {
    match moment.duration_since(now) {
        Ok(ahead) => format!("in {}", span(ahead)),
        Err(behind) => format!("{} ago", span(behind.duration())),
    }
}

/// The largest unit that there are at least two of: nothing is lost that matters, and `1 day` never stands for nearly two.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / MINUTE, "minute"),
        7200..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `2026-12-22 10:00 UTC`.
pub(super) fn absolute(moment: SystemTime) -> String {
    let instant = rfc3339(moment);
    match instant.split_once('T').map(|(day, time)| (day, time.rsplit_once(':'))) {
        Some((day, Some((minute, _)))) => format!("{day} {minute} UTC"),
        _ => instant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_largest_unit_there_are_two_of() {
        let cases = [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (29 * DAY + 5, "29 days"),
        ];
        for (seconds, words) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_moment_is_ahead_or_behind() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(relative(now + Duration::from_secs(29 * DAY), now), "in 29 days");
        assert_eq!(relative(now - Duration::from_secs(3 * HOUR), now), "3 hours ago");
        assert_eq!(absolute(now), "2027-01-15 08:00 UTC");
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        assert_eq!(absolute(end), "9999-12-31 23:59 UTC", "when certificates end that have no end");
    }
}
