//! A key that tokens are verified with.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use evercert_core::digest::Digest;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::compact::KID_LIMIT;

/// The size of an RSA modulus, in bits: what is smaller can be factored some day, and what is larger costs whoever verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The least RSA exponent: those below it have let signatures be forged (FIPS 186-5 §5.4).
const RSA_LEAST_EXPONENT: u64 = 65537;

/// The longest RSA exponent, in bytes.
const RSA_EXPONENT_LENGTH: usize = 4;

/// A public key with the one algorithm that it is used for, whatever a token's header says.
#[derive(Debug)]
pub(super) struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
    fingerprint: Digest,
}

/// What keys are taken from a set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUse {
    /// Those that are for signatures, or for nothing in particular (RFC 7517 §4.2).
    Signatures,
    /// Those that are for JWT-SVIDs (SPIFFE-Trust-Domain-and-Bundle §4.2.2).
    JwtSvids,
}

impl KeyUse {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Signatures => "signatures",
            Self::JwtSvids => "JWT-SVIDs",
        }
    }
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableKey {
    /// Its `use` or `key_ops` is for something else.
    #[error("it is for another use")]
    OtherUse,
    /// It is of another kind than those that are supported.
    #[error("its kty, crv or alg is not supported, or they do not go together")]
    Unsupported,
    /// It is private or symmetric.
    #[error("it is a private or a symmetric key, which nobody but its issuer is to have: replace it there")]
    NotPublic,
    /// A member is missing or malformed.
    #[error("a member of it is missing or malformed")]
    Malformed,
    /// It is of another size than those that are supported.
    #[error("its modulus has less than 2048 or more than 8192 bits")]
    RsaSize,
    /// Its exponent is one that is not safe.
    #[error("its RSA exponent is even, below 65537 or of more than 32 bits")]
    RsaExponent,
    /// It is no public key as PEM.
    #[error("it is not one PEM block of the label PUBLIC KEY with a key for the algorithm")]
    NotPem,
}

