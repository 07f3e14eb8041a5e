//! The next credential is late.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Case;
use super::findings::Findings;
use crate::clock::{expiry, rfc3339};
use crate::credential::Credential;
use crate::finding::{Check, Finding, Severity};
use crate::spec::{IdentitySpec, Renewal};

/// How long a renewal may take before it counts as overdue: for the issuer to answer and the kubelet to sync the volume. Of
/// a leaf that has less left than four times this when renewal is due, a quarter of what is left.
const RENEWAL_GRACE: Duration = Duration::from_secs(3600);

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    of(case.spec, &case.keyed.credential, Some(case.files.chain()), findings);
}

pub(super) fn of(spec: &IdentitySpec, credential: &Credential, file: Option<&Path>, findings: &mut Findings) {
    let not_after = credential.leaf().not_after;
    let Some(due) = renewal_due(spec, credential) else { return };
    let left = not_after.duration_since(due).unwrap_or_default();
    let overdue = due + RENEWAL_GRACE.min(left / 4);
    findings.changes_at(overdue);
    // From then on, its having expired says enough.
    if findings.now() < overdue || findings.now() >= expiry(not_after) {
        return;
    }
    let sentence = "renewal of the leaf is overdue: look at what issues it, before it ends";
    let finding = Finding::new(Check::RenewalOverdue, Severity::Warn, sentence);
    let finding = finding.found(format!("ends {}", rfc3339(not_after))).expected(format!("renewed {}", rfc3339(due)));
    findings.add(match file {
        Some(file) => finding.in_file(file),
        None => finding,
    });
}

/// When the issuer is expected to have issued the next credential: the configured time before the leaf's end or, without
/// one that fits into its lifetime, when a third of that is left. None where it is not expected to.
pub(crate) fn renewal_due(spec: &IdentitySpec, credential: &Credential) -> Option<SystemTime> {
    let leaf = credential.leaf();
    let configured = match spec.expectations.renewal {
        Renewal::LastThird => None,
        Renewal::Before(before) => leaf.not_after.checked_sub(before),
        Renewal::Never => return None,
    };
    Some(configured.filter(|due| *due > leaf.not_before).unwrap_or_else(|| leaf.last_third()))
}
