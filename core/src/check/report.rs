//! What the families of checks write to.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Check, Finding, Severity, Verdict};
use crate::spec::Admission;

/// The findings of one assessment so far, and the next instant at which they change.
pub(super) struct Report {
    now: SystemTime,
    admission: Admission,
    findings: Vec<Finding>,
    held_until: Option<SystemTime>,
    next_change: Option<SystemTime>,
}

impl Report {
    pub(super) fn new(now: SystemTime, admission: Admission) -> Self {
        Self { now, admission, findings: Vec::new(), held_until: None, next_change: None }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.now
    }

    /// Notes a finding. Under [`Admission::Observe`] one that leaves the credential usable for some peer does not reject.
    pub(super) fn add(&mut self, mut finding: Finding) {
        if self.admission == Admission::Observe && !is_useless(finding.check) {
            finding.severity = finding.severity.min(Severity::Warn);
        }
        self.findings.push(finding);
    }

    pub(super) fn reject(&mut self, check: Check, file: &Path, sentence: impl Into<String>) {
        self.add(Finding::new(check, Severity::Reject, sentence).in_file(file));
    }

    /// What was said is of the bundle of a federated trust domain.
    pub(super) fn of_trust_domain(&mut self, trust_domain: &str) {
        for finding in &mut self.findings {
            finding.sentence.insert_str(0, &format!("federated trust domain {trust_domain}: "));
        }
    }

    /// The credential may not be published before `until`.
    pub(super) fn hold(&mut self, until: SystemTime) {
        self.held_until = self.held_until.max(Some(until));
        self.changes_at(until);
    }

    /// Time alone changes what was said, at `instant`; whether that is still to come is looked at here.
    pub(super) fn changes_at(&mut self, instant: SystemTime) {
        if instant > self.now && self.next_change.is_none_or(|next| instant < next) {
            self.next_change = Some(instant);
        }
    }

    /// Whether something was said that rejects.
    pub(super) fn rejects(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Reject)
    }

    pub(super) fn verdict<T>(&self, value: &Arc<T>) -> Verdict<T> {
        if self.rejects() {
            return Verdict::Rejected;
        }
        match self.held_until {
            Some(until) => Verdict::Held { value: Arc::clone(value), until },
            None => Verdict::Admitted(Arc::clone(value)),
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Finding>, Option<SystemTime>) {
        (self.findings, self.next_change)
    }
}

/// Whether a check that rejects means that no handshake with any peer can succeed. cert-manager's temporary certificate is
/// counted among them: it is a placeholder that nobody trusts.
fn is_useless(check: Check) -> bool {
    matches!(
        check,
        Check::FileMissing
            | Check::FileUnreadable
            | Check::NotRegular
            | Check::OutsideVolume
            | Check::TooLarge
            | Check::TornRead
            | Check::Unparsable
            | Check::KeyMismatch
            | Check::KeyUnsupported
            | Check::LeafNotFirst
            | Check::Expired
            | Check::ValidityReversed
            | Check::TemporaryCertificate
    )
}
