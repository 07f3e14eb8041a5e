//! The chain by itself, whatever the bundle: what every peer refuses that does not hold an intermediate for an anchor.

use rustls_pki_types::CertificateDer;

use super::super::Case;
use super::super::findings::{Consequences, Findings};
use super::super::lineage::{Lineage, Member, Position};
use super::words::AtHand;
use super::{chain, ends, path, weak_signature};
use crate::bundle::Bundle;
use crate::certificate::{Name, is_ca, is_self_issued};
use crate::crypto;
use crate::finding::{Check, Finding, Severity};
use crate::loading::{self, LoadError};
use crate::path::{PathError, PathValidator, UnusableAnchor, words};

/// Checks a chain that there is no bundle for: it is refused for what every peer refuses, whomever it trusts.
pub(super) fn check_alone(case: &Case<'_>, findings: &mut Findings) {
    let unreadable = unreadable(case);
    let broken = holds_by_itself(case).err().filter(|error| *error != PathError::UnknownIssuer);
    if unreadable.is_empty() && broken.is_none() && !ends::any_ends_first(case) {
        return;
    }
    let lineage = Lineage::of(case.leaf, chain(case), None);
    check(case, &lineage, &unreadable, false, findings);
    match broken {
        Some(error) => {
            let cause =
                super::words::of(&error, &lineage, AtHand { issuers: case.issuers, bundle: None, unusable: &[] });
            let sentence = format!("no peer accepts the chain, whomever it trusts: {cause}");
            let finding = weak_signature(&error, &lineage, Severity::Reject)
                .unwrap_or_else(|| Finding::new(Check::ChainUntrusted, Severity::Reject, sentence));
            findings.add(finding.in_file(case.files.chain()));
        }
        // For whoever trusts the issuer of its last certificate.
        None => {
            if let Ok(validator) = PathValidator::new(&Bundle::new(heads(&lineage), Vec::new())) {
                ends::check(case, &lineage, &validator, findings);
            }
        }
    }
}

/// The certificates after the leaf that no peer can read, by their number in the chain, and why.
pub(super) fn unreadable(case: &Case<'_>) -> Vec<(usize, String)> {
    let numbered = case.chain().iter().zip(1..).skip(1);
    let reasons = numbered.filter_map(|(der, number)| Some((number, loading::issuer(der).err()?)));
    let words = reasons.filter_map(|(number, error)| {
        let why = match error {
            LoadError::DoubledExtension { oid } => format!("it has the extension {oid} more than once"),
            LoadError::CriticalExtension { oid } => format!("its extension {oid} is critical and not understood"),
            LoadError::SerialNumber => {
                "its serial number is empty, or padded with octets that it does not need".to_owned()
            }
            LoadError::KeyUsage => "its key usage is no bit string".to_owned(),
            LoadError::Names => "its subject alternative names cannot be read to their end".to_owned(),
            LoadError::Leaf(error) => words::of(&error).to_owned(),
            _ => return None,
        };
        Some((number, why))
    });
    words.collect()
}

/// Reports them. The leaf needs one to reach an anchor, or it is only in the way of peers that refuse the whole message.
pub(super) fn check(
    case: &Case<'_>,
    lineage: &Lineage<'_>,
    unreadable: &[(usize, String)],
    path_holds: bool,
    findings: &mut Findings,
) {
    for (number, why) in unreadable {
        let member = lineage.issuers().iter().find(|member| member.position == Position::Chain(*number));
        let name = member.map_or_else(|| format!("certificate {number} of the chain"), Member::to_string);
        let finding =
            |severity, sentence| Finding::new(Check::Unloadable, severity, sentence).in_file(case.files.chain());
        if !path_holds && member.is_some_and(|member| needs(lineage, member)) {
            let sentence = format!(
                "{name} issued the leaf and cannot be used by any peer, since {why}; have that CA's certificate issued again"
            );
            findings.add_fatal(finding(Severity::Reject, sentence), Consequences::Of(&[Check::ChainUntrusted]));
        } else {
            let sentence = format!(
                "{name} is of no use to any peer, since {why}, and some refuse the whole chain for it; leave it out"
            );
            findings.add(finding(Severity::Warn, sentence));
        }
    }
}

