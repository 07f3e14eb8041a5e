//! What is known of an identity, as the wire says it.

use std::collections::BTreeSet;

use evercert_api::v1;
use evercert_core::bundle::Bundles;
use evercert_core::credential::Credential;
use evercert_core::finding::Finding;
use evercert_core::identity::{IdentityId, Scope};
use evercert_core::keeper::{CrlOnDisk, IdentityState, RetainedAnchor};
use evercert_core::text;

use super::standstill;
use crate::inventory::pods::{Doubt, PodNames};
use crate::publication::{SubscriberState, SubscriberStatus};

/// The most pods that are told of as such, as their names are in doubt.
const PODS_IN_DOUBT: usize = 64;

/// What a workload may know of an identity it may have.
pub(super) fn summary(state: &IdentityState) -> v1::IdentitySummary {
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

/// What an operator may know.
pub(super) fn identity(state: &IdentityState, subscribers: &[SubscriberStatus], pods: &PodNames) -> v1::IdentityStatus {
    let v1::IdentitySummary { identity, generation, digest, leaf, renewal_due, findings } = summary(state);
    let snapshot = state.snapshot.as_deref();
    let chain = snapshot.and_then(|snapshot| snapshot.credential()).map_or(0, |credential| chain_length(credential));
    let mut looks = standstill::LOOKED_AT;
    let anchors = snapshot.and_then(|snapshot| snapshot.bundles().own.as_ref()).map_or(0, |own| own.anchors().len());
    v1::IdentityStatus {
        identity,
        scope: state.spec.id.scope.label().to_owned(),
        generation,
        digest,
        leaf,
        intermediates: count(chain.saturating_sub(1)),
        anchors: count(anchors),
        published: state.published_at.filter(|_| snapshot.is_some()).map(Into::into),
        renewal_due,
        findings,
        subscribers: self::subscribers(subscribers, &mut looks, pods),
        files: state.spec.files.paths().map(text::path).collect::<BTreeSet<_>>().into_iter().collect(),
        retained: state.overlap.iter().map(retained).collect(),
        crls: state.crls.iter().map(crl).collect(),
        federated: snapshot.map(|snapshot| federated(snapshot.bundles())).unwrap_or_default(),
        pod: pod_of(&state.spec.id, pods),
        continued: false,
    }
}

/// `looks` is how many processes may still be looked at.
pub(super) fn subscribers(subscribers: &[SubscriberStatus], looks: &mut usize, pods: &PodNames) -> Vec<v1::Subscriber> {
    subscribers.iter().map(|status| subscriber(status, looks, pods)).collect()
}

/// The pod whose volume an identity is.
pub(super) fn pod_of(id: &IdentityId, pods: &PodNames) -> Option<v1::Pod> {
    match &id.scope {
        Scope::Node => None,
        Scope::Pod(uid) => Some(pod(uid, pods)),
    }
}

fn pod(uid: &str, pods: &PodNames) -> v1::Pod {
    let (namespace, name) =
        pods.get(uid).map(|pod| (pod.namespace.to_string(), pod.name.to_string())).unwrap_or_default();
    let name_doubt = pods.doubt(uid).map_or(v1::NameDoubt::Unspecified, v1::NameDoubt::from).into();
    v1::Pod { uid: uid.to_owned(), namespace, name, name_doubt }
}

/// The pods whose names are in doubt, the first of them where they are many.
pub(super) fn pods_in_doubt(pods: &PodNames) -> Vec<v1::Pod> {
    pods.in_doubt().map(|(uid, _)| pod(uid, pods)).take(PODS_IN_DOUBT).collect()
}

pub(super) fn retained(anchor: &RetainedAnchor) -> v1::RetainedAnchor {
    v1::RetainedAnchor { anchor: Some((&anchor.facts).into()), until: Some(anchor.until.into()) }
}

fn crl(crl: &CrlOnDisk) -> v1::Crl {
    v1::Crl {
        file: text::path(&crl.file),
        issuer: crl.issuer.text.clone(),
        number: crl.number.clone().unwrap_or_default(),
        this_update: Some(crl.this_update.into()),
        next_update: crl.next_update.map(Into::into),
        revoked: count(crl.revoked),
    }
}

fn federated(bundles: &Bundles) -> Vec<v1::Federated> {
    let by_name = bundles.federated.iter();
    by_name
        .map(|(name, bundle)| v1::Federated { trust_domain: name.to_string(), anchors: count(bundle.anchors().len()) })
        .collect()
}

fn chain_length(credential: &Credential) -> usize {
    credential.chain().len()
}

fn subscriber(status: &SubscriberStatus, looks: &mut usize, pods: &PodNames) -> v1::Subscriber {
    let mut reason = status.reason.clone();
    if (status.state.is_behind() || status.lost_since.is_some()) && *looks > 0 {
        *looks -= 1;
        if let Some(standstill) = standstill::of(status) {
            reason = if reason.is_empty() { standstill.to_owned() } else { format!("{standstill}; {reason}") };
        }
    }
    v1::Subscriber {
        id: status.id,
        pid: status.subscriber.pid,
        uid: status.subscriber.uid,
        command: status.subscriber.command.clone(),
        sdk_version: status.subscriber.sdk_version.clone(),
        connected: Some(status.connected.into()),
        deliver: status.subscriber.deliver.into(),
        report: status.report.clone(),
        state: v1::SubscriberState::from(status.state).into(),
        behind_since: status.behind_since.map(Into::into),
        pod: status.subscriber.pod.as_deref().map(|uid| pod(uid, pods)),
        reason,
        lost_since: status.lost_since.map(Into::into),
        unit: status.subscriber.unit.as_deref().unwrap_or_default().to_owned(),
    }
}

impl From<Doubt> for v1::NameDoubt {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::LogDirectories => Self::LogDirectories,
            Doubt::Namespace => Self::Namespace,
        }
    }
}

impl From<SubscriberState> for v1::SubscriberState {
    fn from(state: SubscriberState) -> Self {
        match state {
            SubscriberState::Pending => Self::Pending,
            SubscriberState::Behind => Self::Behind,
            SubscriberState::Refused => Self::Refused,
            SubscriberState::Current => Self::Current,
            SubscriberState::Settled => Self::Settled,
        }
    }
}

pub(super) fn findings(findings: &[Finding]) -> Vec<v1::Finding> {
    findings.iter().map(v1::Finding::from).collect()
}

pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
