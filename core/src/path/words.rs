//! Plain words for what webpki says: its errors show themselves by the names of their variants.

use webpki::DerTypeId;

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
