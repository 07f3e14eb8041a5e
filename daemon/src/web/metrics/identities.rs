//! The metrics of each identity.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::certificate::CertificateFacts;
use evercert_core::finding::Severity;
use evercert_core::identity::{IdentityId, IdentityName, Scope};
use evercert_core::keeper::{IdentityState, Reload};
use evercert_core::snapshot::Snapshot;

use super::exposition::{Family, fractional_seconds, seconds};
use super::federated::FederatedLife;
use crate::callers::PodName;

/// Every result of a reload, in the order in which [`Row::reloads`] counts them.
pub(super) const RELOADS: [(Reload, &str); 4] = [
    (Reload::Published, "published"),
    (Reload::Rejected, "rejected"),
    (Reload::Held, "held"),
    (Reload::Unchanged, "unchanged"),
];

/// One identity at the time of a scrape.
pub(super) struct Row {
    pub(super) id: IdentityId,
    /// The name of its pod, where it is of one and that is known.
    pub(super) pod: Option<PodName>,
    /// Absent until its files were first read.
    pub(super) state: Option<Arc<IdentityState>>,
    pub(super) reloads: [u64; RELOADS.len()],
    /// When the anchor of the published bundle begins and ends that ends first.
    pub(super) bundle_life: Option<(SystemTime, SystemTime)>,
    /// Until when each federated trust domain of the published bundles is trusted.
    pub(super) federated: Arc<[FederatedLife]>,
    /// Whether what is on disk was rejected when it was last read.
    pub(super) is_rejected: bool,
    pub(super) rotated: Option<SystemTime>,
    pub(super) subscribers: SubscriberCounts,
}

/// Its subscribers, as far as metrics go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SubscriberCounts {
    pub(super) connected: usize,
    /// Not counted in anything else: those that are taken at their word, and how many of them say they are behind.
    pub(super) unattested: usize,
    pub(super) unattested_behind: usize,
    /// Not connected: they stood still, and their process lives. They count as the rest does.
    pub(super) lost: usize,
    pub(super) behind: usize,
    /// Of those that are behind, the ones that said they cannot use what is served.
    pub(super) refusing: usize,
    /// Not settled: behind, or with connections of older generations.
    pub(super) unsettled: usize,
    /// Connections that are older than what their subscriber reported last.
    pub(super) connections_on_older: u64,
    /// The oldest leaf that one of them reports as current.
    pub(super) not_after: Option<SystemTime>,
}

impl SubscriberCounts {
    /// All of them.
    pub(super) fn all(&self) -> usize {
        self.connected + self.lost + self.unattested
    }
}

/// A family and how it is written for one identity.
pub(super) type Metric = (Family, fn(&Family, &Row, &mut String));

