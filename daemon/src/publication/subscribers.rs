//! The subscribers: one entry per open `Watch` stream, with the last report of what the workload does with its identity. A subscriber whose
//! stream was ended because it stood still stays as lost while its process lives.
//!
//! A report is a state, not an event. Its meaning is decided when it is looked at, against what is published then: the
//! publication it names has to be this one, epoch, generation and digest. Numbers of different epochs are never compared. Of a
//! subscriber that reads its own mount the digest alone is compared: it may have read what it reports before it was published.

mod lost;
mod report;
mod standing;
mod subscription;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::identity::IdentityId;
use evercert_core::swept::Swept;
use evercert_core::text;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use lost::Lost;
pub(crate) use report::{Delivery, Outcome, Refused, RefusedCode, Report};
pub(crate) use standing::SubscriberState;
pub(crate) use subscription::Subscription;

use crate::callers::Life;
use crate::publication::{KeyClaims, Publication, Store};

/// The most subscribers of one identity that are taken at their word: above that, whoever knows a pod's UID could fill its status.
const UNATTESTED_PER_IDENTITY: usize = 128;

/// There are as many subscribers of the identity that are taken at their word as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{UNATTESTED_PER_IDENTITY} subscribers that evercertd cannot see report on it already; with hostPID: true it sees them"
)]
pub(crate) struct TooManyUnattested;

/// The subscribers of every identity.
pub(crate) struct Subscribers {
    store: Arc<Store>,
    observer: Arc<dyn SubscriberObserver>,
    key_claims: Arc<KeyClaims>,
    registry: Mutex<Registry>,
    changes: watch::Sender<u64>,
}

/// Events of subscribers worth counting. Called where they happen; must not block.
pub(crate) trait SubscriberObserver: Send + Sync + 'static {
    /// A connected subscriber put a generation to use, `took` after it was published.
    fn acknowledged(&self, identity: &IdentityId, took: Duration);
    /// A subscriber cannot use a generation, as it reports.
    fn refused(&self, identity: &IdentityId, subscriber: &NewSubscriber, report: &Report, refused: &Refused);
    /// A subscriber stood still until its connection was given up, while its process lives; it reported this generation last.
    fn lost(&self, identity: &IdentityId, subscriber: &NewSubscriber, reported: Option<u64>);
    /// A stream ended.
    fn disconnected(&self, identity: &IdentityId, reason: Disconnect);
    /// A limit on subscribers was reached.
    fn limit_reached(&self, limit: SubscriberLimit);
}

/// A limit on subscribers that costs one of them its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscriberLimit {
    /// Those of one identity that are taken at their word.
    UnattestedPerIdentity,
    /// Those that are lost, of one party or in all.
    Lost,
}

/// Why a `Watch` stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Disconnect {
    /// The subscriber closed or cancelled it.
    ClientClosed,
    /// The process that connected has ended.
    ProcessEnded,
    /// The subscriber was silent, or took nothing of what was sent, for too long.
    Timeout,
    /// The daemon is stopping.
    Shutdown,
    /// The identity is no longer kept.
    Removed,
    /// The subscriber may no longer have the identity.
    Denied,
    /// There were too many, and its party had the most.
    Displaced,
    /// The subscriber broke the protocol, or its stream failed otherwise.
    Error,
}

impl Disconnect {
    /// Every reason.
    pub(crate) const ALL: [Self; 8] = [
        Self::ClientClosed,
        Self::ProcessEnded,
        Self::Timeout,
        Self::Shutdown,
        Self::Removed,
        Self::Denied,
        Self::Displaced,
        Self::Error,
    ];

    /// The metric label.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ProcessEnded => "process_ended",
            Self::Timeout => "timeout",
            Self::Shutdown => "shutdown",
            Self::Removed => "removed",
            Self::Denied => "denied",
            Self::Displaced => "displaced",
            Self::Error => "error",
        }
    }
}

