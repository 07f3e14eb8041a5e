//! The facts that people and checks want to know of one certificate, read once.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use der::Encode;
use der::asn1::AnyRef;
use x509_parser::asn1_rs::{Any, BmpString, Tag};
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::num_bigint::BigUint;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer, Validity, X509Certificate, X509Name, X509Version};
use x509_parser::time::ASN1Time;
use x509_parser::x509::AttributeTypeAndValue;

use crate::digest::Digest;
use crate::text;

/// The bases that serial numbers are written in.
const HEXADECIMAL: u32 = 16;
const DECIMAL: u32 = 10;

/// The most digits of a serial number that is converted. RFC 5280 §4.1.2.2 allows 20 octets, which some issuers exceed.
const SERIAL_DIGITS: usize = 1024;

/// The facts of one certificate (RFC 5280 §4.1), as text and times.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// The subject's distinguished name.
    pub subject: Name,
    /// The issuer's distinguished name.
    pub issuer: Name,
    /// The serial number, in decimal: as exporters of certificates label it, and as it is on the wire.
    pub serial: String,
    /// The same in lowercase hexadecimal and whole bytes: as people are told it, and as `openssl x509 -serial` has it.
    pub hexadecimal_serial: String,
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// The first instant of validity.
    pub not_before: SystemTime,
    /// The last instant of validity.
    pub not_after: SystemTime,
    /// The subject alternative names.
    pub names: SubjectAltNames,
}

/// SHA-256 of the `SubjectPublicKeyInfo` of a certificate in DER; absent where it cannot be parsed.
#[must_use]
pub fn public_key(der: &[u8]) -> Option<Digest> {
    Some(Digest::fingerprint(parse(der).ok()?.public_key().raw))
}

/// The subject alternative names of a certificate (RFC 5280 §4.2.1.6), in their order. Other kinds are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SubjectAltNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ip: Vec<IpAddr>,
    /// URIs; a SPIFFE ID is one of them.
    pub uris: Vec<String>,
}

impl SubjectAltNames {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ip.is_empty() && self.uris.is_empty()
    }
}

/// A distinguished name: the whole as text, and the attributes that metrics label certificates with. Of an attribute
/// that occurs more than once, the first is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Name {
    /// The whole name on one line, with the escapes of RFC 4514 §2.4; its parts in the order of the certificate. Of a value longer than
    /// 256 bytes the rest is left out, as is what follows the first 1024 bytes of all, with an ellipsis in its place.
    pub text: String,
    /// Country.
    pub country: String,
    /// State or province.
    pub state: String,
    /// Locality.
    pub locality: String,
    /// Organization.
    pub organization: String,
    /// Organizational unit.
    pub organizational_unit: String,
    /// Common name.
    pub common_name: String,
}

impl CertificateFacts {
    /// The facts of a certificate that is supposed, not read: it has these names and nothing else.
    #[must_use]
    pub fn supposed(names: SubjectAltNames) -> Self {
        Self {
            subject: Name::default(),
            issuer: Name::default(),
            serial: String::new(),
            hexadecimal_serial: String::new(),
            fingerprint: Digest::fingerprint(&[]),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
            names,
        }
    }

    /// Reads the facts of a DER certificate.
    ///
    /// # Errors
    ///
    /// The DER is no X.509 certificate, or bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, NotACertificate> {
        Ok(Self::of(&parse(der)?, der))
    }

    /// The facts of a certificate by whose names a peer is to be known. [`CertificateFacts::from_der`] leaves out names that cannot be read;
    /// here one of them might be the one that the peer is denied something by.
    ///
    /// # Errors
    ///
    /// The DER is no X.509 certificate, or its subject alternative names cannot be read in full.
    pub fn of_peer(der: &[u8]) -> Result<Self, NotACertificate> {
        let certificate = parse(der)?;
        if !SubjectAltNames::are_readable(&certificate) {
            return Err(NotACertificate::Malformed("its subject alternative names"));
        }
        Ok(Self::of(&certificate, der))
    }

    /// The facts of a certificate that is parsed already; `der` is what it was parsed from.
    fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        Self {
            subject: Name::of(certificate.subject()),
            issuer: Name::of(certificate.issuer()),
            serial: certificate.tbs_certificate.serial.to_string(),
            hexadecimal_serial: hexadecimal(&certificate.tbs_certificate.serial),
            fingerprint: Digest::fingerprint(der),
            not_before: system_time(certificate.validity().not_before),
            not_after: system_time(certificate.validity().not_after),
            names: SubjectAltNames::of(certificate),
        }
    }

    /// The share of the lifetime after which a third of it is left: when cert-manager renews by default.
    #[must_use]
    pub(crate) fn last_third(&self) -> SystemTime {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        self.not_after - lifetime / 3
    }
}

