//! The names by which gRPC's authorisation policies know a peer (A41, A43), to the letter as grpc-go has them.

mod subject;
#[cfg(test)]
mod tests;
mod uri;

use evercert_core::certificate;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;

/// What a leaf has of URIs, of DNS names, or of its subject: the first of these that there is. `None` if Go would not read the
/// certificate: a name that is skipped, as one nobody can read, might have been the one that a rule denies.
pub(super) fn of_leaf(leaf: &[u8]) -> Option<Box<[String]>> {
    let leaf = certificate::parse(leaf).ok()?;
    let mut extensions = leaf.extensions().iter().filter(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
    let names = match (extensions.next(), extensions.next()) {
        (None, _) => Names::default(),
        (Some(extension), None) => Names::read(extension.value)?,
        (Some(_), Some(_)) => return None,
    };
    let subject = subject::text(leaf.subject())?;
    Some(match names {
        Names { uris, .. } if !uris.is_empty() => uris.into(),
        Names { dns, .. } if !dns.is_empty() => dns.into(),
        _ => [subject].into(),
    })
}

#[derive(Default)]
struct Names {
    uris: Vec<String>,
    dns: Vec<String>,
}

impl Names {
    /// Reads the value of the extension (RFC 5280 §4.2.1.6).
    fn read(value: &[u8]) -> Option<Self> {
        let mut names = Self::default();
        let (rest, sequence) = Any::from_der(value).ok()?;
        sequence.header.assert_class(Class::Universal).ok()?;
        sequence.header.assert_tag(Tag::Sequence).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut rest = sequence.data;
        while !rest.is_empty() {
            let (after, name) = Any::from_der(rest).ok()?;
            rest = after;
            if name.header.class() != Class::ContextSpecific || name.header.is_constructed() {
                continue;
            }
            match name.tag().0 {
                EMAIL => _ = ascii(name.data)?,
                DNS => names.dns.push(ascii(name.data)?.to_owned()),
                URI => names.uris.push(uri::normal(ascii(name.data)?)?),
                IP if !matches!(name.data.len(), 4 | 16) => return None,
                _ => {}
            }
        }
        Some(names)
    }
}

const EMAIL: u32 = 1;
const DNS: u32 = 2;
const URI: u32 = 6;
const IP: u32 = 7;

/// The text of an IA5String.
fn ascii(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok().filter(|text| text.is_ascii())
}
