//! The bundle: rejected only if it is unparsable, empty or of no use to anybody.

use std::path::Path;
use std::sync::Arc;

use super::chain::mend;
use super::crls::Signers;
use super::findings::Findings;
use super::validity::STILL_TO_END;
use super::{Verdict, crls};
use crate::bundle::Bundle;
use crate::certificate::CertificateFacts;
use crate::clock::{expiry, rfc3339};
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::material::Part;
use crate::path::{self, PathValidator, UnusableAnchor};

/// The verdict on a bundle, and its validator where one could be made.
pub(super) fn assess(
    file: Option<&Path>,
    part: &Part<Arc<Bundle>>,
    last_good: Option<&Arc<Bundle>>,
    findings: &mut Findings,
) -> (Verdict<Bundle>, Option<PathValidator>) {
    let Some(file) = file else { return (Verdict::Absent, None) };
    match part {
        Part::NotWanted => (Verdict::Absent, None),
        Part::Missing if last_good.is_none() => (Verdict::Absent, None),
        Part::Missing => {
            let sentence = "the bundle is gone; the last good one stays in use: put it back, or remove the identity's trust by \
                            configuration";
            findings.reject(Check::FileMissing, file, sentence);
            (Verdict::Rejected, None)
        }
        Part::Broken(broken) => {
            broken.iter().for_each(|finding| findings.add(finding.clone()));
            (Verdict::Rejected, None)
        }
        Part::Whole(bundle) => {
            validity(bundle, file, findings);
            crls::examine(file, bundle.crls(), &Signers::anchors(bundle.anchors()), findings);
            let validator = usability(bundle, file, findings);
            (findings.verdict(bundle), validator)
        }
    }
}

/// An anchor that has expired is a warning, unless its successor is there; a bundle in which none is valid is rejected.
fn validity(bundle: &Bundle, file: &Path, findings: &mut Findings) {
    let anchors: Vec<_> =
        bundle.anchors().iter().filter_map(|anchor| CertificateFacts::from_der(anchor).ok()).collect();
    for anchor in &anchors {
        findings.changes_at(anchor.not_before);
        findings.changes_at(expiry(anchor.not_after));
    }
    let now = findings.now();
    let (expired, valid): (Vec<_>, Vec<_>) = anchors.iter().partition(|anchor| now >= expiry(anchor.not_after));
    let finding = |check, severity, sentence: String, last: &CertificateFacts| {
        let finding = Finding::new(check, severity, sentence).in_file(file);
        let finding = Finding { certificate: Some(Box::new(last.fingerprint)), ..finding };
        finding.found(format!("ended {}", rfc3339(last.not_after))).expected(STILL_TO_END)
    };
    let last = |anchors: &[&CertificateFacts]| anchors.iter().copied().max_by_key(|anchor| anchor.not_after).cloned();
    if expired.len() == bundle.anchors().len() {
        let Some(last) = last(&expired) else { return };
        let which = if expired.len() == 1 {
            format!("the only anchor of the bundle, {}, has expired", last.subject.text)
        } else {
            "every anchor of the bundle has expired".to_owned()
        };
        let sentence = format!("{which}, and the last good bundle stays; replace it by one that is valid");
        return findings.add(finding(Check::Expired, Severity::Reject, sentence, &last));
    }
    let is_renewed = |anchor: &CertificateFacts| {
        valid.iter().any(|other| other.subject == anchor.subject && other.not_before <= now)
    };
    let lost: Vec<_> = expired.into_iter().filter(|anchor| !is_renewed(anchor)).collect();
    let Some(last) = last(&lost) else { return };
    let sentence = if lost.len() == 1 {
        format!(
            "the anchor {} of the bundle has expired, and whoever is under it is refused; take it out, or put its successor in",
            last.subject.text
        )
    } else {
        format!(
            "{} of {} anchors have expired, the last of them {}, and whoever is under them is refused; take them out, or put their \
             successors in",
            lost.len(),
            bundle.anchors().len(),
            last.subject.text
        )
    };
    findings.add(finding(Check::AnchorExpired, Severity::Warn, sentence, &last));
}

/// Certificates that can be nobody's anchor are a warning; a bundle of nothing else is rejected.
fn usability(bundle: &Bundle, file: &Path, findings: &mut Findings) -> Option<PathValidator> {
    match PathValidator::new(bundle) {
        Ok(validator) => {
            if let Some(finding) = unusable(bundle, validator.unusable_anchors(), Severity::Warn) {
                findings.add(finding.in_file(file));
            }
            Some(validator)
        }
        Err(error) => {
            let finding = unusable(bundle, &path::unusable(bundle.anchors()), Severity::Reject);
            let otherwise = || {
                let sentence = format!("{error}; put the certificate of the issuing CA in");
                Finding::new(Check::AnchorUnusable, Severity::Reject, sentence)
            };
            findings.add(finding.unwrap_or_else(otherwise).in_file(file));
            None
        }
    }
}

/// The finding about certificates that can be nobody's anchor; none if there are none.
fn unusable(bundle: &Bundle, unusable: &[(Digest, UnusableAnchor)], severity: Severity) -> Option<Finding> {
    let (fingerprint, reason) = unusable.first()?;
    let der = bundle.anchors().iter().find(|anchor| Digest::fingerprint(anchor) == *fingerprint);
    let subject = der.and_then(|anchor| CertificateFacts::from_der(anchor).ok()).map(|facts| facts.subject.text);
    let subject = subject.unwrap_or_else(|| format!("with SHA-256 {fingerprint}"));
    let (all, mend) = (bundle.anchors().len(), mend(reason));
    let sentence = match (unusable.len(), all) {
        (1, 1) => format!("the only certificate of the bundle, {subject}, can be nobody's anchor: {reason}; {mend}"),
        (1, _) => {
            format!("the certificate {subject} of the bundle can be nobody's anchor: {reason}; take it out, or {mend}")
        }
        (some, all) => format!(
            "{some} of {all} certificates of the bundle can be nobody's anchor, among them {subject}: {reason}; take them out, or \
             {mend}"
        ),
    };
    let finding = Finding::new(Check::AnchorUnusable, severity, sentence).found(fingerprint);
    let finding = finding.expected("a CA certificate that may issue");
    Some(Finding { certificate: Some(Box::new(*fingerprint)), ..finding })
}
