//! Distinguished names, made comparable.

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// A distinguished name as RFC 5280 §7.1 compares it: CAs write their own name in another string type, case or spacing in lists than
/// in certificates. For names alone, and never a proof: what is found by one is held against a signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NormalName(Vec<u8>);

impl NormalName {
    /// Of a name without the header of its sequence. One that cannot be read is equal to itself alone.
    pub(crate) fn of(name: &[u8]) -> Self {
        Self(normal(name).unwrap_or_else(|_| name.to_vec()))
    }

    /// The same, of a name with that header.
    pub(crate) fn of_sequence(name: &[u8]) -> Self {
        AnyRef::from_der(name).map_or_else(|_| Self(name.to_vec()), |name| Self::of(name.value()))
    }
}

fn normal(name: &[u8]) -> der::Result<Vec<u8>> {
    let mut normal = Vec::with_capacity(name.len());
    let mut relative_names = SliceReader::new(name)?;
    while !relative_names.is_finished() {
        let mut attributes = SliceReader::new(AnyRef::decode(&mut relative_names)?.value())?;
        let mut set = Vec::with_capacity(1);
        while !attributes.is_finished() {
            set.push(attribute(AnyRef::decode(&mut attributes)?.value())?);
        }
        // A set is sorted by how it is written, which is what differs.
        set.sort();
        push(
            &mut normal,
            &set.iter().fold(Vec::new(), |mut all, one| {
                push(&mut all, one);
                all
            }),
        );
    }
    Ok(normal)
}

fn attribute(attribute: &[u8]) -> der::Result<Vec<u8>> {
    let mut fields = SliceReader::new(attribute)?;
    let (kind, value) = (AnyRef::decode(&mut fields)?, AnyRef::decode(&mut fields)?);
    let mut normal = Vec::with_capacity(attribute.len());
    push(&mut normal, kind.value());
    match text(value) {
        Some(text) => {
            let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
            push(&mut normal, words.as_bytes());
        }
        None => {
            normal.push(0);
            push(&mut normal, value.value());
        }
    }
    Ok(normal)
}

fn text(value: AnyRef<'_>) -> Option<String> {
    let bytes = value.value();
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units: Vec<_> = bytes.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// Appends what is told apart from what follows by its length.
fn push(all: &mut Vec<u8>, one: &[u8]) {
    all.extend_from_slice(&(one.len() as u64).to_be_bytes());
    all.extend_from_slice(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of one attribute, a common name.
    fn common_name(tag: u8, value: &[u8]) -> NormalName {
        let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let attribute = [element(6, &[0x55, 4, 3]), element(tag, value)].concat();
        NormalName::of(&element(0x31, &element(0x30, &attribute)))
    }

    #[test]
    fn a_name_is_the_same_in_another_string_type_case_or_spacing() {
        let name = common_name(0x0c, b"Example CA");
        assert_eq!(common_name(0x13, b"Example CA"), name);
        assert_eq!(common_name(0x13, b" EXAMPLE   ca "), name);
        assert_eq!(
            common_name(0x1e, &"Example CA".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>()),
            name
        );
        assert_ne!(common_name(0x0c, b"Example CB"), name);
        assert_ne!(common_name(0x04, b"example ca"), name, "octets are no text");
    }

    #[test]
    fn what_is_no_name_is_equal_to_itself_alone() {
        assert_eq!(NormalName::of(&[0x31, 9, 1]), NormalName::of(&[0x31, 9, 1]));
        assert_ne!(NormalName::of(&[0x31, 9, 1]), NormalName::of(&[0x31, 9, 2]));
        assert_ne!(NormalName::of(&[]), NormalName::of(&[0x31, 9, 1]));
    }
}
