//! A leaf is no authority: it neither is a CA nor signs certificates or CRLs (RFC 5280 §4.2.1.3, §4.2.1.9).

use super::report::Report;
use super::{Case, Check};

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let file = case.files.chain();
    let is_ca = case.leaf.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca);
    let usage = case.leaf.key_usage().ok().flatten();
    let signs = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    if is_ca {
        let sentence = "the leaf is a CA certificate, which peers refuse; issue one without isCA for this identity";
        report.reject(Check::LeafIsCa, file, sentence);
    } else if signs {
        let sentence =
            "the leaf's key usage allows to sign certificates or CRLs; issue it without \"cert sign\" and \"crl sign\"";
        report.reject(Check::LeafIsCa, file, sentence);
    }
}
