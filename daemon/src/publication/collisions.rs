//! Adds to the state of an identity what its files cannot know: that another one has its name, or that what held its directory went
//! away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::finding::{Check, Finding};
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use parking_lot::Mutex;

use crate::publication::Store;

/// A decorator of the store that adds such findings to the states that pass.
pub(crate) struct Collisions {
    store: Arc<Store>,
    findings: Mutex<BTreeMap<IdentityId, Vec<Finding>>>,
}

impl Collisions {
    /// Passes states on to `store`.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, findings: Mutex::default() }
    }

    /// These are to be added from now on, and no others.
    pub(crate) fn replace(&self, new: BTreeMap<IdentityId, Vec<Finding>>) {
        // Under the lock to the end: a state that passes meanwhile would be overwritten by the older one that was
        // read here.
        let mut findings = self.findings.lock();
        let old = std::mem::replace(&mut *findings, new);
        for id in old.keys().chain(findings.keys().filter(|id| !old.contains_key(*id))) {
            if old.get(id) == findings.get(id) {
                continue;
            }
            let Some(state) = self.store.get(id).map(|receiver| Arc::clone(&receiver.borrow())) else { continue };
            let own = state
                .findings
                .iter()
                .filter(|finding| !matches!(finding.check, Check::NameCollision | Check::DirectoryAway))
                .cloned();
            let all = own.chain(findings.get(id).into_iter().flatten().cloned()).collect();
            self.store.state(id, Arc::new(IdentityState { findings: all, ..IdentityState::clone(&state) }));
        }
    }
}

impl Observer for Collisions {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        let findings = self.findings.lock();
        let state = match findings.get(id) {
            None => state,
            Some(more) => {
                let all = state.findings.iter().chain(more).cloned().collect();
                Arc::new(IdentityState { findings: all, ..IdentityState::clone(&state) })
            }
        };
        self.store.state(id, state);
    }

    fn removed(&self, id: &IdentityId) {
        self.store.removed(id);
    }

    fn reload(&self, id: &IdentityId, result: Reload, took: Duration) {
        self.store.reload(id, result, took);
    }

    fn state_unwritten(&self, id: &IdentityId, error: &StateError) {
        self.store.state_unwritten(id, error);
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.store.watch_problem(problem);
    }

    fn scanned(&self, at: SystemTime) {
        self.store.scanned(at);
    }
}
