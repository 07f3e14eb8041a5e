//! A leaf is no authority: it neither is a CA nor signs certificates or CRLs, nor constrains names (RFC 5280 §4.2.1.3, §4.2.1.9,
//! §4.2.1.10). rustls, Go and OpenSSL refuse only a CA.

use super::findings::Findings;
use super::{Case, svid};
use crate::certificate::is_ca;
use crate::finding::{Check, Finding};
use crate::spiffe::SCHEME;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    if is_ca(case.leaf) {
        let sentence = "the leaf is a CA certificate, which peers refuse; issue one without isCA for this identity";
        return findings.reject(Check::LeafIsCa, file, sentence);
    }
    let usage = case.leaf.key_usage().ok().flatten().map(|usage| usage.value);
    let may = match usage.map(|usage| (usage.key_cert_sign(), usage.crl_sign())) {
        Some((true, true)) => Some(("\"cert sign\" and \"crl sign\"", "in its key usage")),
        Some((true, false)) => Some(("\"cert sign\"", "in its key usage")),
        Some((false, true)) => Some(("\"crl sign\"", "in its key usage")),
        _ => {
            matches!(case.leaf.name_constraints(), Ok(Some(_))).then_some(("name constraints", "among its extensions"))
        }
    };
    let Some((what, place)) = may else { return };
    let whom = if case.keyed.credential.leaf().names.uris.iter().any(|uri| uri.starts_with(SCHEME)) {
        "and those that validate X509-SVIDs refuse it (X509-SVID §5.2)"
    } else {
        "though most peers take it all the same"
    };
    let sentence = format!("the leaf has {what} {place}, which only a CA may have, {whom}; have it issued without");
    findings.add(Finding::new(Check::LeafAuthority, svid::severity(case), sentence).in_file(file));
}
