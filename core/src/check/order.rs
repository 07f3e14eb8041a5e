//! The certificates after the leaf: each the issuer of the one before it, without the root (RFC 8446 §4.4.2).

use super::report::Report;
use super::{Case, Check, Finding, Severity};

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let file = case.files.chain();
    let mut before = case.leaf;
    for (i, issuer) in case.issuers.iter().enumerate() {
        if before.issuer().as_raw() != issuer.subject().as_raw() {
            let sentence = format!(
                "certificate {} of the chain did not issue the one before it: peers that do not sort cannot build a path; \
                 order it from the leaf up",
                i + 2
            );
            let finding = Finding::new(Check::ChainOrder, Severity::Warn, sentence).in_file(file);
            report.add(finding.found(issuer.subject()).expected(before.issuer()));
            break;
        }
        before = issuer;
    }
    if let Some(root) = case.issuers.iter().find(|issuer| issuer.subject().as_raw() == issuer.issuer().as_raw()) {
        let sentence = "a self-signed root travels in the chain; peers have it or do not trust it: leave it out";
        report.add(Finding::new(Check::RootInChain, Severity::Info, sentence).in_file(file).found(root.subject()));
    }
}
