//! The list to which the families of checks write their findings.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::Verdict;
use crate::finding::{Check, Finding, Severities, Severity};
use crate::spec::{Admission, IdentitySpec};
use crate::spiffe::TrustDomain;

/// The findings that there are only because of another: whoever mends that one mends these too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Consequences {
    /// Those of these checks.
    Of(&'static [Check]),
    /// All others.
    Rest,
}

impl Consequences {
    fn contain(self, check: Check) -> bool {
        match self {
            Self::Of(checks) => checks.contains(&check),
            Self::Rest => true,
        }
    }
}

/// The findings of one assessment so far, and the next instant at which they change.
pub(super) struct Findings {
    now: SystemTime,
    admission: Admission,
    severities: Severities,
    findings: Vec<Finding>,
    /// The findings that explain others, by their place, and which.
    explained: Vec<(usize, Consequences)>,
    held_until: Option<SystemTime>,
    next_change: Option<SystemTime>,
}

impl Findings {
    pub(super) fn new(now: SystemTime, admission: Admission, severities: &Severities) -> Self {
        Self {
            now,
            admission,
            severities: severities.clone(),
            findings: Vec::new(),
            explained: Vec::new(),
            held_until: None,
            next_change: None,
        }
    }

    /// For what is in force, whatever is admitted.
    pub(super) fn enforced(now: SystemTime, spec: &IdentitySpec) -> Self {
        Self::new(now, Admission::Enforce, &spec.expectations.severities)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.now
    }

    /// Notes a finding, with the severity that is wanted for it. Under [`Admission::Observe`] one that leaves the credential usable for some
    /// peer does not reject.
    pub(super) fn add(&mut self, finding: Finding) {
        debug_assert!(finding.check.severities().contains(&finding.severity), "not in the table: {finding:?}");
        let mut finding = self.severities.applied(finding);
        if self.admission == Admission::Observe && !finding.check.is_fatal() {
            finding.severity = finding.severity.min(Severity::Warn);
        }
        self.findings.push(finding);
    }

    /// Notes a finding that explains others, whenever those are noted.
    pub(super) fn add_cause(&mut self, finding: Finding, consequences: Consequences) {
        self.explained.push((self.findings.len(), consequences));
        self.add(finding);
    }

    /// Notes a finding that means that no handshake with any peer can succeed: nothing softens it.
    pub(super) fn add_fatal(&mut self, finding: Finding, consequences: Consequences) {
        self.explained.push((self.findings.len(), consequences));
        self.findings.push(finding);
    }

    pub(super) fn reject(&mut self, check: Check, file: &Path, sentence: impl Into<String>) {
        self.add(Finding::new(check, Severity::Reject, sentence).in_file(file));
    }

    /// The findings so far are about the bundle of a federated trust domain.
    pub(super) fn of_trust_domain(&mut self, trust_domain: &TrustDomain) {
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
        self.told().any(|finding| finding.severity == Severity::Reject)
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
        (self.told().cloned().collect(), self.next_change)
    }

    /// The findings that no other explains. One that rejects is not explained by one that does not.
    fn told(&self) -> impl Iterator<Item = &Finding> {
        let is_explained = |place: usize, finding: &Finding| {
            self.explained.iter().any(|(cause, consequences)| {
                *cause != place
                    && consequences.contain(finding.check)
                    && self.findings[*cause].severity >= finding.severity
            })
        };
        let findings = self.findings.iter().enumerate();
        findings.filter(move |(place, finding)| !is_explained(*place, finding)).map(|(_, finding)| finding)
    }
}
