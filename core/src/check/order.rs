//! The certificates after the leaf: each the issuer of the one before it, without the root (RFC 8446 §4.4.2).

use x509_parser::prelude::X509Certificate;

use super::Case;
use super::findings::Findings;
use super::lineage::name_in_chain;
use crate::certificate::{Name, is_self_issued};
use crate::finding::{Check, Finding, Severity};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let issued = |issuer: &X509Certificate<'_>, by: &[X509Certificate<'_>]| {
        by.iter().any(|certificate| certificate.issuer().as_raw() == issuer.subject().as_raw())
    };
    // One that issued an earlier one may stand after others: a CA that another has cross-signed has two.
    let stray =
        case.certificates.iter().enumerate().skip(1).find(|(i, issuer)| !issued(issuer, &case.certificates[..*i]));
    if let Some((i, stray)) = stray {
        let advice = if issued(stray, &case.certificates[i + 1..]) {
            "peers that do not sort cannot build a path; order the chain from the leaf up"
        } else {
            "peers have no use for it; leave it out"
        };
        let name = name_in_chain(stray, i + 1, file);
        let sentence = format!("{name} did not issue a certificate before it, and {advice}");
        let finding = Finding::new(Check::ChainOrder, Severity::Warn, sentence).in_file(file).about(stray.as_raw());
        findings.add(finding.found(Name::of(stray.subject())).expected(Name::of(case.certificates[i - 1].issuer())));
    }
    if let Some(root) = case.issuers.iter().find(|issuer| is_self_issued(issuer)) {
        let sentence = "a self-signed root travels in the chain, and peers have it or do not trust it; leave it out";
        let finding = Finding::new(Check::RootInChain, Severity::Info, sentence).in_file(file).about(root.as_raw());
        findings.add(finding.found(Name::of(root.subject())));
    }
}
