//! The status, and how it is serialised. The names are stable: fields are added, never renamed or removed.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use evercert_core::clock::rfc3339;
use evercert_core::digest::Digest;
use evercert_core::finding::Severity;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::pod::{Pod, title};
use crate::config::Mode;
use crate::publication::{Delivery, Outcome, Report, SubscriberState};

/// How long a subscriber may take to put a generation to use before that counts as wrong.
const BEHIND_GRACE: Duration = Duration::from_secs(60);

/// The daemon and all it keeps.
#[derive(Debug, Serialize)]
pub(crate) struct StatusReport {
    pub(crate) version: String,
    /// The epoch the generations are counted in, in hexadecimal: another one after each start.
    #[serde(serialize_with = "hexadecimal")]
    pub(crate) epoch: u64,
    pub(crate) started: Moment,
    /// Whether every identity has a published generation.
    pub(crate) ready: bool,
    /// Why the last reload of the configuration failed.
    pub(crate) config_error: Option<String>,
    /// The findings about the daemon as a whole.
    pub(crate) findings: Vec<Finding>,
    pub(crate) mode: Mode,
    /// The pods whose names are in doubt, whether they have identities or not: at most 64.
    pub(crate) pods_in_doubt: Vec<Pod>,
    /// Those of the node first, then by pod.
    pub(crate) identities: Vec<Identity>,
}

/// One identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) scope: IdentityScope,
    /// The pod whose volume it is; null for one of the node.
    pub(crate) pod: Option<Pod>,
    /// The published generation.
    pub(crate) generation: Option<u64>,
    /// SHA-256 of the published chain and bundles.
    #[serde(serialize_with = "shown_where_there")]
    pub(crate) digest: Option<Digest>,
    pub(crate) published: Moment,
    /// The published leaf; absent too for an identity that only trusts.
    pub(crate) leaf: Option<Certificate>,
    /// How many certificates follow the leaf.
    pub(crate) intermediates: u32,
    /// How many trust anchors are published.
    pub(crate) anchors: u32,
    pub(crate) renewal_due: Moment,
    pub(crate) findings: Vec<Finding>,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Whether every subscriber is settled: nothing uses an older generation any more. Null while nothing is published.
    pub(crate) settled: Option<bool>,
    /// How many connections of all subscribers are older than what each reported last.
    pub(crate) connections_on_older: u64,
    pub(crate) files: Vec<String>,
    /// The published anchors that are no longer on disk.
    pub(crate) retained: Vec<Retained>,
    /// The certificate revocation lists on disk.
    pub(crate) crls: Vec<Crl>,
    /// The federated trust domains that are published.
    pub(crate) federated: Vec<Federated>,
}

/// An identity's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdentityScope {
    Node,
    Pod,
}

impl IdentityScope {
    /// As it is told.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
        }
    }

    /// The one that is told so.
    pub(crate) fn named(scope: &str) -> Self {
        if scope == Self::Pod.as_str() { Self::Pod } else { Self::Node }
    }
}

/// An anchor that left the `ca.crt` beside the credential and stays trusted for a while.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Retained {
    #[serde(flatten, serialize_with = "briefly")]
    pub(crate) anchor: Certificate,
    /// When it is no longer trusted.
    pub(crate) until: Moment,
}

/// A certificate revocation list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Crl {
    pub(crate) file: String,
    /// RFC 4514.
    pub(crate) issuer: String,
    /// Decimal.
    pub(crate) number: Option<String>,
    pub(crate) this_update: Moment,
    pub(crate) next_update: Moment,
    /// How many certificates it revokes.
    pub(crate) revoked: u32,
}

/// A federated trust domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Federated {
    pub(crate) trust_domain: String,
    pub(crate) anchors: u32,
}

/// A certificate: the leaf of an identity, or an anchor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Certificate {
    /// RFC 4514.
    pub(crate) subject: String,
    /// RFC 4514.
    pub(crate) issuer: String,
    /// Lowercase hexadecimal.
    pub(crate) serial: String,
    /// Of the DER.
    #[serde(serialize_with = "shown_where_there")]
    pub(crate) sha256: Option<Digest>,
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
    pub(crate) dns_names: Vec<String>,
    pub(crate) ip_addresses: Vec<IpAddr>,
    pub(crate) uris: Vec<String>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// Its stable name, which may be one that this program does not know: the daemon may be newer.
    pub(crate) check: Cow<'static, str>,
    #[serde(serialize_with = "shown")]
    pub(crate) severity: Severity,
    pub(crate) sentence: String,
    pub(crate) file: Option<String>,
    pub(crate) found: Option<String>,
    pub(crate) expected: Option<String>,
}

impl Finding {
    /// The values that it is about, in words.
    pub(crate) fn values(&self) -> Option<String> {
        match (&self.found, &self.expected) {
            (Some(found), Some(expected)) => Some(format!("found {found}, expected {expected}")),
            (Some(found), None) => Some(format!("found {found}")),
            (None, Some(expected)) => Some(format!("expected {expected}")),
            (None, None) => None,
        }
    }
}