impl Key {
    /// The key of a JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2) with its `kid`. Without `alg` an RSA key is for RS256, and others are for
    /// the one algorithm of their curve.
    pub(super) fn of_jwk(jwk: &Map<String, Value>, wanted: KeyUse) -> Result<(Option<String>, Self), UnusableKey> {
        let text = |name: &str| jwk.get(name).map(|value| value.as_str().ok_or(UnusableKey::Malformed)).transpose();
        let needed = |name: &str| text(name)?.ok_or(UnusableKey::Malformed);
        let kind = needed("kty")?;
        if kind == "oct" || ["d", "p", "q", "k", "priv"].iter().any(|name| jwk.contains_key(*name)) {
            return Err(UnusableKey::NotPublic);
        }
        match (wanted, text("use")?) {
            (KeyUse::Signatures, None | Some("sig")) | (KeyUse::JwtSvids, Some("jwt-svid")) => {}
            _ => return Err(UnusableKey::OtherUse),
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or(UnusableKey::Malformed)?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(UnusableKey::OtherUse);
            }
        }
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_LIMIT) {
            return Err(UnusableKey::Malformed);
        }
        let algorithm = text("alg")?.map(|name| Algorithm::named(name).ok_or(UnusableKey::Unsupported)).transpose()?;
        let bytes = |name: &str| Base64UrlUnpadded::decode_vec(needed(name)?).map_err(|_| UnusableKey::Malformed);
        let key = match kind {
            "EC" | "OKP" => {
                let implied = match (kind, needed("crv")?) {
                    ("EC", "P-256") => Algorithm::Es256,
                    ("EC", "P-384") => Algorithm::Es384,
                    // JWT-SVID §2.1.1 has no Ed25519.
                    ("OKP", "Ed25519") if wanted == KeyUse::Signatures => Algorithm::EdDsa,
                    _ => return Err(UnusableKey::Unsupported),
                };
                if algorithm.is_some_and(|algorithm| algorithm != implied) {
                    return Err(UnusableKey::Unsupported);
                }
                let y = if kind == "EC" { Some(bytes("y")?) } else { None };
                Self::of_point(implied, &bytes("x")?, y.as_deref())?
            }
            "RSA" => {
                let algorithm = algorithm.unwrap_or(Algorithm::Rs256);
                if !algorithm.is_rsa() {
                    return Err(UnusableKey::Unsupported);
                }
                Self::of_rsa(algorithm, &bytes("n")?, &bytes("e")?)?
            }
            _ => return Err(UnusableKey::Unsupported),
        };
        Ok((kid, key))
    }

    /// The key of a PEM block (RFC 7468 §13), which does not say what it is for.
    pub(super) fn of_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, UnusableKey> {
        let blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).map(|block| block.map(|(kind, _)| kind));
        let kinds = blocks.collect::<Result<Vec<_>, _>>().map_err(|_| UnusableKey::NotPem)?;
        let is_private = |kind: &SectionKind| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
        };
        if kinds.iter().any(is_private) {
            return Err(UnusableKey::NotPublic);
        }
        if kinds != [SectionKind::PublicKey] {
            return Err(UnusableKey::NotPem);
        }
        let key = match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
            _ => DecodingKey::from_rsa_pem(pem),
        };
        let key = key.map_err(|_| UnusableKey::NotPem)?;
        let der = key.try_get_as_bytes().map_err(|_| UnusableKey::NotPem)?;
        match algorithm {
            Algorithm::EdDsa => Self::of_point(algorithm, der, None),
            Algorithm::Es256 | Algorithm::Es384 => {
                let point = der.strip_prefix(&[UNCOMPRESSED]).ok_or(UnusableKey::NotPem)?;
                let (x, y) = point.split_at(point.len() / 2);
                Self::of_point(algorithm, x, Some(y))
            }
            _ => {
                let parts = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(der);
                let (n, e) = parts.map_err(|_| UnusableKey::NotPem)?;
                Self::of_rsa(algorithm, &n, &e)
            }
        }
    }

    fn of_point(algorithm: Algorithm, x: &[u8], y: Option<&[u8]>) -> Result<Self, UnusableKey> {
        let length = if algorithm == Algorithm::Es384 { 48 } else { 32 };
        if x.len() != length || y.is_some_and(|y| y.len() != length) {
            return Err(UnusableKey::Malformed);
        }
        let (key, fingerprint) = match y {
            Some(y) => {
                let point = [&[UNCOMPRESSED], x, y].concat();
                (DecodingKey::from_ec_der(&point), Digest::fingerprint(&point))
            }
            None => (DecodingKey::from_ed_der(x), Digest::fingerprint(x)),
        };
        Ok(Self { algorithm, key, fingerprint })
    }

    fn of_rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, UnusableKey> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(UnusableKey::RsaSize);
        }
        let exponent = e.iter().fold(0_u64, |exponent, byte| exponent << 8 | u64::from(*byte));
        if e.len() > RSA_EXPONENT_LENGTH || exponent < RSA_LEAST_EXPONENT || exponent % 2 == 0 {
            return Err(UnusableKey::RsaExponent);
        }
        let key = DecodingKey::from_rsa_raw_components(n, e);
        // The exponent has at most four bytes, so it is plain where the modulus begins.
        let fingerprint = Digest::fingerprint(&[&exponent.to_be_bytes(), n].concat());
        Ok(Self { algorithm, key, fingerprint })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest of the key alone.
    pub(super) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether this is its signature of the message.
    pub(super) fn verifies(&self, message: &str, signature: &Vec<u8>) -> bool {
        // By the provider itself: the process's default one may be replaced by whoever comes first.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.into(), &self.key);
        verifier.is_ok_and(|verifier| verifier.verify(message.as_bytes(), signature).is_ok())
    }
}

/// What the encoding of a point begins with that has both coordinates (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The number without the zeros that some write before it.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
