//! Holds what identities publish against each other, beside the publication path.

use std::sync::Arc;
use std::time::Duration;

use evercert_core::identity::IdentityId;
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Census, Readiness, Store, Surroundings};

/// How long changes are gathered before they are looked at: many sets change at once, and none of it is urgent.
const GATHER: Duration = Duration::from_secs(1);

/// Tells `surroundings` what is found, until `shutdown`.
pub(crate) async fn compare(
    store: Arc<Store>,
    readiness: Readiness,
    census: Arc<Mutex<Census<IdentityId>>>,
    surroundings: Arc<Surroundings>,
    shutdown: CancellationToken,
) {
    let mut changes = store.changes();
    // What is told is a change, too, of which nothing new is found.
    while let Some(Ok(())) = shutdown.run_until_cancelled(changes.changed()).await {
        if shutdown.run_until_cancelled(sleep(GATHER)).await.is_none() {
            return;
        }
        changes.mark_unchanged();
        let (readiness, census) = (readiness.clone(), Arc::clone(&census));
        // Signatures are verified.
        let news = tokio::task::spawn_blocking(move || {
            let identities = readiness.identities().0;
            let is_complete = identities.iter().all(|(_, state)| state.is_some());
            let published =
                identities.iter().map(|(id, state)| (id, state.as_ref().and_then(|state| state.snapshot.as_deref())));
            let mut census = census.lock();
            census.catch_up(published);
            census.news(is_complete)
        });
        match news.await {
            Ok(news) => surroundings.found(news),
            Err(error) => tracing::error!(%error, "identities cannot be held against each other"),
        }
    }
}
