//! The identity's one task: from the source's states to swaps and reports.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use evercert_core::clock::rfc3339;
use evercert_core::snapshot::Snapshot;
use tokio::time::Instant;

use super::change::Change;
use super::clock::Clock;
use super::status::{RefusedGeneration, State};
use super::tally::Count;
use super::{Attached, Commit, ExpiryPolicy, Shared};
use crate::refusal::Refusal;
use crate::source::{Outcome, Report, SourceState};
use crate::tls::Generation;

/// The interval at which a refused generation is tried again: what refused it may be gone.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// The time changes in the number of older connections are collected before they are reported.
const TALLY_PAUSE: Duration = Duration::from_millis(50);

/// Follows the source until the identity is dropped or the source ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut states = shared.source.state();
    let mut told = None;
    let mut snapshot = None;
    let mut clock = Clock::default();
    let mut delivered = true;
    let mut retry_at = Instant::now();
    loop {
        if delivered {
            retry_at = Instant::now() + REFUSED_RETRY;
            let state = states.borrow_and_update().clone();
            snapshot = state.snapshot.clone();
            shared.follow(state);
        }
        let until = shared.look_at(&mut clock, SystemTime::now());
        // Not what came meanwhile: that was not taken up.
        if let Some(snapshot) = &snapshot {
            shared.report(snapshot, &mut told);
        }
        let refused = shared.state.borrow().refused.is_some();
        let older = async {
            shared.tally.changed().await;
            tokio::time::sleep(TALLY_PAUSE).await;
        };
        delivered = tokio::select! {
            changed = states.changed() => match changed {
                Ok(()) => true,
                Err(_) => break,
            },
            () = tokio::time::sleep_until(retry_at), if refused => true,
            () = tokio::time::sleep(until) => false,
            () = older => false,
        };
    }
    tracing::warn!(identity = %shared.name, "the source has ended; the last generation stays in use");
    shared.state.send_modify(|state| {
        state.connected = false;
        state.trouble = Some("the source has ended; the last generation stays in use".into());
    });
    loop {
        let until = shared.look_at(&mut clock, SystemTime::now());
        tokio::time::sleep(until).await;
    }
}

impl Shared {
    fn follow(&self, source: SourceState) {
        // First, so that whoever sees the generation sees the source that has it.
        self.state.send_if_modified(|state| {
            let modified = state.connected != source.connected || state.trouble != source.trouble;
            state.connected = source.connected;
            state.trouble = source.trouble;
            modified
        });
        if let Some(snapshot) = &source.snapshot {
            self.take_up(snapshot);
        }
    }

    /// Puts the snapshot to use, unless that is done already.
    fn take_up(&self, snapshot: &Arc<Snapshot>) {
        let (current, refused) = {
            let state = self.state.borrow();
            (state.current.clone(), state.refused.clone())
        };
        match current {
            Some(current) if Arc::ptr_eq(current.snapshot(), snapshot) && refused.is_none() => {}
            Some(current) if current.snapshot().digest() == snapshot.digest() => {
                self.renumber(current.renumbered(Arc::clone(snapshot)));
            }
            current => {
                if let Err(refusal) = self.swap(snapshot, current.as_deref()) {
                    self.refuse(snapshot, &refusal, refused.as_ref());
                }
            }
        }
    }

    /// Reports on the snapshot delivered last, where that is news.
    fn report(&self, snapshot: &Snapshot, told: &mut Option<Report>) {
        let count = self.tally.count();
        let report = {
            let state = self.state.borrow();
            let refusal = state.refused.as_ref().map(|refused| &refused.refusal).or(state.withdrawn.as_ref());
            Report {
                generation: snapshot.generation(),
                digest: snapshot.digest(),
                outcome: match refusal {
                    Some(refusal) => Outcome::Refused(refusal.clone()),
                    None if self.is_settled(count) => Outcome::Settled,
                    None => Outcome::Current,
                },
                connections_on_older: count.older,
                not_after: state.current.as_deref().and_then(Generation::not_after),
            }
        };
        if told.as_ref() != Some(&report) {
            *told = Some(report.clone());
            self.source.report(report);
        }
    }

