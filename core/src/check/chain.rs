//! The path from the leaf to the bundle it would be served with (RFC 5280 §6.1).

use std::time::SystemTime;

use x509_parser::prelude::X509Certificate;

use super::report::Report;
use super::{Case, Check, Finding, Severity, Trust, is_dedicated};
use crate::bundle::Bundle;
use crate::certificate::{CertificateFacts, system_time};
use crate::clock::{expiry, rfc3339};
use crate::credential::Credential;
use crate::path::{PathError, PathValidator, Role};
use crate::spec::{IdentitySpec, RequireChain, Usage};

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let file = case.files.chain();
    let required = case.spec.expectations.require_chain;
    let validator = match &case.trust {
        Trust::Anchors(validator) => validator,
        Trust::Unknown => return,
        Trust::None => {
            let (severity, sentence) = match required {
                RequireChain::Always => {
                    (Severity::Reject, "the credential must chain to a bundle, and there is none: configure one")
                }
                _ => (Severity::Info, "there is no bundle to hold the credential against, and nobody to trust"),
            };
            return report.add(Finding::new(Check::NoBundle, severity, sentence).in_file(file));
        }
    };
    for issuer in case.issuers {
        report.changes_at(system_time(issuer.validity().not_before));
        report.changes_at(expiry(system_time(issuer.validity().not_after)));
    }
    validator.changes_after(case.now).into_iter().for_each(|change| report.changes_at(change));
    if let Err(error) = path(case, validator) {
        if error == PathError::Revoked {
            return report.add(revoked(case.leaf.issuer().to_string()).in_file(file));
        }
        let severity = match required {
            RequireChain::Always => Severity::Reject,
            RequireChain::Auto if !is_dedicated(case.spec) => Severity::Reject,
            RequireChain::Auto | RequireChain::Never => Severity::Warn,
        };
        let sentence = format!(
            "the credential does not chain to the bundle it is served with: {error}; have it issued by a CA of the bundle, add \
             that CA, or send the missing intermediates"
        );
        let finding = Finding::new(Check::ChainUntrusted, severity, sentence).in_file(file);
        report.add(finding.found(format!("issued by {}", case.leaf.issuer())).expected("a path to an anchor"));
    } else if let Err(PathError::AnchorNotValid { not_after, .. }) = anchor_outlives_leaf(case, validator) {
        let sentence = "the anchor that the credential chains to ends before the leaf does: renew the CA first";
        let finding = Finding::new(Check::IssuerExpiresFirst, Severity::Warn, sentence).in_file(file);
        let expected = format!("not before {}", rfc3339(case.keyed.credential.leaf().not_after));
        report.add(finding.found(rfc3339(not_after)).expected(expected));
    }
}

/// The path for whatever role the leaf is wanted in. What other families tell of the leaf itself is not told again.
fn path(case: &Case<'_>, validator: &PathValidator) -> Result<(), PathError> {
    let Some((leaf, intermediates)) = case.chain().split_first() else { return Ok(()) };
    let at = within(case.keyed.credential.leaf(), case.now);
    let told = |result| match result {
        Err(PathError::LeafIsCa | PathError::LeafMaySign) => Ok(()),
        other => other,
    };
    told(validator.validate_for(leaf, intermediates, None, at))?;
    // Most issuers leave usages to the leaf: then the path is the same for every role.
    if case.issuers.iter().any(|issuer| matches!(issuer.extended_key_usage(), Ok(Some(_)))) {
        for role in roles(case.spec).filter(|role| is_for(case.leaf, *role)) {
            told(validator.validate(leaf, intermediates, role, at))?;
        }
    }
    Ok(())
}

/// An anchor that ends before the leaf takes the leaf with it.
fn anchor_outlives_leaf(case: &Case<'_>, validator: &PathValidator) -> Result<(), PathError> {
    let not_after = case.keyed.credential.leaf().not_after;
    match case.chain().split_first() {
        Some((leaf, intermediates)) if validator.has_anchor_that_ends_before(not_after) => {
            validator.validate_for(leaf, intermediates, None, not_after)
        }
        _ => Ok(()),
    }
}

/// What a bundle says of a credential that it came without: it is served all the same, or a removed CA would stay trusted.
pub(super) fn served(spec: &IdentitySpec, credential: &Credential, bundle: &Bundle, report: &mut Report) {
    let Some((leaf, intermediates)) = credential.chain().split_first() else { return };
    let at = within(credential.leaf(), report.now());
    let result = PathValidator::new(bundle).and_then(|validator| {
        validator.changes_after(report.now()).into_iter().for_each(|change| report.changes_at(change));
        validator.validate_for(leaf, intermediates, None, at)
    });
    let Err(error) = result else { return };
    if error == PathError::Revoked {
        return report.add(revoked(credential.leaf().issuer.text.clone()));
    }
    let sentence =
        format!("the bundle no longer trusts the leaf that is served: {error}; have it issued by a CA of the bundle");
    let finding = Finding::new(Check::OwnLeafUntrusted, Severity::Warn, sentence);
    let finding = finding.found(format!("issued by {}", credential.leaf().issuer.text)).expected("a path to an anchor");
    report.add(match &spec.files.bundle {
        Some(file) => finding.in_file(file.path()),
        None => finding,
    });
}

fn revoked(issuer: String) -> Finding {
    let sentence = "a CRL of the bundle revokes the leaf or an intermediate of its chain: peers that hold it refuse the credential; have \
                    another one issued, and see why this one was revoked";
    Finding::new(Check::LeafRevoked, Severity::Reject, sentence).found(format!("issued by {issuer}"))
}

/// An instant at which the leaf is valid, as near to `now` as there is: its own validity is not this family's concern.
fn within(leaf: &CertificateFacts, now: SystemTime) -> SystemTime {
    now.min(leaf.not_after).max(leaf.not_before)
}

fn roles(spec: &IdentitySpec) -> impl Iterator<Item = Role> {
    spec.expectations.usages.iter().filter_map(|usage| match usage {
        Usage::ServerAuth => Some(Role::Server),
        Usage::ClientAuth => Some(Role::Client),
        _ => None,
    })
}

fn is_for(leaf: &X509Certificate<'_>, role: Role) -> bool {
    leaf.extended_key_usage().ok().flatten().is_none_or(|usage| match role {
        Role::Server => usage.value.server_auth,
        Role::Client => usage.value.client_auth,
    })
}
