//! The status as `evercert.v1` carries it, there and back.

/// Converts an enum of ours to one of the wire, whose values have the same names, and back: what is unspecified there is this one here,
/// which may be one that the wire has no other word for.
macro_rules! same_names {
    ($ours:ty, $wire:ty, [$($name:ident),+], Unspecified => $unspecified:ident $(, $wordless:ident => Unspecified)?) => {
        impl From<$ours> for $wire {
            fn from(value: $ours) -> Self {
                match value {
                    $(<$ours>::$name => Self::$name,)+
                    $(<$ours>::$wordless => Self::Unspecified,)?
                }
            }
        }

        impl From<$wire> for $ours {
            fn from(value: $wire) -> Self {
                match value {
                    <$wire>::Unspecified => Self::$unspecified,
                    $(<$wire>::$name => Self::$name,)+
                }
            }
        }
    };
}

mod subscriber;

use std::borrow::Cow;
use std::time::SystemTime;

use evercert_api::v1;
use evercert_core::certificate::{decimal_serial, hexadecimal_serial};
use evercert_core::digest::Digest;
use evercert_core::finding::{self, Severity};
use evercert_core::keeper::IdentityState;

use super::{Certificate, Crl, Federated, Finding, Identity, IdentityScope, Moment, Pod, Retained, StatusReport};
use crate::config::Mode;

/// A workload's view of an identity it may have.
pub(crate) fn summary(state: &IdentityState) -> v1::IdentitySummary {
    let snapshot = state.snapshot.as_deref();
    v1::IdentitySummary {
        identity: state.spec.id.name.to_string(),
        generation: snapshot.map_or(0, |snapshot| snapshot.generation()),
        digest: snapshot.map(|snapshot| snapshot.digest().as_bytes().to_vec()).unwrap_or_default(),
        leaf: snapshot.and_then(|snapshot| snapshot.credential()).map(|credential| credential.leaf().into()),
        renewal_due: snapshot.and_then(|snapshot| snapshot.renewal_due()).map(Into::into),
        findings: findings(&state.findings),
    }
}

pub(crate) fn findings(findings: &[finding::Finding]) -> Vec<v1::Finding> {
    findings.iter().map(v1::Finding::from).collect()
}

/// How many there are, as the wire says it.
pub(crate) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl From<StatusReport> for v1::StatusResponse {
    fn from(report: StatusReport) -> Self {
        Self {
            epoch: report.epoch,
            version: report.version,
            started: report.started.into(),
            ready: report.ready,
            identities: all(report.identities),
            config_error: report.config_error.unwrap_or_default(),
            findings: all(report.findings),
            pods_in_doubt: all(report.pods_in_doubt),
            mode: v1::Mode::from(report.mode).into(),
        }
    }
}

impl From<v1::StatusResponse> for StatusReport {
    fn from(status: v1::StatusResponse) -> Self {
        let mode = status.mode().into();
        let mut identities: Vec<Identity> = all(status.identities);
        identities.sort_by(|one, other| (&one.pod, &one.name).cmp(&(&other.pod, &other.name)));
        Self {
            version: status.version,
            epoch: status.epoch,
            started: Moment::of(status.started),
            ready: status.ready,
            config_error: some(status.config_error),
            findings: all(status.findings),
            mode,
            pods_in_doubt: all(status.pods_in_doubt),
            identities,
        }
    }
}

same_names!(Mode, v1::Mode, [Publisher, Observer], Unspecified => Publisher);

impl From<Identity> for v1::IdentityStatus {
    fn from(identity: Identity) -> Self {
        Self {
            identity: identity.name,
            scope: identity.scope.as_str().to_owned(),
            generation: identity.generation.unwrap_or_default(),
            digest: bytes(identity.digest),
            leaf: identity.leaf.map(Into::into),
            intermediates: identity.intermediates,
            anchors: identity.anchors,
            published: identity.published.into(),
            renewal_due: identity.renewal_due.into(),
            findings: all(identity.findings),
            subscribers: all(identity.subscribers),
            files: identity.files,
            retained: all(identity.retained),
            crls: all(identity.crls),
            federated: all(identity.federated),
            pod: identity.pod.map(Into::into),
            continued: false,
        }
    }
}

