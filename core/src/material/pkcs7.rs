//! Certificates in other wrappings than their own: PKCS#7, and OpenSSL's trusted certificates.

use const_oid::ObjectIdentifier;
use der::asn1::AnyRef;
use der::{Encode, Tag, TagNumber, Tagged};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::elements::{all, fields};

pub(super) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Why such a wrapping gives no certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwrappable {
    #[error("is no certificates in PKCS#7 as DER; write them as PEM: openssl pkcs7 -print_certs")]
    Malformed,
    #[error("holds what is neither a certificate nor a CRL; write its certificates as PEM: openssl pkcs7 -print_certs")]
    Foreign,
    #[error("is no certificate with trust settings; write the certificate alone: openssl x509")]
    Settings,
    #[error(
        "holds a certificate whose trust settings do not allow it for TLS; use a bundle that is meant for TLS, or write the \
         certificate alone: openssl x509"
    )]
    Usage,
}

/// The content of a PKCS#7 structure.
pub(super) struct Collection {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
}

/// The certificates and CRLs of a `SignedData` (RFC 5652 §5.1, RFC 2315 §9.1). Nothing else in it is looked at.
pub(super) fn collection(der: &[u8]) -> Result<Collection, Unwrappable> {
    let sets = signed_data(der).map_err(|_| Unwrappable::Malformed)?;
    let mut collection = Collection { certificates: Vec::new(), crls: Vec::new() };
    for field in sets {
        let Tag::ContextSpecific { constructed: true, number: number @ (TagNumber(0) | TagNumber(1)) } = field.tag()
        else {
            continue;
        };
        for element in all(field.value()).map_err(|_| Unwrappable::Malformed)? {
            // Attribute certificates and other formats have tags of their own.
            let der = element.to_der().ok().filter(|_| element.tag() == Tag::Sequence);
            let der = der.ok_or(Unwrappable::Foreign)?;
            match number {
                TagNumber(0) => collection.certificates.push(der.into()),
                _ => collection.crls.push(der.into()),
            }
        }
    }
    Ok(collection)
}

/// The fields of a `SignedData`.
fn signed_data(der: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let wrong = || der::Error::from(der::ErrorKind::Failed);
    match fields(der)?.as_slice() {
        [oid, content] if oid.decode_as::<ObjectIdentifier>()? == SIGNED_DATA => fields(content.value()),
        _ => Err(wrong()),
    }
}

/// The certificate of an OpenSSL `TRUSTED CERTIFICATE`, which has settings after it of what to trust it for (`X509_CERT_AUX`).
pub(super) fn trusted(der: &[u8]) -> Result<CertificateDer<'static>, Unwrappable> {
    let (settings, _) = X509Certificate::from_der(der).map_err(|_| Unwrappable::Settings)?;
    let certificate = der[..der.len() - settings.len()].to_vec().into();
    if settings.is_empty() {
        return Ok(certificate);
    }
    if is_for_tls(settings).map_err(|_| Unwrappable::Settings)? { Ok(certificate) } else { Err(Unwrappable::Usage) }
}

/// Whether trust settings allow TLS: they list usages to trust a certificate for, under `[0]` usages to reject it for, and more.
fn is_for_tls(settings: &[u8]) -> der::Result<bool> {
    let mut is_for_tls = true;
    for field in fields(settings)? {
        let usages = || {
            all(field.value())?.iter().map(|usage| usage.decode_as()).collect::<der::Result<Vec<ObjectIdentifier>>>()
        };
        let has = |usages: &[ObjectIdentifier], wanted: &[ObjectIdentifier]| usages.iter().any(|u| wanted.contains(u));
        let tls = [SERVER_AUTH, CLIENT_AUTH, ANY_USAGE];
        match field.tag() {
            Tag::Sequence => is_for_tls &= has(&usages()?, &tls),
            Tag::ContextSpecific { constructed: true, number: TagNumber(0) } => is_for_tls &= !has(&usages()?, &tls),
            _ => {}
        }
    }
    Ok(is_for_tls)
}
