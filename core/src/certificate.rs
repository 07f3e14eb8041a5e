//! What people and checks want to know of one certificate, read once.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use der::asn1::AnyRef;
use der::{Encode, Tag};
use x509_parser::asn1_rs::Any;
use x509_parser::extensions::GeneralName;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{FromDer, Validity, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;

use crate::digest::Digest;

/// The facts of one certificate (RFC 5280 §4.1), as text and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's distinguished name.
    pub subject: Name,
    /// The issuer's distinguished name.
    pub issuer: Name,
    /// The serial number, in decimal.
    pub serial: String,
    /// SHA-256 of the DER.
    pub fingerprint: Digest,
    /// The first instant of validity.
    pub not_before: SystemTime,
    /// The last instant of validity.
    pub not_after: SystemTime,
    /// The subject alternative names.
    pub names: SubjectAltNames,
}

/// The subject alternative names of a certificate (RFC 5280 §4.2.1.6), in their order. Other kinds are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name {
    /// The whole name, as RFC 4514 writes it.
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
    /// Reads the facts of a DER certificate.
    ///
    /// # Errors
    ///
    /// The DER is no X.509 certificate, or bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, NotACertificate> {
        Ok(Self::of(&parse(der)?, der))
    }

    /// The facts of a certificate that is parsed already; `der` is what it was parsed from.
    fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        Self {
            subject: Name::of(certificate.subject()),
            issuer: Name::of(certificate.issuer()),
            serial: certificate.tbs_certificate.serial.to_string(),
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

/// Parses one DER certificate with nothing after it.
///
/// # Errors
///
/// The DER is no X.509 certificate, or bytes follow it.
pub fn parse(der: &[u8]) -> Result<X509Certificate<'_>, NotACertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(NotACertificate::TrailingBytes(rest.len())),
        Err(error) => Err(NotACertificate::Malformed(error.to_string())),
    }
}

/// The last instant at which a DER certificate is valid. What follows it in the certificate is not read: a server asks this of every
/// connection, and to parse a whole certificate takes longer than all else it does after a handshake.
///
/// # Errors
///
/// What is read is not of an X.509 certificate.
pub fn not_after(der: &[u8]) -> Result<SystemTime, NotACertificate> {
    let malformed = |error: &dyn std::error::Error| NotACertificate::Malformed(error.to_string());
    let element = |der| Any::from_der(der).map_err(|error| malformed(&error));
    let (_, certificate) = element(der)?;
    let (_, tbs) = element(certificate.data)?;
    let (mut rest, first) = element(tbs.data)?;
    // The version, which certificates of version 1 leave out, then serial number, signature algorithm and issuer.
    for _ in 0..if first.header.is_contextspecific() { 3 } else { 2 } {
        (rest, _) = element(rest)?;
    }
    let (_, validity) = Validity::from_der(rest).map_err(|error| malformed(&error))?;
    Ok(system_time(validity.not_after))
}

/// DER that is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACertificate {
    /// The structure is not RFC 5280's.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// A certificate, and then something else.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
}

impl SubjectAltNames {
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

/// A big-endian number in decimal.
pub(crate) fn decimal(number: &[u8]) -> String {
    BigUint::from_bytes_be(number).to_string()
}

impl Name {
    /// Of a name without the header of its sequence; one that cannot be read is empty.
    pub(crate) fn from_der(name: &[u8]) -> Self {
        let name = AnyRef::new(Tag::Sequence, name).and_then(|name| name.to_der()).unwrap_or_default();
        X509Name::from_der(&name).map(|(_, name)| Self::of(&name)).unwrap_or_default()
    }

    pub(crate) fn of(name: &X509Name<'_>) -> Self {
        let first = |mut values: Box<dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_>| {
            values.next().and_then(|value| value.as_str().ok()).unwrap_or_default().to_owned()
        };
        Self {
            text: name.to_string(),
            country: first(Box::new(name.iter_country())),
            state: first(Box::new(name.iter_state_or_province())),
            locality: first(Box::new(name.iter_locality())),
            organization: first(Box::new(name.iter_organization())),
            organizational_unit: first(Box::new(name.iter_organizational_unit())),
            common_name: first(Box::new(name.iter_common_name())),
        }
    }
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
    fn the_end_of_a_certificate_is_found_where_it_has_no_version() {
        let validity = b"\x17\x0d250101000000Z\x17\x0d300101000000Z";
        let mut der = vec![0x30, 41, 0x30, 39, 0x02, 1, 1, 0x30, 0, 0x30, 0, 0x30, 30];
        der.extend(validity);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        assert_eq!(not_after(&der).unwrap(), end);
    }
}
