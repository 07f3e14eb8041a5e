//! The leaf's validity against the clock (RFC 5280 §4.1.2.5).

use std::time::Duration;

use super::Case;
use super::findings::{Consequences, Findings};
use crate::clock::{expiry, rfc3339};
use crate::credential::Credential;
use crate::finding::{Check, Finding, Severity};
use crate::layout::is_projected;
use crate::spec::CredentialFiles;

/// The expected end. Not the time it is now: the finding would be another one at every look.
pub(super) const STILL_TO_END: &str = "an end that is still to come";

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let leaf = case.keyed.credential.leaf();
    let skew = case.spec.expectations.clock_skew;
    if leaf.not_before >= leaf.not_after {
        let sentence = "the leaf does not end after it begins, and no peer accepts it; issue it again";
        let finding = Finding::new(Check::ValidityReversed, Severity::Reject, sentence).in_file(file);
        let finding = finding.found(rfc3339(leaf.not_after)).expected(format!("after {}", rfc3339(leaf.not_before)));
        return findings.add_cause(finding, Consequences::Of(&[Check::ChainUntrusted, Check::RenewalOverdue]));
    }

    too_long(case, findings);
    findings.changes_at(leaf.not_before);
    findings.changes_at(expiry(leaf.not_after));
    if case.now >= expiry(leaf.not_after) {
        let sentence = "the leaf has expired; have it issued again, or set the clock if that is what is wrong";
        let finding = Finding::new(Check::Expired, Severity::Reject, sentence).in_file(file);
        findings.add(finding.found(format!("ended {}", rfc3339(leaf.not_after))).expected(STILL_TO_END));
        not_refreshed(case, findings);
    } else if case.now < leaf.not_before {
        let due = leaf.not_before.checked_sub(skew).unwrap_or(leaf.not_before);
        let sentence = if case.now < due {
            findings.hold(due);
            format!(
                "the leaf is not valid yet and is held until {}: nothing is to be done unless the clock is wrong",
                rfc3339(due)
            )
        } else {
            "the leaf becomes valid within the clock skew allowed for; peers whose clock is right refuse it until then"
                .into()
        };
        let finding = Finding::new(Check::NotYetValid, Severity::Warn, sentence).in_file(file);
        findings
            .add(finding.found(format!("begins {}", rfc3339(leaf.not_before))).expected("a beginning that is past"));
    }
}

fn too_long(case: &Case<'_>, findings: &mut Findings) {
    let (leaf, longest) = (case.keyed.credential.leaf(), case.spec.expectations.max_lifetime);
    let lifetime = leaf.not_after.duration_since(leaf.not_before).unwrap_or_default();
    if lifetime <= longest {
        return;
    }
    let sentence = "the leaf lives long: its key is worth stealing for all that time, and nobody practises its renewal; have it issued for \
                    less, or raise max_lifetime";
    let finding = Finding::new(Check::LongLived, Severity::Info, sentence).in_file(case.files.chain());
    findings.add(finding.found(days(lifetime)).expected(format!("at most {}", days(longest))));
}

/// A span in whole days, or in hours where it is less than one.
fn days(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    if hours < 24 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

/// The kubelet renews a pod certificate long before its end, and once that has passed refreshes nothing of the volume any more, trust
/// bundles included (KEP-4317). No metric of its own names the pod.
fn not_refreshed(case: &Case<'_>, findings: &mut Findings) {
    let (Some(pod), CredentialFiles::Combined(file)) = (case.spec.pod(), case.files) else { return };
    if !is_projected(file) {
        return;
    }
    let sentence = format!(
        "the kubelet has not renewed the certificate of pod {pod} in time, and refreshes nothing in this volume any more, neither key nor trust: \
         look at the PodCertificateRequests of that pod and at their signer, then delete the pod so that it is made anew"
    );
    findings.add(Finding::new(Check::VolumeNotRefreshed, Severity::Warn, sentence).in_file(file));
}

/// The end of a leaf that is served although the files hold no good one.
pub(super) fn served(credential: &Credential, findings: &mut Findings) {
    let not_after = credential.leaf().not_after;
    findings.changes_at(expiry(not_after));
    if findings.now() >= expiry(not_after) {
        let sentence = "the leaf that is served has expired, and the files hold none to replace it: peers refuse it";
        let finding =
            Finding::new(Check::Expired, Severity::Reject, sentence).found(format!("ended {}", rfc3339(not_after)));
        findings.add(finding.expected(STILL_TO_END));
    }
}
