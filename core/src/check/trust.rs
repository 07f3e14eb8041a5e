//! The trust of an identity, each part candidate for itself.

use std::sync::Arc;
use std::time::SystemTime;

use super::bundle::Candidate;
use super::crls::Signers;
use super::findings::Findings;
use super::validators::Validators;
use super::{Verdict, bundle, crls};
use crate::bundle::Bundle;
use crate::finding::Finding;
use crate::material::{Material, Part};
use crate::overlap::Overlap;
use crate::path::PathValidator;
use crate::spec::{BundleFile, CrlFile, IdentitySpec};
use crate::trusted::Trusted;

/// The trust that the files ask for, assessed.
pub(super) struct AssessedTrust {
    pub(super) bundle: Verdict<Bundle>,
    pub(super) validator: Option<Arc<PathValidator>>,
    pub(super) trusted: Trusted,
    pub(super) rejects_trust: bool,
    pub(super) lacks_trust: bool,
    pub(super) findings: Vec<Finding>,
    pub(super) next_change: Option<SystemTime>,
}

impl AssessedTrust {
    pub(super) fn take(&mut self, findings: Findings) {
        let (findings, change) = findings.into_parts();
        self.findings.extend(findings);
        self.next_change = [self.next_change, change].into_iter().flatten().min();
    }
}

/// Judges every part of trust for itself.
pub(super) fn assess(
    spec: &IdentitySpec,
    material: &Material,
    before: &Trusted,
    overlap: &Overlap,
    validators: &Validators,
    now: SystemTime,
) -> AssessedTrust {
    let fresh = || Findings::enforced(now, spec);
    let mut findings = fresh();
    let file = spec.files.bundle.as_ref().map(BundleFile::path);
    let candidate = |file, part, last_good| Candidate { file, part, facts: material.facts_in(file), last_good };
    let (bundle, validator) = match file {
        Some(file) => {
            bundle::assess(&candidate(file, &material.bundle, before.bundle.as_ref()), validators, &mut findings)
        }
        None => (Verdict::Absent, None),
    };
    let own = in_effect(&bundle, before.bundle.as_ref());
    let rejects_trust = matches!(bundle, Verdict::Rejected);
    let lacks_trust = rejects_trust && own.is_none();
    let trusted = Trusted { bundle: own, ..Trusted::default() };
    let mut trust = AssessedTrust {
        bundle,
        validator,
        trusted,
        rejects_trust,
        lacks_trust,
        findings: Vec::new(),
        next_change: None,
    };
    trust.take(findings);
    let own = trust.trusted.bundle.clone();
    let signers = signers(material, own.as_deref(), [overlap, &before.overlap]);
    for (file, part) in spec.files.crls.iter().zip(&material.crls) {
        let mut findings = fresh();
        let last_good = before.crls.get(file.path());
        let verdict = crls::assess(file, part, last_good, &signers, &mut findings);
        let kept = in_effect(&verdict, last_good);
        let rejected = matches!(verdict, Verdict::Rejected);
        trust.rejects_trust |= rejected;
        // A file that was not asked for, and may be missing, holds nothing back for being damaged.
        let is_asked_for = matches!(file, CrlFile::Dedicated(_));
        trust.lacks_trust |= rejected && kept.is_none() && is_asked_for;
        trust.trusted.crls.extend(kept.map(|crls| (file.path().to_owned(), crls)));
        trust.take(findings);
    }
    let mut findings = fresh();
    crls::age(material.crls_on_disk(), &mut findings);
    let in_bundle = own.iter().zip(file).flat_map(|(bundle, file)| bundle.crls().iter().map(move |crl| (file, crl)));
    let in_files = trust.trusted.crls.iter().flat_map(|(file, crls)| crls.iter().map(move |crl| (file.as_path(), crl)));
    crls::deltas(in_bundle.chain(in_files), &mut findings);
    trust.take(findings);
    for ((domain, file), part) in spec.files.federated.iter().zip(&material.federated) {
        let mut findings = fresh();
        let last_good = before.federated.get(domain);
        let (verdict, _) = bundle::assess(&candidate(file, part, last_good), validators, &mut findings);
        trust.rejects_trust |= matches!(verdict, Verdict::Rejected);
        trust.trusted.federated.extend(in_effect(&verdict, last_good).map(|bundle| (domain.clone(), bundle)));
        findings.of_trust_domain(domain);
        trust.take(findings);
    }
    trust
}

/// The certificates whose keys may have signed the lists in files of their own; none where there are no such lists, since to parse every
/// anchor takes long.
fn signers<'a>(material: &'a Material, own: Option<&'a Bundle>, overlaps: [&'a Overlap; 2]) -> Signers<'a> {
    if !material.crls.iter().any(|part| matches!(part, Part::Whole(_))) {
        return Signers::default();
    }
    let retained = overlaps.into_iter().flat_map(|overlap| overlap.anchors().map(|(der, _)| der));
    let chain = material.chain().iter().skip(1);
    Signers::anchors(own.into_iter().flat_map(Bundle::anchors).chain(retained)).and_chain(chain)
}

/// The value in effect after a verdict: the last good in its own allocation where it is the same.
fn in_effect<T: PartialEq + ?Sized>(verdict: &Verdict<T>, last_good: Option<&Arc<T>>) -> Option<Arc<T>> {
    match verdict {
        Verdict::Admitted(new) | Verdict::Held { value: new, .. } => match last_good {
            Some(held) if held == new => Some(Arc::clone(held)),
            _ => Some(Arc::clone(new)),
        },
        Verdict::Rejected => last_good.cloned(),
        Verdict::Absent => None,
    }
}
