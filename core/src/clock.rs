//! Time as an argument.

use std::time::{Instant, SystemTime};

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
    use std::time::Duration;

    use super::*;

    #[test]
    fn instants_are_written_in_utc_to_the_second() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(253_402_300_800), "253402300800 s after 1970");
    }
}
