//! Anchors that leave a credential's `ca.crt` stay trusted for a while.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Check, Finding, IdentityState, Lifecycle, Material, Part, Step, same};
use crate::clock::expiry;
use crate::finding::Severity;
use crate::overlap::Overlap;
use crate::spec::{BundleFile, IdentitySpec};
use crate::state_file::StateError;

impl Lifecycle {
    /// Takes the overlap of an earlier process: before the first event, or when it can be read at last. One retained by then stays.
    pub(crate) fn recall(&mut self, overlap: Overlap) {
        self.recalled = true;
        if self.trusted.overlap.is_empty() {
            self.trusted.overlap = overlap;
        }
    }

    /// The anchors that left the bundle's file and stay trusted.
    pub(crate) fn overlap(&self) -> &Overlap {
        &self.trusted.overlap
    }

    /// Whether [`Lifecycle::recall`] was called.
    pub(crate) fn has_recalled(&self) -> bool {
        self.recalled
    }

    /// The request of [`Step::remember`] is done. True if that makes another state.
    pub(crate) fn remembered(&mut self) -> bool {
        self.unremembered = false;
        self.recalled = true;
        self.tell_unwritten(None)
    }

    /// The overlap could not be written down, or the one written down not be read: it is to be tried again. True if that makes another
    /// state.
    pub(crate) fn not_remembered(&mut self, error: &StateError) -> bool {
        let sentence = if error.reading {
            format!(
                "whether anchors that left the bundle are to stay trusted for a while is not known: {error}; until it can be read they are not, and \
                 peers that have leaves under them are refused"
            )
        } else {
            format!(
                "which anchors that left the bundle stay trusted, and until when, is in force but a restart would not know of it: {error}; it is \
                 tried again at every tick"
            )
        };
        let finding = Finding::new(Check::StateNotWritten, Severity::Warn, sentence).in_file(&error.path);
        self.tell_unwritten(Some(Box::new(finding)))
    }

    /// Whether what is remembered has to be tried again.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.unwritten.is_some()
    }

    fn tell_unwritten(&mut self, finding: Option<Box<Finding>>) -> bool {
        if self.unwritten == finding {
            return false;
        }
        self.unwritten = finding;
        let findings = self.state.findings.iter().filter(|finding| finding.check != Check::StateNotWritten).cloned();
        let findings = findings.chain(self.unwritten.as_deref().cloned()).collect();
        self.state = Arc::new(IdentityState { findings, ..IdentityState::clone(&self.state) });
        true
    }

    /// The overlap once the bundle of `material` is the last good.
    pub(super) fn prospect(&self, material: &Material, now: SystemTime) -> Overlap {
        let mut overlap = self.lapsed(self.trusted.overlap.clone(), now);
        let Part::Whole(incoming) = &material.bundle else { return overlap };
        match &self.trusted.bundle {
            Some(outgoing) if self.bundle_is_of_file && self.state.snapshot.is_some() => {
                let leaf_ends = self.credential.as_ref().map(|credential| expiry(credential.leaf().not_after));
                let latest = now + self.longest();
                let crls = self.trusted.own();
                let crls = crls.as_ref().map_or(&[][..], |own| own.crls());
                overlap.replaced(outgoing, crls, incoming, leaf_ends.map_or(latest, |end| end.min(latest)));
            }
            _ => overlap.returned(incoming),
        }
        let files =
            material.crls.iter().filter_map(|part| if let Part::Whole(crls) = part { Some(crls) } else { None });
        overlap.renewed(incoming.crls().iter().chain(files.flat_map(|crls| crls.iter())));
        self.lapsed(overlap, now)
    }

    /// The part of an overlap that is left by now.
    pub(super) fn lapsed(&self, overlap: Overlap, now: SystemTime) -> Overlap {
        match self.longest() {
            Duration::ZERO => Overlap::default(),
            // Before anything is published the clock may be one that was never set.
            longest if self.state.snapshot.is_some() => overlap.passed(now).capped(now + longest),
            _ => overlap.passed(now),
        }
    }

    /// How long an anchor may be retained at the most.
    pub(super) fn longest(&self) -> Duration {
        match self.spec.files.bundle {
            Some(BundleFile::OfCredential(_)) => self.spec.overlap.min(IdentitySpec::OVERLAP),
            _ => Duration::ZERO,
        }
    }

    /// Retains this from now on.
    pub(super) fn retain(&mut self, overlap: Overlap) {
        self.unremembered |= overlap != self.trusted.overlap;
        self.trusted.overlap = overlap;
    }

    /// Time has passed without a reading that could be assessed: what is retained comes to its end all the same.
    pub(super) fn pass(&mut self, now: SystemTime) -> Step {
        self.retain(self.lapsed(self.trusted.overlap.clone(), now));
        let changed = self.state.snapshot.is_some() && !self.trusted.overlap.is_as(&self.state.overlap);
        if changed {
            let snapshot = self.snapshot();
            let findings = self.state.findings.iter().filter(|finding| finding.check != Check::TrustOverlap).cloned();
            self.state = Arc::new(IdentityState {
                published_at: if same(self.state.snapshot.as_ref(), snapshot.as_ref()) {
                    self.state.published_at
                } else {
                    Some(now)
                },
                snapshot,
                findings: findings.chain(self.trusted.overlap.finding(&self.spec)).collect(),
                overlap: self.trusted.overlap.told(),
                ..IdentityState::clone(&self.state)
            });
        }
        self.wake_at = self.trusted.overlap.next_end();
        Step { changed, wake_at: self.wake_at, ..Step::default() }
    }
}
