//! Time as an argument.

use std::time::{Duration, Instant, SystemTime};

use rustls_pki_types::UnixTime;
use x509_parser::time::ASN1Time;

/// One reading of both clocks, taken together.
///
/// The wall clock decides whether a certificate is valid; the monotonic clock measures how long something took and,
/// held against the wall clock, shows that the latter was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: SystemTime,
    /// The monotonic clock.
    pub monotonic: Instant,
}

impl Now {
    /// How far the wall clock has parted from the monotonic one since `earlier`: about as far as it was set.
    #[must_use]
    pub fn parted(&self, earlier: Self) -> Duration {
        let expected = earlier.wall + self.monotonic.saturating_duration_since(earlier.monotonic);
        self.wall.duration_since(expected).unwrap_or_else(|error| error.duration())
    }
}

/// The first instant at which something that is valid until `not_after` is valid no more: that whole second is part of its validity
/// (RFC 5280 §4.1.2.5).
#[must_use]
pub fn expiry(not_after: SystemTime) -> SystemTime {
    not_after + Duration::from_secs(1)
}

/// An instant as webpki counts it; those before 1970 are 1970, when nothing was valid.
pub(crate) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// An instant as RFC 3339 writes it in UTC, to the second: how times appear in findings and errors.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = i64::try_from(since_epoch).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    // Beyond the year 9999, which no certificate can name.
    let Some(time) = time.map(|time| time.to_datetime()) else { return format!("{since_epoch} s after 1970") };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_part_when_the_wall_clock_is_set_and_not_when_time_passes() {
        let (then, second) = (Now { wall: SystemTime::now(), monotonic: Instant::now() }, Duration::from_secs(1));
        let later = Now { wall: then.wall + 3600 * second, monotonic: then.monotonic + 3600 * second };
        assert_eq!(later.parted(then), Duration::ZERO);
        assert_eq!(Now { wall: later.wall + 5 * second, ..later }.parted(then), 5 * second);
        assert_eq!(Now { wall: later.wall - 5 * second, ..later }.parted(then), 5 * second);
    }

    #[test]
    fn instants_are_written_in_utc_to_the_second() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(253_402_300_800), "253402300800 s after 1970");
    }
}
