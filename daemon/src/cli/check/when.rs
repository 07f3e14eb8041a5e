//! Instants as they are written on the command line.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// The furthest that can be looked ahead: certificates end in the year 9999 at the latest.
const FURTHEST: Duration = Duration::from_secs(8000 * 365 * 24 * 3600);

/// An instant, or a span that begins with a plus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    At(SystemTime),
    In(Duration),
}

impl When {
    /// The instant, counted from another.
    pub(super) fn after(self, start: SystemTime) -> SystemTime {
        match self {
            Self::At(at) => at,
            Self::In(span) => start + span,
        }
    }
}

impl FromStr for When {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        match text.strip_prefix('+') {
            Some(span) => {
                let span = humantime::parse_duration(span).map_err(|_| NotATime)?;
                if span > FURTHEST { Err(NotATime) } else { Ok(Self::In(span)) }
            }
            // jiff ends a day before the year 9999 does, and so before certificates that have no end.
            None => humantime::parse_rfc3339(text)
                .or_else(|_| text.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(|_| NotATime))
                .map(Self::At),
        }
    }
}

/// A text that is no such instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time; write one as RFC 3339 does, such as 2027-03-01T00:00:00Z, or a span, such as +30d")]
pub(super) struct NotATime;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_a_span_from_another() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let after = |text: &str| text.parse::<When>().map(|when| when.after(start));
        assert_eq!(after("+1d"), Ok(start + Duration::from_secs(24 * 3600)));
        assert_eq!(after("2027-01-15T09:00:00+01:00"), Ok(start));
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        assert_eq!(
            after("9999-12-31T23:59:59Z"),
            Ok(end),
            "when certificates end that have no end (RFC 5280 §4.1.2.5)"
        );
        for text in ["", "30d", "+", "+d", "tomorrow", "+9000years"] {
            assert_eq!(after(text), Err(NotATime), "{text}");
        }
    }
}
