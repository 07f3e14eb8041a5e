//! Why a path does not hold, where webpki's word for it would lead to the wrong remedy.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS;
use x509_parser::prelude::X509Certificate;

use super::constraints::Constraints;
use super::{PathError, PathValidator, Search, constraints, keys, system_time};
use crate::certificate::{Name, parse};
use crate::elements::content;

impl PathValidator {
    /// Tells an anchor that has expired, or that cannot be used, from one that is not there; a key that is not accepted from a signature
    /// by another key; a constraint that cannot be evaluated from one that is broken. Each is mended in another way.
    pub(super) fn explain(&self, error: PathError, search: &Search<'_>) -> PathError {
        let explained = match error {
            PathError::UnknownIssuer => self.expired(search).or_else(|| self.unusable(search)),
            PathError::BadSignature => self.expired(search).or_else(|| self.weak_key(search)),
            PathError::UnsupportedSignature { .. } => self.weak_key(search),
            PathError::NameConstraint => {
                let issuers = search.intermediates.iter().filter_map(|der| parse(der).ok());
                let certificate = search.leaf.der();
                let leaf = parse(&certificate).ok();
                leaf.and_then(|leaf| {
                    constraints::unsupported(&certificate, &leaf, &issuers.collect::<Vec<_>>(), &self.anchors)
                })
            }
            _ => None,
        };
        explained.unwrap_or(error)
    }

    /// The path leads to an anchor that is not valid.
    fn expired(&self, search: &Search<'_>) -> Option<PathError> {
        let (anchors, validity) = self.anchors.invalid_at(search.now);
        let reached = self.reach(search, &anchors).ok()?;
        let place = anchors.iter().position(|anchor| std::ptr::eq(anchor, reached))?;
        Some(PathError::AnchorNotValid {
            now: system_time(search.now),
            not_before: system_time(validity[place].not_before),
            not_after: system_time(validity[place].not_after),
        })
    }

    /// An issuer of the path is in the bundle and cannot be used.
    fn unusable(&self, search: &Search<'_>) -> Option<PathError> {
        let certificate = search.leaf.der();
        let of_path = std::iter::once(&certificate).chain(search.intermediates);
        let issuers: Vec<_> =
            of_path.filter_map(|der| parse(der).ok().map(|found| found.issuer().as_raw().to_vec())).collect();
        let (_, unusable) = self.anchors.unusable_with_subjects().find(|(subject, _)| issuers.contains(subject))?;
        Some(PathError::IssuerUnusable { reason: unusable.clone() })
    }

    /// The key of an issuer of the path is of a kind or size that is not accepted.
    fn weak_key(&self, search: &Search<'_>) -> Option<PathError> {
        let certificate = search.leaf.der();
        let parsed: Vec<X509Certificate<'_>> =
            std::iter::once(&certificate).chain(search.intermediates).filter_map(|der| parse(der).ok()).collect();
        let issued = |issuer: &&X509Certificate<'_>| parsed.iter().any(|other| other.issuer() == issuer.subject());
        parsed.iter().skip(1).filter(issued).find_map(|issuer| {
            let key = keys::unsupported(issuer.public_key())?;
            Some(PathError::UnsupportedKey { issuer: Name::of(issuer.subject()).text, key })
        })
    }
}

/// The name of a leaf that is outside of an issuer's name constraints (RFC 5280 §4.2.1.10), for people; only where these are of a kind that
/// is compared.
pub(crate) fn outside_of(issuer: &X509Certificate<'_>, leaf: &X509Certificate<'_>) -> Option<String> {
    let extension = issuer.get_extension_unique(&OID_X509_EXT_NAME_CONSTRAINTS).ok().flatten()?;
    let constraints = Constraints::of(content(extension.value)).ok()?;
    let names = constraints::names_of(leaf.as_raw())?;
    let outside = names.into_iter().find(|name| constraints.are_broken_by(std::slice::from_ref(name)))?;
    let (v4, v6) = (<[u8; 4]>::try_from(outside.value), <[u8; 16]>::try_from(outside.value));
    Some(match (outside.kind, v4, v6) {
        (constraints::IP, Ok(octets), _) => IpAddr::from(octets).to_string(),
        (constraints::IP, _, Ok(octets)) => IpAddr::from(octets).to_string(),
        _ => format!("{:?}", String::from_utf8_lossy(outside.value)),
    })
}

/// The subject of a certificate, for people.
pub(super) fn subject(der: &CertificateDer<'_>) -> String {
    parse(der).map(|certificate| Name::of(certificate.subject()).text).unwrap_or_default()
}
