//! The decorators that log what changes: publications, rejections and findings between keeper and store, and what subscribers refuse. Never
//! a key.

mod flood;
mod subscribers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::clock::rfc3339;
use evercert_core::finding::{Finding, Severity};
use evercert_core::identity::{IdentityId, Scope};
use evercert_core::keeper::{IdentityState, Observer, Reload, StateError, WatchProblem};
use evercert_core::text;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::inventory::Wanted;
use crate::publication::SubscriberObserver;
use flood::{Floods, Kind};
use subscribers::SubscriberJournal;

/// Logs what passes on to the next observer.
pub(crate) struct Journal {
    next: Arc<dyn Observer>,
    wanted: watch::Receiver<Arc<Wanted>>,
    latest: Mutex<HashMap<IdentityId, Known>>,
    floods: Arc<Floods>,
}

/// What was told of an identity.
struct Known {
    state: Arc<IdentityState>,
    /// Its name for people. That of its pod may be forgotten before the identity is.
    title: Arc<str>,
}

impl Journal {
    /// Passes everything on to `next`. What pods are called, and what is watched, is in `wanted`. `left_out` is told of each line that is
    /// one too many of its kind; it must not block.
    pub(crate) fn new(
        next: Arc<dyn Observer>,
        wanted: watch::Receiver<Arc<Wanted>>,
        left_out: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { next, wanted, latest: Mutex::default(), floods: Arc::new(Floods::new(left_out)) }
    }

    /// The same for what subscribers do, which is passed on to `next`.
    pub(crate) fn of_subscribers(&self, next: Arc<dyn SubscriberObserver>) -> SubscriberJournal {
        SubscriberJournal::new(next, self.wanted.clone(), Arc::clone(&self.floods))
    }

    fn told(&self, id: &IdentityId, title: &str, before: &[Finding], after: &[Finding]) {
        let (told, now) = (Told { id, title }, Instant::now());
        for finding in after.iter().filter(|finding| !before.contains(finding)) {
            if self.floods.may_tell(Kind::Found(finding.check), now) {
                told.found(finding);
            }
        }
        for finding in before.iter().filter(|old| !after.iter().any(|new| new.check == old.check)) {
            if self.floods.may_tell(Kind::Gone(finding.check), now) {
                info!(identity = %title, pod_uid = told.pod_uid(), check = %finding.check, "no longer so");
            }
        }
    }

    /// Whether the configuration still asks for the identity, by a pattern of directories: then its directory is gone.
    fn is_asked_for(&self, state: &IdentityState) -> bool {
        let directory = state.spec.files.paths().next().and_then(|file| file.parent());
        let wanted = self.wanted.borrow();
        directory.is_some_and(|directory| wanted.watched.iter().any(|watched| watched.pattern.means(directory)))
    }
}

impl Observer for Journal {
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>) {
        // First on to whoever waits for it: a line in a log is in no hurry.
        self.next.state(id, Arc::clone(&state));
        let title: Arc<str> = self.wanted.borrow().pods.title(id).into();
        let known = Known { state: Arc::clone(&state), title: Arc::clone(&title) };
        let previous = self.latest.lock().insert(id.clone(), known).map(|known| known.state);
        let generation = |state: &IdentityState| state.snapshot.as_ref().map(|snapshot| snapshot.generation());
        if generation(&state) != previous.as_deref().and_then(generation) {
            Told { id, title: &title }.published(&state, previous.as_deref());
        }
        let before = previous.as_ref().map_or(&[][..], |previous| &previous.findings);
        self.told(id, &title, before, &state.findings);
    }

    fn removed(&self, id: &IdentityId) {
        self.next.removed(id);
        let Some(Known { state, title }) = self.latest.lock().remove(id) else { return };
        let told = Told { id, title: &title };
        if id.scope == Scope::Node && self.is_asked_for(&state) {
            let directory = state.spec.files.paths().next().and_then(|file| file.parent()).map(text::path);
            warn!(
                identity = %title,
                directory, "no longer kept: its directory is gone; subscribers go on with what they have until it ends"
            );
        } else {
            info!(identity = %title, pod_uid = told.pod_uid(), "no longer kept");
        }
    }

    fn reload(&self, id: &IdentityId, result: Reload, took: Duration) {
        self.next.reload(id, result, took);
        if result == Reload::Rejected && self.floods.may_tell(Kind::Rejected, Instant::now()) {
            let latest = self.latest.lock().get(id).map(|known| (Arc::clone(&known.state), Arc::clone(&known.title)));
            if let Some((state, title)) = latest {
                Told { id, title: &title }.rejected(&state);
            }
        }
    }

    fn state_unwritten(&self, id: &IdentityId, error: &StateError) {
        self.next.state_unwritten(id, error);
    }

    fn watch_problem(&self, problem: WatchProblem) {
        self.next.watch_problem(problem);
    }

    fn scanned(&self, at: SystemTime) {
        self.next.scanned(at);
        self.floods.tell();
    }
}

