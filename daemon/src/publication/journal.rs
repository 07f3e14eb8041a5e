//! The decorator between keeper and store that logs what changes: publications and findings, never a key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::clock::rfc3339;
use evercert_core::finding::{Finding, Severity};
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use parking_lot::Mutex;
use tracing::{error, info, warn};

/// Logs what passes on to the next observer.
pub(crate) struct Journal {
    next: Arc<dyn Observer>,
    latest: Mutex<HashMap<IdentityId, Arc<IdentityState>>>,
}

impl Journal {
    /// Passes everything on to `next`.
    pub(crate) fn new(next: Arc<dyn Observer>) -> Self {
        Self { next, latest: Mutex::default() }
    }
}

impl Observer for Journal {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        // First on to whoever waits for it: a line in a log is in no hurry.
        self.next.state(id, Arc::clone(&state));
        let previous = self.latest.lock().insert(id.clone(), Arc::clone(&state));
        let generation = |state: &IdentityState| state.snapshot.as_ref().map(|snapshot| snapshot.generation());
        if generation(&state) != previous.as_deref().and_then(generation) {
            published(id, &state);
        }
        let before = previous.as_ref().map_or(&[][..], |previous| &previous.findings);
        state.findings.iter().filter(|finding| !before.contains(finding)).for_each(|finding| found(id, finding));
        for finding in before.iter().filter(|old| !state.findings.iter().any(|new| new.check == old.check)) {
            info!(identity = %id, check = %finding.check, "no longer so");
        }
    }

    fn removed(&self, id: &IdentityId) {
        self.next.removed(id);
        self.latest.lock().remove(id);
        info!(identity = %id, "no longer kept");
    }

    fn reload(&self, id: &IdentityId, result: Reload, took: Duration) {
        self.next.reload(id, result, took);
    }

    fn state_unwritten(&self, id: &IdentityId, error: &StateError) {
        self.next.state_unwritten(id, error);
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.next.watch_problem(problem);
    }

    fn scanned(&self, at: SystemTime) {
        self.next.scanned(at);
    }
}

fn published(id: &IdentityId, state: &IdentityState) {
    let Some(snapshot) = &state.snapshot else { return };
    let (generation, digest) = (snapshot.generation(), snapshot.digest());
    let anchors = snapshot.bundles().own.as_ref().map_or(0, |bundle| bundle.anchors().len());
    match snapshot.credential().map(|credential| credential.leaf()) {
        Some(leaf) => info!(
            identity = %id, generation, %digest, serial = leaf.serial, leaf = %leaf.fingerprint,
            not_after = rfc3339(leaf.not_after), anchors, "published"
        ),
        None => info!(identity = %id, generation, %digest, anchors, "published"),
    }
}

fn found(id: &IdentityId, finding: &Finding) {
    let file = finding.file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
    let Finding { check, sentence, .. } = finding;
    let (found, expected) = (finding.found.as_deref().unwrap_or("-"), finding.expected.as_deref().unwrap_or("-"));
    match finding.severity {
        Severity::Info => info!(identity = %id, %check, file, found, expected, "{sentence}"),
        Severity::Warn => warn!(identity = %id, %check, file, found, expected, "{sentence}"),
        Severity::Reject => error!(identity = %id, %check, file, found, expected, "{sentence}"),
    }
}
