//! The structure of a list (RFC 5280 §5.1), read strictly and to its end.

use std::collections::HashSet;
use std::time::SystemTime;

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, GeneralizedTime, OctetStringRef, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use rustls_pki_types::CertificateRevocationListDer;

use super::{Crl, CrlError, NormalName, Scope, Subjects, without_leading_zeros};
use crate::elements;

const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const DELTA_CRL_INDICATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");
const CERTIFICATE_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.29");

/// Version 2 as it is encoded.
const VERSION_2: &[u8] = &[1];

/// The most octets of a serial number (RFC 5280 §4.1.2.2).
const SERIAL_LIMIT: usize = 20;

/// The tag of a `GeneralName` that is a directory name.
const DIRECTORY_NAME: u32 = 4;

/// `removeFromCRL`, by which a delta takes a certificate back.
const REMOVE_FROM_CRL: u8 = 8;

/// The place of a part in the DER of a list. It is small, since a list may have tens of thousands of entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// `part` has to be a part of `whole`.
    fn within(whole: &[u8], part: &[u8]) -> der::Result<Self> {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let short = |number| u32::try_from(number).map_err(|_| der::Error::from(der::ErrorKind::Overflow));
        Ok(Self { start: short(start)?, length: short(part.len())? })
    }

    pub(super) fn of(self, der: &[u8]) -> &[u8] {
        let start = self.start as usize;
        der.get(start..start + self.length as usize).unwrap_or_default()
    }
}

/// The part that is signed, the algorithm, and the signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed {
    pub(super) message: Span,
    /// The `AlgorithmIdentifier` without its header.
    pub(super) algorithm: Span,
    pub(super) signature: Span,
}

pub(super) fn parse(der: &CertificateRevocationListDer<'_>) -> Result<Crl, CrlError> {
    let der = CertificateRevocationListDer::from(der.as_ref().to_vec());
    let mut rest = at("outer sequence", SliceReader::new(&der))?;
    let (_, list) = at("outer sequence", sequence(&mut rest))?;
    if !rest.is_finished() {
        return Err(CrlError::SomethingFollows);
    }
    let mut fields = at("outer sequence", SliceReader::new(list))?;
    let (message, tbs) = at("list", sequence(&mut fields))?;
    let (_, algorithm) = at("signature algorithm", sequence(&mut fields))?;
    let signature = at("signature", AnyRef::decode(&mut fields))?;
    // The first octet tells how many bits of the last are unused: none, in every signature there is.
    let (Tag::BitString, [0, signature @ ..], true) = (signature.tag(), signature.value(), fields.is_finished()) else {
        return Err(CrlError::Malformed("signature"));
    };
    let span = |what, part| at(what, Span::within(&der, part));
    let signed = Signed {
        message: span("list", message)?,
        algorithm: span("signature algorithm", algorithm)?,
        signature: span("signature", signature)?,
    };

    let mut fields = at("list", SliceReader::new(tbs))?;
    if next_is(&fields, |tag| tag == Tag::Integer) && at("version", AnyRef::decode(&mut fields))?.value() != VERSION_2 {
        return Err(CrlError::Version);
    }
    if at("signature algorithm", sequence(&mut fields))?.1 != algorithm {
        return Err(CrlError::TwoAlgorithms);
    }
    let (_, issuer) = at("issuer", sequence(&mut fields))?;
    let this_update = at("date of issue", time(&mut fields))?;
    let next_update = if next_is(&fields, is_time) { Some(at("next update", time(&mut fields))?) } else { None };
    let entries =
        if next_is(&fields, |tag| tag == Tag::Sequence) { at("entries", sequence(&mut fields))?.1 } else { &[] };
    let extensions = if fields.is_finished() { None } else { Some(at("extensions", AnyRef::decode(&mut fields))?) };
    if !fields.is_finished() {
        return Err(CrlError::Malformed("end"));
    }
    let about = extensions.map_or_else(|| Ok(About::default()), About::read)?;
    let normal_issuer = NormalName::of(issuer);
    let listed = Listed::read(&der, entries, &about, &normal_issuer)?;
    Ok(Crl {
        issuer: issuer.to_vec(),
        normal_issuer,
        this_update,
        next_update,
        number: about.number,
        authority_key: about.authority_key,
        scope: about.scope,
        of_others: listed.of_others,
        taken_back: listed.taken_back,
        revoked: listed.revoked,
        signed,
        der,
    })
}

