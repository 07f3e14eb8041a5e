//! A record of what a keeper tells, and how to wait for it.
#![allow(dead_code, reason = "each test needs a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::digest::Digest;
use evercert_core::finding::{Check, Finding};
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Keeper, KeeperSettings, Observer, Reload, StateError, WatchProblem};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
pub(crate) use evercert_fixtures::wait::DEADLINE;
use evercert_fixtures::{Authority, Issued};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Sets of one authority for one name.
pub(crate) fn issued<const N: usize>() -> [Issued; N] {
    let authority = Authority::new("root");
    std::array::from_fn(|_| authority.issue_dns("a.example.org"))
}

/// Everything an observer was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) states: Vec<(IdentityId, Arc<IdentityState>)>,
    pub(crate) removed: Vec<IdentityId>,
    pub(crate) reloads: Vec<(IdentityId, Reload, Duration)>,
    pub(crate) problems: Vec<WatchProblem>,
    pub(crate) scans: usize,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    told: Mutex<Told>,
    changes: watch::Sender<()>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { told: Mutex::default(), changes: watch::Sender::new(()) })
    }

    fn note(&self, note: impl FnOnce(&mut Told)) {
        note(&mut self.told.lock());
        self.changes.send_replace(());
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Told) -> T) -> T {
        read(&self.told.lock())
    }

    pub(crate) async fn until<T>(&self, what: &str, mut read: impl FnMut(&Told) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some(found) = self.read(&mut read) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        });
        found.await.unwrap_or_else(|_| panic!("never saw {what}: {:#?}", self.told.lock()))
    }

    /// Waits until this identity serves this leaf.
    pub(crate) async fn serves(&self, name: &str, issued: &Issued) -> Arc<IdentityState> {
        let leaf = Digest::fingerprint(&issued.leaf_der);
        self.until(&format!("{name} serve its leaf"), |told| {
            told.latest(name).filter(|state| leaf_of(state) == Some(leaf)).cloned()
        })
        .await
    }

    /// Waits until this identity has a finding of this check.
    pub(crate) async fn finds(&self, name: &str, check: Check) -> Finding {
        let find = |told: &Told| told.latest(name)?.findings.iter().find(|finding| finding.check == check).cloned();
        self.until(&format!("{check} of {name}"), find).await
    }
}

impl Told {
    pub(crate) fn latest(&self, name: &str) -> Option<&Arc<IdentityState>> {
        self.states.iter().rev().find(|(id, _)| *id == id_of(name)).map(|(_, state)| state)
    }

    /// The leaves in the order they were published.
    pub(crate) fn published(&self, name: &str) -> Vec<(u64, Digest)> {
        let snapshots = self.states.iter().filter(|(id, _)| *id == id_of(name)).filter_map(|(_, state)| {
            let snapshot = state.snapshot.as_ref()?;
            Some((snapshot.generation(), leaf_of(state)?))
        });
        let mut published: Vec<_> = snapshots.collect();
        published.dedup();
        published
    }
}

impl Observer for Recorder {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        self.note(|told| told.states.push((id.clone(), state)));
    }

    fn removed(&self, id: &IdentityId) {
        self.note(|told| told.removed.push(id.clone()));
    }

    fn reload(&self, id: &IdentityId, result: Reload, took: Duration) {
        self.note(|told| told.reloads.push((id.clone(), result, took)));
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.note(|told| told.problems.push(problem));
    }

    fn scanned(&self, _at: SystemTime) {
        self.note(|told| told.scans += 1);
    }

    fn state_unwritten(&self, _: &IdentityId, _: &StateError) {}
}

pub(crate) fn id_of(name: &str) -> IdentityId {
    IdentityId::node(name.parse().unwrap())
}

pub(crate) fn leaf_of(state: &IdentityState) -> Option<Digest> {
    state.snapshot.as_ref()?.credential().map(|credential| credential.leaf().fingerprint)
}

pub(crate) fn anchors_of(state: &IdentityState) -> Option<usize> {
    Some(state.snapshot.as_ref()?.bundles().own.as_ref()?.anchors().len())
}

pub(crate) fn spec(name: &str, directory: &Path) -> IdentitySpec {
    IdentitySpec {
        id: id_of(name),
        files: FileSet::cert_manager(directory),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    }
}

pub(crate) fn keeper(recorder: &Arc<Recorder>, specs: Vec<IdentitySpec>) -> Keeper {
    ticking(Duration::from_secs(3600), recorder, specs)
}

pub(crate) fn ticking(tick: Duration, recorder: &Arc<Recorder>, specs: Vec<IdentitySpec>) -> Keeper {
    let observer: Arc<dyn Observer> = Arc::clone(recorder) as _;
    let keeper = Keeper::start(KeeperSettings { tick, ..KeeperSettings::default() }, observer);
    keeper.keep(specs);
    keeper
}
