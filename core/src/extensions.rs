//! The extensions of a certificate that webpki does not tell of. A lean pass over them: this runs in every handshake.

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(crate) const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");

/// The field of a certificate that holds its extensions (RFC 5280 §4.1).
pub(crate) const EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(3) };

/// The extensions that matter beyond what webpki looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extensions<'a> {
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) constrains_names: bool,
    /// `GeneralNames` as DER.
    pub(crate) subject_alt_names: Option<&'a [u8]>,
}

/// RFC 5280 §4.2.1.3: the first octet of the bit string, whose bits are counted from the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyUsage(u8);

impl KeyUsage {
    pub(crate) fn signs_certificates(self) -> bool {
        self.0 & 0b0000_0100 != 0
    }

    pub(crate) fn signs_crls(self) -> bool {
        self.0 & 0b0000_0010 != 0
    }
}

impl<'a> Extensions<'a> {
    /// Of a DER certificate that webpki has accepted.
    pub(crate) fn of(certificate: &'a [u8]) -> der::Result<Self> {
        let mut found = Self::default();
        let mut certificate = SliceReader::new(AnyRef::from_der(certificate)?.value())?;
        let mut fields = SliceReader::new(AnyRef::decode(&mut certificate)?.value())?;
        while !fields.is_finished() {
            let field = AnyRef::decode(&mut fields)?;
            if field.tag() != EXTENSIONS {
                continue;
            }
            let mut extensions = SliceReader::new(AnyRef::from_der(field.value())?.value())?;
            while !extensions.is_finished() {
                let mut extension = SliceReader::new(AnyRef::decode(&mut extensions)?.value())?;
                match ObjectIdentifier::decode(&mut extension)? {
                    SUBJECT_ALT_NAME => {
                        Option::<bool>::decode(&mut extension)?;
                        found.subject_alt_names = Some(<&OctetStringRef>::decode(&mut extension)?.as_bytes());
                    }
                    NAME_CONSTRAINTS => found.constrains_names = true,
                    KEY_USAGE => {
                        Option::<bool>::decode(&mut extension)?;
                        let value = <&OctetStringRef>::decode(&mut extension)?;
                        let bits = BitStringRef::from_der(value.as_bytes())?;
                        found.key_usage = Some(KeyUsage(bits.raw_bytes().first().copied().unwrap_or_default()));
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}
