//! A private key in whatever encoding it came, kept as PKCS#8.

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode, Encode};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sec1::EcPrivateKey;
use zeroize::Zeroizing;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

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
    /// The DER is no PKCS#8 structure.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Result<Self, PrivateKeyError> {
        PrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Malformed("PKCS#8"))?;
        Ok(Self::Pkcs8(der))
    }

    /// A PKCS#1 `RSAPrivateKey` (RFC 8017 A.1.2), wrapped into PKCS#8.
    ///
    /// # Errors
    ///
    /// The DER is no PKCS#1 structure.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, PrivateKeyError> {
        <&der::asn1::SequenceRef>::from_der(der).map_err(|_| PrivateKeyError::Malformed("PKCS#1"))?;
        Self::wrap(AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) }, der, "PKCS#1")
    }

    /// A SEC1 `ECPrivateKey` (RFC 5915) that names its curve, wrapped into PKCS#8.
    ///
    /// # Errors
    ///
    /// The DER is no SEC1 structure, or names no curve.
    pub fn from_sec1(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let key = EcPrivateKey::from_der(der).map_err(|_| PrivateKeyError::Malformed("SEC1"))?;
        let curve = key.parameters.and_then(|p| p.named_curve()).ok_or(PrivateKeyError::NoCurve)?;
        Self::wrap(AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(AnyRef::from(&curve)) }, der, "SEC1")
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

    /// The key as rustls borrows it.
    #[must_use]
    pub fn as_der(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// Bytes that are no private key that can be used here. Carries no byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not the structure its label promises.
    #[error("not a private key in {0}")]
    Malformed(&'static str),
    /// A SEC1 key without curve parameters.
    #[error("an EC key that names no curve; write it as PKCS#8: openssl pkcs8 -topk8 -nocrypt")]
    NoCurve,
    /// An encrypted key.
    #[error("an encrypted private key; decrypt it: openssl pkcs8 -topk8 -nocrypt")]
    Encrypted,
    /// A PEM block of a kind that no TLS key comes in.
    #[error("a private key of a kind that TLS does not know; make an RSA, ECDSA or Ed25519 key in PKCS#8")]
    Unsupported,
}
