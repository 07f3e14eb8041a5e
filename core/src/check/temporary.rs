//! cert-manager's temporary certificate.

use super::Case;
use super::findings::{Consequences, Findings};
use crate::finding::{Check, Finding, Severity};

/// The common name that cert-manager signs its temporary certificates under.
const ISSUER: &str = "cert-manager.local";
/// The serial number that it gives to all of them.
const SERIAL: &str = "1234567890";

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let leaf = case.keyed.credential.leaf();
    if leaf.issuer.common_name == ISSUER && leaf.serial == SERIAL {
        let sentence = "this is cert-manager's temporary certificate, which nobody trusts; the issuer has not answered yet: \
                        look at the CertificateRequest";
        let finding = Finding::new(Check::TemporaryCertificate, Severity::Reject, sentence).in_file(file);
        // All else that is wrong with it goes with it.
        findings.add_cause(finding, Consequences::Rest);
    }
}
