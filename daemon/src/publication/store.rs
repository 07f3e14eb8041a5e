//! The publications: the latest state of every identity.
//!
//! The keeper writes through [`Observer`]; everyone else reads. Each identity has a watch channel of its own, so that a reader
//! that falls behind holds one old state at most and then sees the latest one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The latest state of every identity that is kept.
#[derive(Debug)]
pub(crate) struct Store {
    epoch: u64,
    identities: Mutex<Identities>,
    changes: watch::Sender<u64>,
    presence: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Identities {
    entries: BTreeMap<IdentityId, Entry>,
    /// Those that changed, or went, since that was last asked.
    changed: BTreeSet<IdentityId>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<IdentityState>,
    /// Who is told of every further state, where there is anybody: a channel has room for much more than most identities need.
    followers: Option<watch::Sender<Arc<IdentityState>>>,
    /// The value of [`Store::changes`] at its last change.
    revision: u64,
    publication: Option<Publication>,
}

/// Which generation of an identity is published, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Publication {
    /// The run of the daemon that counts the generations.
    pub(crate) epoch: u64,
    /// The generation, counted within the epoch.
    pub(crate) generation: u64,
    /// The digest of its content.
    pub(crate) digest: Digest,
    /// When it was published, by the wall clock.
    pub(crate) published_at: SystemTime,
    /// When it reached the store: what acknowledgements are measured from.
    pub(crate) stored: Instant,
}

impl Store {
    /// A store of no identity. `epoch` is random for each start of the daemon: generations are counted from 1 in each.
    #[must_use]
    pub(crate) fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            identities: Mutex::default(),
            changes: watch::Sender::new(0),
            presence: watch::Sender::new(0),
        })
    }

    /// The epoch that this store's generations are counted in.
    #[must_use]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The state of one identity and its changes. The channel closes when the identity is no longer kept; one that is kept
    /// anew has a new channel.
    #[must_use]
    pub(crate) fn follow(&self, id: &IdentityId) -> Option<watch::Receiver<Arc<IdentityState>>> {
        self.identities.lock().entries.get_mut(id).map(|entry| {
            let state = &entry.state;
            entry.followers.get_or_insert_with(|| watch::Sender::new(Arc::clone(state))).subscribe()
        })
    }

    /// The state of one identity.
    #[must_use]
    pub(crate) fn get(&self, id: &IdentityId) -> Option<Arc<IdentityState>> {
        self.identities.lock().entries.get(id).map(|entry| Arc::clone(&entry.state))
    }

    /// The publication of one identity.
    #[must_use]
    pub(crate) fn publication(&self, id: &IdentityId) -> Option<Publication> {
        self.identities.lock().entries.get(id).and_then(|entry| entry.publication)
    }

    /// The state of every identity, by scope and name.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<IdentityState>> {
        self.identities.lock().entries.values().map(|entry| Arc::clone(&entry.state)).collect()
    }

    /// The state of every identity with the value of [`Store::changes`] at its last change, by scope and name.
    #[must_use]
    pub(crate) fn revisions(&self) -> Vec<(u64, Arc<IdentityState>)> {
        self.identities.lock().entries.values().map(|entry| (entry.revision, Arc::clone(&entry.state))).collect()
    }

    /// The state of one identity with the value of [`Store::changes`] at its last change.
    #[must_use]
    pub(crate) fn revised(&self, id: &IdentityId) -> Option<(u64, Arc<IdentityState>)> {
        self.identities.lock().entries.get(id).map(|entry| (entry.revision, Arc::clone(&entry.state)))
    }

    /// At most so many of the identities that changed, or went, since this was last asked: for [`Neighbours`](super::Neighbours) alone.
    #[must_use]
    pub(super) fn take_changed(&self, at_most: usize) -> Vec<IdentityId> {
        let changed = &mut self.identities.lock().changed;
        std::iter::from_fn(|| changed.pop_first()).take(at_most).collect()
    }

    /// A number that grows with every change of any identity, removals included.
    #[must_use]
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A number that grows whenever an identity comes or goes, or begins or ceases to be published: of a rotation it hears nothing.
    #[must_use]
    pub(crate) fn presence(&self) -> watch::Receiver<u64> {
        self.presence.subscribe()
    }

    fn next_revision(&self) -> u64 {
        *self.changes.borrow() + 1
    }
}

impl Publication {
    /// The publication of `state`; the same one as `previous` keeps the time it was stored at.
    fn of(epoch: u64, state: &IdentityState, previous: Option<Self>) -> Option<Self> {
        let snapshot = state.snapshot.as_ref()?;
        let (generation, digest) = (snapshot.generation(), snapshot.digest());
        previous.filter(|previous| (previous.generation, previous.digest) == (generation, digest)).or_else(|| {
            Some(Self {
                epoch,
                generation,
                digest,
                published_at: state.published_at.unwrap_or_else(SystemTime::now),
                stored: Instant::now(),
            })
        })
    }
}

impl Observer for Store {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        let mut identities = self.identities.lock();
        let revision = self.next_revision();
        let is_present_as_before = match identities.entries.get_mut(id) {
            Some(entry) => {
                let before = entry.publication;
                entry.revision = revision;
                entry.publication = Publication::of(self.epoch, &state, before);
                entry.followers = entry.followers.take().filter(|followers| followers.send(Arc::clone(&state)).is_ok());
                entry.state = state;
                before.is_some() == entry.publication.is_some()
            }
            None => {
                let publication = Publication::of(self.epoch, &state, None);
                identities.entries.insert(id.clone(), Entry { state, followers: None, revision, publication });
                false
            }
        };
        identities.changed.insert(id.clone());
        // Under the lock: revisions are given and announced in one order.
        self.changes.send_replace(revision);
        if !is_present_as_before {
            self.presence.send_modify(|count| *count += 1);
        }
    }

    fn removed(&self, id: &IdentityId) {
        let mut identities = self.identities.lock();
        if identities.entries.remove(id).is_some() {
            identities.changed.insert(id.clone());
            self.changes.send_replace(self.next_revision());
            self.presence.send_modify(|count| *count += 1);
        }
    }

    fn reload(&self, _: &IdentityId, _: Reload, _: Duration) {}

    fn state_unwritten(&self, _: &IdentityId, _: &StateError) {}

    fn watch_problem(&self, _: WatchProblem) {}

    fn scanned(&self, _: SystemTime) {}
}
