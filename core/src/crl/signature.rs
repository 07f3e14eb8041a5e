//! Signatures of lists.

use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;

use super::parse::Signed;
use crate::crypto;
use crate::path::words;

/// The outcome of verifying a list's signature with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// The key signed the list.
    Valid,
    /// It did not, or the list is damaged.
    Invalid,
    /// Nobody can tell: the signature's algorithm is not accepted.
    Unsupported,
}

/// Whether the key with this `SubjectPublicKeyInfo` signed what is at `signed` in `der`.
pub(super) fn verify(der: &[u8], signed: &Signed, public_key: &[u8]) -> Signature {
    let mut of_kind = fitting(der, signed).peekable();
    if of_kind.peek().is_none() {
        return Signature::Unsupported;
    }
    let public_key = SubjectPublicKeyInfoDer::from(public_key);
    let Ok(key) = RawPublicKeyEntity::try_from(&public_key) else { return Signature::Invalid };
    let (message, signature) = (signed.message.of(der), signed.signature.of(der));
    let valid = of_kind.any(|known| key.verify_signature(known, message, signature).is_ok());
    if valid { Signature::Valid } else { Signature::Invalid }
}

/// The name of the algorithm, if no signature by it is accepted.
pub(super) fn unsupported(der: &[u8], signed: &Signed) -> Option<String> {
    fitting(der, signed).next().is_none().then(|| words::algorithm(signed.algorithm.of(der)))
}

fn fitting<'a>(
    der: &'a [u8],
    signed: &Signed,
) -> impl Iterator<Item = &'static dyn SignatureVerificationAlgorithm> + use<'a> {
    let algorithm = signed.algorithm.of(der);
    let algorithms = crypto::verification_algorithms();
    algorithms.iter().copied().filter(move |known| known.signature_alg_id().as_ref() == algorithm)
}
