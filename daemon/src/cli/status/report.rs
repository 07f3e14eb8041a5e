//! The status as `--json` prints it. Its names are stable: fields are added, never renamed or removed.

use std::time::{Duration, SystemTime};

use evercert_api::v1;
use evercert_core::clock::rfc3339;
use serde::{Serialize, Serializer};

use super::pod::{Pod, title};

/// How long a subscriber may take to put a generation to use before that counts as wrong.
const BEHIND_GRACE: Duration = Duration::from_secs(60);

/// The daemon and all it keeps.
#[derive(Debug, Serialize)]
pub(crate) struct StatusReport {
    pub(crate) version: String,
    /// What the generations are counted within, in hexadecimal: another one after each start.
    pub(crate) epoch: String,
    pub(crate) started: Moment,
    /// Whether every identity has a published generation.
    pub(crate) ready: bool,
    /// Why the last reload of the configuration failed.
    pub(crate) config_error: Option<String>,
    /// What is wrong with the daemon as a whole.
    pub(crate) findings: Vec<Finding>,
    /// `publisher`, or `observer`: one that hands keys to nobody.
    pub(crate) mode: &'static str,
    /// The pods whose names are in doubt, whether they have identities or not: at most 64.
    pub(crate) pods_in_doubt: Vec<Pod>,
    /// Those of the node first, then by pod.
    pub(crate) identities: Vec<Identity>,
}

/// One identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    /// `node` or `pod`.
    pub(crate) scope: String,
    /// The pod whose volume it is; null for one of the node.
    pub(crate) pod: Option<Pod>,
    /// The published generation.
    pub(crate) generation: Option<u64>,
    /// SHA-256 of the published chain and bundles.
    pub(crate) digest: Option<String>,
    pub(crate) published: Moment,
    /// The published leaf; absent too for an identity that only trusts.
    pub(crate) leaf: Option<Leaf>,
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

/// An anchor that left the `ca.crt` beside the credential and stays trusted for a while.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Retained {
    /// RFC 4514.
    pub(crate) subject: String,
    /// Decimal.
    pub(crate) serial: String,
    /// Of the DER, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) not_after: Moment,
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

/// A leaf certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Leaf {
    /// RFC 4514.
    pub(crate) subject: String,
    /// RFC 4514.
    pub(crate) issuer: String,
    /// Decimal.
    pub(crate) serial: String,
    /// Of the DER, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
    pub(crate) dns_names: Vec<String>,
    pub(crate) ip_addresses: Vec<String>,
    pub(crate) uris: Vec<String>,
}

/// What a check has to say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// Its stable name.
    pub(crate) check: String,
    /// `info`, `warn` or `reject`.
    pub(crate) severity: &'static str,
    pub(crate) sentence: String,
    pub(crate) file: Option<String>,
    pub(crate) found: Option<String>,
    pub(crate) expected: Option<String>,
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
    /// `full` or `digest`.
    pub(crate) deliver: &'static str,
    /// `pending`, `behind`, `refused`, `current` or `settled`.
    pub(crate) state: &'static str,
    /// When the generation was published that it has not put to use.
    pub(crate) behind_since: Moment,
    /// The generation of its last report. Of another epoch where its state is `behind` and it was not told yet.
    pub(crate) reported_generation: Option<u64>,
    /// Why it cannot use the published generation.
    pub(crate) refused: Option<String>,
    /// Why it is behind, or cannot use the published generation: a sentence.
    pub(crate) reason: Option<String>,
    /// The pod it runs in; null for a process of the node.
    pub(crate) pod: Option<Pod>,
    /// When its connection was closed because it stood still, while its process lives on; null where it is connected. Its state is by
    /// its last report.
    pub(crate) lost_since: Moment,
    /// The unit it runs in; null for a process of a pod, and where it is not known.
    pub(crate) unit: Option<String>,
    /// How many of its connections are older than what it reported last.
    pub(crate) connections_on_older: u32,
    /// The end of the leaf that its new handshakes use.
    pub(crate) not_after: Moment,
}

/// A time: RFC 3339 in UTC, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Option<SystemTime>);

impl Moment {
    /// The wire's timestamp, where there is one that a clock can show.
    fn of<T>(timestamp: Option<T>) -> Self
    where
        SystemTime: TryFrom<T>,
    {
        Self(timestamp.and_then(|at| SystemTime::try_from(at).ok()))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(rfc3339).serialize(serializer)
    }
}

impl StatusReport {
    /// Whether nothing needs anyone's attention.
    pub(crate) fn is_well(&self, now: SystemTime) -> bool {
        self.config_error.is_none()
            && self.findings.iter().all(|finding| finding.severity == "info")
            && self.identities.iter().all(|identity| identity.is_well(now))
    }
}

impl Identity {
    /// What people call it.
    pub(crate) fn title(&self) -> String {
        title(self.pod.as_ref(), &self.name)
    }

    fn is_well(&self, now: SystemTime) -> bool {
        let expired = self.leaf.as_ref().and_then(|leaf| leaf.not_after.0).is_some_and(|end| end < now);
        self.generation.is_some()
            && !expired
            && self.findings.iter().all(|finding| finding.severity != "reject")
            && self.subscribers.iter().all(|subscriber| subscriber.is_well(now))
    }
}

impl Subscriber {
    /// Whether its connection was closed because it stood still.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost_since.0.is_some()
    }

    fn is_well(&self, now: SystemTime) -> bool {
        // Who has just connected is told first: its time starts then.
        let since = self.behind_since.0.max(self.connected.0);
        match self.state {
            _ if self.is_lost() => false,
            "refused" => false,
            "behind" => since.is_none_or(|since| now.duration_since(since).unwrap_or_default() < BEHIND_GRACE),
            _ => true,
        }
    }
}

