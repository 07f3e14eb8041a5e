//! A private key in whatever encoding it came, kept as PKCS#8.
//!
//! The bytes of a key are wiped wherever this crate holds them: the content of its file, what PEM decodes to, the PKCS#8 here. The signing
//! keys that rustls and the crypto provider make of it are theirs to wipe; where a key is sent to a subscriber, wiping ends at the encoder
//! of the message (see `evercert_api::update_from_snapshot`). Nothing here keeps memory from being swapped: that is the service manager's
//! to forbid, or evercertd's `lock_memory`.

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, OctetStringRef, SequenceRef, UintRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sec1::EcPrivateKey;
use zeroize::Zeroizing;

pub(crate) const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A private key. Its bytes are wiped when it is dropped and never shown.
#[non_exhaustive]
pub enum PrivateKey {
    /// An unencrypted PKCS#8 `PrivateKeyInfo` (RFC 5208, RFC 5958) as DER.
    Pkcs8(Zeroizing<Vec<u8>>),
}

impl PrivateKey {
    /// A key that is PKCS#8 already.
    ///
    /// # Errors
    ///
    /// The DER is no PKCS#8 structure, or its curve has parameters instead of a name.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Result<Self, PrivateKeyError> {
        let info = PrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Malformed("PKCS#8"))?;
        let algorithm = info.algorithm;
        match algorithm.parameters {
            Some(parameters) if algorithm.oid == EC_PUBLIC_KEY && parameters.tag() == Tag::Sequence => {
                Err(PrivateKeyError::ExplicitCurve)
            }
            _ => Ok(Self::Pkcs8(der)),
        }
    }

    /// A PKCS#1 `RSAPrivateKey` (RFC 8017 A.1.2), wrapped into PKCS#8.
    ///
    /// # Errors
    ///
    /// The DER is no PKCS#1 structure.
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Self, PrivateKeyError> {
        check_pkcs1(der).map_err(|_| PrivateKeyError::Malformed("PKCS#1"))?;
        Self::wrap(AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) }, der, "PKCS#1")
    }

    /// A SEC1 `ECPrivateKey` (RFC 5915) that names its curve, wrapped into PKCS#8.
    ///
    /// # Errors
    ///
    /// The DER is no SEC1 structure, or names no curve.
    pub(crate) fn from_sec1(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let curve = named_curve(der)?.ok_or(PrivateKeyError::NoCurve)?;
        Self::from_sec1_on(der, curve)
    }

    /// A SEC1 `ECPrivateKey` that names no curve, which is one of `curve`, wrapped into PKCS#8.
    ///
    /// # Errors
    ///
    /// The DER is no SEC1 structure.
    pub(crate) fn from_sec1_on(der: &[u8], curve: ObjectIdentifier) -> Result<Self, PrivateKeyError> {
        Self::wrap(AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(AnyRef::from(&curve)) }, der, "SEC1")
    }

    /// Whether DER has the structure of a private key, in whatever encoding.
    pub(crate) fn is_der(der: &[u8]) -> bool {
        PrivateKeyInfoRef::from_der(der).is_ok()
            || !matches!(named_curve(der), Err(PrivateKeyError::Malformed(_)))
            || check_pkcs1(der).is_ok()
    }

    fn wrap(
        algorithm: AlgorithmIdentifierRef<'_>,
        key: &[u8],
        encoding: &'static str,
    ) -> Result<Self, PrivateKeyError> {
        let malformed = |_| PrivateKeyError::Malformed(encoding);
        let key = OctetStringRef::new(key).map_err(malformed)?;
        let info = PrivateKeyInfoRef { algorithm, private_key: key, public_key: None };
        let length = info.encoded_len().and_then(usize::try_from).map_err(malformed)?;
        // One allocation of the final size: a buffer that grows would leave copies of the key behind.
        let mut der = Zeroizing::new(vec![0; length]);
        info.encode_to_slice(&mut der).map_err(malformed)?;
        Ok(Self::Pkcs8(der))
    }

    /// The key as PKCS#8 DER.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        match self {
            Self::Pkcs8(der) => der,
        }
    }

    /// Whether it is an EC key (RFC 5480), for ECDSA: those of EdDSA are of another kind.
    pub(crate) fn is_ec(&self) -> bool {
        PrivateKeyInfoRef::from_der(self.pkcs8()).is_ok_and(|info| info.algorithm.oid == EC_PUBLIC_KEY)
    }

    /// The key as rustls borrows it.
    #[must_use]
    pub fn as_der(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8()))
    }
}

