//! The limits that were reached, in one family: who is turned away is counted by reason besides.

use prometheus::{IntCounterVec, Registry};

use super::registering::counter;
use crate::inventory::LookLimit;
use crate::publication::SubscriberLimit;
use crate::serve::TurnedAway;

/// A limit on what callers use up, on what is looked at, or on what is told.
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
    /// `requests_per_second_per_caller` of `[limits]`.
    RequestsPerSecondPerCaller,
    /// `requests_per_second` of `[limits]`.
    RequestsPerSecond,
    /// Listings of one caller at a time.
    ListingsPerCaller,
    /// Listings at a time.
    Listings,
    /// The size of what a caller says, and of what it is told.
    MessageBytes,
    /// Subscribers of one identity that are taken at their word.
    UnattestedSubscribersPerIdentity,
    /// Subscribers that are lost, of one caller or in all.
    LostSubscribers,
    /// The directories that one pattern of `directories` matches.
    DirectoryMatches,
    /// Entries of one of the kubelet's directories.
    PodDirectoryEntries,
    /// Volumes of all pods.
    PodVolumes,
    /// Pods whose log directories are looked at.
    PodLogs,
    /// Lines of one kind in the log.
    LogLines,
    /// Connections at an HTTP address.
    HttpConnections,
    /// Scrapes at a time.
    HttpScrapes,
    /// Open pages at a time.
    HttpPages,
}

impl Limit {
    const ALL: [Self; 21] = [
        Self::ConnectionsPerSecondPerCaller,
        Self::ConnectionsPerCaller,
        Self::Connections,
        Self::Descriptors,
        Self::StreamsPerCaller,
        Self::Streams,
        Self::RequestsPerSecondPerCaller,
        Self::RequestsPerSecond,
        Self::ListingsPerCaller,
        Self::Listings,
        Self::MessageBytes,
        Self::UnattestedSubscribersPerIdentity,
        Self::LostSubscribers,
        Self::DirectoryMatches,
        Self::PodDirectoryEntries,
        Self::PodVolumes,
        Self::PodLogs,
        Self::LogLines,
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
            Self::RequestsPerSecondPerCaller => "requests_per_second_per_caller",
            Self::RequestsPerSecond => "requests_per_second",
            Self::ListingsPerCaller => "listings_per_caller",
            Self::Listings => "listings",
            Self::MessageBytes => "message_bytes",
            Self::UnattestedSubscribersPerIdentity => "unattested_subscribers_per_identity",
            Self::LostSubscribers => "lost_subscribers",
            Self::DirectoryMatches => "directory_matches",
            Self::PodDirectoryEntries => "pod_directory_entries",
            Self::PodVolumes => "pod_volumes",
            Self::PodLogs => "pod_logs",
            Self::LogLines => "log_lines",
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
            TurnedAway::AsksTooOften => Self::RequestsPerSecondPerCaller,
            TurnedAway::AsksTooOftenInAll => Self::RequestsPerSecond,
            TurnedAway::TooManyListings => Self::ListingsPerCaller,
            TurnedAway::TooManyListingsInAll => Self::Listings,
            TurnedAway::MessageTooLarge => Self::MessageBytes,
        }
    }
}

impl From<SubscriberLimit> for Limit {
    fn from(limit: SubscriberLimit) -> Self {
        match limit {
            SubscriberLimit::UnattestedPerIdentity => Self::UnattestedSubscribersPerIdentity,
            SubscriberLimit::Lost => Self::LostSubscribers,
        }
    }
}

impl From<LookLimit> for Limit {
    fn from(limit: LookLimit) -> Self {
        match limit {
            LookLimit::DirectoryMatches => Self::DirectoryMatches,
            LookLimit::PodDirectoryEntries => Self::PodDirectoryEntries,
            LookLimit::PodVolumes => Self::PodVolumes,
            LookLimit::PodLogs => Self::PodLogs,
        }
    }
}

/// How often each was reached.
pub(super) struct Reached(IntCounterVec);

impl Reached {
    pub(super) fn counted_in(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "How often a limit was reached, by limit: somebody was turned away or lost a place, or something was not looked at or not told.";
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
        assert_eq!(counts[..11], [1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1]);
        assert_eq!(counts[11..], [0; 10]);
    }
}
