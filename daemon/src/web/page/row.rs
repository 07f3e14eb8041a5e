//! What the page tells of one identity: of its certificate what every peer is shown, and of processes no more than whose they are. Which
//! those are, by number, user and command, is the admin socket's to tell.

use std::time::SystemTime;

use evercert_core::identity::IdentityId;
use serde::Serialize;
use serde_json::Value;

use crate::publication::SubscriberState;
use crate::status::{Certificate, Crl, Federated, Finding, Identity, Moment, Pod, Retained, Subscriber};

/// The most names of a certificate, lists, subscribers and the like that are told of one identity.
const TOLD: usize = 50;

/// One identity.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    title: String,
    /// Why its pod has no name.
    doubt: Option<String>,
    is_well: bool,
    generation: Option<u64>,
    published: Moment,
    leaf: Option<Certificate>,
    intermediates: u32,
    anchors: u32,
    renewal_due: Moment,
    findings: Vec<Finding>,
    subscribers: Vec<Who>,
    settled: Option<bool>,
    connections_on_older: u64,
    files: Vec<String>,
    retained: Vec<Retained>,
    crls: Vec<Crl>,
    federated: Vec<Federated>,
    more: More,
}

/// How many there are of each besides those that are told.
#[derive(Serialize)]
struct More {
    /// DNS names, addresses and URIs of the leaf.
    names: usize,
    findings: usize,
    subscribers: usize,
    files: usize,
    retained: usize,
    crls: usize,
    federated: usize,
}

/// A workload that is connected, or lost.
#[derive(Serialize)]
struct Who {
    /// Its number in `evercertd status --json`.
    id: u64,
    /// Its pod or unit; null for another process of the node.
    whose: Option<String>,
    is_well: bool,
    state: SubscriberState,
    behind_since: Moment,
    lost_since: Moment,
    reason: Option<String>,
    connections_on_older: u32,
    unattested: bool,
}

impl Row {
    /// What is told of `identity` at `now`.
    pub(super) fn of(id: &IdentityId, identity: Identity, now: SystemTime) -> Self {
        let (title, is_well) = (identity.title(), identity.is_well(now));
        let (mut leaf, mut findings, mut files) = (identity.leaf, identity.findings, identity.files);
        let (mut retained, mut crls, mut federated) = (identity.retained, identity.crls, identity.federated);
        let mut subscribers: Vec<_> = identity.subscribers.iter().map(|one| Who::of(one, now)).collect();
        // Those that somebody has to look at are told before the others.
        subscribers.sort_by_key(|who| (who.is_well, !who.state.is_behind()));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let more = More {
            names: leaf
                .as_mut()
                .map_or(0, |leaf| cut(&mut leaf.dns_names) + cut(&mut leaf.ip_addresses) + cut(&mut leaf.uris)),
            findings: cut(&mut findings),
            subscribers: cut(&mut subscribers),
            files: cut(&mut files),
            retained: cut(&mut retained),
            crls: cut(&mut crls),
            federated: cut(&mut federated),
        };
        Self {
            id: id.to_string(),
            title,
            doubt: identity.pod.as_ref().and_then(Pod::doubt),
            is_well,
            generation: identity.generation,
            published: identity.published,
            leaf,
            intermediates: identity.intermediates,
            anchors: identity.anchors,
            renewal_due: identity.renewal_due,
            findings,
            subscribers,
            settled: identity.settled,
            connections_on_older: identity.connections_on_older,
            files,
            retained,
            crls,
            federated,
            more,
        }
    }

    /// Whether there is more of something than is told.
    pub(super) fn is_cut(&self) -> bool {
        let More { names, findings, subscribers, files, retained, crls, federated } = self.more;
        names + findings + subscribers + files + retained + crls + federated > 0
    }
}

impl Who {
    fn of(subscriber: &Subscriber, now: SystemTime) -> Self {
        Self {
            id: subscriber.id,
            whose: subscriber.pod.as_ref().map(Pod::title).or_else(|| subscriber.unit.clone()),
            is_well: subscriber.is_well(now),
            state: subscriber.state,
            behind_since: subscriber.behind_since,
            lost_since: subscriber.lost_since,
            reason: subscriber.reason.clone(),
            connections_on_older: subscriber.connections_on_older(),
            unattested: subscriber.unattested,
        }
    }
}

/// Leaves as many as are told, and says how many went.
fn cut<T>(them: &mut Vec<T>) -> usize {
    let more = them.len().saturating_sub(TOLD);
    them.truncate(TOLD);
    more
}

/// Texts, numbers and lists of them, which become JSON without fail, as they are shown.
pub(super) fn told(value: &impl Serialize) -> Value {
    readable(serde_json::to_value(value).unwrap_or_default())
}

/// The same, with every text of it as a sentence that shows all its characters: names in certificates are others' words.
pub(super) fn readable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(evercert_core::text::sentence(&text)),
        Value::Array(values) => values.into_iter().map(readable).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, readable(value))).collect(),
        other => other,
    }
}
