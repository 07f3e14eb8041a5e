//! Certificates that rcgen does not make: what it made, changed in its DER and signed again.

use rcgen::SigningKey as _;
use rustls_pki_types::CertificateDer;

use super::Entity;
use super::crl::element;

/// One element of DER: its tag and its content.
#[derive(Clone)]
pub(crate) struct Element(pub(crate) u8, pub(crate) Vec<u8>);

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 3;
const UTC_TIME: u8 = 0x17;
/// The tag of the extensions of a `TBSCertificate`.
const EXTENSIONS: u8 = 0xa3;

impl Element {
    pub(crate) fn encode(&self) -> Vec<u8> {
        element(self.0, &self.1)
    }
}

/// The elements of a content.
pub(crate) fn elements(mut der: &[u8]) -> Vec<Element> {
    let mut elements = Vec::new();
    while let [tag, first, ..] = *der {
        let (length, start) = match first {
            0..=127 => (usize::from(first), 2),
            _ => {
                let octets = &der[2..2 + usize::from(first & 0x7f)];
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), 2 + octets.len())
            }
        };
        elements.push(Element(tag, der[start..start + length].to_vec()));
        der = &der[start + length..];
    }
    elements
}

pub(crate) fn encode(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(Element::encode).collect()
}

/// The certificate of `entity` once more, by `issuer`, with a change to the fields of its `TBSCertificate`.
pub(crate) fn altered(
    entity: &Entity,
    issuer: &Entity,
    change: impl FnOnce(&mut Vec<Element>),
) -> CertificateDer<'static> {
    let certificate = elements(&elements(&entity.der())[0].1);
    let mut fields = elements(&certificate[0].1);
    change(&mut fields);
    let tbs = Element(SEQUENCE, encode(&fields));
    let signature = issuer.key.sign(&tbs.encode()).unwrap();
    let signature = Element(BIT_STRING, [&[0], signature.as_slice()].concat());
    Element(SEQUENCE, encode(&[tbs, certificate[1].clone(), signature])).encode().into()
}

/// The certificate of `entity` once more, by `issuer`, as if it were signed with another algorithm.
pub(crate) fn signed_with(entity: &Entity, issuer: &Entity, algorithm: &[u8]) -> CertificateDer<'static> {
    let identifier = Element(SEQUENCE, algorithm.to_vec());
    let signed = altered(entity, issuer, |fields| fields[2] = identifier.clone());
    let mut certificate = elements(&elements(&signed)[0].1);
    certificate[1] = identifier;
    Element(SEQUENCE, encode(&certificate)).encode().into()
}

/// Without the version and extensions, as version 1 is.
pub(crate) fn version_1(fields: &mut Vec<Element>) {
    fields.remove(0);
    fields.pop();
}

/// With another end, written with this tag.
pub(crate) fn not_after(tag: u8, text: &str) -> impl FnOnce(&mut Vec<Element>) {
    let time = Element(tag, text.as_bytes().to_vec());
    |fields| {
        let mut validity = elements(&fields[4].1);
        validity[1] = time;
        fields[4].1 = encode(&validity);
    }
}

/// With one more extension, as DER.
pub(crate) fn extension(der: &[u8]) -> impl FnOnce(&mut Vec<Element>) {
    let more = Element(SEQUENCE, der.to_vec());
    |fields| {
        let extensions = fields.last_mut().filter(|field| field.0 == EXTENSIONS).unwrap();
        let mut list = elements(&elements(&extensions.1)[0].1);
        list.push(more);
        extensions.1 = Element(SEQUENCE, encode(&list)).encode();
    }
}

/// With another value of the extension with this object identifier, as DER.
pub(crate) fn value_of(oid: &'static [u8], critical: bool, value: &[u8]) -> impl Fn(&mut Vec<Element>) {
    let changed = Element(SEQUENCE, super::crl::extension(oid, critical, value));
    let changed = elements(&changed.1).remove(0);
    move |fields| {
        let extensions = fields.last_mut().filter(|field| field.0 == EXTENSIONS).unwrap();
        let mut list = elements(&elements(&extensions.1)[0].1);
        list.retain(|extension| elements(&extension.1)[0].1 != elements(&changed.1)[0].1);
        list.push(changed.clone());
        extensions.1 = Element(SEQUENCE, encode(&list)).encode();
    }
}

/// With another serial number.
pub(crate) fn serial(octets: &'static [u8]) -> impl Fn(&mut Vec<Element>) {
    |fields| fields[1].1 = octets.to_vec()
}

/// With the first of its extensions a second time.
pub(crate) fn first_extension_again(fields: &mut Vec<Element>) {
    let extensions = elements(&elements(&fields.last().unwrap().1)[0].1);
    extension(&extensions[0].1)(fields);
}

/// A time that lacks its seconds.
pub(crate) fn without_seconds(fields: &mut Vec<Element>) {
    not_after(UTC_TIME, "3001010000Z")(fields);
}

/// A time with a fraction of a second.
pub(crate) fn with_a_fraction(fields: &mut Vec<Element>) {
    not_after(0x18, "20300101000000.5Z")(fields);
}

/// An extension that nobody knows, marked critical.
pub(crate) const UNKNOWN_CRITICAL: &[u8] = &[6, 4, 0x2a, 3, 4, 5, 1, 1, 0xff, 4, 2, 5, 0];
/// The same, without the mark.
pub(crate) const UNKNOWN: &[u8] = &[6, 4, 0x2a, 3, 4, 5, 4, 2, 5, 0];
/// An extended key usage that lists nothing.
pub(crate) const EMPTY_EXTENDED_KEY_USAGE: &[u8] = &[6, 3, 0x55, 0x1d, 0x25, 4, 2, 0x30, 0];
/// The algorithm of ECDSA signatures over SHA-1.
pub(crate) const ECDSA_WITH_SHA_1: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
/// The object identifier of the key usage, without its header.
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
/// The object identifier of the subject alternative names, without its header.
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
