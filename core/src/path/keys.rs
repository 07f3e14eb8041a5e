//! Which keys sign what is accepted.

use std::ops::RangeInclusive;

use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The lengths of the moduli of RSA keys that both crypto providers accept, in octets: 2048 to 8192 bits.
const RSA_OCTETS: RangeInclusive<usize> = 256..=1024;

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// The kinds of keys with a name that people know, by the object identifier.
const KINDS: [(&str, &str); 6] = [
    ("1.2.840.10040.4.1", "a DSA key"),
    ("1.2.840.113549.1.1.10", "an RSA key for RSASSA-PSS alone"),
    ("1.3.101.110", "an X25519 key, which signs nothing"),
    ("1.3.101.111", "an X448 key, which signs nothing"),
    ("1.3.101.113", "an Ed448 key"),
    ("1.3.132.1.12", "an ECDH key, which signs nothing"),
];

/// The curves that are accepted, by their object identifiers.
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];

/// What kind of key it is, if no signature by it is accepted by any build of this crate.
pub(super) fn unsupported(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        RSA_ENCRYPTION => match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => {
                let zeros = rsa.modulus.iter().take_while(|octet| **octet == 0).count();
                let octets = &rsa.modulus[zeros..];
                let unused = octets.first().map_or(0, |first| first.leading_zeros() as usize);
                let bits = 8 * octets.len() - unused;
                (!RSA_OCTETS.contains(&octets.len())).then(|| format!("an RSA key of {bits} bits"))
            }
            _ => None,
        },
        EC_PUBLIC_KEY => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()) {
                Some(curve) if CURVES.contains(&curve.as_str()) => None,
                Some(curve) => Some(format!("an EC key on the curve {curve}")),
                None => Some("an EC key with explicit curve parameters".to_owned()),
            }
        }
        other => KINDS.iter().find(|(known, _)| *known == other).map(|(_, name)| (*name).to_owned()),
    }
}
