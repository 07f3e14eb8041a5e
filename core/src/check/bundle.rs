//! The bundle: rejected only if it is unparsable, empty or of no use to anybody.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::crls::Signers;
use super::report::Report;
use super::validity::STILL_TO_END;
use super::{Check, Finding, Severity, Verdict, crls};
use crate::bundle::Bundle;
use crate::certificate::CertificateFacts;
use crate::clock::{expiry, rfc3339};
use crate::material::Part;
use crate::path::PathValidator;

/// The verdict on a bundle, and its validator where one could be made.
pub(super) fn assess(
    file: Option<&Path>,
    part: &Part<Arc<Bundle>>,
    last_good: Option<&Arc<Bundle>>,
    report: &mut Report,
) -> (Verdict<Bundle>, Option<PathValidator>) {
    let Some(file) = file else { return (Verdict::Absent, None) };
    match part {
        Part::NotWanted => (Verdict::Absent, None),
        Part::Missing if last_good.is_none() => (Verdict::Absent, None),
        Part::Missing => {
            let sentence = "the bundle is gone; the last good one stays in use: put it back, or remove the identity's trust by \
                            configuration";
            report.reject(Check::FileMissing, file, sentence);
            (Verdict::Rejected, None)
        }
        Part::Broken(findings) => {
            findings.iter().for_each(|finding| report.add(finding.clone()));
            (Verdict::Rejected, None)
        }
        Part::Whole(bundle) => {
            validity(bundle, file, report);
            crls::examine(file, bundle.crls(), &Signers::of(bundle.anchors()), report);
            let validator = usability(bundle, file, report);
            (report.verdict(bundle), validator)
        }
    }
}

/// An anchor that has expired is a warning; a bundle in which none is valid is rejected.
fn validity(bundle: &Bundle, file: &Path, report: &mut Report) {
    let facts = bundle.anchors().iter().filter_map(|anchor| CertificateFacts::from_der(anchor).ok());
    let mut expired: Vec<(SystemTime, String)> = Vec::new();
    for anchor in facts {
        report.changes_at(anchor.not_before);
        report.changes_at(expiry(anchor.not_after));
        if report.now() >= expiry(anchor.not_after) {
            expired.push((anchor.not_after, anchor.subject.text));
        }
    }
    let Some((not_after, subject)) = expired.iter().max() else { return };
    let finding = if expired.len() == bundle.anchors().len() {
        let sentence =
            "every anchor of the bundle has expired; the last good bundle stays: replace it by one that is valid";
        Finding::new(Check::Expired, Severity::Reject, sentence)
    } else {
        let sentence = format!(
            "{} of {} anchors have expired, the last of them {subject}: whoever is under them is refused; take them out",
            expired.len(),
            bundle.anchors().len()
        );
        Finding::new(Check::AnchorExpired, Severity::Warn, sentence)
    };
    report.add(finding.in_file(file).found(format!("ended {}", rfc3339(*not_after))).expected(STILL_TO_END));
}

/// Certificates that can be nobody's anchor are a warning; a bundle of nothing else is rejected.
fn usability(bundle: &Bundle, file: &Path, report: &mut Report) -> Option<PathValidator> {
    match PathValidator::new(bundle) {
        Ok(validator) => {
            if let [(fingerprint, reason), ..] = validator.unusable_anchors() {
                let sentence = format!(
                    "{} of {} certificates of the bundle can be nobody's anchor; the first: {reason}; take them out",
                    validator.unusable_anchors().len(),
                    bundle.anchors().len()
                );
                let finding = Finding::new(Check::AnchorUnusable, Severity::Warn, sentence).in_file(file);
                report.add(finding.found(fingerprint));
            }
            Some(validator)
        }
        Err(error) => {
            report.reject(
                Check::AnchorUnusable,
                file,
                format!("{error}: it holds no CA certificate; put the issuing CA in"),
            );
            None
        }
    }
}
