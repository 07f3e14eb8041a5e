//! The identity's one task: from the source's states to swaps and reports.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evercert_core::clock::rfc3339;
use evercert_core::snapshot::Snapshot;

use super::status::{RefusedGeneration, State};
use super::{Attached, Commit, Shared};
use crate::source::{Outcome, Refusal, Report, SourceState};
use crate::tls::Generation;

/// How often a refused generation is tried again: what refused it may be gone.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// Follows the source until the identity is dropped or the source ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut states = shared.source.state();
    loop {
        let state = states.borrow_and_update().clone();
        shared.follow(state);
        let refused = shared.state.borrow().refused.is_some();
        tokio::select! {
            changed = states.changed() => if changed.is_err() {
                break;
            },
            () = tokio::time::sleep(REFUSED_RETRY), if refused => {}
        }
    }
    tracing::warn!(identity = %shared.name, "the source has ended; the last generation stays in use");
    shared.state.send_modify(|state| state.connected = false);
}

impl Shared {
    fn follow(&self, source: SourceState) {
        if let Some(snapshot) = &source.snapshot {
            self.take_up(snapshot);
        }
        self.state.send_if_modified(|state| {
            let modified = state.connected != source.connected || state.trouble != source.trouble;
            state.connected = source.connected;
            state.trouble = source.trouble;
            modified
        });
    }

    /// Puts the snapshot to use, unless that is done already, and reports what became of it.
    fn take_up(&self, snapshot: &Arc<Snapshot>) {
        let (current, refused) = {
            let state = self.state.borrow();
            (state.current.clone(), state.refused.clone())
        };
        let outcome = match current {
            Some(current) if Arc::ptr_eq(current.snapshot(), snapshot) && refused.is_none() => return,
            Some(current) if current.snapshot().digest() == snapshot.digest() => {
                self.renumber(current.renumbered(Arc::clone(snapshot)));
                Outcome::Current
            }
            _ => match self.swap(snapshot) {
                Ok(()) => Outcome::Current,
                Err(refusal) => {
                    if !self.refuse(snapshot, &refusal, refused.as_ref()) {
                        return;
                    }
                    Outcome::Refused(refusal)
                }
            },
        };
        let not_after = self.state.borrow().current.as_deref().and_then(Generation::not_after);
        self.source.report(Report { generation: snapshot.generation(), digest: snapshot.digest(), outcome, not_after });
    }

    /// Loads the snapshot, has every consumer prepare it, and only then commits.
    fn swap(&self, snapshot: &Arc<Snapshot>) -> Result<(), Refusal> {
        let generation = Arc::new(Generation::load(Arc::clone(snapshot))?);
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
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
        log_swap(&self.name, &generation);
        self.state.send_modify(|state| {
            state.current = Some(generation);
            state.swaps += 1;
            state.refused = None;
        });
        drop(consumers);
        Ok(())
    }

    /// The same content under another number: consumers keep what they have.
    fn renumber(&self, generation: Generation) {
        let _consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.send_modify(|state| {
            state.current = Some(Arc::new(generation));
            state.refused = None;
        });
    }

    /// Whether the refusal is news.
    fn refuse(&self, snapshot: &Snapshot, refusal: &Refusal, before: Option<&RefusedGeneration>) -> bool {
        let refused = RefusedGeneration {
            generation: snapshot.generation(),
            digest: snapshot.digest(),
            refusal: refusal.clone(),
        };
        if before == Some(&refused) {
            return false;
        }
        let kept = self.state.borrow().current.as_deref().map(|generation| generation.snapshot().generation());
        tracing::warn!(
            identity = %self.name, generation = refused.generation, digest = %refused.digest, kept, %refusal,
            "refused a generation"
        );
        self.state.send_modify(|state: &mut State| state.refused = Some(refused));
        true
    }
}

fn log_swap(identity: &str, generation: &Generation) {
    let snapshot = generation.snapshot();
    let leaf = snapshot.credential().map(|credential| credential.leaf());
    tracing::info!(
        identity,
        generation = snapshot.generation(),
        digest = %snapshot.digest(),
        serial = leaf.map(|leaf| leaf.serial.as_str()),
        not_after = leaf.map(|leaf| rfc3339(leaf.not_after)),
        "swapped"
    );
}
