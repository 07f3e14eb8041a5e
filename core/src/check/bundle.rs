//! The bundle: rejected only if it is unparsable, empty or of no use to anybody.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::chain::mend;
use super::crls::Signers;
use super::findings::Findings;
use super::validators::Validators;
use super::validity::STILL_TO_END;
use super::{Verdict, crls};
use crate::bundle::Bundle;
use crate::certificate::CertificateFacts;
use crate::clock::{expiry, rfc3339};
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::material::Part;
use crate::path::{self, PathValidator, UnusableAnchor};

/// A bundle that may come to be trusted: what was made of its file, the certificates in that, and what was trusted before.
pub(super) struct Candidate<'a> {
    pub(super) file: &'a Path,
    pub(super) part: &'a Part<Arc<Bundle>>,
    pub(super) facts: Vec<&'a CertificateFacts>,
    pub(super) last_good: Option<&'a Arc<Bundle>>,
}

/// The verdict on a bundle, and its validator where one could be made.
pub(super) fn assess(
    candidate: &Candidate<'_>,
    validators: &Validators,
    findings: &mut Findings,
) -> (Verdict<Bundle>, Option<Arc<PathValidator>>) {
    let Candidate { file, part, facts, last_good } = candidate;
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
            validity(facts, file, findings);
            if !bundle.crls().is_empty() {
                crls::examine(file, bundle.crls(), &Signers::anchors(bundle.anchors()), findings);
            }
            let validator = usability(bundle, candidate, validators, findings);
            (findings.verdict(bundle), validator)
        }
    }
}

/// An anchor that has expired is a warning, unless its successor is there; a bundle in which none is valid is rejected.
fn validity(anchors: &[&CertificateFacts], file: &Path, findings: &mut Findings) {
    for anchor in anchors {
        findings.changes_at(anchor.not_before);
        findings.changes_at(expiry(anchor.not_after));
    }
    let now = findings.now();
    let (expired, valid): (Vec<&CertificateFacts>, Vec<_>) =
        anchors.iter().partition(|anchor| now >= expiry(anchor.not_after));
    let finding = |check, severity, sentence: String, last: &CertificateFacts| {
        let finding = Finding::new(check, severity, sentence).in_file(file);
        let finding = Finding { certificate: Some(Box::new(last.fingerprint)), ..finding };
        finding.found(format!("ended {}", rfc3339(last.not_after))).expected(STILL_TO_END)
    };
    let last = |anchors: &[&CertificateFacts]| anchors.iter().copied().max_by_key(|anchor| anchor.not_after).cloned();
    if valid.is_empty() {
        let Some(last) = last(&expired) else { return };
        let which = if expired.len() == 1 {
            format!("the only anchor of the bundle, {}, has expired", last.subject.text)
        } else {
            "every anchor of the bundle has expired".to_owned()
        };
        let sentence = format!("{which}, and the last good bundle stays; replace it by one that is valid");
        return findings.add(finding(Check::Expired, Severity::Reject, sentence, &last));
    }
    let in_force: HashSet<_> =
        valid.iter().filter(|anchor| anchor.not_before <= now).map(|anchor| &anchor.subject).collect();
    let lost: Vec<_> = expired.into_iter().filter(|anchor| !in_force.contains(&anchor.subject)).collect();
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
            anchors.len(),
            last.subject.text
        )
    };
    findings.add(finding(Check::AnchorExpired, Severity::Warn, sentence, &last));
}

/// Certificates that can be nobody's anchor are a warning; a bundle of nothing else is rejected.
fn usability(
    bundle: &Arc<Bundle>,
    Candidate { file, facts, .. }: &Candidate<'_>,
    validators: &Validators,
    findings: &mut Findings,
) -> Option<Arc<PathValidator>> {
    match validators.of(bundle) {
        Ok(validator) => {
            if let Some(finding) = unusable(facts, validator.unusable_anchors(), Severity::Warn) {
                findings.add(finding.in_file(file));
            }
            Some(validator)
        }
        Err(error) => {
            let finding = unusable(facts, &path::unusable(bundle.anchors()), Severity::Reject);
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
fn unusable(
    anchors: &[&CertificateFacts],
    unusable: &[(Digest, UnusableAnchor)],
    severity: Severity,
) -> Option<Finding> {
    let (fingerprint, reason) = unusable.first()?;
    let subject = anchors.iter().find(|anchor| anchor.fingerprint == *fingerprint).map(|anchor| &anchor.subject.text);
    let subject = subject.cloned().unwrap_or_else(|| format!("with SHA-256 {fingerprint}"));
    let (all, mend) = (anchors.len(), mend(reason));
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
