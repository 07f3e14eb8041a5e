//! Whether the leaf's path holds to the leaf's end. A certificate beside that path may end as it likes: a cross-signature, the former
//! certificate of a CA that was renewed, one that does not belong there.

use std::time::SystemTime;

use super::super::Case;
use super::super::findings::Findings;
use super::super::lineage::Lineage;
use super::told;
use crate::certificate::system_time;
use crate::clock::rfc3339;
use crate::finding::{Check, Finding, Severity};
use crate::path::PathValidator;

/// Reports the certificate that ends the leaf's path before the leaf ends.
pub(super) fn check(case: &Case<'_>, lineage: &Lineage<'_>, validator: &PathValidator, findings: &mut Findings) {
    let not_after = case.keyed.credential.leaf().not_after;
    let Some((leaf, rest)) = case.chain().split_first() else { return };
    let holds_at = |at: SystemTime| told(validator.validate_for(leaf, rest, None, at)).is_ok();
    let mut sooner: Vec<_> = lineage.issuers().iter().filter(|issuer| issuer.ends() < not_after).collect();
    if sooner.is_empty() || holds_at(not_after) {
        return;
    }
    sooner.sort_by_key(|issuer| std::cmp::Reverse(issuer.ends()));
    if let Some(issuer) = sooner.into_iter().find(|issuer| holds_at(issuer.ends())) {
        let sentence = format!(
            "{issuer} ends before the leaf does, and the credential is good only until then; renew that CA first"
        );
        let finding = Finding::new(Check::IssuerExpiresFirst, Severity::Warn, sentence).in_file(issuer.file());
        let finding = finding.about(issuer.certificate.as_raw());
        findings.add(finding.found(rfc3339(issuer.ends())).expected(format!("not before {}", rfc3339(not_after))));
    }
}

/// Whether a certificate after the leaf ends before it does.
pub(super) fn any_ends_first(case: &Case<'_>) -> bool {
    let not_after = case.keyed.credential.leaf().not_after;
    case.issuers.iter().any(|issuer| system_time(issuer.validity().not_after) < not_after)
}
