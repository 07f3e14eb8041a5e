//! Holds what identities publish against each other, beside the publication path.

use std::sync::Arc;
use std::time::Duration;

use evercert_core::detached::Threads;
use evercert_core::identity::IdentityId;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Census, Readiness, Store, Surroundings};

/// How long changes are gathered before they are looked at: many sets change at once, and none of it is urgent.
const GATHER: Duration = Duration::from_secs(1);

/// How many that changed are read in one go where nobody waits for it.
const AT_A_TIME: usize = 8;

/// What identities publish, by CA and by key.
#[derive(Debug)]
pub(crate) struct Neighbours {
    store: Arc<Store>,
    census: Mutex<Census<IdentityId>>,
}

impl Neighbours {
    /// What `store` holds.
    pub(crate) fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store, census: Mutex::default() })
    }

    /// As it is now. What changed since somebody last asked is read, for which signatures are verified.
    pub(crate) fn census(&self) -> MutexGuard<'_, Census<IdentityId>> {
        // Locked first: whoever comes later has newer states.
        let mut census = self.census.lock();
        self.take_in(&mut census, usize::MAX);
        census
    }

    /// As [`Self::census`], with the lock let go after each few identities: other callers do not wait for a thread that gives way.
    fn census_in_steps(&self) -> MutexGuard<'_, Census<IdentityId>> {
        loop {
            let mut census = self.census.lock();
            if self.take_in(&mut census, AT_A_TIME) < AT_A_TIME {
                return census;
            }
        }
    }

    /// Takes in at most so many that changed, and gives how many there were.
    fn take_in(&self, census: &mut Census<IdentityId>, at_most: usize) -> usize {
        let changed = self.store.take_changed(at_most);
        for id in &changed {
            let state = self.store.get(id);
            census.take_in(id, state.as_ref().and_then(|state| state.snapshot.as_deref()));
        }
        changed.len()
    }

    /// Tells `surroundings` what is found, until `shutdown`.
    pub(crate) async fn compare(
        self: Arc<Self>,
        readiness: Readiness,
        surroundings: Arc<Surroundings>,
        shutdown: CancellationToken,
    ) {
        let threads = Threads::named("evercert-census").giving_way();
        let mut changes = self.store.changes();
        // Who is there is looked at only where that may have changed: a rotation costs no look at all the others.
        let (mut looked_at, mut is_read) = (None, false);
        // What is told is a change, too, of which nothing new is found.
        while let Some(Ok(())) = shutdown.run_until_cancelled(changes.changed()).await {
            if shutdown.run_until_cancelled(sleep(GATHER)).await.is_none() {
                return;
            }
            changes.mark_unchanged();
            let presence = readiness.presence();
            if looked_at.as_ref() != Some(&presence) {
                is_read = readiness.is_read();
                looked_at = Some(presence);
            }
            let neighbours = Arc::clone(&self);
            let mut news = threads.call(move || neighbours.census_in_steps().news(is_read));
            let news = loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    news = &mut news => break news,
                    () = sleep(GATHER) => threads.catch_up(),
                }
            };
            match news {
                Ok(news) => surroundings.found(news),
                Err(error) => tracing::error!(%error, "identities cannot be held against each other"),
            }
        }
    }
}
