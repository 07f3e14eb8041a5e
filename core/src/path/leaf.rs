//! What webpki leaves unsaid of a leaf. A lean pass over its extensions: this runs in every handshake.

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::PathError;

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");

/// keyCertSign and cRLSign: bits 5 and 6 of the first octet, counted from the highest.
const SIGNS_CERTIFICATES_OR_CRLS: u8 = 0b0000_0110;

/// Refuses a leaf that may sign certificates or CRLs, or that constrains names. `leaf` is a certificate that webpki has
/// accepted.
pub(super) fn check(leaf: &[u8]) -> Result<(), PathError> {
    inspect(leaf).unwrap_or(Err(PathError::Malformed(webpki::Error::BadDer)))
}

fn inspect(leaf: &[u8]) -> der::Result<Result<(), PathError>> {
    let mut certificate = SliceReader::new(AnyRef::from_der(leaf)?.value())?;
    let mut fields = SliceReader::new(AnyRef::decode(&mut certificate)?.value())?;
    while !fields.is_finished() {
        let field = AnyRef::decode(&mut fields)?;
        if field.tag() != (Tag::ContextSpecific { constructed: true, number: TagNumber(3) }) {
            continue;
        }
        let mut extensions = SliceReader::new(AnyRef::from_der(field.value())?.value())?;
        while !extensions.is_finished() {
            let mut extension = SliceReader::new(AnyRef::decode(&mut extensions)?.value())?;
            match ObjectIdentifier::decode(&mut extension)? {
                NAME_CONSTRAINTS => return Ok(Err(PathError::LeafConstrainsNames)),
                KEY_USAGE => {
                    Option::<bool>::decode(&mut extension)?;
                    let value = <&OctetStringRef>::decode(&mut extension)?;
                    let bits = BitStringRef::from_der(value.as_bytes())?;
                    if bits.raw_bytes().first().is_some_and(|first| first & SIGNS_CERTIFICATES_OR_CRLS != 0) {
                        return Ok(Err(PathError::LeafMaySign));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(Ok(()))
}
