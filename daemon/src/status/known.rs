//! The status of what the daemon knows.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use evercert_core::certificate::CertificateFacts;
use evercert_core::identity::Scope;
use evercert_core::keeper::{CrlOnDisk, IdentityState, RetainedAnchor};
use evercert_core::{finding, text};

use super::{
    Certificate, Crl, Federated, Finding, Identity, IdentityScope, Moment, Pod, Retained, Subscriber, count, standstill,
};
use crate::inventory::pods::PodNames;
use crate::publication::SubscriberStatus;

impl Identity {
    /// The status of an identity with these subscribers, of whose processes at most [`LOOKED_AT`](super::LOOKED_AT) are looked at.
    pub(crate) fn of(state: &IdentityState, subscribers: &[SubscriberStatus], pods: &PodNames) -> Self {
        let snapshot = state.snapshot.as_deref();
        let credential = snapshot.and_then(|snapshot| snapshot.credential());
        let bundles = snapshot.map(|snapshot| snapshot.bundles());
        let federated = bundles.into_iter().flat_map(|bundles| &bundles.federated);
        let identity = Self {
            name: state.spec.id.name.to_string(),
            scope: match state.spec.id.scope {
                Scope::Node => IdentityScope::Node,
                Scope::Pod(_) => IdentityScope::Pod,
            },
            pod: Pod::of_identity(&state.spec.id, pods),
            generation: snapshot.map(|snapshot| snapshot.generation()),
            digest: snapshot.map(|snapshot| snapshot.digest()),
            published: Moment(state.published_at.filter(|_| snapshot.is_some())),
            leaf: credential.map(|credential| Certificate::from(credential.leaf())),
            intermediates: count(credential.map_or(0, |credential| credential.chain().len().saturating_sub(1))),
            anchors: count(bundles.and_then(|bundles| bundles.own.as_ref()).map_or(0, |own| own.anchors().len())),
            renewal_due: Moment(snapshot.and_then(|snapshot| snapshot.renewal_due())),
            findings: state.findings.iter().map(Finding::from).collect(),
            subscribers: Vec::new(),
            settled: None,
            connections_on_older: 0,
            files: state.spec.files.paths().map(text::path).collect::<BTreeSet<_>>().into_iter().collect(),
            retained: state.overlap.iter().map(Retained::from).collect(),
            crls: state.crls.iter().map(Crl::from).collect(),
            federated: federated
                .map(|(name, bundle)| Federated {
                    trust_domain: name.to_string(),
                    anchors: count(bundle.anchors().len()),
                })
                .collect(),
        };
        let mut looks = standstill::LOOKED_AT;
        identity.with(subscribers.iter().map(|status| Subscriber::of(status, &mut looks, pods)).collect())
    }
}

impl Subscriber {
    /// The status of one subscriber; `looks` is how many processes may still be looked at.
    pub(crate) fn of(status: &SubscriberStatus, looks: &mut usize, pods: &PodNames) -> Self {
        let mut reason = Some(status.reason.clone()).filter(|reason| !reason.is_empty());
        if (status.state.is_behind() || status.lost_since.is_some()) && *looks > 0 {
            *looks -= 1;
            if let Some(standstill) = standstill::of(status) {
                reason = Some(reason.map_or_else(|| standstill.to_owned(), |reason| format!("{standstill}; {reason}")));
            }
        }
        let subscriber = &status.subscriber;
        Self {
            id: status.id,
            pid: subscriber.pid,
            uid: subscriber.uid,
            command: subscriber.command.clone(),
            sdk_version: subscriber.sdk_version.clone(),
            connected: Moment(Some(status.connected)),
            deliver: subscriber.deliver,
            state: status.state,
            behind_since: Moment(status.behind_since),
            report: status.report.clone(),
            reason,
            pod: subscriber.pod.as_deref().map(|uid| Pod::of(uid, pods)),
            lost_since: Moment(status.lost_since),
            unit: subscriber.unit.as_ref().map(Arc::to_string),
            unattested: !subscriber.is_attested,
        }
    }
}

impl From<&finding::Finding> for Finding {
    fn from(finding: &finding::Finding) -> Self {
        Self {
            check: Cow::Borrowed(finding.check.as_str()),
            severity: finding.severity,
            sentence: text::sentence(&finding.sentence),
            file: finding.file.as_deref().map(text::path),
            found: finding.found.as_deref().map(text::sentence),
            expected: finding.expected.as_deref().map(text::sentence),
        }
    }
}

impl From<&CertificateFacts> for Certificate {
    fn from(facts: &CertificateFacts) -> Self {
        Self {
            subject: facts.subject.text.clone(),
            issuer: facts.issuer.text.clone(),
            serial: facts.hexadecimal_serial.clone(),
            sha256: Some(facts.fingerprint),
            not_before: Moment(Some(facts.not_before)),
            not_after: Moment(Some(facts.not_after)),
            dns_names: facts.names.dns.clone(),
            ip_addresses: facts.names.ip.clone(),
            uris: facts.names.uris.clone(),
        }
    }
}

impl From<&RetainedAnchor> for Retained {
    fn from(anchor: &RetainedAnchor) -> Self {
        Self { anchor: Certificate::from(&anchor.facts), until: Moment(Some(anchor.until)) }
    }
}

impl From<&CrlOnDisk> for Crl {
    fn from(crl: &CrlOnDisk) -> Self {
        Self {
            file: text::path(&crl.file),
            issuer: crl.issuer.text.clone(),
            number: crl.number.clone(),
            this_update: Moment(Some(crl.this_update)),
            next_update: Moment(crl.next_update),
            revoked: count(crl.revoked),
        }
    }
}
