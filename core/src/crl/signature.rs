//! Signatures of lists.

use rustls_pki_types::SubjectPublicKeyInfoDer;
use webpki::RawPublicKeyEntity;

use super::parse::Signed;
use crate::crypto;
use crate::path::words;

/// The outcome of verifying a list's signature with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// The key signed the list.
    Valid,
    /// It did not, or the list is damaged.
    Invalid,
    /// Nobody can tell: the signature's algorithm is not accepted.
    Unsupported {
        /// Its usual name.
        algorithm: String,
    },
}

/// Whether the key with this `SubjectPublicKeyInfo` signed what is at `signed` in `der`.
pub(super) fn verify(der: &[u8], signed: &Signed, public_key: &[u8]) -> Signature {
    let (message, algorithm) = (signed.message.of(der), signed.algorithm.of(der));
    let algorithms = crypto::verification_algorithms();
    let mut of_kind = algorithms.iter().filter(|known| known.signature_alg_id().as_ref() == algorithm).peekable();
    if of_kind.peek().is_none() {
        return Signature::Unsupported { algorithm: words::algorithm(algorithm) };
    }
    let public_key = SubjectPublicKeyInfoDer::from(public_key);
    let Ok(key) = RawPublicKeyEntity::try_from(&public_key) else { return Signature::Invalid };
    let valid = of_kind.any(|known| key.verify_signature(*known, message, signed.signature.of(der)).is_ok());
    if valid { Signature::Valid } else { Signature::Invalid }
}