/// The identity that a line is about.
struct Told<'a> {
    id: &'a IdentityId,
    title: &'a str,
}

impl Told<'_> {
    /// The UID of its pod, beside the pod's name, which another pod may have later.
    fn pod_uid(&self) -> Option<&str> {
        match &self.id.scope {
            Scope::Node => None,
            Scope::Pod(uid) => Some(uid),
        }
    }

    fn published(&self, state: &IdentityState, before: Option<&IdentityState>) {
        let Some(snapshot) = &state.snapshot else { return };
        let leaf = snapshot.credential().map(|credential| credential.leaf());
        let before = before.and_then(|state| state.snapshot.as_deref());
        let previous = before.and_then(|snapshot| snapshot.credential()).map(|credential| credential.leaf());
        info!(
            identity = %self.title,
            pod_uid = self.pod_uid(),
            generation = snapshot.generation(),
            digest = %snapshot.digest(),
            serial = leaf.map(|leaf| &*leaf.hexadecimal_serial),
            fingerprint = leaf.map(|leaf| tracing::field::display(&leaf.fingerprint)),
            not_after = leaf.map(|leaf| rfc3339(leaf.not_after)),
            previous = previous.map(|leaf| tracing::field::display(&leaf.fingerprint)),
            previous_generation = before.map(|snapshot| snapshot.generation()),
            anchors = snapshot.bundles().own.as_ref().map_or(0, |bundle| bundle.anchors().len()),
            "published"
        );
    }

    /// The set of files as it was last read is not served.
    fn rejected(&self, state: &IdentityState) {
        let chain = state.spec.files.credential.as_ref().map(|files| files.chain());
        let leaf = state.on_disk.iter().find(|certificate| Some(&*certificate.file) == chain);
        let rejecting = state.findings.iter().filter(|finding| finding.severity == Severity::Reject);
        let checks: Vec<_> = rejecting.map(|finding| finding.check.as_str()).collect();
        let leaf = leaf.map(|leaf| &leaf.facts);
        let generation = state.snapshot.as_ref().map(|snapshot| snapshot.generation());
        let outcome = if generation.is_some() { "the last good stays" } else { "and nothing is published yet" };
        error!(
            identity = %self.title,
            pod_uid = self.pod_uid(),
            generation,
            serial = leaf.map(|leaf| &*leaf.hexadecimal_serial),
            fingerprint = leaf.map(|leaf| tracing::field::display(&leaf.fingerprint)),
            not_after = leaf.map(|leaf| rfc3339(leaf.not_after)),
            checks = checks.join(","),
            "rejected: {outcome}"
        );
    }

    fn found(&self, finding: &Finding) {
        let file = finding.file.as_deref().map(text::path);
        let Finding { check, sentence, .. } = finding;
        let (found, expected) = (finding.found.as_deref(), finding.expected.as_deref());
        let (identity, pod_uid) = (tracing::field::display(self.title), self.pod_uid());
        match finding.severity {
            Severity::Info => info!(identity, pod_uid, %check, file, found, expected, "{sentence}"),
            Severity::Warn => warn!(identity, pod_uid, %check, file, found, expected, "{sentence}"),
            Severity::Reject => error!(identity, pod_uid, %check, file, found, expected, "{sentence}"),
        }
    }
}