/// The facts that a list's extensions tell of it.
#[derive(Default)]
struct About {
    number: Option<Vec<u8>>,
    authority_key: Option<Vec<u8>>,
    scope: Scope,
    is_indirect: bool,
}

impl About {
    fn read(tagged: AnyRef<'_>) -> Result<Self, CrlError> {
        if tagged.tag() != context(0, true) {
            return Err(CrlError::Malformed("extensions"));
        }
        let mut about = Self::default();
        let mut seen = HashSet::new();
        let mut tagged = at("extensions", SliceReader::new(tagged.value()))?;
        each_extension(at("extensions", sequence(&mut tagged))?.1, "extensions", |oid, critical, value| {
            if !seen.insert(oid) {
                return Err(CrlError::DoubledExtension(oid.to_string()));
            }
            match oid {
                CRL_NUMBER => about.number = number(value),
                AUTHORITY_KEY_IDENTIFIER => about.authority_key = authority_key(value),
                DELTA_CRL_INDICATOR => about.scope.is_delta = true,
                ISSUING_DISTRIBUTION_POINT => about.distribution_point(value)?,
                _ if critical => return Err(CrlError::CriticalExtension(oid.to_string())),
                _ => {}
            }
            Ok(())
        })?;
        Ok(about)
    }

    /// RFC 5280 §5.2.5.
    fn distribution_point(&mut self, value: &[u8]) -> Result<(), CrlError> {
        const WHAT: &str = "issuing distribution point";
        let mut reader = at(WHAT, SliceReader::new(value))?;
        let mut fields = at(WHAT, sequence(&mut reader).and_then(|(_, fields)| SliceReader::new(fields)))?;
        let (mut leaves, mut authorities) = (false, false);
        while !fields.is_finished() {
            let field = at(WHAT, AnyRef::decode(&mut fields))?;
            let is_set = || match field.value() {
                [0] => Ok(false),
                [0xff] => Ok(true),
                _ => Err(CrlError::Malformed(WHAT)),
            };
            match field.tag() {
                tag if tag == context(0, true) || tag == context(3, false) => {}
                tag if tag == context(1, false) => leaves = is_set()?,
                tag if tag == context(2, false) => authorities = is_set()?,
                tag if tag == context(4, false) => self.is_indirect = is_set()?,
                tag if tag == context(5, false) => {
                    if is_set()? {
                        return Err(CrlError::AttributeCertificates);
                    }
                }
                _ => return Err(CrlError::Malformed(WHAT)),
            }
        }
        self.scope.subjects = match (leaves, authorities) {
            (false, false) => Subjects::All,
            (true, false) => Subjects::Leaves,
            (false, true) => Subjects::Authorities,
            (true, true) => return Err(CrlError::Malformed(WHAT)),
        };
        self.scope.distribution_point = Some(value.to_vec());
        Ok(())
    }
}

/// The entries of a list, by what is made of them.
#[derive(Default)]
struct Listed {
    revoked: Vec<Span>,
    of_others: usize,
    taken_back: usize,
}