/// A serial number in decimal, of one in hexadecimal; empty where it is none.
#[must_use]
pub fn decimal_serial(hexadecimal: &str) -> String {
    number(hexadecimal, HEXADECIMAL).map_or_else(String::new, |number| number.to_string())
}

/// A serial number in hexadecimal, of one in decimal; empty where it is none.
#[must_use]
pub fn hexadecimal_serial(decimal: &str) -> String {
    number(decimal, DECIMAL).map_or_else(String::new, |number| hexadecimal(&number))
}

fn number(serial: &str, radix: u32) -> Option<BigUint> {
    // What is longer than any serial number is not worth the time.
    let digits = Some(serial.as_bytes()).filter(|digits| digits.len() <= SERIAL_DIGITS);
    BigUint::parse_bytes(digits?, radix)
}

/// Whole bytes, as every program that prints one has it.
fn hexadecimal(serial: &BigUint) -> String {
    let digits = serial.to_str_radix(HEXADECIMAL);
    if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") }
}

/// Parses one DER certificate with nothing after it.
///
/// # Errors
///
/// The DER is no X.509 certificate, or bytes follow it.
pub fn parse(der: &[u8]) -> Result<X509Certificate<'_>, NotACertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(NotACertificate::TrailingBytes(rest.len())),
        Err(error) => Err(NotACertificate::Malformed(malformed(&error.into()))),
    }
}

/// The part of a certificate at which its parser came to a halt, in words that carry nothing of what it read.
pub(crate) fn malformed(error: &X509Error) -> &'static str {
    use X509Error as E;
    match error {
        E::InvalidVersion => "its version",
        E::InvalidSerial => "its serial number",
        E::InvalidAlgorithmIdentifier => "the algorithm of its signature",
        E::InvalidX509Name => "the name of its subject or issuer",
        E::InvalidDate => "its dates",
        E::InvalidSPKI => "its public key",
        E::InvalidSubjectUID | E::InvalidIssuerUID => "its unique identifiers",
        E::InvalidExtensions | E::DuplicateExtensions => "its extensions",
        E::InvalidAttributes | E::DuplicateAttributes => "its attributes",
        E::InvalidSignatureValue => "its signature",
        E::InvalidUserCertificate => "what it revokes",
        E::InvalidNumber => "its number",
        _ => "its structure",
    }
}

/// The last instant at which a DER certificate is valid. The certificate is not read beyond it: a server asks this of every connection, and
/// to parse a whole certificate takes longer than all else it does after a handshake.
///
/// # Errors
///
/// The part that is read is not of an X.509 certificate.
pub fn not_after(der: &[u8]) -> Result<SystemTime, NotACertificate> {
    let element = |der| Any::from_der(der).map_err(|_| NotACertificate::Malformed("its structure"));
    let (_, certificate) = element(der)?;
    let (_, tbs) = element(certificate.data)?;
    let (mut rest, first) = element(tbs.data)?;
    // The version, which certificates of version 1 leave out, then serial number, signature algorithm and issuer.
    for _ in 0..if first.header.is_contextspecific() { 3 } else { 2 } {
        (rest, _) = element(rest)?;
    }
    let (_, validity) =
        Validity::from_der(rest).map_err(|error| NotACertificate::Malformed(malformed(&error.into())))?;
    Ok(system_time(validity.not_after))
}

/// DER that is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotACertificate {
    /// The structure is not RFC 5280's; where it departs from it.
    #[error("not an X.509 certificate: {0} cannot be read")]
    Malformed(&'static str),
    /// A certificate, and then something else.
    #[error("followed by {0} bytes of something else")]
    TrailingBytes(usize),
}

impl SubjectAltNames {
    fn are_readable(certificate: &X509Certificate<'_>) -> bool {
        let is_about_names = |extension: &&X509Extension<'_>| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME;
        let mut extensions = certificate.extensions().iter().filter(is_about_names);
        match (extensions.next().map(X509Extension::parsed_extension), extensions.next()) {
            (None, _) => true,
            (Some(ParsedExtension::SubjectAlternativeName(names)), None) => {
                names.general_names.iter().all(|name| match name {
                    GeneralName::Invalid(..) => false,
                    GeneralName::IPAddress(octets) => matches!(octets.len(), 4 | 16),
                    _ => true,
                })
            }
            (Some(_), _) => false,
        }
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let extension = certificate.subject_alternative_name().ok().flatten();
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(dns) => names.dns.push((*dns).to_owned()),
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::IPAddress(octets) => {
                    let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                    let v6 = <[u8; 16]>::try_from(*octets).map(IpAddr::from);
                    names.ip.extend(v4.or(v6));
                }
                _ => {}
            }
        }
        names
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A big-endian number in decimal.
pub(crate) fn decimal(number: &[u8]) -> String {
    BigUint::from_bytes_be(number).to_string()
}

