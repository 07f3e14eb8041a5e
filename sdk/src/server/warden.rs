//! The task for each identity of a server that sees to it that no connection outlives what it was accepted for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::clock::Now;
use evercert_core::digest::Digest;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::connections::{Connections, Due, PeerCheck, Watch};
use super::drain::is_most;
use super::slot::Slot;
use crate::identity::{Identity, now};
use crate::tls::{AllowedPeers, Generation};

/// The longest sleep of the warden while anything is due: so late it notices a wall clock that was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// The most that the clocks may part before everything is planned anew.
const CLOCK_JUMP: Duration = Duration::from_secs(1);

/// The number of peers verified at a stretch, on a thread beside the runtime's workers; some 100 µs each, and a hostile chain about a
/// millisecond.
const BATCH: usize = 64;

/// The most fingerprints in a line of the log.
const LOGGED: usize = 8;

/// Watches over `connections` until there are none and none will come. Meanwhile the slot stays attached, so that a swap is
/// seen, and the identity goes on.
pub(super) async fn watch(connections: Arc<Connections>, _slot: Arc<Slot>, _identity: Identity) {
    let mut swaps = connections.allowed().map(AllowedPeers::swaps);
    // Connections may have come before this task, and another list behind them.
    let mut judged = Judged { at: now(), by_another_list: swaps.is_some() };
    loop {
        if judged.is_outdated(&connections.identity, now())
            && let Some(generation) = connections.current()
        {
            let began = now();
            judged.by_another_list = false;
            let checks = verify(&connections, &generation, connections.live(), began.wall).await;
            judged.by_another_list |= !judged.take(&connections, &generation, &checks, began);
        }
        while let Some(generation) = connections.unjudged() {
            let began = now();
            let checks = verify(&connections, &generation, connections.unverified(&generation), began.wall).await;
            judged.take(&connections, &generation, &checks, began);
        }
        let now = now().monotonic;
        let (due, watch) = connections.due(now);
        carry_out(&connections, due);
        match watch {
            Watch::Over => return,
            Watch::Idle => tokio::select! {
                () = connections.stirred.notified() => {}
                () = swapped(&mut swaps) => judged.by_another_list = true,
            },
            Watch::Until(at) => {
                let at = at.min(now + LONGEST_SLEEP);
                tokio::select! {
                    () = connections.stirred.notified() => {}
                    () = swapped(&mut swaps) => judged.by_another_list = true,
                    () = sleep_until(at.into()) => {}
                }
            }
        }
    }
}

/// Completes when another list of allowed peers is put to use. Cancel safe.
async fn swapped(swaps: &mut Option<watch::Receiver<()>>) {
    // The connections have the list, so whoever tells of another one lives as long as they do.
    match swaps {
        Some(swaps) => drop(swaps.changed().await),
        None => std::future::pending().await,
    }
}

/// The time the connections were judged last, and whether by the list of allowed peers that is in use.
struct Judged {
    at: Now,
    by_another_list: bool,
}

impl Judged {
    fn is_outdated(&self, identity: &str, now: Now) -> bool {
        let set = now.parted(self.at) > CLOCK_JUMP;
        if set {
            tracing::info!(identity, "the clock was set; connections are judged anew");
        }
        set || self.by_another_list
    }

    /// `false`: the next generation has come meanwhile, and nothing was judged.
    fn take(
        &mut self,
        connections: &Connections,
        generation: &Arc<Generation>,
        checks: &[PeerCheck],
        began: Now,
    ) -> bool {
        let taken = connections.judge(generation, checks, now());
        if taken {
            report(connections, generation, checks);
            // A clock that was set while they were verified is to be noticed.
            self.at = began;
        }
        taken
    }
}

/// Holds the peers against the generation: one batch after the other on a thread of its own, so that running calls wait for none of it, and
/// equal chains once.
async fn verify(
    connections: &Arc<Connections>,
    generation: &Arc<Generation>,
    checks: Vec<PeerCheck>,
    wall: SystemTime,
) -> Vec<PeerCheck> {
    let mut verified = Vec::with_capacity(checks.len());
    let mut known = HashMap::new();
    let mut left = checks.into_iter().peekable();
    while left.peek().is_some() {
        let mut batch: Vec<PeerCheck> = left.by_ref().take(BATCH).collect();
        let (connections, generation) = (Arc::clone(connections), Arc::clone(generation));
        let mut chains = std::mem::take(&mut known);
        let verifying = tokio::task::spawn_blocking(move || {
            for check in &mut batch {
                check.trusted = chains
                    .entry(check.session.chain())
                    .or_insert_with(|| connections.verify(&check.session, &generation, wall))
                    .clone();
            }
            (batch, chains)
        });
        match verifying.await {
            Ok((batch, chains)) => {
                known = chains;
                verified.extend(batch);
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it this task.
                Err(_) => std::future::pending().await,
            },
        }
    }
    verified
}

/// Says whose peers are not trusted any more.
fn report(connections: &Connections, generation: &Generation, checks: &[PeerCheck]) {
    let untrusted = || checks.iter().filter_map(|check| Some((check, check.trusted.as_ref().err()?)));
    let (count, live) = (untrusted().count(), connections.len());
    let Some((_, error)) = untrusted().next() else { return };
    let leaves = untrusted().filter_map(|(check, _)| check.session.peer()?.first());
    let peers: Vec<Digest> = leaves.map(|leaf| Digest::fingerprint(leaf)).take(LOGGED).collect();
    let (identity, generation) = (&connections.identity, generation.snapshot().generation());
    if is_most(count, live) {
        tracing::error!(
            %identity, generation, count, live, first_peers = ?peers, %error,
            "most peers are not trusted any more, and are drained one after the other: has the bundle lost a CA in use, or \
             the list of allowed peers a name?"
        );
    } else {
        tracing::warn!(
            %identity, generation, count, live, first_peers = ?peers, %error,
            "drain the connections of peers that are not trusted any more"
        );
    }
}

fn carry_out(connections: &Connections, due: Due) {
    let identity = &connections.identity;
    for (connection, why, serving) in due.drained {
        tracing::debug!(%identity, connection, because = why.as_str(), "drain a connection");
        drop(serving);
    }
    for (connection, why, cut) in due.cut {
        tracing::info!(%identity, connection, because = why.as_str(), "cut a connection");
        cut.cancel();
    }
}
