//! The path from the leaf to the bundle it would be served with (RFC 5280 §6.1).
//!
//! A chain that no peer accepts is rejected. A leaf that no CA of the bundle issued is another matter where the bundle is not the
//! issuer's own: the peers' bundles may hold that CA.

mod anchor;
mod ends;
mod identifiers;
mod itself;
mod words;

use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::X509Certificate;

use super::findings::{Consequences, Findings};
use super::lineage::{Lineage, Member, Position, Source, is_for};
use super::{Case, Trust, Validators, is_dedicated};
use crate::bundle::Bundle;
use crate::certificate::{self, CertificateFacts, Name, system_time};
use crate::clock::expiry;
use crate::credential::Credential;
use crate::crypto;
use crate::elements::content;
use crate::finding::{Check, Finding, Severity};
use crate::path::{PathError, PathValidator, Role};
use crate::spec::{IdentitySpec, RequireChain, Usage};
use words::AtHand;
pub(super) use words::mend;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let file = case.files.chain();
    let required = case.spec.expectations.require_chain;
    for issuer in case.issuers {
        findings.changes_at(system_time(issuer.validity().not_before));
        findings.changes_at(expiry(system_time(issuer.validity().not_after)));
    }
    let (validator, bundle) = match &case.trust {
        Trust::Anchors { validator, bundle } => (validator, bundle),
        Trust::Unknown => return,
        Trust::None => {
            let (severity, sentence) = match required {
                RequireChain::Always => {
                    (Severity::Reject, "the credential must chain to a bundle, and there is none: configure one")
                }
                _ => (Severity::Info, "there is no bundle to hold the credential against, and nobody to trust"),
            };
            findings.add(Finding::new(Check::NoBundle, severity, sentence).in_file(file));
            return itself::check_alone(case, findings);
        }
    };
    validator.changes_after(case.now).into_iter().for_each(|change| findings.changes_at(change));
    let outcome = path(case, validator);
    if outcome == Err(PathError::Revoked) {
        return findings.add(revoked(Name::of(case.leaf.issuer()).text).in_file(file));
    }
    let anchors = named(case.certificates, bundle);
    if outcome.is_ok() {
        identifiers::check(case, &anchors, findings);
    }
    let unreadable = itself::unreadable(case);
    // Signatures are verified for it, so it is made only where something may be said.
    let not_after = case.keyed.credential.leaf().not_after;
    let is_worth_a_look = !matches!(outcome, Ok(None))
        || !unreadable.is_empty()
        || ends::any_ends_first(case)
        || anchors.iter().any(|anchor| system_time(anchor.validity().not_after) < not_after)
        || anchors.iter().any(anchor::constrains);
    if !is_worth_a_look {
        return;
    }
    let source = case.spec.files.bundle.as_ref().map(|file| Source { certificates: &anchors, file: file.path() });
    let lineage = Lineage::of(case.leaf, chain(case), source);
    itself::check(case, &lineage, &unreadable, outcome.is_ok(), findings);
    let at_hand = AtHand { issuers: case.issuers, bundle: Some(bundle), unusable: validator.unusable_anchors() };
    match outcome {
        Ok(lost) => {
            if let Some((role, error)) = lost {
                findings.add(unfit(case, at_hand, &lineage, role, &error));
            }
            ends::check(case, &lineage, validator, findings);
            anchor::check(case, &lineage, findings);
        }
        Err(error) => {
            // A root that belongs into the bundle first is not told to be left out.
            let finding = untrusted(case, at_hand, &lineage, error);
            findings.add_cause(finding, Consequences::Of(&[Check::RootInChain]));
        }
    }
}

