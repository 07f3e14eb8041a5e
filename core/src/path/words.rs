//! Plain words for what webpki says: its errors show themselves by the names of their variants.

use const_oid::ObjectIdentifier;
use der::{Decode, SliceReader};
use webpki::DerTypeId;

/// An algorithm that webpki did not name.
pub(super) const UNKNOWN_ALGORITHM: &str = "an unknown algorithm";

/// The words for an error, as the end of a sentence about a certificate.
pub(crate) fn of(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;
    match error {
        E::BadDer => "its DER is damaged",
        E::BadDerTime | E::TrailingData(DerTypeId::Time) => "a time in it is not written as RFC 5280 demands",
        E::TrailingData(_) => "there is more in one of its fields than belongs there",
        E::EmptyEkuExtension => "its extended key usage is empty",
        E::ExtensionValueInvalid => "the value of an extension is not what it has to be",
        E::InvalidCertValidity => "it ends before it begins",
        E::InvalidNetworkMaskConstraint => "a name constraint has an invalid network mask",
        E::InvalidSerialNumber => "its serial number is not a positive number of at most 20 octets",
        E::MalformedDnsIdentifier => "a DNS name in it is malformed",
        E::MalformedExtensions => "its extensions are malformed, or one is there twice",
        E::MalformedNameConstraint => "a name constraint is malformed",
        E::SignatureAlgorithmMismatch => "it names two different signature algorithms",
        E::UnsupportedCertVersion => "it is not of version 3",
        E::UnsupportedCriticalExtension => "a critical extension is not understood",
        E::UnsupportedNameType => "a name is of a kind that is not supported",
        _ => "it breaks a rule of RFC 5280",
    }
}

/// The usual name of a signature algorithm, given as an `AlgorithmIdentifier` without its header.
pub(crate) fn algorithm(identifier: &[u8]) -> String {
    let oid = SliceReader::new(identifier).and_then(|mut fields| <ObjectIdentifier>::decode(&mut fields));
    let Ok(oid) = oid.map(|oid| oid.to_string()) else { return UNKNOWN_ALGORITHM.to_owned() };
    let known = ALGORITHMS.iter().find(|(known, _)| *known == oid);
    known.map_or_else(|| format!("the algorithm {oid}"), |(_, name)| (*name).to_owned())
}

/// Signature algorithms that certificates in use are signed with, accepted or not.
const ALGORITHMS: [(&str, &str); 16] = [
    ("1.2.840.113549.1.1.2", "MD2 with RSA"),
    ("1.2.840.113549.1.1.3", "MD4 with RSA"),
    ("1.2.840.113549.1.1.4", "MD5 with RSA"),
    ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "SHA-256 with RSA"),
    ("1.2.840.113549.1.1.12", "SHA-384 with RSA"),
    ("1.2.840.113549.1.1.13", "SHA-512 with RSA"),
    ("1.2.840.113549.1.1.14", "SHA-224 with RSA"),
    ("1.2.840.10040.4.3", "SHA-1 with DSA"),
    ("2.16.840.1.101.3.4.3.2", "SHA-256 with DSA"),
    ("1.2.840.10045.4.1", "SHA-1 with ECDSA"),
    ("1.2.840.10045.4.3.1", "SHA-224 with ECDSA"),
    ("1.2.840.10045.4.3.2", "SHA-256 with ECDSA"),
    ("1.2.840.10045.4.3.3", "SHA-384 with ECDSA"),
    ("1.2.840.10045.4.3.4", "SHA-512 with ECDSA"),
];