impl Listed {
    fn read(der: &[u8], entries: &[u8], about: &About, issuer: &NormalName) -> Result<Self, CrlError> {
        const WHAT: &str = "entries";
        let mut listed = Self::default();
        let mut entries = at(WHAT, SliceReader::new(entries))?;
        // Of an indirect list an entry is about the issuer that was named last (RFC 5280 §5.3.3).
        let mut of_another = false;
        while !entries.is_finished() {
            let (_, entry) = at(WHAT, sequence(&mut entries))?;
            let mut fields = at(WHAT, SliceReader::new(entry))?;
            let serial = at(WHAT, AnyRef::decode(&mut fields))?;
            if serial.tag() != Tag::Integer {
                return Err(CrlError::Malformed(WHAT));
            }
            let serial = without_leading_zeros(serial.value());
            // When it was revoked makes no difference; some write dates there that mean nothing.
            if !is_time(at(WHAT, AnyRef::decode(&mut fields))?.tag()) {
                return Err(CrlError::Malformed(WHAT));
            }
            let mut reason = None;
            if !fields.is_finished() {
                let (_, extensions) = at(WHAT, sequence(&mut fields))?;
                each_extension(extensions, WHAT, |oid, critical, value| {
                    match oid {
                        REASON_CODE => reason = Some(reason_code(serial, value)?),
                        CERTIFICATE_ISSUER if about.is_indirect => {
                            of_another = certificate_issuer(value).as_ref() != Some(issuer)
                        }
                        INVALIDITY_DATE => {}
                        _ if critical => {
                            let (serial, oid) = (hexadecimal(serial), oid.to_string());
                            return Err(CrlError::CriticalEntryExtension { serial, oid });
                        }
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            if !fields.is_finished() {
                return Err(CrlError::Malformed(WHAT));
            }
            if of_another {
                listed.of_others += 1;
            } else if about.scope.is_delta && reason == Some(REMOVE_FROM_CRL) {
                listed.taken_back += 1;
            } else {
                listed.revoked.push(at(WHAT, Span::within(der, serial))?);
            }
        }
        listed.revoked.sort_by(|a, b| a.of(der).cmp(b.of(der)));
        listed.revoked.shrink_to_fit();
        Ok(listed)
    }
}

/// Names where in the list it is that cannot be read.
fn at<T>(what: &'static str, read: der::Result<T>) -> Result<T, CrlError> {
    read.map_err(|_| CrlError::Malformed(what))
}

/// Reads a sequence: the whole of it, and its content.
fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<(&'a [u8], &'a [u8])> {
    let whole = reader.tlv_bytes()?;
    let element = AnyRef::from_der(whole)?;
    if element.tag() == Tag::Sequence { Ok((whole, element.value())) } else { Err(der::ErrorKind::Failed.into()) }
}

fn next_is(reader: &SliceReader<'_>, is: impl Fn(Tag) -> bool) -> bool {
    Tag::peek(reader).is_ok_and(is)
}

fn is_time(tag: Tag) -> bool {
    matches!(tag, Tag::UtcTime | Tag::GeneralizedTime)
}

/// RFC 5280 §5.1.2.4: with seconds, in UTC, without fractions.
fn time(reader: &mut SliceReader<'_>) -> der::Result<SystemTime> {
    match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader).map(|time| time.to_system_time()),
        _ => GeneralizedTime::decode(reader).map(|time| time.to_system_time()),
    }
}

fn each_extension(
    extensions: &[u8],
    what: &'static str,
    mut take: impl FnMut(ObjectIdentifier, bool, &[u8]) -> Result<(), CrlError>,
) -> Result<(), CrlError> {
    let mut extensions = at(what, SliceReader::new(extensions))?;
    while !extensions.is_finished() {
        let (_, extension) = at(what, sequence(&mut extensions))?;
        let mut fields = at(what, SliceReader::new(extension))?;
        let oid = at(what, ObjectIdentifier::decode(&mut fields))?;
        let critical =
            if next_is(&fields, |tag| tag == Tag::Boolean) { at(what, bool::decode(&mut fields))? } else { false };
        let value = at(what, <&OctetStringRef>::decode(&mut fields))?;
        take(oid, critical, value.as_bytes())?;
    }
    Ok(())
}

/// Numbers that break RFC 5280 §5.2.3 put lists in order no less; what is no number at all does not.
fn number(value: &[u8]) -> Option<Vec<u8>> {
    let number = AnyRef::from_der(value).ok().filter(|number| number.tag() == Tag::Integer)?;
    Some(without_leading_zeros(number.value()).to_vec())
}

/// RFC 5280 §5.2.1, §4.2.1.1.
fn authority_key(value: &[u8]) -> Option<Vec<u8>> {
    let mut fields = SliceReader::new(AnyRef::from_der(value).ok()?.value()).ok()?;
    let first = AnyRef::decode(&mut fields).ok()?;
    (first.tag() == context(0, false)).then(|| first.value().to_vec())
}

/// RFC 5280 §5.3.3: the directory name among the names of whoever issued the certificate of an entry.
fn certificate_issuer(value: &[u8]) -> Option<NormalName> {
    let names = elements::fields(value).ok()?;
    let directory = names.into_iter().find(|name| name.tag() == context(DIRECTORY_NAME, true))?;
    Some(NormalName::of_sequence(directory.value()))
}

fn reason_code(serial: &[u8], value: &[u8]) -> Result<u8, CrlError> {
    let code = AnyRef::from_der(value).ok().filter(|code| code.tag() == Tag::Enumerated);
    match code.map(|code| code.value()) {
        Some([reason @ (0..=6 | 8..=10)]) => Ok(*reason),
        Some([reason]) => Err(CrlError::Reason { serial: hexadecimal(serial), reason: *reason }),
        _ => Err(CrlError::Malformed("entries")),
    }
}

fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific { constructed, number: TagNumber(number) }
}

/// Of a serial number that is too long the rest is not told.
fn hexadecimal(serial: &[u8]) -> String {
    serial.iter().take(SERIAL_LIMIT).map(|octet| format!("{octet:02x}")).collect()
}