/// The anchors with the name of a certificate's issuer. To parse every anchor of a large bundle in full would take longer than all else.
fn named<'b>(chain: &[X509Certificate<'_>], bundle: &'b Bundle) -> Vec<X509Certificate<'b>> {
    // webpki's names are without the header of their structure.
    let issuers: Vec<_> = chain.iter().map(|issued| content(issued.issuer().as_raw())).collect();
    let named = |anchor: &&CertificateDer<'_>| {
        webpki::anchor_from_trusted_cert(anchor).is_ok_and(|anchor| issuers.contains(&anchor.subject.as_ref()))
    };
    bundle.anchors().iter().filter(named).filter_map(|anchor| certificate::parse(anchor).ok()).collect()
}

/// The finding about a path that does not hold.
fn untrusted(case: &Case<'_>, at_hand: AtHand<'_>, lineage: &Lineage<'_>, error: PathError) -> Finding {
    let (severity, error) = match case.spec.expectations.require_chain {
        RequireChain::Always => (Severity::Reject, error),
        RequireChain::Auto if !is_dedicated(case.spec) => (Severity::Reject, error),
        RequireChain::Auto | RequireChain::Never => match itself::excuse(case, lineage, error) {
            Ok(error) => (Severity::Warn, error),
            Err(error) => (Severity::Reject, error),
        },
    };
    if let Some(finding) = weak_signature(&error, lineage, severity) {
        return finding.in_file(case.files.chain());
    }
    let cause = words::of(&error, lineage, at_hand);
    let sentence = format!("the credential does not chain to the bundle it is served with: {cause}");
    let finding = Finding::new(Check::ChainUntrusted, severity, sentence).in_file(case.files.chain());
    let issuer = Name::of(case.leaf.issuer()).text;
    let found = if issuer.is_empty() { "an empty issuer".to_owned() } else { format!("issued by {issuer}") };
    finding.found(found).expected("a path to an anchor")
}

/// The finding about a path that fails at a signature over a broken digest; none where it fails for anything else.
fn weak_signature(error: &PathError, lineage: &Lineage<'_>, severity: Severity) -> Option<Finding> {
    let PathError::UnsupportedSignature { .. } = error else { return None };
    let is_weak = |member: &&Member<'_>| {
        let is_verified = matches!(member.position, Position::Chain(_));
        is_verified && crypto::is_broken_signature(crypto::signature_algorithm(member.certificate))
    };
    let weak = lineage.members().iter().find(is_weak)?;
    let name = crypto::signature_name(crypto::signature_algorithm(weak.certificate));
    let sentence = format!(
        "{weak} is signed with {name}, which peers do not accept, since it does not show what was signed; have it issued again with SHA-256"
    );
    let finding = Finding::new(Check::WeakSignature, severity, sentence).about(weak.certificate.as_raw());
    Some(finding.found(name).expected("SHA-256 or better"))
}

/// The finding about a path that does not hold for a role that the leaf itself allows.
fn unfit(case: &Case<'_>, at_hand: AtHand<'_>, lineage: &Lineage<'_>, role: Role, error: &PathError) -> Finding {
    let cause = words::of(error, lineage, at_hand);
    let sentence =
        format!("peers do not take the leaf for {}, though it allows that itself: {cause}", words::usage(role));
    Finding::new(Check::ExtendedKeyUsage, Severity::Warn, sentence).in_file(case.files.chain())
}

/// The path for every role that the leaf is wanted in or, where none is configured, for some role that it allows itself: returned is the
/// other of these, if the path does not hold for it, and why. Faults of the leaf itself that other families tell are not told again.
fn path(case: &Case<'_>, validator: &PathValidator) -> Result<Option<(Role, PathError)>, PathError> {
    let Some((leaf, intermediates)) = case.chain().split_first() else { return Ok(None) };
    let at = within(case.keyed.credential.leaf(), case.now);
    told(validator.validate_for(leaf, intermediates, None, at))?;
    // Most issuers leave usages to the leaf: then the path is the same for every role.
    if !case.issuers.iter().any(|issuer| matches!(issuer.extended_key_usage(), Ok(Some(_)))) {
        return Ok(None);
    }
    let holds = |role: Role| told(validator.validate(leaf, intermediates, role, at));
    let mut wanted = roles(case.spec).peekable();
    if wanted.peek().is_some() {
        return wanted.filter(|role| is_for(case.leaf, *role)).try_for_each(holds).map(|()| None);
    }
    let allowed = || [Role::Server, Role::Client].into_iter().filter(|role| is_for(case.leaf, *role));
    let lost: Vec<_> = allowed().filter_map(|role| Some((role, holds(role).err()?))).collect();
    let is_lost_for_all = lost.len() == allowed().count();
    match lost.into_iter().next() {
        Some((_, error)) if is_lost_for_all => Err(error),
        lost => Ok(lost),
    }
}