impl From<v1::IdentityStatus> for Identity {
    fn from(status: v1::IdentityStatus) -> Self {
        let identity = Self {
            name: status.identity,
            scope: IdentityScope::named(&status.scope),
            pod: status.pod.map(Pod::from),
            generation: Some(status.generation).filter(|generation| *generation != 0),
            digest: digest(&status.digest),
            published: Moment::of(status.published),
            leaf: status.leaf.map(Certificate::from),
            intermediates: status.intermediates,
            anchors: status.anchors,
            renewal_due: Moment::of(status.renewal_due),
            findings: all(status.findings),
            subscribers: Vec::new(),
            settled: None,
            connections_on_older: 0,
            files: status.files,
            retained: all(status.retained),
            crls: all(status.crls),
            federated: all(status.federated),
        };
        identity.with(all(status.subscribers))
    }
}

impl From<Retained> for v1::RetainedAnchor {
    fn from(retained: Retained) -> Self {
        Self { anchor: Some(retained.anchor.into()), until: retained.until.into() }
    }
}

impl From<v1::RetainedAnchor> for Retained {
    fn from(retained: v1::RetainedAnchor) -> Self {
        Self { anchor: retained.anchor.unwrap_or_default().into(), until: Moment::of(retained.until) }
    }
}

impl From<Crl> for v1::Crl {
    fn from(crl: Crl) -> Self {
        Self {
            file: crl.file,
            issuer: crl.issuer,
            number: crl.number.unwrap_or_default(),
            this_update: crl.this_update.into(),
            next_update: crl.next_update.into(),
            revoked: crl.revoked,
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

impl From<Federated> for v1::Federated {
    fn from(federated: Federated) -> Self {
        Self { trust_domain: federated.trust_domain, anchors: federated.anchors }
    }
}

impl From<v1::Federated> for Federated {
    fn from(federated: v1::Federated) -> Self {
        Self { trust_domain: federated.trust_domain, anchors: federated.anchors }
    }
}

impl From<Certificate> for v1::CertificateFacts {
    fn from(certificate: Certificate) -> Self {
        Self {
            subject: certificate.subject,
            issuer: certificate.issuer,
            serial: decimal_serial(&certificate.serial),
            sha256: bytes(certificate.sha256),
            not_before: certificate.not_before.into(),
            not_after: certificate.not_after.into(),
            dns_names: certificate.dns_names,
            ip_addresses: certificate.ip_addresses.iter().map(ToString::to_string).collect(),
            uris: certificate.uris,
        }
    }
}

impl From<v1::CertificateFacts> for Certificate {
    fn from(facts: v1::CertificateFacts) -> Self {
        Self {
            subject: facts.subject,
            issuer: facts.issuer,
            serial: hexadecimal_serial(&facts.serial),
            sha256: digest(&facts.sha256),
            not_before: Moment::of(facts.not_before),
            not_after: Moment::of(facts.not_after),
            dns_names: facts.dns_names,
            ip_addresses: facts.ip_addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            uris: facts.uris,
        }
    }
}

impl From<Finding> for v1::Finding {
    fn from(finding: Finding) -> Self {
        Self {
            check: finding.check.into_owned(),
            severity: v1::Severity::from(finding.severity).into(),
            sentence: finding.sentence,
            file: finding.file.unwrap_or_default(),
            found: finding.found.unwrap_or_default(),
            expected: finding.expected.unwrap_or_default(),
        }
    }
}

impl From<v1::Finding> for Finding {
    fn from(finding: v1::Finding) -> Self {
        Self {
            severity: match finding.severity() {
                v1::Severity::Reject => Severity::Reject,
                v1::Severity::Warn => Severity::Warn,
                v1::Severity::Info | v1::Severity::Unspecified => Severity::Info,
            },
            check: Cow::Owned(finding.check),
            sentence: finding.sentence,
            file: some(finding.file),
            found: some(finding.found),
            expected: some(finding.expected),
        }
    }
}

impl Moment {
    /// The wire's timestamp, where there is one that a clock can show.
    fn of<T>(timestamp: Option<T>) -> Self
    where
        SystemTime: TryFrom<T>,
    {
        Self(timestamp.and_then(|at| SystemTime::try_from(at).ok()))
    }
}

impl<T: From<SystemTime>> From<Moment> for Option<T> {
    fn from(moment: Moment) -> Self {
        moment.0.map(T::from)
    }
}

fn all<T, U: From<T>>(them: Vec<T>) -> Vec<U> {
    them.into_iter().map(U::from).collect()
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    Digest::try_from(bytes).ok()
}

fn bytes(digest: Option<Digest>) -> Vec<u8> {
    digest.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default()
}