/// A subscriber as it is known when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewSubscriber {
    /// Its process, as the kernel named it when it connected; 0: of another PID namespace.
    pub(crate) pid: u32,
    /// Its user.
    pub(crate) uid: u32,
    /// Its command's name; empty: not known.
    pub(crate) command: String,
    /// The version of its SDK, as it says.
    pub(crate) sdk_version: String,
    pub(crate) deliver: Delivery,
    /// Whether its process is known; else all but its user is its own word.
    pub(crate) is_attested: bool,
    /// The UID of the pod it runs in; absent for a process of the node.
    pub(crate) pod: Option<Arc<str>>,
    /// The unit it runs in; absent for a process of a pod, and where it is not known.
    pub(crate) unit: Option<Arc<str>>,
    /// Whether its process lives; absent where that cannot be seen.
    pub(crate) life: Option<Life>,
}

/// One subscriber that is connected, or lost, as it is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SubscriberStatus {
    /// Unique within the daemon's run.
    pub(crate) id: u64,
    pub(crate) subscriber: NewSubscriber,
    /// When it connected.
    pub(crate) connected: SystemTime,
    /// Its last report.
    pub(crate) report: Option<Report>,
    /// The report, judged by what is published.
    pub(crate) state: SubscriberState,
    /// When the generation was published that it has not put to use.
    pub(crate) behind_since: Option<SystemTime>,
    /// Why it is behind, as far as its report tells; empty where it is not.
    pub(crate) reason: String,
    /// When its connection was given up because it stood still; absent where it is connected.
    pub(crate) lost_since: Option<SystemTime>,
    /// For how long it could have put that generation to use and has not.
    pub(crate) behind_for: Option<Duration>,
}

#[derive(Default)]
struct Registry {
    next_id: u64,
    identities: Swept<IdentityId, Group>,
    lost: lost::LostQueue,
}

/// The subscribers of one identity.
#[derive(Default)]
struct Group {
    /// The value of [`Subscribers::changes`] at its last change.
    revision: u64,
    subscribers: BTreeMap<u64, Entry>,
}

struct Entry {
    subscriber: NewSubscriber,
    connected: SystemTime,
    connected_at: Instant,
    report: Option<Report>,
    acknowledged: Option<Publication>,
    /// Absent while it is connected.
    lost: Option<Lost>,
}

impl Subscribers {
    /// A registry of no subscriber, whose reports are held against what `store` publishes. Those that are to be given keys claim
    /// them of `key_claims`.
    #[must_use]
    pub(crate) fn new(
        store: Arc<Store>,
        observer: Arc<dyn SubscriberObserver>,
        key_claims: Arc<KeyClaims>,
    ) -> Arc<Self> {
        Arc::new(Self { store, observer, key_claims, registry: Mutex::default(), changes: watch::Sender::new(0) })
    }

    /// Registers a subscriber of `identity`, until the returned value is dropped. If its process was lost, it is no longer.
    ///
    /// # Errors
    ///
    /// It is taken at its word, and so are too many already.
    pub(crate) fn connect(
        self: &Arc<Self>,
        identity: IdentityId,
        mut subscriber: NewSubscriber,
    ) -> Result<Subscription, TooManyUnattested> {
        tell(&mut subscriber.sdk_version);
        tell(&mut subscriber.command);
        let claim = (subscriber.deliver == Delivery::Full).then(|| self.key_claims.claim(identity.clone()));
        let mut registry = self.registry.lock();
        if !subscriber.is_attested && registry.unattested(&identity) >= UNATTESTED_PER_IDENTITY {
            drop(registry);
            self.observer.limit_reached(SubscriberLimit::UnattestedPerIdentity);
            return Err(TooManyUnattested);
        }
        registry.next_id += 1;
        let id = registry.next_id;
        let entry = Entry {
            subscriber,
            connected: SystemTime::now(),
            connected_at: Instant::now(),
            report: None,
            acknowledged: None,
            lost: None,
        };
        registry.found(&identity, entry.subscriber.life.as_ref());
        let group = registry.group(identity.clone(), &self.store);
        group.subscribers.insert(id, entry);
        group.revision = self.announce();
        drop(registry);
        Ok(Subscription::new(Arc::clone(self), identity, id, claim))
    }

    /// The subscribers of one identity that are connected or lost, in the order they came.
    #[must_use]
    pub(crate) fn of(&self, identity: &IdentityId) -> Vec<SubscriberStatus> {
        self.after(identity, 0, usize::MAX)
    }

