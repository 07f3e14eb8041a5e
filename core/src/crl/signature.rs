//! Whether a key signed a list.

use rustls_pki_types::SubjectPublicKeyInfoDer;
use webpki::RawPublicKeyEntity;

use super::parse::Signed;
use crate::crypto;
use crate::path::words;

/// What a key has to do with a list's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// It signed the list.
    Valid,
    /// It did not, or the list is damaged.
    Invalid,
    /// That cannot be told: the signature's algorithm is not accepted.
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
