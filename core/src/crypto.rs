//! The crypto provider, chosen when the crate is built and always passed on explicitly: never rustls' process default,
//! which another dependency may set.

use std::sync::{Arc, LazyLock};

use const_oid::ObjectIdentifier;
use der::{Decode, SliceReader};
use rustls::crypto::CryptoProvider;
use rustls::sign::{SigningKey, public_key_to_spki};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{SubjectPublicKeyInfo, X509Certificate};

use crate::certificate;
use crate::credential::PrivateKey;
use crate::elements;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("evercert-core needs a crypto provider: turn on the feature `aws-lc-rs` or `ring`");

/// The provider this build uses: aws-lc-rs where the feature `aws-lc-rs` is on, ring otherwise.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        #[cfg(feature = "aws-lc-rs")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "aws-lc-rs"))]
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// The algorithms that signatures are verified with; one signature algorithm comes once for each kind of key.
pub(crate) fn verification_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    provider().signature_verification_algorithms.all
}

/// The key as rustls signs with it. Unlike the provider's own loader this borrows: no copy of the key is left behind.
///
/// # Errors
///
/// The provider cannot use a key of this kind.
pub fn signing_key(key: &PrivateKey) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    use rustls::crypto::aws_lc_rs::sign::{any_ecdsa_type, any_supported_type};
    #[cfg(not(feature = "aws-lc-rs"))]
    use rustls::crypto::ring::sign::{any_ecdsa_type, any_supported_type};
    // `any_supported_type` tries RSA first, for which the provider parses all of a key, and computes the public key of an elliptic one.
    let ecdsa = key.is_ec().then(|| any_ecdsa_type(&key.as_der()));
    ecdsa.and_then(Result::ok).map_or_else(|| any_supported_type(&key.as_der()), Ok)
}

/// The words for a signature algorithm whose identifier is not known.
pub(crate) const UNKNOWN_SIGNATURE: &str = "an unknown algorithm";

/// Signature algorithms over digests for which two contents of one signature can be made (RFC 8446 §4.2.3, RFC 9155).
const BROKEN_SIGNATURES: [&str; 6] = [
    "1.2.840.113549.1.1.2",
    "1.2.840.113549.1.1.3",
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.2.840.10040.4.3",
    "1.2.840.10045.4.1",
];

/// Signature algorithms that certificates in use are signed with, accepted or not.
const SIGNATURES: [(&str, &str); 19] = [
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
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

/// The object identifiers of ML-DSA, for keys and signatures alike (RFC 9881 §2).
const ML_DSA: [(ObjectIdentifier, &str); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"), "ML-DSA-44"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"), "ML-DSA-65"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"), "ML-DSA-87"),
];

/// The name of the ML-DSA parameter set that an object identifier (its content in DER) stands for, of a key or of a signature.
pub(crate) fn ml_dsa_name(oid: &[u8]) -> Option<&'static str> {
    ML_DSA.iter().find(|(known, _)| known.as_bytes() == oid).map(|(_, name)| *name)
}

/// The outcome of verifying a signature with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// It is the key's.
    Valid,
    /// It is not, or what was signed is damaged.
    Invalid,
    /// Nobody can tell: no algorithm here goes with both.
    Unsupported,
}

/// Verifies a signature as webpki does. `public_key` is a `SubjectPublicKeyInfo` as DER, `algorithm` the signature's
/// `AlgorithmIdentifier` without its header.
pub(crate) fn verify(public_key: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> Signature {
    let public_key = SubjectPublicKeyInfoDer::from(public_key);
    let Ok(key) = RawPublicKeyEntity::try_from(&public_key) else { return Signature::Unsupported };
    let mut outcome = Signature::Unsupported;
    for known in by_identifier(algorithm) {
        match key.verify_signature(known, message, signature) {
            Ok(()) => return Signature::Valid,
            Err(webpki::Error::InvalidSignatureForPublicKey) => outcome = Signature::Invalid,
            // One signature algorithm comes once for each kind of key: this is another kind's.
            Err(_) => {}
        }
    }
    outcome
}

/// Verifies the signature of a certificate with the key of `issuer`.
pub(crate) fn verify_certificate(certificate: &X509Certificate<'_>, issuer: &SubjectPublicKeyInfo<'_>) -> Signature {
    let (message, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    verify(issuer.raw, signature_algorithm(certificate), message, signature)
}

/// Whether a certificate in DER has the name of another as its issuer, and a signature by its key. Neither need be a CA, or valid.
#[must_use]
pub fn is_issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok(certificate), Ok(issuer)) = (certificate::parse(certificate), certificate::parse(issuer)) else {
        return false;
    };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && verify_certificate(&certificate, issuer.public_key()) == Signature::Valid
}

/// Whether signatures by this algorithm, an `AlgorithmIdentifier` without its header, are accepted, whatever the key.
pub(crate) fn accepts_signature(algorithm: &[u8]) -> bool {
    by_identifier(algorithm).next().is_some()
}

/// The algorithm that a certificate is signed with, as an `AlgorithmIdentifier` without its header; nothing of one that cannot be read.
pub(crate) fn signature_algorithm<'a>(certificate: &X509Certificate<'a>) -> &'a [u8] {
    match elements::fields(certificate.as_raw()).as_deref() {
        Ok([_, algorithm, _]) => algorithm.value(),
        _ => &[],
    }
}

/// Whether a signature algorithm, an `AlgorithmIdentifier` without its header, is over MD2, MD4, MD5 or SHA-1.
pub(crate) fn is_broken_signature(identifier: &[u8]) -> bool {
    signature_oid(identifier).is_some_and(|oid| BROKEN_SIGNATURES.contains(&&*oid))
}

/// The usual name of a signature algorithm, given as an `AlgorithmIdentifier` without its header.
pub(crate) fn signature_name(identifier: &[u8]) -> String {
    let Some(oid) = signature_oid(identifier) else { return UNKNOWN_SIGNATURE.to_owned() };
    let known = SIGNATURES.iter().find(|(known, _)| *known == oid);
    known.map_or_else(|| format!("the algorithm {oid}"), |(_, name)| (*name).to_owned())
}

fn signature_oid(identifier: &[u8]) -> Option<String> {
    let oid = SliceReader::new(identifier).and_then(|mut fields| <ObjectIdentifier>::decode(&mut fields));
    oid.map(|oid| oid.to_string()).ok()
}

fn by_identifier(algorithm: &[u8]) -> impl Iterator<Item = &'static dyn SignatureVerificationAlgorithm> {
    verification_algorithms().iter().copied().filter(move |known| known.signature_alg_id().as_ref() == algorithm)
}

/// Whether a key, written for one of the algorithms here in the one way that is taken, is what `is_it` looks for. `key` may write it
/// another way, as with a curve that is spelled out.
pub(crate) fn writes_key_of(key: &SubjectPublicKeyInfo<'_>, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let mut written = verification_algorithms()
        .iter()
        .map(|algorithm| public_key_to_spki(&algorithm.public_key_alg_id(), &key.subject_public_key.data));
    written.any(|written| is_it(&written))
}
