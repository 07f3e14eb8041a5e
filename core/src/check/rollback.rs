//! A leaf that is older than what was served already: a backup that was put back, or two writers of the same files.

use std::time::SystemTime;

use super::findings::Findings;
use super::{Assessment, Verdict};
use crate::clock::rfc3339;
use crate::finding::{Check, Finding, Severity};
use crate::spec::IdentitySpec;

/// Tells in `assessment` that its credential was issued before `newest`, the latest notBefore of what was served. It is published all the
/// same unless the identity wants it rejected.
///
/// Certificates do not say when they were issued. Issuers set notBefore to that instant or, each by a fixed span, back, so leaves of one
/// issuer are told apart rightly by it.
pub(crate) fn rollback(spec: &IdentitySpec, assessment: &mut Assessment, newest: SystemTime, now: SystemTime) {
    let (Verdict::Admitted(credential) | Verdict::Held { value: credential, .. }) = &assessment.credential else {
        return;
    };
    let not_before = credential.leaf().not_before;
    if not_before >= newest {
        return;
    }
    let sentence = "the leaf was issued before one that was served already; see whether older files were put back, or two write them, and \
                    have it issued again";
    let finding = Finding::new(Check::RolledBack, Severity::Warn, sentence)
        .found(format!("valid from {}", rfc3339(not_before)))
        .expected(format!("{} or later", rfc3339(newest)));
    let mut findings = Findings::new(now, spec.expectations.admission, &spec.expectations.severities);
    findings.add(match &spec.files.credential {
        Some(files) => finding.in_file(files.chain()),
        None => finding,
    });
    if findings.rejects() {
        assessment.credential = Verdict::Rejected;
    }
    assessment.findings.extend(findings.into_parts().0);
}
