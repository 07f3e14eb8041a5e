//! Kinds of files and blocks, in the words of whoever put them there: they are told where something else was expected.

use std::fmt;

use der::asn1::ObjectIdentifier;
use der::{Tag, Tagged};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::pkcs7;
use crate::credential::PrivateKey;
use crate::elements::fields;

/// PKCS#12's version (RFC 7292 §4).
const PFX: u8 = 3;

/// The first bytes of Java's two kinds of keystores.
const JAVA: [[u8; 4]; 2] = [[0xfe, 0xed, 0xfe, 0xed], [0xce, 0xce, 0xce, 0xce]];

/// A thing that is no part of an identity, or not of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    Crl,
    PrivateKey,
    EncryptedKey,
    Request,
    PublicKey,
    Parameters,
    AttributeCertificate,
    SshKey,
    SshPublicKey,
    PgpKey,
    Pkcs7,
    Pkcs12,
    JavaKeystore,
    CutOffDer,
    OtherDer,
    Markup,
    Json,
    Manifest,
    Archive,
    Utf16,
    Text,
    Nuls,
    Binary,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Crl => "a certificate revocation list",
            Self::PrivateKey => "a private key",
            Self::EncryptedKey => "an encrypted private key",
            Self::Request => "a certificate signing request",
            Self::PublicKey => "a public key",
            Self::Parameters => "parameters of a key exchange or curve",
            Self::AttributeCertificate => "an attribute certificate",
            Self::SshKey => "a private key of SSH",
            Self::SshPublicKey => "a public key of SSH",
            Self::PgpKey => "a key of PGP",
            Self::Pkcs7 => "a collection of certificates in PKCS#7",
            Self::Pkcs12 => "a PKCS#12 keystore",
            Self::JavaKeystore => "a Java keystore",
            Self::CutOffDer => "DER that is cut off",
            Self::OtherDer => "DER of something else",
            Self::Markup => "an HTML or XML page",
            Self::Json => "a JSON text",
            Self::Manifest => "a Kubernetes manifest",
            Self::Archive => "a compressed archive",
            Self::Utf16 => "a text that is not in UTF-16 throughout",
            Self::Text => "a text without a PEM block, neither PEM nor DER",
            Self::Nuls => "nothing but NUL bytes",
            Self::Binary => "binary data, neither PEM nor DER",
        })
    }
}

impl Kind {
    /// The advice where this is there instead of what was expected.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Pkcs12 => "take out key and certificates as PEM: openssl pkcs12 -nodes",
            Self::Pkcs7 => "take out the certificates as PEM: openssl pkcs7 -print_certs",
            Self::JavaKeystore => {
                "convert it: keytool -importkeystore -deststoretype PKCS12, and then openssl pkcs12 -nodes"
            }
            Self::SshKey => "make a key for TLS, in PKCS#8: openssl genpkey -algorithm ED25519",
            Self::Request => "have it signed, and put the certificate that was issued in its place",
            Self::EncryptedKey => "decrypt it: openssl pkcs8 -topk8 -nocrypt",
            Self::Markup => "fetch the file again: this is what a server answered instead of it",
            Self::Json | Self::Manifest => "take the value out of it, decoded from base64 where it is a Secret's",
            Self::Archive => "unpack it",
            Self::Utf16 => "write all of it in ASCII or UTF-8",
            Self::CutOffDer | Self::Nuls => "copy the file again as a whole",
            Self::Certificate
            | Self::Crl
            | Self::PrivateKey
            | Self::SshPublicKey
            | Self::PgpKey
            | Self::PublicKey
            | Self::Parameters
            | Self::AttributeCertificate => "put what was expected in its place",
            Self::OtherDer | Self::Text | Self::Binary => "write what was expected as PEM or DER",
        }
    }

    /// The kind of a block by its PEM label, besides certificates, CRLs and keys that are read.
    pub(super) fn of_label(label: &str) -> Self {
        match label {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::Request,
            "ATTRIBUTE CERTIFICATE" => Self::AttributeCertificate,
            "SSH2 PUBLIC KEY" => Self::SshPublicKey,
            "PGP PUBLIC KEY BLOCK" | "PGP PRIVATE KEY BLOCK" => Self::PgpKey,
            label if label.ends_with("PARAMETERS") => Self::Parameters,
            _ => Self::PublicKey,
        }
    }

    /// The kind of what is in DER. Looks at its structure, and copies nothing of it.
    pub(super) fn of_der(der: &[u8]) -> Option<Self> {
        if X509Certificate::from_der(der).is_ok() {
            return Some(Self::Certificate);
        }
        if CertificateRevocationList::from_der(der).is_ok() {
            return Some(Self::Crl);
        }
        if X509CertificationRequest::from_der(der).is_ok() {
            return Some(Self::Request);
        }
        if PrivateKey::is_der(der) {
            return Some(Self::PrivateKey);
        }
        match fields(der).as_deref() {
            Ok([version, content, ..])
                if version.tag() == Tag::Integer && version.value() == [PFX] && content.tag() == Tag::Sequence =>
            {
                Some(Self::Pkcs12)
            }
            Ok([oid, _]) if oid.decode_as::<ObjectIdentifier>() == Ok(pkcs7::SIGNED_DATA) => Some(Self::Pkcs7),
            Ok([algorithm, key]) if algorithm.tag() == Tag::Sequence && key.tag() == Tag::BitString => {
                Some(Self::PublicKey)
            }
            Ok([algorithm, key]) if algorithm.tag() == Tag::Sequence && key.tag() == Tag::OctetString => {
                Some(Self::EncryptedKey)
            }
            _ => None,
        }
    }

    /// The kind of a file that is neither PEM nor DER that is read.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        let text = without_mark(bytes).trim_ascii();
        let begins =
            |start: &str| text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()));
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Nuls;
        }
        if JAVA.iter().any(|magic| bytes.starts_with(magic)) {
            return Self::JavaKeystore;
        }
        if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PK\x03\x04") {
            return Self::Archive;
        }
        if let Some(kind) = Self::of_der(bytes) {
            return kind;
        }
        if let Some(length) = length_of_der(bytes).filter(|_| is_surely_der(bytes)) {
            return if length > bytes.len() { Self::CutOffDer } else { Self::OtherDer };
        }
        if begins("<") {
            Self::Markup
        } else if begins("{") || begins("[") {
            Self::Json
        } else if begins("apiVersion:") || begins("kind:") {
            Self::Manifest
        } else if begins("PuTTY-User-Key-File") {
            Self::SshKey
        } else if begins("ssh-") || begins("ecdsa-sha2-") {
            Self::SshPublicKey
        } else if text.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) {
            Self::Text
        } else {
            Self::Binary
        }
    }
}

/// The length in bytes of a SEQUENCE, its header included; absent where it is none.
pub(super) fn length_of_der(bytes: &[u8]) -> Option<usize> {
    let (count, rest) = match bytes {
        [0x30, length @ 0..=0x7f, ..] => return Some(2 + usize::from(*length)),
        [0x30, count @ 0x81..=0x84, rest @ ..] => (usize::from(count & 0x7f), rest),
        _ => return None,
    };
    let mut bytes = rest.get(..count)?.iter();
    let length = bytes.try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()));
    length?.checked_add(2 + count)
}

/// Whether bytes can be nothing but DER: no text begins like a SEQUENCE of 128 bytes or more.
pub(super) fn is_surely_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}

/// A text without the byte order mark that UTF-8 may begin with.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}
