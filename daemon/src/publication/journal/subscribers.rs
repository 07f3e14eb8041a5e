//! What subscribers cannot use, and those that are lost, logged on the way to whoever counts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::clock::rfc3339;
use evercert_core::identity::IdentityId;
use tokio::sync::watch;
use tracing::warn;

use super::flood::{Floods, Kind};
use crate::inventory::Wanted;
use crate::publication::{Disconnect, NewSubscriber, Refused, Report, SubscriberLimit, SubscriberObserver};

/// Logs what passes on to the next observer of subscribers.
pub(crate) struct SubscriberJournal {
    next: Arc<dyn SubscriberObserver>,
    wanted: watch::Receiver<Arc<Wanted>>,
    floods: Arc<Floods>,
}

impl SubscriberJournal {
    /// Passes everything on to `next`. What pods are called is in `wanted`, and what is too much is told by whoever else has `floods`.
    pub(super) fn new(
        next: Arc<dyn SubscriberObserver>,
        wanted: watch::Receiver<Arc<Wanted>>,
        floods: Arc<Floods>,
    ) -> Self {
        Self { next, wanted, floods }
    }

    /// The names of an identity and of a subscriber's pod, for people.
    fn names(&self, identity: &IdentityId, subscriber: &NewSubscriber) -> (String, Option<String>) {
        let wanted = self.wanted.borrow();
        let pod = subscriber.pod.as_deref();
        let name = |uid: &str| wanted.pods.get(uid).map_or_else(|| uid.to_owned(), ToString::to_string);
        (wanted.pods.title(identity), pod.map(name))
    }
}

impl SubscriberObserver for SubscriberJournal {
    fn acknowledged(&self, identity: &IdentityId, took: Duration) {
        self.next.acknowledged(identity, took);
    }

    fn disconnected(&self, identity: &IdentityId, reason: Disconnect) {
        self.next.disconnected(identity, reason);
    }

    fn limit_reached(&self, limit: SubscriberLimit) {
        self.next.limit_reached(limit);
    }

    fn refused(&self, identity: &IdentityId, subscriber: &NewSubscriber, report: &Report, refused: &Refused) {
        self.next.refused(identity, subscriber, report, refused);
        if !self.floods.may_tell(Kind::Refused, Instant::now()) {
            return;
        }
        let (title, pod) = self.names(identity, subscriber);
        let NewSubscriber { pid, uid, command, pod: pod_uid, unit, is_attested, .. } = subscriber;
        let detail = if refused.detail.is_empty() { "no reason given" } else { &refused.detail };
        warn!(
            identity = %title,
            generation = report.generation,
            digest = report.digest.map(tracing::field::display),
            serves_until = report.not_after.map(rfc3339),
            code = refused.code.as_str(),
            pid,
            uid,
            command,
            pod,
            pod_uid = pod_uid.as_deref(),
            unit = unit.as_deref(),
            attested = is_attested,
            "a subscriber refuses a generation and keeps what it had: {detail}"
        );
    }

    fn lost(&self, identity: &IdentityId, subscriber: &NewSubscriber, reported: Option<u64>) {
        self.next.lost(identity, subscriber, reported);
        if !self.floods.may_tell(Kind::Lost, Instant::now()) {
            return;
        }
        let (title, pod) = self.names(identity, subscriber);
        let NewSubscriber { pid, uid, command, pod: pod_uid, unit, .. } = subscriber;
        warn!(
            identity = %title,
            pid,
            uid,
            command,
            pod,
            pod_uid = pod_uid.as_deref(),
            unit = unit.as_deref(),
            reported,
            "a subscriber does not answer any more, and its connection was closed; while its process lives it is shown as lost, since it may \
             serve what it had: look whether it is stopped or hangs, and restart it"
        );
    }
}
