//! The crypto provider, chosen when the crate is built and always passed on explicitly: never rustls' process default,
//! which another dependency may set.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::{SigningKey, public_key_to_spki};
use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_parser::prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Certificate};

use crate::credential::PrivateKey;

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

/// Whether a certificate is signed with the key of `issuer`; absent where no algorithm here goes with both, so that nobody can tell.
pub(crate) fn is_signed_with(certificate: &X509Certificate<'_>, issuer: &SubjectPublicKeyInfo<'_>) -> Option<bool> {
    let signature = certificate.signature_algorithm.algorithm.as_bytes();
    let key = issuer.algorithm.algorithm.as_bytes();
    let mut fitting = verification_algorithms()
        .iter()
        .filter(|algorithm| {
            object_identifier(&algorithm.signature_alg_id()) == Some(signature)
                && object_identifier(&algorithm.public_key_alg_id()) == Some(key)
        })
        .peekable();
    fitting.peek()?;
    let (message, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    Some(
        fitting
            .any(|algorithm| algorithm.verify_signature(&issuer.subject_public_key.data, message, signature).is_ok()),
    )
}

/// Whether certificates signed with this algorithm are accepted, whatever the key.
pub(crate) fn accepts_signature(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let algorithm = Some(algorithm.algorithm.as_bytes());
    verification_algorithms().iter().any(|known| object_identifier(&known.signature_alg_id()) == algorithm)
}

/// Whether a key, written for one of the algorithms here in the one way that is taken, is what `is_it` looks for. `key` may write it another
/// way, as with a curve that is spelled out.
pub(crate) fn writes_key_of(key: &SubjectPublicKeyInfo<'_>, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let mut written = verification_algorithms()
        .iter()
        .map(|algorithm| public_key_to_spki(&algorithm.public_key_alg_id(), &key.subject_public_key.data));
    written.any(|written| is_it(&written))
}

/// The first element of an `AlgorithmIdentifier` without its header, by its content.
fn object_identifier(algorithm: &rustls_pki_types::AlgorithmIdentifier) -> Option<&[u8]> {
    match algorithm.as_ref() {
        [6, length, rest @ ..] => rest.get(..usize::from(*length)),
        _ => None,
    }
}