impl From<v1::StatusResponse> for StatusReport {
    fn from(status: v1::StatusResponse) -> Self {
        let mode = match status.mode() {
            v1::Mode::Observer => "observer",
            v1::Mode::Publisher | v1::Mode::Unspecified => "publisher",
        };
        let mut identities: Vec<_> = status.identities.into_iter().map(Identity::from).collect();
        identities.sort_by(|one, other| (&one.pod, &one.name).cmp(&(&other.pod, &other.name)));
        Self {
            version: status.version,
            epoch: format!("{:016x}", status.epoch),
            started: Moment::of(status.started),
            ready: status.ready,
            config_error: some(status.config_error),
            findings: status.findings.into_iter().map(Finding::from).collect(),
            mode,
            pods_in_doubt: status.pods_in_doubt.into_iter().map(Pod::from).collect(),
            identities,
        }
    }
}

impl From<v1::IdentityStatus> for Identity {
    fn from(status: v1::IdentityStatus) -> Self {
        let subscribers: Vec<_> = status.subscribers.into_iter().map(Subscriber::from).collect();
        let is_published = status.generation != 0;
        Self {
            name: status.identity,
            scope: status.scope,
            pod: status.pod.map(Pod::from),
            generation: is_published.then_some(status.generation),
            digest: some(hex(&status.digest)),
            published: Moment::of(status.published),
            leaf: status.leaf.map(Leaf::from),
            intermediates: status.intermediates,
            anchors: status.anchors,
            renewal_due: Moment::of(status.renewal_due),
            findings: status.findings.into_iter().map(Finding::from).collect(),
            settled: is_published.then(|| subscribers.iter().all(|subscriber| subscriber.state == "settled")),
            connections_on_older: subscribers.iter().map(|one| u64::from(one.connections_on_older)).sum(),
            subscribers,
            files: status.files,
            retained: status.retained.into_iter().map(Retained::from).collect(),
            crls: status.crls.into_iter().map(Crl::from).collect(),
            federated: status.federated.into_iter().map(Federated::from).collect(),
        }
    }
}

impl From<v1::RetainedAnchor> for Retained {
    fn from(retained: v1::RetainedAnchor) -> Self {
        let anchor = retained.anchor.unwrap_or_default();
        Self {
            subject: anchor.subject,
            serial: anchor.serial,
            sha256: hex(&anchor.sha256),
            not_after: Moment::of(anchor.not_after),
            until: Moment::of(retained.until),
        }
    }
}

impl From<v1::Crl> for Crl {
    fn from(crl: v1::Crl) -> Self {
        Self {
            file: crl.file,
            issuer: crl.issuer,
            number: some(crl.number),
            this_update: Moment::of(crl.this_update),
            next_update: Moment::of(crl.next_update),
            revoked: crl.revoked,
        }
    }
}

impl From<v1::Federated> for Federated {
    fn from(federated: v1::Federated) -> Self {
        Self { trust_domain: federated.trust_domain, anchors: federated.anchors }
    }
}

impl From<v1::CertificateFacts> for Leaf {
    fn from(facts: v1::CertificateFacts) -> Self {
        Self {
            subject: facts.subject,
            issuer: facts.issuer,
            serial: facts.serial,
            sha256: hex(&facts.sha256),
            not_before: Moment::of(facts.not_before),
            not_after: Moment::of(facts.not_after),
            dns_names: facts.dns_names,
            ip_addresses: facts.ip_addresses,
            uris: facts.uris,
        }
    }
}

impl From<v1::Finding> for Finding {
    fn from(finding: v1::Finding) -> Self {
        Self {
            severity: match finding.severity() {
                v1::Severity::Reject => "reject",
                v1::Severity::Warn => "warn",
                v1::Severity::Info | v1::Severity::Unspecified => "info",
            },
            check: finding.check,
            sentence: finding.sentence,
            file: some(finding.file),
            found: some(finding.found),
            expected: some(finding.expected),
        }
    }
}

impl From<v1::Subscriber> for Subscriber {
    fn from(subscriber: v1::Subscriber) -> Self {
        let report = subscriber.report.as_ref();
        Self {
            deliver: match subscriber.deliver() {
                v1::Deliver::Digest => "digest",
                v1::Deliver::Full | v1::Deliver::Unspecified => "full",
            },
            state: match subscriber.state() {
                v1::SubscriberState::Pending | v1::SubscriberState::Unspecified => "pending",
                v1::SubscriberState::Behind => "behind",
                v1::SubscriberState::Refused => "refused",
                v1::SubscriberState::Current => "current",
                v1::SubscriberState::Settled => "settled",
            },
            reported_generation: report.map(|report| report.generation),
            refused: report.and_then(refused),
            reason: some(subscriber.reason),
            pod: subscriber.pod.map(Pod::from),
            connections_on_older: report.map_or(0, |report| report.connections_on_older),
            not_after: Moment(report.and_then(|report| SystemTime::try_from(report.not_after?).ok())),
            id: subscriber.id,
            pid: subscriber.pid,
            uid: subscriber.uid,
            command: subscriber.command,
            sdk_version: subscriber.sdk_version,
            connected: Moment::of(subscriber.connected),
            behind_since: Moment::of(subscriber.behind_since),
            lost_since: Moment::of(subscriber.lost_since),
            unit: some(subscriber.unit),
        }
    }
}

fn refused(report: &v1::Report) -> Option<String> {
    match report.outcome.as_ref()? {
        v1::report::Outcome::Refused(refused) => some(refused.detail.clone()).or(Some("no reason given".to_owned())),
        v1::report::Outcome::Stage(_) => None,
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
