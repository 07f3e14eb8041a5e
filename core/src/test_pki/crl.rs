//! Certificate revocation lists that no honest tool writes.

use std::time::SystemTime;

use rcgen::SigningKey as _;
use rustls_pki_types::CertificateRevocationListDer;

use super::{Entity, HOUR, now};
use crate::certificate::parse;

/// ecdsa-with-SHA256, as an `AlgorithmIdentifier`.
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// ecdsa-with-SHA1.
pub(crate) const ECDSA_SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];

/// A list to be signed, part by part; by default one of version 2 that revokes nobody.
#[derive(Clone)]
pub(crate) struct CrlParts {
    pub(crate) version: Option<u8>,
    pub(crate) algorithm: &'static [u8],
    /// The whole name as DER; unset: the signer's.
    pub(crate) issuer: Option<Vec<u8>>,
    pub(crate) this_update: SystemTime,
    pub(crate) next_update: Option<SystemTime>,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Default for CrlParts {
    fn default() -> Self {
        Self {
            version: Some(1),
            algorithm: ECDSA_SHA256,
            issuer: None,
            this_update: now() - HOUR,
            next_update: Some(now() + HOUR),
            entries: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

impl CrlParts {
    pub(crate) fn revoking(serials: &[u8]) -> Self {
        Self { entries: serials.iter().map(|serial| entry(*serial, &[])).collect(), ..Self::default() }
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(crate) fn signed_by(&self, signer: &Entity) -> CertificateRevocationListDer<'static> {
        let certificate = signer.der();
        let issuer = self.issuer.clone().unwrap_or_else(|| parse(&certificate).unwrap().subject().as_raw().to_vec());
        let mut list = Vec::new();
        list.extend(self.version.into_iter().flat_map(|version| element(2, &[version])));
        list.extend_from_slice(self.algorithm);
        list.extend(issuer);
        list.extend(time(self.this_update));
        list.extend(self.next_update.into_iter().flat_map(time));
        if !self.entries.is_empty() {
            list.extend(element(0x30, &self.entries.concat()));
        }
        if !self.extensions.is_empty() {
            list.extend(element(0xa0, &element(0x30, &self.extensions.concat())));
        }
        let list = element(0x30, &list);
        let signature = [&[0], signer.key.sign(&list).unwrap().as_slice()].concat();
        element(0x30, &[&list, self.algorithm, &element(3, &signature)].concat()).into()
    }
}

/// An entry with these extensions.
pub(crate) fn entry(serial: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut content = [element(2, &[serial]), time(now() - HOUR)].concat();
    if !extensions.is_empty() {
        content.extend(element(0x30, &extensions.concat()));
    }
    element(0x30, &content)
}

/// An extension of this object identifier, given as the content of its DER.
pub(crate) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { vec![1, 1, 0xff] } else { Vec::new() };
    element(0x30, &[element(6, oid), critical, element(4, value)].concat())
}

/// Of the entry's extension `reasonCode`.
pub(crate) fn reason(code: u8) -> Vec<u8> {
    extension(&[0x55, 0x1d, 21], false, &[10, 1, code])
}

/// The extension `issuingDistributionPoint` with these fields.
pub(crate) fn distribution_point(fields: &[Vec<u8>]) -> Vec<u8> {
    extension(&[0x55, 0x1d, 28], true, &element(0x30, &fields.concat()))
}

/// The name of a distribution point: a URI.
pub(crate) fn full_name(uri: &str) -> Vec<u8> {
    element(0xa0, &element(0xa0, &element(0x86, uri.as_bytes())))
}

/// The extension `deltaCRLIndicator`.
pub(crate) fn delta() -> Vec<u8> {
    extension(&[0x55, 0x1d, 27], true, &[2, 1, 1])
}

/// An element of DER.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=0x7f), _) => vec![tag, length],
        (Ok(length), _) => vec![tag, 0x81, length],
        (_, Ok(length)) => [&[tag, 0x82], &length.to_be_bytes()[..]].concat(),
        _ => panic!("too long for a test"),
    };
    [&header, content].concat()
}

fn time(time: SystemTime) -> Vec<u8> {
    let text = crate::clock::rfc3339(time).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    element(0x18, format!("{digits}Z").as_bytes())
}