impl Name {
    /// Of a name without the header of its sequence; one that cannot be read is empty.
    pub(crate) fn from_der(name: &[u8]) -> Self {
        let name = AnyRef::new(der::Tag::Sequence, name).and_then(|name| name.to_der()).unwrap_or_default();
        X509Name::from_der(&name).map(|(_, name)| Self::of(&name)).unwrap_or_default()
    }

    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        let first = |mut values: Box<dyn Iterator<Item = &AttributeTypeAndValue<'_>> + '_>| {
            values.next().and_then(|value| value.as_str().ok()).unwrap_or_default().to_owned()
        };
        Self {
            text: line(name),
            country: first(Box::new(name.iter_country())),
            state: first(Box::new(name.iter_state_or_province())),
            locality: first(Box::new(name.iter_locality())),
            organization: first(Box::new(name.iter_organization())),
            organizational_unit: first(Box::new(name.iter_organizational_unit())),
            common_name: first(Box::new(name.iter_common_name())),
        }
    }
}

/// A name on one line: whoever writes a certificate must not be able to write lines into logs.
fn line(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    for (nth, attribute) in name.iter_rdn().flat_map(|part| part.iter().enumerate()) {
        let separator = match nth {
            _ if line.is_empty() => "",
            0 => ", ",
            _ => " + ",
        };
        line.push_str(separator);
        if line.len() > text::WORD_LIMIT {
            line.push('…');
            break;
        }
        let kind = oid2abbrev(attribute.attr_type(), oid_registry());
        line.push_str(&kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned));
        line.push('=');
        line.push_str(&escaped_value(attribute));
    }
    line
}

fn escaped_value(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let text = match value.tag() {
        Tag::BmpString => BmpString::try_from(value.clone()).ok().map(|text| text.string()),
        tag if TEXTS.contains(&tag) => std::str::from_utf8(value.data).ok().map(str::to_owned),
        _ => None,
    };
    match text {
        // An ellipsis needs no escape, so that a value that was cut is told from one that ends in a backslash.
        Some(text) => escaped(&text::bounded(text.into(), VALUE_LIMIT)),
        // RFC 4514 §2.4: what is no string is told in hexadecimal.
        None => {
            let shown = &value.data[..value.data.len().min(VALUE_LIMIT)];
            let hex = shown.iter().fold("#".to_owned(), |hex, byte| hex + &format!("{byte:02X}"));
            if shown.len() < value.data.len() { hex + "…" } else { hex }
        }
    }
}

/// The longest value of an attribute that is told in full, in bytes: RFC 5280's own bounds (appendix A.1) are a quarter of it.
const VALUE_LIMIT: usize = 256;

/// The types whose octets are text.
const TEXTS: [Tag; 8] = [
    Tag::Utf8String,
    Tag::PrintableString,
    Tag::Ia5String,
    Tag::T61String,
    Tag::NumericString,
    Tag::VisibleString,
    Tag::GeneralString,
    Tag::GraphicString,
];

/// A value with the escapes of RFC 4514 §2.4, also for what is not seen and what turns the direction of a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (i, char) in text.char_indices() {
        let is_last = i + char.len_utf8() == text.len();
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', char]),
            '#' | ' ' if i == 0 => escaped.extend(['\\', char]),
            ' ' if is_last => escaped.extend(['\\', char]),
            char if text::is_unseen(char) => {
                char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escaped.push_str(&format!("\\{byte:02X}")));
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// Whether a certificate names its subject as its issuer (RFC 5280 §3.2): that it signed itself is not looked at.
pub(crate) fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Whether its basic constraints say that it is a CA's (RFC 5280 §4.2.1.9).
pub(crate) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    certificate.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
}

/// Whether it can be nothing but a leaf: by another, no CA's, and of the version that could say that it is one.
pub(crate) fn is_issued_leaf(certificate: &X509Certificate<'_>) -> bool {
    certificate.version() == X509Version::V3 && !is_ca(certificate) && !is_self_issued(certificate)
}

/// Whether its key usage lets it sign CRLs (RFC 5280 §4.2.1.3).
pub(crate) fn may_sign_crls(certificate: &X509Certificate<'_>) -> bool {
    certificate.key_usage().ok().flatten().is_none_or(|usage| usage.value.crl_sign())
}

