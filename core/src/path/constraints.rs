//! Name constraints (RFC 5280 §4.2.1.10).
//!
//! webpki compares DNS names and IP addresses, [`uris`](super::uris) URIs. Of other kinds it refuses every path with a name of such a kind,
//! and says that the name is outside. That is not known, and it is mended in another way than a name that is.

use der::asn1::AnyRef;
use der::{Decode, SliceReader, Tag, TagNumber, Tagged};
use x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS;
use x509_parser::prelude::X509Certificate;

use super::PathError;
use super::anchors::Anchors;
use crate::elements::{all, content};
use crate::extensions::Extensions;

/// The kinds of `GeneralName` (RFC 5280 §4.2.1.6) by the numbers of their tags, in words; `None` where they are compared.
const KINDS: [Option<&str>; 9] = [
    Some("other names"),
    Some("e-mail addresses"),
    None,
    Some("X.400 addresses"),
    Some("directory names"),
    Some("EDI party names"),
    None,
    None,
    Some("registered identifiers"),
];

const DNS: u32 = 2;
const DIRECTORY: u32 = 4;
pub(super) const URI: u32 = 6;
pub(super) const IP: u32 = 7;

/// A name of one kind: of the leaf, or a base that one is compared with.
pub(super) struct Name<'a> {
    pub(super) kind: u32,
    pub(super) value: &'a [u8],
}

/// The constraints of one issuer.
pub(super) struct Constraints<'a> {
    pub(super) permitted: Vec<Name<'a>>,
    pub(super) excluded: Vec<Name<'a>>,
}

/// The error of a path that was refused for a name constraint, if no name of the leaf is outside of one that is compared.
pub(super) fn unsupported(
    der: &[u8],
    leaf: &X509Certificate<'_>,
    issuers: &[X509Certificate<'_>],
    anchors: &Anchors,
) -> Option<PathError> {
    let mut names = names_of(der).unwrap_or_default();
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
    if constraints.iter().any(|constraints| constraints.are_broken_by(&names)) {
        return None;
    }
    let bases = constraints.iter().flat_map(|constraints| constraints.permitted.iter().chain(&constraints.excluded));
    let kind = bases.filter(|base| names.iter().any(|name| name.kind == base.kind)).find_map(|base| word(base.kind))?;
    Some(PathError::UnsupportedNameConstraint { kind })
}

impl<'a> Constraints<'a> {
    /// Of a `NameConstraints` without its header.
    pub(super) fn of(constraints: &'a [u8]) -> der::Result<Self> {
        let mut found = Self { permitted: Vec::new(), excluded: Vec::new() };
        for field in all(constraints)? {
            for subtree in all(field.value())? {
                // RFC 5280 allows nothing after a base.
                let base = name(AnyRef::decode(&mut SliceReader::new(subtree.value())?)?);
                match field.tag() {
                    Tag::ContextSpecific { number: TagNumber(0), .. } => found.permitted.extend(base),
                    _ => found.excluded.extend(base),
                }
            }
        }
        Ok(found)
    }

    /// Whether a name of a kind that is compared is outside.
    pub(super) fn are_broken_by(&self, names: &[Name<'_>]) -> bool {
        names.iter().filter(|name| word(name.kind).is_none()).any(|name| {
            let of_kind = |base: &&Name<'_>| base.kind == name.kind;
            let mut permitted = self.permitted.iter().filter(of_kind).peekable();
            let mut excluded = self.excluded.iter().filter(of_kind).peekable();
            if name.kind == URI && host(name.value).is_none() {
                return permitted.peek().is_some() || excluded.peek().is_some();
            }
            (permitted.peek().is_some() && !permitted.any(|base| base.holds(name)))
                || excluded.any(|base| base.holds(name))
        })
    }
}

impl Name<'_> {
    /// Whether a name is inside of this base.
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
                let mut octets = name.value.iter().zip(address).zip(mask);
                octets.all(|((name, base), mask)| name & mask == base & mask)
            }
            (URI, URI) => host(name.value).is_some_and(|host| is_host_within(host, self.value)),
            _ => false,
        }
    }
}