    /// As [`Self::of`], the first `count` of those that came after the one with this number.
    #[must_use]
    pub(crate) fn after(&self, identity: &IdentityId, number: u64, count: usize) -> Vec<SubscriberStatus> {
        let publication = self.store.publication(identity);
        let registry = self.registry.lock();
        let Some(group) = registry.identities.get(identity) else { return Vec::new() };
        let after = group.subscribers.range((Bound::Excluded(number), Bound::Unbounded)).take(count);
        after.map(|(id, entry)| entry.status(*id, publication.as_ref())).collect()
    }

    /// The value of [`Subscribers::changes`] when a subscriber of `identity` last came, went or reported.
    #[must_use]
    pub(crate) fn revision(&self, identity: &IdentityId) -> u64 {
        self.registry.lock().identities.get(identity).map_or(0, |group| group.revision)
    }

    /// A number that grows whenever a subscriber comes, goes or reports.
    #[must_use]
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn report(&self, identity: &IdentityId, id: u64, mut report: Report) {
        if let Some(Outcome::Refused(refused)) = &mut report.outcome {
            tell(&mut refused.detail);
        }
        let publication = self.store.publication(identity);
        let mut registry = self.registry.lock();
        let Some(group) = registry.identities.get_mut(identity) else { return };
        let Some(entry) = group.subscribers.get_mut(&id) else { return };
        if entry.report.as_ref() == Some(&report) {
            return;
        }
        let is_refusal = matches!(report.outcome, Some(Outcome::Refused(_)));
        let refusal = is_refusal.then(|| (entry.subscriber.clone(), report.clone()));
        entry.report = Some(report);
        let took = publication.and_then(|publication| entry.acknowledge(publication));
        group.revision = self.announce();
        drop(registry);
        if let Some(took) = took {
            self.observer.acknowledged(identity, took);
        }
        if let Some((subscriber, report)) = &refusal
            && let Some(Outcome::Refused(refused)) = &report.outcome
        {
            self.observer.refused(identity, subscriber, report, refused);
        }
    }

    fn disconnect(self: &Arc<Self>, identity: &IdentityId, id: u64, reason: Disconnect) {
        match reason {
            Disconnect::Timeout => self.lose(identity, id),
            _ => self.forget(identity, id),
        }
        self.observer.disconnected(identity, reason);
    }

    /// A subscriber stood still until its connection was given up. It is kept as lost while its process lives, unless that has another
    /// connection for the identity, which will tell.
    fn lose(self: &Arc<Self>, identity: &IdentityId, id: u64) {
        let mut registry = self.registry.lock();
        let Some((life, watch)) = registry.life_alone(identity, id).zip(tokio::runtime::Handle::try_current().ok())
        else {
            drop(registry);
            return self.forget(identity, id);
        };
        let (subscribers, of, party) = (Arc::downgrade(self), identity.clone(), life.party().clone());
        let watch = watch.spawn(async move {
            life.ended().await;
            if let Some(subscribers) = subscribers.upgrade() {
                subscribers.forget(&of, id);
            }
        });
        let since = SystemTime::now();
        if let Some((identity, oldest)) = registry.lost.add(identity.clone(), id, party) {
            registry.remove(&identity, oldest, &self.store);
            self.observer.limit_reached(SubscriberLimit::Lost);
        }
        let Some(group) = registry.identities.get_mut(identity) else { return };
        let Some(entry) = group.subscribers.get_mut(&id) else { return };
        entry.lost = Some(Lost { since, _watch: AbortOnDropHandle::new(watch) });
        let (subscriber, reported) = (entry.subscriber.clone(), entry.report.as_ref().map(|report| report.generation));
        group.revision = self.announce();
        drop(registry);
        self.observer.lost(identity, &subscriber, reported);
    }

    /// A subscriber is gone.
    fn forget(&self, identity: &IdentityId, id: u64) {
        let mut registry = self.registry.lock();
        registry.remove(identity, id, &self.store);
        let revision = self.announce();
        if let Some(group) = registry.identities.get_mut(identity) {
            group.revision = revision;
        }
    }