/// Leaves out the errors that the family of authorities tells of the leaf.
fn told(outcome: Result<(), PathError>) -> Result<(), PathError> {
    match outcome {
        Err(PathError::LeafIsCa | PathError::LeafMaySign | PathError::LeafConstrainsNames) => Ok(()),
        other => other,
    }
}

/// Whether the leaf has a path to an anchor when it ends: then nothing that ends before it is of any concern.
pub(super) fn holds_to_the_end(credential: &Credential, validator: &PathValidator) -> bool {
    let not_after = credential.leaf().not_after;
    let split = credential.chain().split_first();
    split.is_some_and(|(leaf, rest)| told(validator.validate_for(leaf, rest, None, not_after)).is_ok())
}

/// Checks a credential by a bundle that came without it: the bundle is served all the same, or a removed CA would stay trusted.
pub(super) fn served(
    spec: &IdentitySpec,
    credential: &Credential,
    bundle: &Arc<Bundle>,
    validators: &Validators,
    findings: &mut Findings,
) {
    let Some((leaf, intermediates)) = credential.chain().split_first() else { return };
    let at = within(credential.leaf(), findings.now());
    let validator = validators.of(bundle);
    let outcome = validator.as_ref().map_err(Clone::clone).and_then(|validator| {
        validator.changes_after(findings.now()).into_iter().for_each(|change| findings.changes_at(change));
        told(validator.validate_for(leaf, intermediates, None, at))
    });
    let Err(error) = outcome else { return };
    if error == PathError::Revoked {
        return findings.add(revoked(credential.leaf().issuer.text.clone()));
    }
    let chain: Result<Vec<_>, _> = credential.chain().iter().map(|der| certificate::parse(der)).collect();
    let cause = match (chain.as_deref(), &spec.files.credential) {
        (Ok(chain @ [leaf, issuers @ ..]), Some(files)) => {
            let anchors = named(chain, bundle);
            let anchors = spec.files.bundle.as_ref().map(|file| Source { certificates: &anchors, file: file.path() });
            let lineage = Lineage::of(leaf, Source { certificates: issuers, file: files.chain() }, anchors);
            let unusable = validator.as_ref().map_or(&[][..], |validator| validator.unusable_anchors());
            words::of(&error, &lineage, AtHand { issuers, bundle: Some(bundle), unusable })
        }
        _ => format!("{error}; have it issued by a CA of the bundle"),
    };
    let sentence = format!("the bundle no longer trusts the leaf that is served: {cause}");
    let finding = Finding::new(Check::OwnLeafUntrusted, Severity::Warn, sentence);
    let finding = finding.found(format!("issued by {}", credential.leaf().issuer.text)).expected("a path to an anchor");
    findings.add(match &spec.files.bundle {
        Some(file) => finding.in_file(file.path()),
        None => finding,
    });
}

fn revoked(issuer: String) -> Finding {
    let sentence = "a CRL of the bundle revokes the leaf or an intermediate of its chain: peers that hold it refuse the credential; have \
                    another one issued, and see why this one was revoked";
    Finding::new(Check::LeafRevoked, Severity::Reject, sentence).found(format!("issued by {issuer}"))
}

fn chain<'a>(case: &Case<'a>) -> Source<'a> {
    Source { certificates: case.issuers, file: case.files.chain() }
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