/// The curve that a SEC1 structure names, where it names one.
fn named_curve(der: &[u8]) -> Result<Option<ObjectIdentifier>, PrivateKeyError> {
    match EcPrivateKey::from_der(der) {
        Ok(key) => Ok(key.parameters.and_then(|parameters| parameters.named_curve())),
        Err(_) if has_explicit_curve(der).unwrap_or(false) => Err(PrivateKeyError::ExplicitCurve),
        Err(_) => Err(PrivateKeyError::Malformed("SEC1")),
    }
}

/// Whether a SEC1 structure has the parameters of its curve where the name should be (`SpecifiedECDomain`, SEC1 C.2).
fn has_explicit_curve(der: &[u8]) -> der::Result<bool> {
    let mut fields = SliceReader::new(<&SequenceRef>::from_der(der)?.as_bytes())?;
    u8::decode(&mut fields)?;
    <&OctetStringRef>::decode(&mut fields)?;
    let parameters = AnyRef::decode(&mut fields)?;
    let is_parameters = parameters.tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber(0) });
    Ok(is_parameters && AnyRef::from_der(parameters.value())?.tag() == Tag::Sequence)
}

/// Version 0 (two primes), then modulus, exponents, primes and what is precomputed of them.
fn check_pkcs1(der: &[u8]) -> der::Result<()> {
    let mut fields = SliceReader::new(<&SequenceRef>::from_der(der)?.as_bytes())?;
    if u8::decode(&mut fields)? != 0 {
        return Err(der::ErrorKind::Failed.into());
    }
    for _ in 0..8 {
        UintRef::decode(&mut fields)?;
    }
    fields.finish()
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// Bytes that are no private key that can be used here. Carries no byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// Not the structure its label promises.
    #[error("not a private key in {0}")]
    Malformed(&'static str),
    /// A SEC1 key without curve parameters.
    #[error("an EC key that names no curve, and the leaf's key is on none; write the key that belongs to the leaf")]
    NoCurve,
    /// An EC key with the parameters of its curve instead of a name.
    #[error(
        "an EC key with explicit curve parameters instead of a named curve; write it with the name: openssl ec -param_enc named_curve"
    )]
    ExplicitCurve,
    /// An encrypted key.
    #[error("an encrypted private key; decrypt it: openssl pkcs8 -topk8 -nocrypt")]
    Encrypted,
    /// A key as OpenSSH or PuTTY writes it.
    #[error("a key of SSH; make one for TLS, in PKCS#8: openssl genpkey -algorithm ED25519")]
    Ssh,
    /// A PEM block of a kind that no TLS key comes in.
    #[error("a private key of a kind that TLS does not know; make an RSA, ECDSA or Ed25519 key in PKCS#8")]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[u8]) -> Vec<u8> {
        let content: Vec<u8> = values.iter().flat_map(|value| [2, 1, *value]).collect();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    }

    #[test]
    fn pkcs1_is_version_zero_and_eight_integers() {
        let good = integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let key = PrivateKey::from_pkcs1(&good).unwrap();
        let info = PrivateKeyInfoRef::from_der(key.pkcs8()).unwrap();
        assert_eq!((info.algorithm.oid, info.private_key.as_bytes()), (RSA_ENCRYPTION, good.as_slice()));
        let trailing = [good.as_slice(), &[0]].concat();
        for bad in [
            integers(&[1, 1, 2, 3, 4, 5, 6, 7, 8]),
            integers(&[0, 1, 2, 3, 4, 5, 6, 7]),
            integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            trailing,
            Vec::new(),
        ] {
            assert_eq!(PrivateKey::from_pkcs1(&bad).unwrap_err(), PrivateKeyError::Malformed("PKCS#1"));
        }
    }

    #[test]
    fn sec1_keeps_its_curve_in_pkcs8() {
        let curve = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
        let key = EcPrivateKey { private_key: &[7; 32], parameters: Some(curve.into()), public_key: None };
        let key = PrivateKey::from_sec1(&key.to_der().unwrap()).unwrap();
        let info = PrivateKeyInfoRef::from_der(key.pkcs8()).unwrap();
        assert_eq!(info.algorithm.oids().unwrap(), (EC_PUBLIC_KEY, Some(curve)));
        let bare = EcPrivateKey { private_key: &[7; 32], parameters: None, public_key: None };
        assert_eq!(PrivateKey::from_sec1(&bare.to_der().unwrap()).unwrap_err(), PrivateKeyError::NoCurve);
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = PrivateKey::from_pkcs1(&integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(redacted)");
    }
}