    /// Called under the lock: revisions are given and announced in one order.
    fn announce(&self) -> u64 {
        let revision = *self.changes.borrow() + 1;
        self.changes.send_replace(revision);
        revision
    }
}

impl Registry {
    /// How many subscribers of an identity are taken at their word.
    fn unattested(&self, identity: &IdentityId) -> usize {
        let entries = self.identities.get(identity).into_iter().flat_map(|group| group.subscribers.values());
        entries.filter(|entry| !entry.subscriber.is_attested).count()
    }

    /// The subscribers of an identity that is kept. Those go that are gone, whose subscribers went before them.
    fn group(&mut self, identity: IdentityId, store: &Store) -> &mut Group {
        let lives = |id: &IdentityId, group: &Group| {
            let lives = group.is_connected() || store.get(id).is_some();
            if !lives {
                self.lost.retain(|identity| identity != id);
            }
            lives
        };
        self.identities.entry(identity, lives).or_default()
    }

    /// Removes a subscriber, and what is known of its identity where that is gone too.
    fn remove(&mut self, identity: &IdentityId, id: u64, store: &Store) {
        let Some(group) = self.identities.get_mut(identity) else { return };
        if group.subscribers.remove(&id).is_some_and(|entry| entry.lost.is_some()) {
            self.lost.remove(id);
        }
        if !group.is_connected() && store.get(identity).is_none() {
            self.identities.remove(identity);
            self.lost.retain(|id| id != identity);
        }
    }

    /// A process is back that may have been lost.
    fn found(&mut self, identity: &IdentityId, life: Option<&Life>) {
        let (Some(group), Some(life)) = (self.identities.get_mut(identity), life) else { return };
        group.subscribers.retain(|id, entry| {
            let is_it = entry.lost.is_some() && entry.subscriber.life.as_ref() == Some(life);
            if is_it {
                self.lost.remove(*id);
            }
            !is_it
        });
    }

    /// The life of a subscriber's process, where no other connection of it is for the same identity.
    fn life_alone(&self, identity: &IdentityId, id: u64) -> Option<Life> {
        let group = self.identities.get(identity)?;
        let life = group.subscribers.get(&id)?.subscriber.life.as_ref()?;
        let mut others = group.subscribers.iter().filter(|(other, _)| **other != id);
        (!others.any(|(_, entry)| entry.subscriber.life.as_ref() == Some(life))).then(|| life.clone())
    }
}

impl Group {
    fn is_connected(&self) -> bool {
        self.subscribers.values().any(|entry| entry.lost.is_none())
    }
}

impl Entry {
    fn status(&self, id: u64, publication: Option<&Publication>) -> SubscriberStatus {
        let (deliver, report) = (self.subscriber.deliver, self.report.as_ref());
        let state = SubscriberState::of(deliver, report, publication);
        let behind = publication.filter(|_| state.is_behind());
        SubscriberStatus {
            id,
            subscriber: self.subscriber.clone(),
            connected: self.connected,
            report: self.report.clone(),
            state,
            behind_since: behind.map(|publication| publication.published_at),
            reason: behind.map(|publication| standing::reason(report, publication)).unwrap_or_default(),
            lost_since: self.lost.as_ref().map(|lost| lost.since),
            behind_for: behind.map(|publication| publication.stored.max(self.connected_at).elapsed()),
        }
    }

    /// How long this subscriber took to put `publication` to use, the first time it says so. Nothing where the publication is
    /// older than the connection: the time would tell when the workload started, not how fast it is.
    fn acknowledge(&mut self, publication: Publication) -> Option<Duration> {
        let state = SubscriberState::of(self.subscriber.deliver, self.report.as_ref(), Some(&publication));
        let first = self.acknowledged != Some(publication);
        if !matches!(state, SubscriberState::Current | SubscriberState::Settled) || !first {
            return None;
        }
        self.acknowledged = Some(publication);
        (publication.stored >= self.connected_at).then(|| publication.stored.elapsed())
    }
}

/// Makes a text of a subscriber's (its version, the detail of a refusal) one that can be told, and bounds what is kept of it.
fn tell(said: &mut String) {
    *said = text::word(said);
}

#[cfg(test)]
mod tests;
