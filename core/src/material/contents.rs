//! The content of one file.

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use zeroize::Zeroizing;

use super::kind::{Kind, is_surely_der, length_of_der, without_mark};
use super::pkcs7::{self, Unwrappable};
use crate::credential::{PrivateKey, PrivateKeyError};
use crate::pem::{self, Block, Damage, Label, PemError};

/// The certificates, CRLs and keys of one file, each in its order.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The lines in which the blocks of the certificates begin, counted from 1; empty where they are not in PEM.
    pub(super) lines: Vec<usize>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) keys: Vec<Key>,
    /// Something else, which is lawful company unless it is there alone.
    company: Option<Kind>,
}

/// A private key as it was read.
pub(super) enum Key {
    /// It is whole.
    Whole(PrivateKey),
    /// A SEC1 structure that names no curve: that of its leaf.
    NoCurve(Zeroizing<Vec<u8>>),
    /// It cannot be used.
    Unusable(PrivateKeyError),
}

/// Why a file's content means nothing. Carries nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ContentError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("the {label} that begins in line {line} {fault}")]
    Block { label: Label, line: usize, fault: Fault },
    #[error("it {0}")]
    UnwrappableDer(Unwrappable),
    #[error("{0} bytes of something else follow its DER; remove them, or write all of it as PEM")]
    Trailing(usize),
    #[error("it is {0}; {advice}", advice = .0.advice())]
    Foreign(Kind),
}

/// The content a file should have, for the advice about one without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Certificates,
    Key,
    Crls,
}

impl ContentError {
    /// The end of the advice: how the expected content is written.
    pub(super) fn example(self, expected: Expected) -> &'static str {
        let Self::Pem(PemError { damage, .. }) = self else { return "" };
        match (damage, expected) {
            (Damage::UnknownLabel | Damage::Boundary | Damage::Base64, expected) => match expected {
                Expected::Certificates => ", as in -----BEGIN CERTIFICATE-----",
                Expected::Key => ", as in -----BEGIN PRIVATE KEY-----",
                Expected::Crls => ", as in -----BEGIN X509 CRL-----",
            },
            (Damage::Der, Expected::Certificates) => ": openssl x509 -inform DER",
            (Damage::Der, Expected::Key) => ": openssl pkey -inform DER",
            (Damage::Der, Expected::Crls) => ": openssl crl -inform DER",
            _ => "",
        }
    }
}

/// Why the content of one block means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("holds {0}; give it its own label, or remove it")]
    Mislabelled(Kind),
    #[error(transparent)]
    Unwrappable(#[from] Unwrappable),
}

