//! Adds to the state of an identity what its files cannot know: that another one has its name, that what held its directory went away, or
//! what shows beside what other identities publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::finding::{Check, Finding};
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use parking_lot::Mutex;

use super::authorities::{Found, is_of_neighbours};
use crate::publication::Store;

/// A decorator of the store that adds such findings to the states that pass.
pub(crate) struct Surroundings {
    store: Arc<Store>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What was found with the directories.
    of_sources: BTreeMap<IdentityId, Vec<Finding>>,
    /// What was found beside others.
    of_neighbours: BTreeMap<IdentityId, Vec<Found>>,
}

impl Known {
    /// The state with what is known of its surroundings in the place of what was.
    fn added_to(&self, id: &IdentityId, state: &Arc<IdentityState>) -> Arc<IdentityState> {
        let is_own = |finding: &&Finding| {
            !matches!(finding.check, Check::NameCollision | Check::DirectoryAway) && !is_of_neighbours(finding.check)
        };
        let of_sources = self.of_sources.get(id).into_iter().flatten().cloned();
        let of_neighbours = self.of_neighbours.get(id).into_iter().flatten().map(|found| found.finding(&state.spec));
        let findings: Arc<[_]> =
            state.findings.iter().filter(is_own).cloned().chain(of_sources).chain(of_neighbours).collect();
        if findings == state.findings {
            return Arc::clone(state);
        }
        Arc::new(IdentityState { findings, ..IdentityState::clone(state) })
    }
}

impl Surroundings {
    /// Passes states on to `store`.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// These were found with the directories, and no others.
    pub(crate) fn replace(&self, new: BTreeMap<IdentityId, Vec<Finding>>) {
        // Under the lock to the end: a state that passes meanwhile would be overwritten by the older one that was
        // read here.
        let mut known = self.known.lock();
        let old = std::mem::replace(&mut known.of_sources, new);
        for id in old.keys().chain(known.of_sources.keys().filter(|id| !old.contains_key(*id))) {
            if old.get(id) != known.of_sources.get(id) {
                self.tell(&known, id);
            }
        }
    }

    /// These were found beside others; nothing is found any more of an identity with none.
    pub(crate) fn found(&self, news: Vec<(IdentityId, Vec<Found>)>) {
        let mut known = self.known.lock();
        for (id, found) in news {
            if found.is_empty() {
                known.of_neighbours.remove(&id);
            } else {
                known.of_neighbours.insert(id.clone(), found);
            }
            self.tell(&known, &id);
        }
    }

    fn tell(&self, known: &Known, id: &IdentityId) {
        let Some(state) = self.store.get(id) else { return };
        let told = known.added_to(id, &state);
        if !Arc::ptr_eq(&told, &state) {
            self.store.state(id, told);
        }
    }
}

impl Observer for Surroundings {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        let known = self.known.lock();
        self.store.state(id, known.added_to(id, &state));
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
