//! Elements of DER, where their structure is known and their types do not matter.

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// The content of an element; nothing of one that cannot be read.
pub(crate) fn content(element: &[u8]) -> &[u8] {
    AnyRef::from_der(element).map(|element| element.value()).unwrap_or_default()
}

/// One element after the other.
pub(crate) fn all(der: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(der)?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        all.push(AnyRef::decode(&mut reader)?);
    }
    Ok(all)
}

/// The fields of a SEQUENCE.
pub(crate) fn fields(der: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let sequence = AnyRef::from_der(der)?;
    sequence.tag().assert_eq(Tag::Sequence)?;
    all(sequence.value())
}