/// An X.509 time as a system time; times before 1970 are before the epoch, not clamped.
pub(crate) fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds >= 0 { SystemTime::UNIX_EPOCH + span } else { SystemTime::UNIX_EPOCH - span }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::{Authority, Leaf};

    use super::*;

    #[test]
    fn a_serial_number_in_hexadecimal_is_of_whole_bytes() {
        for (decimal, hexadecimal) in [("0", "00"), ("10", "0a"), ("255", "ff"), ("256", "0100")] {
            assert_eq!(hexadecimal_serial(decimal), hexadecimal);
            assert_eq!(decimal_serial(hexadecimal), decimal);
        }
        assert_eq!((hexadecimal_serial("x"), decimal_serial("")), (String::new(), String::new()));
        let ca = Authority::new("root");
        let der = ca.altered(&ca.issue_dns("a.example.org"), evercert_fixtures::odd::serial(&[0x07, 0x0b]));
        assert_eq!(CertificateFacts::from_der(&der).unwrap().hexadecimal_serial, "070b");
    }

    #[test]
    fn the_end_of_a_certificate_is_the_same_whether_all_of_it_is_parsed_or_not() {
        let now = SystemTime::now();
        let ca = Authority::new("root");
        let brief = Leaf::for_dns("a.example.org").valid(now - Duration::from_secs(60), now + Duration::from_secs(60));
        // Beyond 2049 times are written otherwise (RFC 5280 §4.1.2.5).
        let long = Leaf::for_dns("a.example.org").valid(now, now + Duration::from_secs(40 * 365 * 24 * 3600));
        for der in [ca.issue(brief).leaf_der, ca.issue(long).leaf_der, ca.ca_der().to_vec()] {
            assert_eq!(not_after(&der).unwrap(), CertificateFacts::from_der(&der).unwrap().not_after);
            for length in 0..der.len() {
                assert!(not_after(&der[..length]).is_err());
            }
        }
    }

    #[test]
    fn a_name_is_one_line_whatever_is_in_it() {
        for (value, expected) in [
            ("Example, Inc.", "Example\\, Inc."),
            ("a\nb\r\0\u{7f}", "a\\0Ab\\0D\\00\\7F"),
            ("#1 \"x\" + <y>; \\", "\\#1 \\\"x\\\" \\+ \\<y\\>\\; \\\\"),
            (" a ", "\\ a\\ "),
            ("\u{202e}\u{e9}", "\\E2\\80\\AE\u{e9}"),
        ] {
            assert_eq!(escaped(value), expected);
            let der = Authority::new(value).ca_der().to_vec();
            assert_eq!(CertificateFacts::from_der(&der).unwrap().subject.text, format!("CN={expected}"));
        }
    }

    #[test]
    fn a_name_is_told_in_a_bounded_line_however_long_it_is() {
        let der = Authority::new(&"\u{202e}".repeat(100_000)).ca_der().to_vec();
        let text = CertificateFacts::from_der(&der).unwrap().subject.text;
        assert!(text.starts_with("CN=\\E2\\80\\AE") && text.ends_with('…'), "{text}");
        assert!(text.len() < 4 * text::WORD_LIMIT, "{}", text.len());
    }

    proptest::proptest! {
        #[test]
        fn no_name_leaves_anything_unseen_in_its_text(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), tag: u8) {
            // One attribute, a common name, of any type with any octets.
            let value = [&[tag & 0x1f, octets.len() as u8][..], &octets].concat();
            let name = [0x06, 3, 0x55, 4, 3].into_iter().chain(value).collect::<Vec<_>>();
            let within = |tag: u8, content: Vec<u8>| [vec![tag, content.len() as u8], content].concat();
            let text = Name::from_der(&within(0x31, within(0x30, name))).text;
            proptest::prop_assert!(!text.contains(text::is_unseen), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_told_in_words() {
        let der = Authority::new("root").ca_der().to_vec();
        for length in 0..der.len() {
            let error = parse(&der[..length]).unwrap_err().to_string();
            let words = error.strip_prefix("not an X.509 certificate: ").unwrap();
            assert!(words.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' '), "{error}");
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_found_where_it_has_no_version() {
        let validity = b"\x17\x0d250101000000Z\x17\x0d300101000000Z";
        let mut der = vec![0x30, 41, 0x30, 39, 0x02, 1, 1, 0x30, 0, 0x30, 0, 0x30, 30];
        der.extend(validity);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        assert_eq!(not_after(&der).unwrap(), end);
    }
}
