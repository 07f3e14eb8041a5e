//! A credential as the TLS stack of this process loads it, and as that of a peer does when it is presented: admission and the SDK ask
//! the same functions, so nothing is published that no handshake can use.

use der::Decode;
use der::asn1::BitStringRef;
use rustls::InconsistentKeys;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{X509Certificate, X509Extension};

use crate::certificate::{self, system_time};
use crate::clock::unix_time;
use crate::credential::Credential;
use crate::crypto;
use crate::path::words;

/// The most octets that the body of a Certificate message may have: rustls keeps an incomplete message in a buffer of 65,535 octets,
/// with its header, those of the records it came in and what follows it in the last of them; 1 KiB is left for these.
pub(crate) const MAX_CERTIFICATE_MESSAGE: usize = 0xffff - 1024;

/// The octets of a TLS 1.3 Certificate message beside its certificates: the length of its context and that of the list (RFC 8446 §4.4.2).
/// TLS 1.2 has less (RFC 5246 §7.4.2).
const MESSAGE_FRAME: usize = 1 + 3;

/// The octets that each certificate adds to its own: the length of it, and that of its extensions.
const ENTRY_FRAME: usize = 3 + 2;

/// Loads a credential: its key as rustls signs with it, beside the chain.
///
/// # Errors
///
/// The key is not in memory, cannot be used, or is not the leaf's; or no peer can load the chain: the message that carries it is too long,
/// or its leaf is no certificate that any peer accepts, whoever issued it.
pub fn certified_key(credential: &Credential) -> Result<CertifiedKey, LoadError> {
    let key = credential.key().ok_or(LoadError::WithoutKey)?;
    let key = crypto::signing_key(key).map_err(|_| LoadError::UnsupportedKey)?;
    chain(credential.chain())?;
    let certified_key = CertifiedKey::new(credential.chain().to_vec(), key);
    match certified_key.keys_match() {
        // A provider that cannot tell is no reason to refuse: admission has compared the two already.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified_key),
        Err(_) => Err(LoadError::KeyMismatch),
    }
}