/// The families, in their order on the page.
pub(super) const METRICS: [Metric; 23] = [
    (Family::gauge("evercert_identity_published", "Whether a generation is served: 0 or 1."), |family, row, text| {
        family.sample(text, &row.labels(), u8::from(row.snapshot().is_some()));
    }),
    (Family::gauge("evercert_identity_generation", "The generation that is served."), |family, row, text| {
        if let Some(snapshot) = row.snapshot() {
            family.sample(text, &row.labels(), snapshot.generation());
        }
    }),
    (
        Family::gauge(
            "evercert_identity_rejected",
            "Whether what is on disk was rejected when it was last read, and the last good is served, if there is one: 0 or 1.",
        ),
        |family, row, text| family.sample(text, &row.labels(), u8::from(row.is_rejected)),
    ),
    (
        Family::gauge(
            "evercert_identity_not_before_timestamp_seconds",
            "When the published leaf became valid: with its end, how long its life is.",
        ),
        |family, row, text| time(family, row, text, row.leaf().map(|leaf| leaf.not_before)),
    ),
    (
        Family::gauge(
            "evercert_identity_not_after_timestamp_seconds",
            "When the published leaf expires; a gap to the one on disk means that the new one is not published.",
        ),
        |family, row, text| time(family, row, text, row.leaf().map(|leaf| leaf.not_after)),
    ),
    (
        Family::gauge(
            "evercert_identity_bundle_not_before_timestamp_seconds",
            "When the anchor of the published bundle became valid that expires first.",
        ),
        |family, row, text| time(family, row, text, row.bundle_life.map(|(begin, _)| begin)),
    ),
    (
        Family::gauge(
            "evercert_identity_bundle_not_after_timestamp_seconds",
            "When the first anchor of the published bundle expires.",
        ),
        |family, row, text| time(family, row, text, row.bundle_life.map(|(_, end)| end)),
    ),
    (
        Family::gauge(
            "evercert_identity_overlap_anchors",
            "Published anchors that left the credential's ca.crt and stay trusted for a while.",
        ),
        |family, row, text| {
            if let Some(state) = &row.state {
                family.sample(text, &row.labels(), state.overlap.len());
            }
        },
    ),
    (
        Family::gauge(
            "evercert_identity_overlap_until_timestamp_seconds",
            "When the last of those anchors is no longer trusted.",
        ),
        |family, row, text| {
            let retained = row.state.iter().flat_map(|state| state.overlap.iter());
            time(family, row, text, retained.map(|anchor| anchor.until).max());
        },
    ),
    (
        Family::gauge(
            "evercert_identity_renewal_due_timestamp_seconds",
            "When renewal of the published leaf is expected.",
        ),
        |family, row, text| time(family, row, text, row.snapshot().and_then(|snapshot| snapshot.renewal_due())),
    ),
    (
        Family::gauge(
            "evercert_identity_last_rotation_timestamp_seconds",
            "When what is served was first published, by this process or one before it.",
        ),
        |family, row, text| {
            if let Some(at) = row.rotated {
                family.sample(text, &row.labels(), fractional_seconds(at));
            }
        },
    ),
    (
        Family::counter("evercert_identity_reloads_total", "How often its files were read, by result."),
        |family, row, text| {
            for ((_, result), count) in RELOADS.iter().zip(row.reloads) {
                family.sample(text, &row.labels_and(&[("result", result)]), count);
            }
        },
    ),
    (Family::gauge("evercert_identity_findings", "What the checks have to say, by severity."), |family, row, text| {
        for severity in Severity::ALL {
            let count = row.findings().filter(|(_, of)| *of == severity).count();
            family.sample(text, &row.labels_and(&[("severity", severity.as_str())]), count);
        }
    }),
    (
        Family::gauge("evercert_identity_finding", "One thing a check has to say; 1 while it holds."),
        |family, row, text| {
            let distinct: BTreeSet<_> = row.findings().collect();
            for (check, severity) in distinct {
                family.sample(text, &row.labels_and(&[("check", check), ("severity", severity.as_str())]), 1);
            }
        },
    ),
    (
        Family::gauge("evercert_subscribers", "Connected subscribers, without those that are unattested."),
        |family, row, text| {
            family.sample(text, &row.labels(), row.subscribers.connected);
        },
    ),
    (
        Family::gauge(
            "evercert_subscribers_lost",
            "Subscribers that stopped answering and whose process lives; they count as behind where their last report is.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.lost),
    ),
    (
        Family::gauge("evercert_subscribers_behind", "Subscribers that have not acknowledged the served generation."),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.behind),
    ),
    (
        Family::gauge(
            "evercert_subscribers_refusing",
            "Of those, how many said that they cannot use the served generation.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.refusing),
    ),
    (
        Family::gauge(
            "evercert_subscribers_unattested",
            "Subscribers that an observer cannot see and takes at their word; they count in no other series but the next.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.unattested),
    ),
    (
        Family::gauge(
            "evercert_subscribers_unattested_behind",
            "Of those, how many say or leave open that they have not put the served generation to use.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.unattested_behind),
    ),
    (
        Family::gauge(
            "evercert_subscribers_unsettled",
            "Subscribers that have not acknowledged the served generation, or have connections older than it.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.unsettled),
    ),
    (
        Family::gauge(
            "evercert_subscriber_connections_on_older",
            "Connections of subscribers that are older than the generation each reported last.",
        ),
        |family, row, text| family.sample(text, &row.labels(), row.subscribers.connections_on_older),
    ),
    (
        Family::gauge(
            "evercert_subscriber_not_after_timestamp_seconds",
            "When the oldest leaf expires that a subscriber reports as current.",
        ),
        |family, row, text| time(family, row, text, row.subscribers.not_after),
    ),
];

impl Row {
    /// Never the UID of a pod: every new one would be a new series.
    fn labels(&self) -> [(&str, &str); 4] {
        let (namespace, pod) = self.pod.as_ref().map_or(("", ""), |pod| (&*pod.namespace, &*pod.name));
        [
            ("identity", self.id.name.as_str()),
            ("scope", self.id.scope.label()),
            ("workload_namespace", namespace),
            ("workload_pod", pod),
        ]
    }

    /// The same with `more` of them.
    pub(super) fn labels_and<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&self.labels(), more].concat()
    }

    /// The less, the sooner somebody should know.
    pub(super) fn urgency(&self) -> (bool, Option<SystemTime>) {
        (self.snapshot().is_some(), self.leaf().map(|leaf| leaf.not_after))
    }

    fn leaf(&self) -> Option<&CertificateFacts> {
        self.snapshot().and_then(|snapshot| snapshot.credential()).map(|credential| credential.leaf())
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.state.as_ref().and_then(|state| state.snapshot.as_deref())
    }

    fn findings(&self) -> impl Iterator<Item = (&'static str, Severity)> {
        let findings = self.state.iter().flat_map(|state| state.findings.iter());
        findings.map(|finding| (finding.check.as_str(), finding.severity))
    }
}

/// The rows that are told, by their places: no two with the same labels, as pods without a known name may have, or Prometheus would
/// refuse the whole page. Of those the most urgent one is told.
pub(super) fn distinct(rows: &[Row]) -> Vec<usize> {
    let mut seen: HashMap<(&IdentityName, Option<&PodName>), usize> = HashMap::new();
    let mut told: Vec<usize> = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let first = match row.id.scope {
            // They have names of their own.
            Scope::Node => told.len(),
            Scope::Pod(_) => *seen.entry((&row.id.name, row.pod.as_ref())).or_insert(told.len()),
        };
        match told.get_mut(first) {
            None => told.push(place),
            Some(other) if row.urgency() < rows[*other].urgency() => *other = place,
            Some(_) => {}
        }
    }
    told
}

fn time(family: &Family, row: &Row, text: &mut String, time: Option<SystemTime>) {
    if let Some(time) = time {
        family.sample(text, &row.labels(), seconds(time));
    }
}