    pub(super) fn is_settled(&self, count: Count) -> bool {
        count.older == 0 && !count.may_grow && !self.untallied.load(Ordering::Relaxed)
    }

    /// Loads the snapshot and puts it to use.
    fn swap(&self, snapshot: &Arc<Snapshot>, previous: Option<&Generation>) -> Result<(), Refusal> {
        let generation = Generation::following(Arc::clone(snapshot), previous, self.path_policy)?;
        match generation.not_after() {
            Some(end) if self.expiry == ExpiryPolicy::FailClosed && generation.has_expired(SystemTime::now()) => {
                Err(Refusal::Expired(end))
            }
            _ => self.commit(Arc::new(generation), Change::Content),
        }
    }

    /// Has every consumer prepare the generation, and only then puts it to use.
    pub(super) fn commit(&self, generation: Arc<Generation>, change: Change) -> Result<(), Refusal> {
        let mut consumers = self.consumers.lock();
        consumers.retain(Attached::is_alive);
        let mut commits: Vec<(&mut bool, Commit)> = Vec::with_capacity(consumers.len());
        for Attached { consumer, idle } in consumers.iter_mut() {
            let Some(consumer) = consumer.upgrade() else { continue };
            match consumer.prepare(&generation) {
                Ok(commit) => commits.push((idle, commit)),
                Err(refusal) if *idle => {
                    tracing::warn!(identity = %self.name, %refusal, "a part of this process still has no generation it can use");
                }
                Err(refusal) => return Err(refusal),
            }
        }
        for (idle, commit) in commits {
            commit();
            *idle = false;
        }
        if change == Change::Content {
            log_swap(&self.name, &generation);
        }
        self.tally.swap(generation.sequence());
        self.state.send_modify(|state| {
            state.current = Some(generation);
            if change == Change::Content {
                state.swaps += 1;
                state.refused = None;
            }
            state.withdrawn = None;
        });
        drop(consumers);
        Ok(())
    }

    /// The same content under another number: consumers keep what they have.
    fn renumber(&self, generation: Generation) {
        let _consumers = self.consumers.lock();
        self.state.send_modify(|state| {
            state.current = Some(Arc::new(generation));
            state.refused = None;
        });
    }

    fn refuse(&self, snapshot: &Snapshot, refusal: &Refusal, before: Option<&RefusedGeneration>) {
        let refused = RefusedGeneration {
            generation: snapshot.generation(),
            digest: snapshot.digest(),
            refusal: refusal.clone(),
        };
        if before == Some(&refused) {
            return;
        }
        let kept = self.state.borrow().current.as_deref().map(|generation| generation.snapshot().generation());
        tracing::warn!(
            identity = %self.name, generation = refused.generation, digest = %refused.digest, kept, %refusal,
            "refused a generation"
        );
        self.state.send_modify(|state: &mut State| state.refused = Some(refused));
    }
}

fn log_swap(identity: &str, generation: &Generation) {
    let snapshot = generation.snapshot();
    let leaf = snapshot.credential().map(|credential| credential.leaf());
    tracing::info!(
        identity,
        generation = snapshot.generation(),
        digest = %snapshot.digest(),
        serial = leaf.map(|leaf| leaf.hexadecimal_serial.as_str()),
        not_after = leaf.map(|leaf| rfc3339(leaf.not_after)),
        "swapped"
    );
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::Authority;

    use crate::identity::Identity;
    use crate::identity::scripted::{Scripted, certified, started, uncertified};

    #[tokio::test(start_paused = true)]
    async fn a_refused_generation_is_used_once_what_refused_it_is_gone() {
        let ca = Authority::new("root");
        let source = Scripted::new(certified(1, &[&ca]));
        let mut identity = started(Identity::from_source("test", std::sync::Arc::clone(&source) as _)).await;
        let certifier = identity.certifier().unwrap();
        source.deliver(uncertified(2, &[&ca]));
        identity.state.clone().wait_for(|state| state.refused.is_some()).await.unwrap();
        drop(certifier);
        let used = tokio::time::timeout(2 * super::REFUSED_RETRY, identity.changed()).await.unwrap();
        assert_eq!(used.snapshot().generation(), 2);
        assert_eq!(identity.status().refused, None);
    }
}