/// Whether a peer can load this chain, whoever issued it.
fn chain(chain: &[CertificateDer<'_>]) -> Result<(), LoadError> {
    message(chain)?;
    leaf(chain.first().ok_or(LoadError::EmptyChain)?)
}

/// Whether the message that carries this chain is short enough to be received.
pub(crate) fn message(chain: &[CertificateDer<'_>]) -> Result<(), LoadError> {
    let length = MESSAGE_FRAME + chain.iter().map(|der| ENTRY_FRAME + der.len()).sum::<usize>();
    if length > MAX_CERTIFICATE_MESSAGE { Err(LoadError::TooLong { length }) } else { Ok(()) }
}

/// Checks a leaf as webpki, and with it every peer that uses rustls, does before it looks for an issuer: the structure (version 3, no
/// critical extension that is not understood), how times are written, the extended key usage. Whether the leaf is a CA, and whether it is
/// valid by now, is for others to say.
pub(crate) fn leaf(der: &CertificateDer<'_>) -> Result<(), LoadError> {
    let parsed = certificate::parse(der).map_err(|_| LoadError::Leaf(webpki::Error::BadDer))?;
    if let Some(oid) = doubled_extension(&parsed) {
        return Err(LoadError::DoubledExtension { oid });
    }
    let end_entity = EndEntityCert::try_from(der).map_err(|error| match unknown_critical(&parsed) {
        Some(oid) if error == webpki::Error::UnsupportedCriticalExtension => LoadError::CriticalExtension { oid },
        _ => LoadError::Leaf(error),
    })?;
    if !is_minimal(parsed.tbs_certificate.raw_serial()) {
        return Err(LoadError::SerialNumber);
    }
    if extension(&parsed, KEY_USAGE).is_some_and(|usage| BitStringRef::from_der(usage.value).is_err()) {
        return Err(LoadError::KeyUsage);
    }
    // webpki reads names when it is asked for one, up to that one: it reads all of them for one that is not there.
    let nobody = DnsName::try_from_str(NOBODY).map(ServerName::DnsName);
    match nobody.map(|nobody| end_entity.verify_is_valid_for_subject_name(&nobody)) {
        Ok(Ok(()) | Err(webpki::Error::CertNotValidForName(_))) | Err(_) => {}
        Ok(Err(_)) => return Err(LoadError::Names),
    }
    let at = unix_time(system_time(parsed.validity().not_before));
    let without_issuer = |usage: KeyUsage| {
        use webpki::Error as E;
        // Without an anchor all that is said first is said of the leaf itself; then, that its issuer is not known.
        match end_entity.verify_for_usage(&[], &[], &[], at, usage, None, None).map(|_| ()) {
            Ok(()) | Err(E::UnknownIssuer | E::CaUsedAsEndEntity) => Ok(()),
            Err(E::CertExpired { .. } | E::CertNotValidYet { .. } | E::InvalidCertValidity) => Ok(()),
            Err(error) => Err(error),
        }
    };
    match without_issuer(KeyUsage::server_auth()).or_else(|_| without_issuer(KeyUsage::client_auth())) {
        Ok(()) => Ok(()),
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => Err(LoadError::NoRole),
        Err(error) => Err(LoadError::Leaf(error)),
    }
}

/// The same of a certificate after the leaf, which plays no role in a handshake.
pub(crate) fn issuer(der: &CertificateDer<'_>) -> Result<(), LoadError> {
    match leaf(der) {
        Err(LoadError::NoRole | LoadError::Leaf(webpki::Error::EmptyEkuExtension)) => Ok(()),
        other => other,
    }
}

/// A name that is nobody's (RFC 6761 §6.4).
const NOBODY: &str = "nobody.invalid";

/// Whether the content of an INTEGER is as short as it has to be (X.690 §8.3.2): OpenSSL, Go and others read no other.
pub(crate) fn is_minimal(integer: &[u8]) -> bool {
    match integer {
        [] => false,
        [0x00, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// The extension with this dotted object identifier.
fn extension<'a, 'c>(certificate: &'a X509Certificate<'c>, oid: &str) -> Option<&'a X509Extension<'c>> {
    certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == oid)
}

/// An extension that a certificate has more than once (RFC 5280 §4.2), as a dotted object identifier.
pub(crate) fn doubled_extension(certificate: &X509Certificate<'_>) -> Option<String> {
    let extensions = certificate.extensions();
    let mut later = extensions.iter().enumerate().skip(1);
    let twice = later.find(|(i, extension)| extensions[..*i].iter().any(|before| before.oid == extension.oid));
    twice.map(|(_, extension)| extension.oid.to_id_string())
}

pub(crate) const KEY_USAGE: &str = "2.5.29.15";
pub(crate) const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub(crate) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const SIGNED_CERTIFICATE_TIMESTAMPS: &str = "1.3.6.1.4.1.11129.2.4.2";

/// The extensions that webpki understands, or passes over with good reason, though they are critical.
const UNDERSTOOD: [&str; 7] = [
    KEY_USAGE,
    SUBJECT_ALT_NAME,
    BASIC_CONSTRAINTS,
    NAME_CONSTRAINTS,
    CRL_DISTRIBUTION_POINTS,
    EXTENDED_KEY_USAGE,
    SIGNED_CERTIFICATE_TIMESTAMPS,
];

/// The first extension that is critical and that webpki does not understand, as a dotted object identifier.
pub(crate) fn unknown_critical(certificate: &X509Certificate<'_>) -> Option<String> {
    let critical = certificate.extensions().iter().filter(|extension| extension.critical);
    critical.map(|extension| extension.oid.to_id_string()).find(|oid| !UNDERSTOOD.contains(&oid.as_str()))
}

/// Why a credential can be loaded by nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The private key is not in memory.
    #[error(
        "its private key is not in memory; a process that serves or presents it has to open a source that delivers keys"
    )]
    WithoutKey,
    /// The crypto provider cannot sign with the key.
    #[error("its private key is of a kind or size that the crypto provider cannot use")]
    UnsupportedKey,
    /// The private key is another's.
    #[error("its private key is not the leaf's")]
    KeyMismatch,
    /// There is no certificate.
    #[error("its chain holds no certificate")]
    EmptyChain,
    /// The message that carries the chain is longer than rustls receives.
    #[error(
        "the chain makes a handshake message of {length} octets, and of more than {MAX_CERTIFICATE_MESSAGE} none is sure to be received"
    )]
    TooLong {
        /// The octets of the message.
        length: usize,
    },
    /// The leaf breaks a rule by itself, whoever issued it.
    #[error("no peer can use the leaf: {}", words::of(.0))]
    Leaf(webpki::Error),
    /// The leaf has an extension twice (RFC 5280 §4.2).
    #[error("the leaf has the extension {oid} more than once")]
    DoubledExtension {
        /// The extension, as a dotted object identifier.
        oid: String,
    },
    /// An extension of the leaf is critical and not understood (RFC 5280 §4.2).
    #[error("the leaf's extension {oid} is critical and not understood")]
    CriticalExtension {
        /// The extension, as a dotted object identifier.
        oid: String,
    },
    /// The leaf's serial number is no INTEGER of DER (X.690 §8.3.2).
    #[error("the leaf's serial number is empty, or padded with octets that it does not need")]
    SerialNumber,
    /// The leaf's key usage is no BIT STRING (RFC 5280 §4.2.1.3).
    #[error("the leaf's key usage is no bit string")]
    KeyUsage,
    /// The leaf's subject alternative names cannot be read to their end (RFC 5280 §4.2.1.6).
    #[error("the leaf's subject alternative names cannot be read to their end")]
    Names,
    /// The leaf's extended key usage allows neither of the roles in a handshake.
    #[error("the leaf's extended key usage allows neither server authentication nor client authentication")]
    NoRole,
}

#[cfg(test)]
mod tests;