/// A workload that is connected, or lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) command: String,
    pub(crate) sdk_version: String,
    pub(crate) connected: Moment,
    pub(crate) deliver: Delivery,
    pub(crate) state: SubscriberState,
    /// When the generation was published that it has not put to use.
    pub(crate) behind_since: Moment,
    /// Its last report.
    #[serde(flatten, serialize_with = "reported")]
    pub(crate) report: Option<Report>,
    /// Why it is behind, or cannot use the published generation: a sentence.
    pub(crate) reason: Option<String>,
    /// The pod it runs in; null for a process of the node.
    pub(crate) pod: Option<Pod>,
    /// When its connection was closed because it stood still, while its process lives on; null where it is connected. Its state is by
    /// its last report.
    pub(crate) lost_since: Moment,
    /// The unit it runs in; null for a process of a pod, and where it is not known.
    pub(crate) unit: Option<String>,
    /// Whether its process cannot be seen, so that all but its user is its own word: its pod, its report, its version.
    pub(crate) unattested: bool,
}

/// A time: RFC 3339 in UTC, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Option<SystemTime>);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(rfc3339).serialize(serializer)
    }
}

impl StatusReport {
    /// Whether nothing needs anyone's attention.
    pub(crate) fn is_well(&self, now: SystemTime) -> bool {
        self.config_error.is_none()
            && self.findings.iter().all(|finding| finding.severity == Severity::Info)
            && self.identities.iter().all(|identity| identity.is_well(now))
    }
}

impl Identity {
    /// Its name for people.
    pub(crate) fn title(&self) -> String {
        title(self.pod.as_ref(), &self.name)
    }

    /// The same with these subscribers, and what follows from them.
    pub(super) fn with(self, subscribers: Vec<Subscriber>) -> Self {
        let is_settled = || subscribers.iter().all(|subscriber| subscriber.state == SubscriberState::Settled);
        let settled = self.generation.map(|_| is_settled());
        let connections_on_older = subscribers.iter().map(|one| u64::from(one.connections_on_older())).sum();
        Self { settled, connections_on_older, subscribers, ..self }
    }

    /// Whether nothing about it needs anyone's attention.
    pub(crate) fn is_well(&self, now: SystemTime) -> bool {
        let expired = self.leaf.as_ref().and_then(|leaf| leaf.not_after.0).is_some_and(|end| end < now);
        self.generation.is_some()
            && !expired
            && self.findings.iter().all(|finding| finding.severity != Severity::Reject)
            && self.subscribers.iter().all(|subscriber| subscriber.is_well(now))
    }

    /// Whether somebody has to look at it: something about it is not well, or it is warned of something.
    pub(crate) fn needs_attention(&self, now: SystemTime) -> bool {
        !self.is_well(now) || self.findings.iter().any(|finding| finding.severity > Severity::Info)
    }
}

impl Subscriber {
    /// Whether its connection was closed because it stood still.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost_since.0.is_some()
    }

    /// Why it cannot use the published generation, in its own words.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.report.as_ref().and_then(refused)
    }

    /// How many of its connections are older than what it reported last.
    pub(crate) fn connections_on_older(&self) -> u32 {
        self.report.as_ref().map_or(0, |report| report.connections_on_older)
    }

    /// Whether it takes up what is published, or is still allowed the time for it.
    pub(crate) fn is_well(&self, now: SystemTime) -> bool {
        // Whoever cannot be seen may say anything, of any pod whose UID it knows.
        if self.unattested {
            return true;
        }
        // A new subscriber is told first: its time starts then.
        let since = self.behind_since.0.max(self.connected.0);
        match self.state {
            _ if self.is_lost() => false,
            SubscriberState::Refused => false,
            SubscriberState::Behind => {
                since.is_none_or(|since| now.duration_since(since).unwrap_or_default() < BEHIND_GRACE)
            }
            SubscriberState::Pending | SubscriberState::Current | SubscriberState::Settled => true,
        }
    }
}

fn refused(report: &Report) -> Option<&str> {
    match report.outcome.as_ref()? {
        Outcome::Refused(refused) if refused.detail.is_empty() => Some("no reason given"),
        Outcome::Refused(refused) => Some(&refused.detail),
        Outcome::Current | Outcome::Settled => None,
    }
}

/// A subscriber's last report: the generation, which is of another epoch where the state is `behind` and it was not told yet; why it
/// cannot use that; and what it uses. All null before its first report, but that no connection is on an older one then.
fn reported<S: Serializer>(report: &Option<Report>, serializer: S) -> Result<S::Ok, S::Error> {
    let report = report.as_ref();
    let mut fields = serializer.serialize_struct("Report", 4)?;
    fields.serialize_field("reported_generation", &report.map(|report| report.generation))?;
    fields.serialize_field("refused", &report.and_then(refused))?;
    fields.serialize_field("connections_on_older", &report.map_or(0, |report| report.connections_on_older))?;
    fields.serialize_field("not_after", &Moment(report.and_then(|report| report.not_after)))?;
    fields.end()
}

/// An anchor's identifiers, and its end.
fn briefly<S: Serializer>(anchor: &Certificate, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Anchor", 4)?;
    fields.serialize_field("subject", &anchor.subject)?;
    fields.serialize_field("serial", &anchor.serial)?;
    fields.serialize_field("sha256", &anchor.sha256.map(|digest| digest.to_string()))?;
    fields.serialize_field("not_after", &anchor.not_after)?;
    fields.end()
}

fn shown<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn shown_where_there<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

fn hexadecimal<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:016x}"))
}
