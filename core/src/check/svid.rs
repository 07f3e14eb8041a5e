//! What makes a leaf an X.509-SVID (X509-SVID §2, §5.2; SPIFFE-ID §2): one URI, which is a SPIFFE ID with a path.

use super::Case;
use super::findings::Findings;
use crate::finding::{Check, Finding, Severity};
use crate::spiffe::{SCHEME, SPIFFE_ID_LIMIT, SpiffeId};
use crate::text;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let uris = &case.keyed.credential.leaf().names.uris;
    let Some(id) = uris.iter().find(|uri| claims_to_be_one(uri)) else { return };
    let told = text::item(id);
    let why = if uris.len() > 1 {
        format!("{} URIs, where an X.509-SVID has one, so that nobody knows which is meant", uris.len())
    } else if let Some(why) = fault(id) {
        format!("the SPIFFE ID {told}, {why}")
    } else {
        return;
    };
    let sentence = format!(
        "among the leaf's names is {why}: those that validate X509-SVIDs refuse it; have it issued with one ID such as \
         spiffe://example.org/service"
    );
    let finding = Finding::new(Check::SpiffeId, severity(case), sentence).in_file(case.files.chain());
    findings.add(finding.found(told).expected("one SPIFFE ID"));
}

/// Rejects where the configuration asks for a SPIFFE ID; elsewhere peers may go by other names of the leaf.
pub(super) fn severity(case: &Case<'_>) -> Severity {
    if is_wanted(case) { Severity::Reject } else { Severity::Warn }
}

/// Whether the leaf is to be an X.509-SVID.
pub(super) fn is_wanted(case: &Case<'_>) -> bool {
    case.spec.expectations.uris.iter().any(|uri| claims_to_be_one(uri))
}

fn claims_to_be_one(uri: &str) -> bool {
    uri.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Why a URI of that scheme is no ID of a workload.
fn fault(uri: &str) -> Option<&'static str> {
    match uri.parse::<SpiffeId>() {
        Ok(id) if !id.path().is_empty() => return None,
        Ok(_) => return Some("which names a trust domain and nobody in it"),
        Err(_) => {}
    }
    let authority = uri[SCHEME.len()..].split('/').next().unwrap_or_default();
    let has_capitals = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if uri.len() > SPIFFE_ID_LIMIT {
        "which is longer than 2048 bytes"
    } else if uri[SCHEME.len() + authority.len()..] == *"/" {
        "whose path is the root, which go-spiffe since 2.7 refuses"
    } else if authority.contains([':', '@']) {
        "whose trust domain has a port or a user"
    } else if uri.contains(['?', '#']) {
        "which has a query or a fragment"
    } else if !uri.starts_with(SCHEME) || has_capitals(authority) {
        "whose scheme or trust domain has capital letters"
    } else {
        "whose trust domain or path has characters or segments that no ID has"
    })
}
