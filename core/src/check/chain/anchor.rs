//! Limits in an anchor's certificate that the path breaks, and that rustls does not look at: RFC 5280 §6.1 takes an anchor's name and
//! key alone, while Go and OpenSSL hold its certificate against the path like any other.

use x509_parser::prelude::X509Certificate;

use super::super::Case;
use super::super::findings::Findings;
use super::super::lineage::{Lineage, Member, is_for, path_length};
use super::{roles, words};
use crate::finding::{Check, Finding, Severity};
use crate::path::Role;

pub(super) fn check(case: &Case<'_>, lineage: &Lineage<'_>, findings: &mut Findings) {
    let mut anchors = lineage.anchors().filter(|anchor| anchor.begins() <= case.now && case.now <= anchor.ends());
    let Some(mut told) = anchors.next().map(|anchor| against(case, anchor)) else { return };
    for anchor in anchors {
        // Peers take whichever does.
        told = told.and_then(|first| against(case, anchor).map(|_| first));
    }
    if let Some(finding) = told {
        findings.add(finding);
    }
}

/// Whether a certificate limits what is below it by what rustls does not look at in an anchor.
pub(super) fn constrains(anchor: &X509Certificate<'_>) -> bool {
    path_length(anchor).is_some() || matches!(anchor.extended_key_usage(), Ok(Some(_)))
}

fn against(case: &Case<'_>, anchor: &Member<'_>) -> Option<Finding> {
    let below = anchor.height.saturating_sub(1);
    let finding = |sentence| {
        let finding = Finding::new(Check::AnchorConstraint, Severity::Warn, sentence).in_file(anchor.file());
        finding.about(anchor.certificate.as_raw())
    };
    if let Some(limit) = anchor.path_length().filter(|limit| usize::try_from(*limit).is_ok_and(|limit| limit < below)) {
        let sentence = format!(
            "{anchor} allows fewer intermediates below it (pathLenConstraint) than the chain has: rustls does not look at that, and \
             peers with Go or OpenSSL refuse the chain; have the leaf issued by a CA nearer to the anchor, or that CA's certificate issued \
             again with a greater limit"
        );
        return Some(finding(sentence).found(format!("at most {limit}")).expected(format!("at least {below}")));
    }
    let wanted: Vec<Role> = roles(case.spec).collect();
    let wanted = if wanted.is_empty() { own_roles(case) } else { wanted };
    let any = anchor.certificate.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.any);
    let lacking = wanted.into_iter().find(|role| !any && !anchor.allows(*role))?;
    let sentence = format!(
        "{anchor} has an extended key usage without {}: rustls does not look at that, and peers with Go or OpenSSL refuse the chain; \
         have that CA's certificate issued again without an extended key usage",
        words::usage(lacking)
    );
    Some(finding(sentence))
}

/// The roles that the leaf's own extended key usage names; one without says nothing of what it is for.
fn own_roles(case: &Case<'_>) -> Vec<Role> {
    if !matches!(case.leaf.extended_key_usage(), Ok(Some(_))) {
        return Vec::new();
    }
    [Role::Server, Role::Client].into_iter().filter(|role| is_for(case.leaf, *role)).collect()
}