/// The host of a URI (RFC 3986 §3), which has to be a name. A URI without one, with an address, or that is not written as that demands, is
/// outside of every constraint: readers that are laxer than this one may find another host in it.
fn host(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|octet| *octet == b':')?;
    let (scheme, rest) = (&uri[..colon], uri[colon + 1..].strip_prefix(b"//")?);
    let of_scheme = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(of_scheme) {
        return None;
    }
    let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let (user, host) = match authority.iter().position(|octet| *octet == b'@') {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (&[][..], authority),
    };
    let of_user = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(octet);
    let (host, port) = match host.iter().position(|octet| *octet == b':') {
        Some(at) => (&host[..at], &host[at + 1..]),
        None => (host, &[][..]),
    };
    let is_written_well = user.iter().all(of_user) && port.iter().all(u8::is_ascii_digit);
    let mut labels = host.split(|octet| *octet == b'.');
    let of_label = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let is_name = labels.all(|label| !label.is_empty() && label.iter().all(of_label));
    let is_address = host.rsplit(|octet| *octet == b'.').next().is_some_and(|last| last.iter().all(u8::is_ascii_digit));
    (is_written_well && is_name && !is_address).then_some(host)
}

/// A base that begins with a dot stands for the hosts below it, an empty one for all, any other for the one host.
fn is_host_within(host: &[u8], base: &[u8]) -> bool {
    if base.is_empty() {
        return true;
    }
    match (base, host.len().checked_sub(base.len())) {
        ([b'.', ..], Some(labels @ 1..)) => host[labels..].eq_ignore_ascii_case(base),
        ([b'.', ..], _) => false,
        _ => host.eq_ignore_ascii_case(base),
    }
}

/// The subject alternative names of a DER certificate, none if it has no such extension.
pub(super) fn names_of(certificate: &[u8]) -> Option<Vec<Name<'_>>> {
    let Some(value) = Extensions::of(certificate).ok()?.subject_alt_names else { return Some(Vec::new()) };
    Some(all(content(value)).ok()?.into_iter().filter_map(name).collect())
}

fn name(name: AnyRef<'_>) -> Option<Name<'_>> {
    match name.tag() {
        Tag::ContextSpecific { number: TagNumber(kind), .. } => Some(Name { kind, value: name.value() }),
        _ => None,
    }
}

/// The words for a kind of name, if it is one that is not compared.
fn word(kind: u32) -> Option<&'static str> {
    KINDS.get(usize::try_from(kind).ok()?).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_uri_is_a_name() {
        for (uri, expected) in [
            ("spiffe://example.org/a/b", Some("example.org")),
            ("https://user@example.org:8443?q#f", Some("example.org")),
            ("spiffe://example.org", Some("example.org")),
            ("https://192.0.2.1/", None),
            ("https://[2001:db8::1]/", None),
            ("spiffe:///path", None),
            ("urn:example:a", None),
            ("urn:x://example.org/", None),
            ("mailto:a@example.com?u=://example.org/", None),
            ("https://example.com\\@example.org/", None),
            ("https://example.com @example.org/", None),
            ("https://a@b@example.org/", None),
            ("x:/example.com/?u=://example.org/", None),
            ("1x://example.org/", None),
            ("://example.org/", None),
            ("spiffe://example.org./x", None),
            ("spiffe://example..org/x", None),
            ("https://example.org:8a/", None),
            ("", None),
        ] {
            assert_eq!(host(uri.as_bytes()), expected.map(str::as_bytes), "{uri}");
        }
        assert!(
            !is_host_within(b"badexample.org", b"example.org") && !is_host_within(b".example.org", b".example.org")
        );
    }

    #[test]
    fn dns_names_and_addresses_are_compared_as_webpki_does() {
        let holds = |kind, base: &[u8], value: &[u8]| Name { kind, value: base }.holds(&Name { kind, value });
        assert!(holds(DNS, b"example.org", b"a.EXAMPLE.org") && holds(DNS, b"", b"a") && holds(DNS, b".a", b"b.a"));
        assert!(!holds(DNS, b"example.org", b"badexample.org") && !holds(DNS, b"example.org", b"org"));
        assert!(holds(IP, &[192, 0, 2, 0, 255, 255, 255, 0], &[192, 0, 2, 9]));
        assert!(!holds(IP, &[192, 0, 2, 0, 255, 255, 255, 0], &[192, 0, 3, 9]) && !holds(IP, &[0; 8], &[0; 16]));
    }
}