/// Whether the leaf has no way around this certificate: none of its name that can be read, and no peer that is likely to hold it itself.
fn needs(lineage: &Lineage<'_>, member: &Member<'_>) -> bool {
    let name = member.certificate.subject().as_raw();
    let readable = |other: &Member<'_>| loading::issuer(&other.certificate.as_raw().into()).is_ok();
    let mut others = lineage.issuers().iter().filter(|other| other.position != member.position);
    let is_alone = !others.any(|other| other.certificate.subject().as_raw() == name && readable(other));
    is_alone
        && (member.height == 1 || !lineage.tops().any(|top| top.position == member.position))
        && !is_self_issued(member.certificate)
}

/// The fault of a path that need not hold by the identity's own bundle: only that the issuer is not in it, which is returned as `Ok`, or
/// one for which every peer refuses the path, whatever its bundle.
///
/// An anchor that has another key by now, or has expired, is an issuer that this bundle does not know: peers may have its successor or
/// predecessor. A CRL is of this bundle alone.
pub(super) fn excuse(case: &Case<'_>, lineage: &Lineage<'_>, error: PathError) -> Result<PathError, PathError> {
    use PathError as E;
    let is_of_bundle = match &error {
        E::IssuerUnusable { reason: UnusableAnchor::Key(_) } => return Err(error),
        E::UnknownIssuer
        | E::NoAnchor
        | E::NoUsableAnchor { .. }
        | E::IssuerUnusable { .. }
        | E::AnchorNotValid { .. }
        | E::Crl(_) => true,
        E::BadSignature => lineage.not_signed().all(|(_, issuer)| matches!(issuer.position, Position::Bundle(_))),
        E::TooComplex | E::UnsupportedKey { .. } => return Err(error),
        _ => false,
    };
    if !is_of_bundle && lineage.anchors().next().is_some() {
        return Err(error);
    }
    let excused = if is_of_bundle { error } else { E::UnknownIssuer };
    match holds_by_itself(case) {
        Ok(()) | Err(E::UnknownIssuer) => Ok(excused),
        Err(cause) => Err(cause),
    }
}

/// Whether some peer may accept the chain: one that trusts the issuer of its last certificate or, as one that has that by another
/// certificate, the one before it. A chain without issuers holds for whoever trusts the leaf's.
fn holds_by_itself(case: &Case<'_>) -> Result<(), PathError> {
    let alone = Lineage::of(case.leaf, chain(case), None);
    if alone.not_signed().next().is_some() {
        return Err(PathError::BadSignature);
    }
    let algorithm = crypto::signature_algorithm(case.leaf);
    if !crypto::accepts_signature(algorithm) {
        return Err(PathError::UnsupportedSignature { algorithm: crypto::signature_name(algorithm) });
    }
    let heads = heads(&alone);
    if heads.is_empty() {
        return Ok(());
    }
    match PathValidator::new(&Bundle::new(heads.clone(), Vec::new())) {
        Ok(validator) => match path(case, &validator).map(drop) {
            Err(PathError::AnchorNotValid { now, not_before, .. }) if now < not_before => {
                Err(PathError::NotYetValid { now, not_before })
            }
            Err(PathError::AnchorNotValid { now, not_after, .. }) => Err(PathError::Expired { now, not_after }),
            other => other,
        },
        Err(PathError::NoUsableAnchor { first }) => Err(match first {
            UnusableAnchor::CriticalExtension(_) => PathError::CriticalExtension,
            UnusableAnchor::NotCa => not_issuing(&alone),
            _ => PathError::UnknownIssuer,
        }),
        Err(error) => Err(error),
    }
}

/// Why none of the certificates that a peer may trust can issue: one is no CA's, or its key usage does not let it.
fn not_issuing(alone: &Lineage<'_>) -> PathError {
    let heads = || alone.tops().chain(alone.under_tops()).map(|head| head.certificate);
    match heads().find(|head| !is_self_issued(head)) {
        Some(head) if heads().all(is_ca) => PathError::IssuerMayNotSign { issuer: Name::of(head.subject()).text },
        _ => PathError::IssuerIsNoCa,
    }
}

/// The certificates of the chain that a peer may trust: those whose issuer is not in it and, as their CAs may be known by other
/// certificates, those that they issued.
fn heads(alone: &Lineage<'_>) -> Vec<CertificateDer<'static>> {
    let heads = alone.tops().chain(alone.under_tops());
    heads.map(|head| CertificateDer::from(head.certificate.as_raw().to_vec())).collect()
}
