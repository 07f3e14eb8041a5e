//! What changes of the identities that are kept, for one follower: the latest of each, told once.
//!
//! It is pulled: a slow follower is told the latest state of what changed meanwhile, and nothing is kept for it but names and numbers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use evercert_core::identity::IdentityId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Context;
use crate::status::{Identity, Pod};

/// The interval of looking why a subscriber is behind, while one is: a stopped process is no event.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One change of what is kept.
pub(crate) enum Change {
    /// An identity as it is now.
    Identity(IdentityId, Box<Identity>),
    /// An identity is no longer kept; the pod is the one that was told of it.
    Removed(IdentityId, Option<Pod>),
}

/// What one follower has been told, and what it is still to be told.
pub(crate) struct Changes {
    context: Context,
    published: watch::Receiver<u64>,
    subscribed: watch::Receiver<u64>,
    told: HashMap<IdentityId, SentState>,
    /// Identities to look at again.
    changed: VecDeque<IdentityId>,
    /// The next time to look at the subscribers that are behind.
    look_again: Instant,
}

/// The state told of one identity.
#[derive(PartialEq)]
struct SentState {
    /// The revisions of the identity and of its subscribers.
    revisions: (u64, u64),
    /// Why each of those subscribers that are behind is.
    reasons: Vec<(u64, String)>,
    pod: Option<Pod>,
}

impl Changes {
    /// The changes from now on, of which every identity that is kept is the first.
    pub(crate) fn new(context: Context) -> Self {
        let mut changes = Self {
            published: context.store.changes(),
            subscribed: context.subscribers.changes(),
            context,
            told: HashMap::new(),
            changed: VecDeque::new(),
            look_again: Instant::now(),
        };
        changes.look();
        changes
    }

    /// The next change that is known of; the others are found by [`Self::look`].
    pub(crate) fn known(&mut self) -> Option<Change> {
        while let Some(id) = self.changed.pop_front() {
            if let Some(change) = self.tell(id) {
                return Some(change);
            }
        }
        None
    }

    /// Waits until there may be something to find. Nothing is lost where it is not awaited to its end.
    pub(crate) async fn stirred(&mut self) {
        let is_one_behind = self.told.values().any(|told| !told.reasons.is_empty());
        tokio::select! {
            Ok(()) = self.published.changed() => {}
            Ok(()) = self.subscribed.changed() => {}
            () = tokio::time::sleep_until(self.look_again), if is_one_behind => {
                self.look_again = Instant::now() + LOOK_AGAIN;
                let behind = self.told.iter().filter(|(_, told)| !told.reasons.is_empty());
                self.changed.extend(behind.map(|(id, _)| id.clone()));
            }
        }
    }

    /// Finds what has changed since it was told.
    pub(crate) fn look(&mut self) {
        self.published.borrow_and_update();
        self.subscribed.borrow_and_update();
        let now: HashMap<IdentityId, u64> = self
            .context
            .store
            .revisions()
            .into_iter()
            .map(|(revision, state)| (state.spec.id.clone(), revision))
            .collect();
        let removed = self.told.keys().filter(|id| !now.contains_key(id)).cloned();
        let changed = now.iter().filter(|(id, revision)| {
            self.told.get(id).map(|told| told.revisions) != Some((**revision, self.context.subscribers.revision(id)))
        });
        let mut changed: Vec<_> = changed.map(|(id, _)| id.clone()).chain(removed).collect();
        changed.sort_unstable();
        self.changed.extend(changed);
    }

    /// The state of one identity as it is now; nothing where that was told before.
    fn tell(&mut self, id: IdentityId) -> Option<Change> {
        // The subscribers are read after their revision, so a change in between is told again, not missed.
        let subscribed = self.context.subscribers.revision(&id);
        let Some((published, state)) = self.context.store.revised(&id) else {
            // The pod's name may be forgotten by now.
            let told = self.told.remove(&id)?;
            return Some(Change::Removed(id, told.pod));
        };
        let wanted = Arc::clone(&self.context.wanted.borrow());
        let identity = Identity::of(&state, &self.context.subscribers.of(&id), &wanted.pods);
        let behind = identity
            .subscribers
            .iter()
            .filter_map(|subscriber| subscriber.reason.clone().map(|reason| (subscriber.id, reason)));
        let told =
            SentState { revisions: (published, subscribed), reasons: behind.collect(), pod: identity.pod.clone() };
        if self.told.get(&id) == Some(&told) {
            return None;
        }
        self.told.insert(id.clone(), told);
        Some(Change::Identity(id, Box::new(identity)))
    }
}
