//! Name constraints (RFC 5280 §4.2.1.10) of kinds that webpki does not compare: it refuses every path with a name of such a kind, and says
//! that the name is outside. That is not known, and it is mended in another way than a name that is.

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS;
use x509_parser::prelude::X509Certificate;

use super::PathError;
use super::anchors::Anchors;

/// The kinds of `GeneralName` (RFC 5280 §4.2.1.6) by the numbers of their tags, in words; `None` where webpki compares them.
const KINDS: [Option<&str>; 9] = [
    Some("other names"),
    Some("e-mail addresses"),
    None,
    Some("X.400 addresses"),
    Some("directory names"),
    Some("EDI party names"),
    Some("URIs"),
    None,
    Some("registered identifiers"),
];

const DNS: u32 = 2;
const DIRECTORY: u32 = 4;
const IP: u32 = 7;

/// A name of one kind: of the leaf, or a base that one is compared with.
struct Name<'a> {
    kind: u32,
    value: &'a [u8],
}

/// The constraints of one issuer.
struct Constraints<'a> {
    permitted: Vec<Name<'a>>,
    excluded: Vec<Name<'a>>,
}

/// The error of a path that webpki refused for a name constraint, if no name of the leaf is outside of one that it does compare.
pub(super) fn unsupported(
    leaf: &X509Certificate<'_>,
    issuers: &[X509Certificate<'_>],
    anchors: &Anchors,
) -> Option<PathError> {
    let mut names = san(leaf).unwrap_or_default();
    names.push(Name { kind: DIRECTORY, value: leaf.subject().as_raw() });
    let of_path = std::iter::once(leaf).chain(issuers);
    let named: Vec<&[u8]> = of_path.map(|certificate| content(certificate.issuer().as_raw())).collect();
    let of_anchors = anchors.constraints(&named);
    let of_issuers = issuers.iter().filter_map(|issuer| {
        let extension = issuer.get_extension_unique(&OID_X509_EXT_NAME_CONSTRAINTS).ok().flatten()?;
        Some(content(extension.value))
    });
    let constraints: Vec<_> =
        of_anchors.chain(of_issuers).filter_map(|constraints| Constraints::of(constraints).ok()).collect();
    if constraints.iter().any(|constraints| constraints.is_broken_by(&names)) {
        return None;
    }
    let bases = constraints.iter().flat_map(|constraints| constraints.permitted.iter().chain(&constraints.excluded));
    let kind = bases.filter(|base| names.iter().any(|name| name.kind == base.kind)).find_map(|base| word(base.kind))?;
    Some(PathError::UnsupportedNameConstraint { kind })
}

impl<'a> Constraints<'a> {
    /// Of a `NameConstraints` without its header.
    fn of(constraints: &'a [u8]) -> der::Result<Self> {
        let mut fields = SliceReader::new(constraints)?;
        let mut found = Self { permitted: Vec::new(), excluded: Vec::new() };
        while !fields.is_finished() {
            let field = AnyRef::decode(&mut fields)?;
            let mut subtrees = SliceReader::new(field.value())?;
            while !subtrees.is_finished() {
                let mut subtree = SliceReader::new(AnyRef::decode(&mut subtrees)?.value())?;
                let base = name(AnyRef::decode(&mut subtree)?);
                match field.tag() {
                    Tag::ContextSpecific { number: TagNumber(0), .. } => found.permitted.extend(base),
                    _ => found.excluded.extend(base),
                }
            }
        }
        Ok(found)
    }

    /// Whether a DNS name or an IP address is outside.
    fn is_broken_by(&self, names: &[Name<'_>]) -> bool {
        names.iter().any(|name| {
            let mut permitted = self.permitted.iter().filter(|base| base.kind == name.kind).peekable();
            let outside = permitted.peek().is_some() && !permitted.any(|base| base.holds(name));
            word(name.kind).is_none() && (outside || self.excluded.iter().any(|base| base.holds(name)))
        })
    }
}

impl Name<'_> {
    fn holds(&self, name: &Name<'_>) -> bool {
        match (self.kind, name.kind) {
            (DNS, DNS) => {
                let base = self.value.strip_prefix(b".").unwrap_or(self.value);
                let Some(start) = name.value.len().checked_sub(base.len()) else { return false };
                let (labels, end) = name.value.split_at(start);
                end.eq_ignore_ascii_case(base) && (base.is_empty() || labels.is_empty() || labels.ends_with(b"."))
            }
            (IP, IP) if self.value.len() == 2 * name.value.len() => {
                let (address, mask) = self.value.split_at(name.value.len());
                let octets = name.value.iter().zip(address).zip(mask);
                octets.into_iter().all(|((name, base), mask)| name & mask == base & mask)
            }
            _ => false,
        }
    }
}

fn san<'a>(leaf: &X509Certificate<'a>) -> Option<Vec<Name<'a>>> {
    let extension = leaf
        .extensions()
        .iter()
        .find(|extension| matches!(extension.parsed_extension(), ParsedExtension::SubjectAlternativeName(_)))?;
    let mut names = SliceReader::new(content(extension.value)).ok()?;
    let mut found = Vec::new();
    while !names.is_finished() {
        found.extend(name(AnyRef::decode(&mut names).ok()?));
    }
    Some(found)
}

fn name(name: AnyRef<'_>) -> Option<Name<'_>> {
    match name.tag() {
        Tag::ContextSpecific { number: TagNumber(kind), .. } => Some(Name { kind, value: name.value() }),
        _ => None,
    }
}

/// What kind of name webpki does not compare.
fn word(kind: u32) -> Option<&'static str> {
    KINDS.get(usize::try_from(kind).ok()?).copied().flatten()
}

/// The content of an element; nothing of one that cannot be read.
fn content(element: &[u8]) -> &[u8] {
    AnyRef::from_der(element).map(|element| element.value()).unwrap_or_default()
}