impl Contents {
    /// Reads PEM or DER, also in UTF-16, and in base64 once more. White space alone is a file without content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ContentError> {
        if let Some(text) = utf_16(bytes)? {
            return Self::parse_once(&text);
        }
        match Self::parse_once(bytes) {
            Err(error) => match pem::base64(without_mark(bytes)).filter(|decoded| !decoded.is_empty()) {
                // Only what is base64 as a whole decodes, and no PEM does.
                Some(decoded) => match Self::parse_once(&decoded) {
                    Err(ContentError::Foreign(Kind::Text | Kind::Binary | Kind::OtherDer)) => Err(error),
                    // Nobody sees the lines of what was encoded.
                    other => other.map(|contents| Self { lines: Vec::new(), ..contents }),
                },
                None => Err(error),
            },
            whole => whole,
        }
    }

    fn parse_once(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut contents = Self::default();
        if without_mark(bytes).trim_ascii().is_empty() {
            return Ok(contents);
        }
        // DER may hold anything, also what looks like PEM, and no text begins like it.
        if is_surely_der(bytes) || !pem::is_pem(bytes) {
            if contents.take_der(bytes)? {
                return Ok(contents);
            }
            let outside = pem::outside(bytes).filter(|(_, damage)| !matches!(damage, Damage::Der | Damage::Binary));
            if let Some((place, damage)) = outside {
                return Err(PemError { line: pem::line(bytes, place), damage }.into());
            }
            return Err(ContentError::Foreign(Kind::of_file(bytes)));
        }
        for block in pem::blocks(bytes) {
            match block {
                Ok(block) => {
                    let (line, label) = (block.line, Label(Some(block.label)));
                    let place = |fault| ContentError::Block { label, line, fault };
                    contents.take(block).map_err(place)?;
                    // A collection is one block of several.
                    contents.lines.resize(contents.certificates.len(), line);
                }
                Err(PemError { damage: Damage::Encrypted(Label(Some(label))), .. })
                    if label.ends_with("PRIVATE KEY") =>
                {
                    contents.keys.push(Key::Unusable(PrivateKeyError::Encrypted));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(contents)
    }

    /// The kind of what the file holds, a key before anything else; absent for white space alone.
    pub(super) fn kind(&self) -> Option<Kind> {
        let read = [
            (!self.keys.is_empty(), Kind::PrivateKey),
            (!self.certificates.is_empty(), Kind::Certificate),
            (!self.crls.is_empty(), Kind::Crl),
        ];
        read.iter().find(|(is_there, _)| *is_there).map(|(_, kind)| *kind).or(self.company)
    }

    fn take(&mut self, Block { label, mut der, .. }: Block) -> Result<(), Fault> {
        match label {
            // One under the label of the other would be missing without a word where the other is not looked for.
            "CERTIFICATE" | "X509 CERTIFICATE" if CertificateRevocationList::from_der(&der).is_ok() => {
                return Err(Fault::Mislabelled(Kind::Crl));
            }
            "X509 CRL" if X509Certificate::from_der(&der).is_ok() => return Err(Fault::Mislabelled(Kind::Certificate)),
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                self.certificates.push(std::mem::take(&mut *der).into());
                return Ok(());
            }
            "TRUSTED CERTIFICATE" => {
                self.certificates.push(pkcs7::trusted(&der)?);
                return Ok(());
            }
            "X509 CRL" => {
                self.crls.push(std::mem::take(&mut *der).into());
                return Ok(());
            }
            "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => return Ok(self.take_collection(&der)?),
            _ => {}
        }
        // A certificate under the label of something else would be missing without a word.
        if let Some(kind @ (Kind::Certificate | Kind::Crl | Kind::Pkcs7)) = Kind::of_der(&der) {
            return Err(Fault::Mislabelled(kind));
        }
        match label {
            "PRIVATE KEY" => self.keys.push(key(&der, "PKCS#8")),
            "RSA PRIVATE KEY" => self.keys.push(key(&der, "PKCS#1")),
            "EC PRIVATE KEY" => self.keys.push(key(&der, "SEC1")),
            "ENCRYPTED PRIVATE KEY" => self.keys.push(Key::Unusable(PrivateKeyError::Encrypted)),
            "OPENSSH PRIVATE KEY" | "SSH2 ENCRYPTED PRIVATE KEY" => self.keys.push(Key::Unusable(PrivateKeyError::Ssh)),
            label if label.ends_with("PRIVATE KEY") => self.keys.push(Key::Unusable(PrivateKeyError::Unsupported)),
            // EC PARAMETERS, DH PARAMETERS, requests: lawful company of what is wanted.
            label => self.company = self.company.or(Some(Kind::of_label(label))),
        }
        Ok(())
    }

    fn take_collection(&mut self, der: &[u8]) -> Result<(), Unwrappable> {
        let collection = pkcs7::collection(der)?;
        self.certificates.extend(collection.certificates);
        self.crls.extend(collection.crls);
        Ok(())
    }

    /// One certificate after the other, one CRL after the other, a collection of both, or one key; white space may follow. Answers
    /// whether it is one of these.
    fn take_der(&mut self, bytes: &[u8]) -> Result<bool, ContentError> {
        let mut rest = bytes;
        while let Ok((after, _)) = X509Certificate::from_der(rest) {
            self.certificates.push(rest[..rest.len() - after.len()].to_vec().into());
            rest = after;
        }
        while let Ok((after, _)) = CertificateRevocationList::from_der(rest) {
            self.crls.push(rest[..rest.len() - after.len()].to_vec().into());
            rest = after;
        }
        if rest.len() < bytes.len() {
            return match rest.trim_ascii() {
                [] => Ok(true),
                rest => Err(ContentError::Trailing(rest.len())),
            };
        }
        let whole = &bytes[..length_of_der(bytes).unwrap_or(bytes.len()).min(bytes.len())];
        let whole = if bytes[whole.len()..].trim_ascii().is_empty() { whole } else { bytes };
        if let Some(kind) = Kind::of_der(whole) {
            match kind {
                Kind::Pkcs7 => self.take_collection(whole).map_err(ContentError::UnwrappableDer)?,
                Kind::PrivateKey => self.keys.push(key(whole, "DER")),
                Kind::EncryptedKey => self.keys.push(Key::Unusable(PrivateKeyError::Encrypted)),
                Kind::Pkcs12 => return Err(ContentError::Foreign(kind)),
                other => self.company = Some(other),
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// A key in whatever encoding it is: what its label says is often another one.
fn key(der: &[u8], expected: &'static str) -> Key {
    match in_any_encoding(der) {
        Key::Unusable(PrivateKeyError::Malformed(_)) => Key::Unusable(match Kind::of_der(der) {
            Some(Kind::EncryptedKey) => PrivateKeyError::Encrypted,
            _ => PrivateKeyError::Malformed(expected),
        }),
        key => key,
    }
}

fn in_any_encoding(der: &[u8]) -> Key {
    match PrivateKey::from_pkcs8(Zeroizing::new(der.to_vec())) {
        Err(PrivateKeyError::Malformed(_)) => {}
        key => return key.into(),
    }
    match sec1(Zeroizing::new(der.to_vec())) {
        Key::Unusable(PrivateKeyError::Malformed(_)) => PrivateKey::from_pkcs1(der).into(),
        key => key,
    }
}

fn sec1(der: Zeroizing<Vec<u8>>) -> Key {
    match PrivateKey::from_sec1(&der) {
        Err(PrivateKeyError::NoCurve) => Key::NoCurve(der),
        key => key.into(),
    }
}

impl From<Result<PrivateKey, PrivateKeyError>> for Key {
    fn from(key: Result<PrivateKey, PrivateKeyError>) -> Self {
        key.map_or_else(Self::Unusable, Self::Whole)
    }
}

/// A text in UTF-16, as PowerShell writes it, in ASCII: by its byte order mark, or where every second byte of its beginning is NUL.
///
/// # Errors
///
/// It is not in ASCII throughout: what follows in another encoding would be taken for foreign letters.
fn utf_16(bytes: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ContentError> {
    let is_little = match bytes {
        [0xff, 0xfe, ..] => true,
        [0xfe, 0xff, ..] => false,
        [a, 0, b, 0, c, 0, ..] if ![*a, *b, *c].contains(&0) => true,
        [0, a, 0, b, 0, c, ..] if ![*a, *b, *c].contains(&0) => false,
        _ => return Ok(None),
    };
    let mut units = bytes.chunks(2).map(|unit| match unit {
        [low, high] if is_little => u16::from_le_bytes([*low, *high]),
        [high, low] => u16::from_be_bytes([*high, *low]),
        // Half of one.
        _ => u16::MAX,
    });
    // Room for all of it from the start: a buffer that grows would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() / 2));
    let in_ascii = units.try_for_each(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => {
            text.push(byte);
            Some(())
        }
        _ => (unit == MARK).then_some(()),
    });
    in_ascii.map(|()| Some(text)).ok_or(ContentError::Foreign(Kind::Utf16))
}

/// The byte order mark as a unit of UTF-16.
const MARK: u16 = 0xfeff;
