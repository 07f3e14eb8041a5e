//! The limits that were reached, in one family: who is turned away is counted by reason besides.

use prometheus::{IntCounterVec, Registry};

use super::registering::counter;
use crate::inventory::LookLimit;
use crate::publication::SubscriberLimit;
use crate::serve::{ServingLimit, TurnedAway};

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
    /// Identities that a caller which is taken at its word is told it may mean.
    UnattestedCandidates,
    /// Bytes that are read of one caller in a second.
    BytesPerSecondPerCaller,
    /// Subscribers that are lost, of one caller or in all.
    LostSubscribers,
    /// The directories that one pattern of `directories` matches.
    DirectoryMatches,
    /// Entries of one of the kubelet's directories.
    PodDirectoryEntries,
    /// Volumes of all pods.
    PodVolumes,
    /// Entries of one directory of a pod's volume.
    PodVolumeEntries,
    /// Bytes that are read of one volume in one look.
    PodVolumeBytes,
    /// Credentials of one volume, with those that it held once.
    PodVolumeCredentials,
    /// Pods whose log directories are looked at.
    PodLogs,
    /// Lines of one kind in the log.
    LogLines,
    /// Lines of who was given a key or denied an identity.
    AuditLines,
    /// Lines that the journal is sent.
    JournalLines,
    /// Connections at an HTTP address.
    HttpConnections,
    /// Scrapes at a time.
    HttpScrapes,
    /// Open pages at a time.
    HttpPages,
    /// Anchors that the page tells of.
    PageAnchors,
    /// Things of one kind that the page tells of one identity.
    PageEntries,
}

impl Limit {
    const ALL: [Self; 30] = [
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
        Self::UnattestedCandidates,
        Self::BytesPerSecondPerCaller,
        Self::LostSubscribers,
        Self::DirectoryMatches,
        Self::PodDirectoryEntries,
        Self::PodVolumes,
        Self::PodVolumeEntries,
        Self::PodVolumeBytes,
        Self::PodVolumeCredentials,
        Self::PodLogs,
        Self::LogLines,
        Self::AuditLines,
        Self::JournalLines,
        Self::HttpConnections,
        Self::HttpScrapes,
        Self::HttpPages,
        Self::PageAnchors,
        Self::PageEntries,
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
            Self::UnattestedCandidates => "unattested_candidates",
            Self::BytesPerSecondPerCaller => "bytes_per_second_per_caller",
            Self::LostSubscribers => "lost_subscribers",
            Self::DirectoryMatches => "directory_matches",
            Self::PodDirectoryEntries => "pod_directory_entries",
            Self::PodVolumes => "pod_volumes",
            Self::PodVolumeEntries => "pod_volume_entries",
            Self::PodVolumeBytes => "pod_volume_bytes",
            Self::PodVolumeCredentials => "pod_volume_credentials",
            Self::PodLogs => "pod_logs",
            Self::LogLines => "log_lines",
            Self::AuditLines => "audit_lines",
            Self::JournalLines => "journal_lines",
            Self::HttpConnections => "http_connections",
            Self::HttpScrapes => "http_scrapes",
            Self::HttpPages => "http_pages",
            Self::PageAnchors => "page_anchors",
            Self::PageEntries => "page_entries",
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

impl From<ServingLimit> for Limit {
    fn from(limit: ServingLimit) -> Self {
        match limit {
            ServingLimit::Candidates => Self::UnattestedCandidates,
            ServingLimit::BytesPerSecond => Self::BytesPerSecondPerCaller,
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
            LookLimit::PodVolumeEntries => Self::PodVolumeEntries,
            LookLimit::PodVolumeBytes => Self::PodVolumeBytes,
            LookLimit::PodVolumeCredentials => Self::PodVolumeCredentials,
            LookLimit::PodLogs => Self::PodLogs,
        }
    }
}

/// How often each was reached.
pub(super) struct Reached(IntCounterVec);

impl Reached {
    pub(super) fn counted_in(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "How often a limit was reached, by limit: somebody was turned away, lost a place or had to wait, or something was not \
                    looked at or not told.";
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
        assert!(counts[11..].iter().all(|count| *count == 0), "{counts:?}");
    }
}
