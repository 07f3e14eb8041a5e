//! Certificate revocation lists: of no use only if they cannot be parsed.

use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::report::Report;
use super::{Check, Finding, Severity, Verdict};
use crate::bundle::Bundle;
use crate::clock::{expiry, rfc3339};
use crate::material::{self, CrlOnDisk, Crls, Part};
use crate::path::PathValidator;
use crate::spec::CrlFile;

/// The verdict on the lists of one file.
pub(super) fn assess(
    file: &CrlFile,
    part: &Part<Crls>,
    last_good: Option<&Crls>,
    report: &mut Report,
) -> Verdict<[CertificateRevocationListDer<'static>]> {
    match part {
        Part::NotWanted => Verdict::Absent,
        Part::Missing if last_good.is_none() => Verdict::Absent,
        Part::Missing => {
            report.add(material::gone(file.path()));
            Verdict::Rejected
        }
        Part::Broken(findings) => {
            findings.iter().for_each(|finding| report.add(finding.clone()));
            Verdict::Rejected
        }
        Part::Whole(crls) => Verdict::Admitted(crls.clone()),
    }
}

/// Lists whose successor is overdue: they revoke still what they revoked, and nobody since.
pub(super) fn age(on_disk: &[CrlOnDisk], report: &mut Report) {
    for crl in on_disk {
        let Some(next_update) = crl.next_update else { continue };
        report.changes_at(expiry(next_update));
        if report.now() >= expiry(next_update) {
            let sentence = format!(
                "the CRL of {} was to be replaced by now: what was revoked since is not known here; see why no newer one came, and \
                 mind that whoever rejects stale CRLs refuses all peers under it",
                crl.issuer.text
            );
            let finding = Finding::new(Check::CrlStale, Severity::Warn, sentence).in_file(&crl.file);
            report.add(finding.found(format!("next update {}", rfc3339(next_update))).expected("still to come"));
        }
    }
}

/// Lists that say nothing of anybody under an anchor of their issuer's name, since that anchor did not sign them or may not.
pub(super) fn issuers(bundle: &Bundle, validator: &PathValidator, report: &mut Report) {
    for crl in validator.unusable_crls() {
        let Some(der) = bundle.crls().get(crl) else { continue };
        let Ok((_, crl)) = CertificateRevocationList::from_der(der) else { continue };
        let sentence = format!(
            "the CRL of {} is not by a CA of the bundle that has this name, or that CA may not sign CRLs (key usage cRLSign): it \
             revokes nobody; have it issued by the CA of the bundle, or take it out",
            crl.issuer()
        );
        report.add(Finding::new(Check::CrlIssuer, Severity::Warn, sentence));
    }
}
