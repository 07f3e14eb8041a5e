//! What the endpoints present that identities name in `serves`: whether a certificate that was renewed is really served.
//!
//! [`Schedule`] is pure: identities and time in, who is due out. `presented` asks one endpoint, `watch` carries the schedule out, a few
//! endpoints at a time, on a task of its own. Nothing that is published waits for it.

mod presented;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Endpoint;
use crate::inventory::Wanted;
use crate::publication::Store;

use presented::{Presented, Unknown};
use schedule::{Expected, Judgement, Schedule};

/// How many endpoints are asked at a time.
const CONCURRENT: usize = 4;

/// How long an answer may take: looking the name up, connecting and the handshake together.
const DEADLINE: Duration = Duration::from_secs(5);

/// An endpoint of an identity.
pub(crate) type Key = (IdentityId, Endpoint);

/// What an endpoint was found to present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// A leaf.
    Leaf {
        /// Its begin.
        not_before: SystemTime,
        /// Its end.
        not_after: SystemTime,
        /// Whether it is another than the one that is published, which is so for long enough; absent where it may only be late.
        is_stale: Option<bool>,
    },
    /// That cannot be told: it does not answer, or not by TLS.
    Unknown,
}

/// Is told of what was found.
pub(crate) trait EndpointObserver: Send + Sync {
    /// An endpoint was asked.
    fn asked(&self, key: &Key, served: Served);
    /// An endpoint is of no interest any more.
    fn forgotten(&self, key: &Key);
}

/// Asks the endpoints of `wanted` whose identities are published, until `shutdown`.
pub(crate) async fn watch(
    mut wanted: watch::Receiver<Arc<Wanted>>,
    store: Arc<Store>,
    observer: Arc<dyn EndpointObserver>,
    shutdown: CancellationToken,
) {
    let mut changes = store.changes();
    let mut schedule = Schedule::default();
    let mut asking = JoinSet::new();
    loop {
        let now = Instant::now();
        // Without endpoints no change matters, and each would wake a thread on the way of a rotation.
        let (expected, has_endpoints) = {
            let wanted = wanted.borrow_and_update();
            (expected(&wanted, &store), !wanted.serves.is_empty())
        };
        schedule.expect(expected, now).iter().for_each(|key| observer.forgotten(key));
        while asking.len() < CONCURRENT
            && let Some((key, expected)) = schedule.due(now)
        {
            asking.spawn(async move {
                let found =
                    tokio::time::timeout(DEADLINE, presented::by(&key.1, expected.server_name.as_deref())).await;
                (key, expected.leaf, found.unwrap_or(Err(Unknown::Late(DEADLINE))))
            });
        }
        let next = schedule.next().filter(|_| asking.len() < CONCURRENT);
        tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = changes.changed(), if has_endpoints => {}
            Ok(()) = wanted.changed() => {}
            Some(Ok((key, leaf, found))) = asking.join_next() => {
                match &found {
                    Ok(_) => schedule.answered(&key),
                    Err(_) => schedule.failed(&key, leaf, Instant::now()),
                }
                if let Some(served) = judged(&schedule, &key, leaf, found, Instant::now()) {
                    observer.asked(&key, served);
                }
            }
            () = wait(next) => {}
        }
    }
}

/// The endpoints of published identities, and what they are expected to present.
fn expected(wanted: &Wanted, store: &Store) -> Vec<(Key, Expected)> {
    let endpoints = wanted.serves.iter().filter_map(|(id, endpoints)| {
        let state = store.get(id)?;
        let leaf = state.snapshot.as_ref()?.credential()?.leaf();
        let names = leaf.names.dns.iter().find(|name| !name.contains('*')).cloned();
        let expected = Expected { leaf: leaf.fingerprint, server_name: names };
        Some(endpoints.iter().map(move |endpoint| ((id.clone(), endpoint.clone()), expected.clone())))
    });
    endpoints.flatten().collect()
}

/// What is known now of an endpoint that was asked; nothing of one that is of no interest any more.
fn judged(
    schedule: &Schedule,
    key: &Key,
    leaf: Digest,
    found: Result<Presented, Unknown>,
    now: Instant,
) -> Option<Served> {
    let (identity, endpoint) = key;
    match found {
        Ok(Presented { fingerprint, not_before, not_after }) => {
            let judgement = schedule.judge(key, leaf, fingerprint, now)?;
            match judgement {
                Judgement::Fresh => debug!(%identity, %endpoint, "it presents what is published"),
                Judgement::MayBeLate => info!(%identity, %endpoint, "it does not present yet what is published"),
                Judgement::Stale => {
                    warn!(%identity, %endpoint, presented = %fingerprint, published = %leaf, "it presents another certificate than is published");
                }
            }
            let is_stale = match judgement {
                Judgement::Fresh => Some(false),
                Judgement::Stale => Some(true),
                Judgement::MayBeLate => None,
            };
            Some(Served::Leaf { not_before, not_after, is_stale })
        }
        Err(error) => {
            debug!(%identity, %endpoint, %error, "what it presents is not known");
            schedule.has(key).then_some(Served::Unknown)
        }
    }
}

async fn wait(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
