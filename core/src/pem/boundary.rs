//! The boundaries of blocks, and the labels that are known.

/// The longest label that is taken for one.
const LABEL_LIMIT: usize = 64;

const DASHES: &[u8] = b"-----";

/// The labels that certificates, CRLs, keys and their company come under. No other is ever shown: it might be a piece of a key.
pub(super) const KNOWN: [&str; 30] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "ATTRIBUTE CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "PKCS #7 SIGNED DATA",
    "CMS",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ANY PRIVATE KEY",
    "ED25519 PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "SSH2 ENCRYPTED PRIVATE KEY",
    "TSS2 PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "DSA PUBLIC KEY",
    "SSH2 PUBLIC KEY",
    "PGP PUBLIC KEY BLOCK",
    "PGP PRIVATE KEY BLOCK",
    "EC PARAMETERS",
    "DH PARAMETERS",
    "DSA PARAMETERS",
    "X9.42 DH PARAMETERS",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Begin,
    End,
}

/// A boundary that is whole: `-----BEGIN label-----` or `-----END label-----`.
pub(super) struct Boundary<'a> {
    pub(super) side: Side,
    /// The offset of its first dash.
    pub(super) start: usize,
    /// The offset after its last dash; more than five of them are not its own.
    pub(super) end: usize,
    pub(super) raw: &'a [u8],
    pub(super) label: Option<&'static str>,
}

/// The next boundary at or after `from`.
pub(super) fn find(bytes: &[u8], from: usize) -> Option<Boundary<'_>> {
    let mut start = from;
    loop {
        start += bytes.get(start..)?.windows(DASHES.len()).position(|window| window == DASHES)?;
        if let Some(boundary) = at(bytes, start) {
            return Some(boundary);
        }
        start += 1;
    }
}

fn at(bytes: &[u8], start: usize) -> Option<Boundary<'_>> {
    let rest = bytes[start..].strip_prefix(DASHES)?;
    let (side, rest) = match rest.strip_prefix(b"BEGIN ") {
        Some(rest) => (Side::Begin, rest),
        None => (Side::End, rest.strip_prefix(b"END ")?),
    };
    let length = rest.iter().take(LABEL_LIMIT + 1).position(|byte| !is_of_label(*byte))?;
    if !rest[length..].starts_with(DASHES) {
        return None;
    }
    let raw = rest[..length].trim_ascii();
    if raw.is_empty() {
        return None;
    }
    let end = bytes.len() - rest.len() + length + DASHES.len();
    let label = KNOWN.iter().find(|known| known.as_bytes() == raw).copied();
    Some(Boundary { side, start, end, raw, label })
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'#')
}

/// The content of a block without the dashes that a boundary had too many of.
pub(super) fn without_dashes(mut content: &[u8]) -> &[u8] {
    while let [b'-', rest @ ..] | [rest @ .., b'-'] = content {
        content = rest;
    }
    content
}
