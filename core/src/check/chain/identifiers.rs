//! What the certificates of a path say of each other beside their names: key identifiers (RFC 5280 §4.2.1.1, §4.2.1.2), and constraints that
//! may be passed over (§4.2.1.10). rustls goes by names and signatures alone; Go and OpenSSL look for an issuer by these, too.

use x509_parser::extensions::{AuthorityKeyIdentifier, GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use super::super::Case;
use super::super::findings::Findings;
use super::super::lineage::name_in_chain;
use crate::certificate::Name;
use crate::finding::{Check, Finding, Severity};

/// Reports the first certificate of the chain that points at another issuer than the one it has. `anchors` are those with the name of an
/// issuer.
pub(super) fn check(case: &Case<'_>, anchors: &[X509Certificate<'_>], findings: &mut Findings) {
    let file = case.files.chain();
    let told = |number, certificate: &X509Certificate<'_>| match number {
        1 => "the leaf".to_owned(),
        _ => name_in_chain(certificate, number, file),
    };
    let mut numbered = case.certificates.iter().zip(1..);
    let found = numbered.find_map(|(issued, number)| Some((issued, number, misled(issued, case.issuers, anchors)?)));
    if let Some((issued, number, why)) = found {
        let sentence = format!(
            "the authority key identifier of {} {why}: peers with Go or OpenSSL may not find its issuer; have it issued again by what its CA \
             is now",
            told(number, issued)
        );
        findings.add(Finding::new(Check::KeyIdentifier, Severity::Warn, sentence).in_file(file));
    }
    let unmarked = case
        .issuers
        .iter()
        .zip(2..)
        .find(|(issuer, _)| matches!(issuer.name_constraints(), Ok(Some(constraints)) if !constraints.critical));
    if let Some((issuer, number)) = unmarked {
        let sentence = format!(
            "the name constraints of {} are not marked critical, and peers that do not know them pass over them; have that CA's certificate \
             issued with them critical",
            told(number, issuer)
        );
        findings.add(Finding::new(Check::NameConstraints, Severity::Warn, sentence).in_file(file));
    }
}

/// How a certificate points at none of those that have the name of its issuer.
fn misled(
    issued: &X509Certificate<'_>,
    issuers: &[X509Certificate<'_>],
    anchors: &[X509Certificate<'_>],
) -> Option<&'static str> {
    let pointer = extension(issued, |extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(pointer) => Some(pointer),
        _ => None,
    })?;
    let named = || issuers.iter().chain(anchors).filter(|issuer| issuer.subject().as_raw() == issued.issuer().as_raw());
    named().next()?;
    let by_key = pointer.key_identifier.as_ref().is_some_and(|wanted| {
        !named().any(|issuer| key_identifier(issuer).is_none_or(|identifier| identifier == wanted.0))
    });
    if by_key {
        return Some("is not the subject key identifier of its issuer");
    }
    (!named().any(|issuer| is_named(pointer, issuer)))
        .then_some("names another issuer and serial number than its issuer has")
}

/// Whether a pointer by issuer and serial number is at this certificate, or there is none.
fn is_named(pointer: &AuthorityKeyIdentifier<'_>, issuer: &X509Certificate<'_>) -> bool {
    let by_serial = pointer.authority_cert_serial.is_none_or(|serial| serial == issuer.tbs_certificate.raw_serial());
    let by_name = pointer.authority_cert_issuer.as_ref().is_none_or(|names| {
        let mut names = names.iter().filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(Name::of(name)),
            _ => None,
        });
        names.next().is_none_or(|name| name == Name::of(issuer.issuer()))
    });
    by_serial && by_name
}

fn key_identifier<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    extension(certificate, |extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}

fn extension<'a, 'c, T>(
    certificate: &'a X509Certificate<'c>,
    wanted: impl Fn(&'a ParsedExtension<'c>) -> Option<T>,
) -> Option<T> {
    certificate.extensions().iter().find_map(|extension| wanted(extension.parsed_extension()))
}
