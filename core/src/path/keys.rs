//! Keys by which no signature is accepted.

use std::ops::RangeInclusive;

use const_oid::ObjectIdentifier;
use x509_parser::asn1_rs::Tag;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::credential::{EC_PUBLIC_KEY, RSA_ENCRYPTION};

/// The lengths of the moduli of RSA keys that both crypto providers accept, in octets: 2048 to 8192 bits.
const RSA_OCTETS: RangeInclusive<usize> = 256..=1024;

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

/// The kind of a key, if no signature by it is accepted by any build of this crate.
pub(crate) fn unsupported(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    match ObjectIdentifier::from_bytes(key.algorithm.algorithm.as_bytes()).ok()? {
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
            let named = key.algorithm.parameters.as_ref().filter(|parameters| parameters.tag() == Tag::Oid);
            let curve = named.and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()) {
                Some(curve) if CURVES.contains(&curve.as_str()) => None,
                Some(curve) => Some(format!("an EC key on the curve {curve}")),
                None => Some("an EC key with explicit curve parameters".to_owned()),
            }
        }
        other => {
            let other = other.to_string();
            KINDS.iter().find(|(known, _)| *known == other).map(|(_, name)| (*name).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::odd::element;
    use x509_parser::prelude::FromDer;

    use super::*;

    /// The kind of a key of this algorithm, if it is unsupported.
    fn said(algorithm: &[u8], key: &[u8]) -> Option<String> {
        let bits = [&[0], key].concat();
        let der = element(0x30, &[element(0x30, algorithm), element(3, &bits)].concat());
        unsupported(&SubjectPublicKeyInfo::from_der(&der).unwrap().1)
    }

    fn rsa(modulus: &[u8]) -> Option<String> {
        let oid = element(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1]);
        let key = element(0x30, &[element(2, modulus), element(2, &[1, 0, 1])].concat());
        said(&[oid, vec![5, 0]].concat(), &key)
    }

    #[test]
    fn an_rsa_key_is_told_by_its_size() {
        let modulus = |first: u8, octets: usize| [vec![0, first], vec![0xff; octets - 1]].concat();
        assert_eq!(rsa(&modulus(0x80, 256)), None);
        assert_eq!(rsa(&modulus(0x80, 1024)), None);
        assert_eq!(rsa(&modulus(0x80, 128)).as_deref(), Some("an RSA key of 1024 bits"));
        assert_eq!(rsa(&modulus(0x80, 1025)).as_deref(), Some("an RSA key of 8200 bits"));
        assert_eq!(rsa(&[vec![0x7f], vec![0xff; 127]].concat()).as_deref(), Some("an RSA key of 1023 bits"));
    }

    #[test]
    fn an_ec_key_is_told_by_its_curve() {
        let ec =
            |parameters: Vec<u8>| said(&[element(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), parameters].concat(), &[4]);
        assert_eq!(ec(element(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])), None);
        let p192 = ec(element(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1]));
        assert_eq!(p192.as_deref(), Some("an EC key on the curve 1.2.840.10045.3.1.1"));
        assert_eq!(ec(element(0x30, &[2, 1, 1])).as_deref(), Some("an EC key with explicit curve parameters"));
        assert_eq!(said(&element(6, &[0x2b, 101, 113]), &[1]).as_deref(), Some("an Ed448 key"));
        assert_eq!(said(&element(6, &[0x2b, 101, 112]), &[1]), None, "Ed25519 is accepted");
    }
}
