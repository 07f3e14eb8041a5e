//! The crypto provider, chosen when the crate is built and always passed on explicitly: never rustls' process default,
//! which another dependency may set.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::{SigningKey, public_key_to_spki};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{SubjectPublicKeyInfo, X509Certificate};

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
    let load = rustls::crypto::aws_lc_rs::sign::any_supported_type;
    #[cfg(not(feature = "aws-lc-rs"))]
    let load = rustls::crypto::ring::sign::any_supported_type;
    load(&key.as_der())
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

fn by_identifier(algorithm: &[u8]) -> impl Iterator<Item = &'static dyn SignatureVerificationAlgorithm> {
    verification_algorithms().iter().copied().filter(move |known| known.signature_alg_id().as_ref() == algorithm)
}

/// Whether a key, written for one of the algorithms here in the one way that is taken, is what `is_it` looks for. `key` may write it another
/// way, as with a curve that is spelled out.
pub(crate) fn writes_key_of(key: &SubjectPublicKeyInfo<'_>, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let mut written = verification_algorithms()
        .iter()
        .map(|algorithm| public_key_to_spki(&algorithm.public_key_alg_id(), &key.subject_public_key.data));
    written.any(|written| is_it(&written))
}
