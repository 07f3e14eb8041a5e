//! The limits on callers that were reached, in one family: who is turned away is counted by reason besides.

use prometheus::{IntCounterVec, Registry};

use super::registering::counter;
use crate::serve::TurnedAway;

/// A limit on what callers use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Connections of one caller in a second.
    ConnectionsPerSecondPerCaller,
    /// `connections_per_caller` of `[limits]`.
    ConnectionsPerCaller,
    /// `connections` of `[limits]`.
    Connections,
    /// File descriptors of the process.
    Descriptors,
    /// `streams_per_caller` of `[limits]`.
    StreamsPerCaller,
    /// `streams` of `[limits]`.
    Streams,
    /// Connections at an HTTP address.
    HttpConnections,
    /// Scrapes at a time.
    HttpScrapes,
    /// Open pages at a time.
    HttpPages,
}

impl Limit {
    const ALL: [Self; 9] = [
        Self::ConnectionsPerSecondPerCaller,
        Self::ConnectionsPerCaller,
        Self::Connections,
        Self::Descriptors,
        Self::StreamsPerCaller,
        Self::Streams,
        Self::HttpConnections,
        Self::HttpScrapes,
        Self::HttpPages,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsPerSecondPerCaller => "connections_per_second_per_caller",
            Self::ConnectionsPerCaller => "connections_per_caller",
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::StreamsPerCaller => "streams_per_caller",
            Self::Streams => "streams",
            Self::HttpConnections => "http_connections",
            Self::HttpScrapes => "http_scrapes",
            Self::HttpPages => "http_pages",
        }
    }
}

impl From<TurnedAway> for Limit {
    fn from(reason: TurnedAway) -> Self {
        match reason {
            TurnedAway::TooOften => Self::ConnectionsPerSecondPerCaller,
            TurnedAway::TooMany => Self::ConnectionsPerCaller,
            TurnedAway::TooManyInAll | TurnedAway::Displaced => Self::Connections,
            TurnedAway::Descriptors => Self::Descriptors,
            TurnedAway::TooManyStreams => Self::StreamsPerCaller,
            TurnedAway::TooManyStreamsInAll | TurnedAway::StreamDisplaced => Self::Streams,
        }
    }
}

/// How often each was reached.
pub(super) struct Reached(IntCounterVec);

impl Reached {
    pub(super) fn counted_in(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help =
            "How often a limit on what callers use up was reached: somebody was turned away or lost a place, by limit.";
        counter(registry, "limit_reached_total", help, "limit", Limit::ALL.map(Limit::as_str)).map(Self)
    }

    pub(super) fn count(&self, limit: Limit) {
        self.0.with_label_values(&[limit.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_for_which_somebody_is_turned_away_is_a_limit_that_is_counted() {
        let registry = Registry::new();
        let reached = Reached::counted_in(&registry).unwrap();
        TurnedAway::ALL.into_iter().for_each(|reason| reached.count(reason.into()));
        let counts = Limit::ALL.map(|limit| reached.0.with_label_values(&[limit.as_str()]).get());
        assert_eq!(counts, [1, 1, 2, 1, 1, 2, 0, 0, 0]);
    }
}
