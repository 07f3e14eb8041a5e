//! Holds what identities publish against each other, beside the publication path.

use std::sync::Arc;
use std::time::Duration;

use evercert_core::identity::IdentityId;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Census, Readiness, Store, Surroundings};

/// How long changes are gathered before they are looked at: many sets change at once, and none of it is urgent.
const GATHER: Duration = Duration::from_secs(1);

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
        for id in self.store.take_changed() {
            let state = self.store.get(&id).map(|state| Arc::clone(&state.borrow()));
            census.take_in(&id, state.as_ref().and_then(|state| state.snapshot.as_deref()));
        }
        census
    }

    /// Tells `surroundings` what is found, until `shutdown`.
    pub(crate) async fn compare(
        self: Arc<Self>,
        readiness: Readiness,
        surroundings: Arc<Surroundings>,
        shutdown: CancellationToken,
    ) {
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
            match tokio::task::spawn_blocking(move || neighbours.census().news(is_read)).await {
                Ok(news) => surroundings.found(news),
                Err(error) => tracing::error!(%error, "identities cannot be held against each other"),
            }
        }
    }
}
