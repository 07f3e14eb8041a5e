//! SHA-256 fingerprints as people copy them.

use std::str::FromStr;

use evercert_core::digest::Digest;

/// The digits of a SHA-256 in hexadecimal.
const DIGITS: usize = 64;

/// The whole fingerprint of a certificate, as `evercertd trust list` and openssl print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) Digest);

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let rest = match text.split_once([':', '=']) {
            // openssl prints `sha256 Fingerprint=AB:CD:…`.
            Some((label, rest)) if label.to_ascii_lowercase().starts_with("sha256") => rest,
            _ => text,
        };
        let digits: String = rest.trim().chars().filter(|c| *c != ':').collect();
        if let Some(other) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(NoFingerprint::Character(other));
        }
        if digits.len() != DIGITS {
            return Err(NoFingerprint::Length(digits.len()));
        }
        let mut bytes = [0; DIGITS / 2];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Self(bytes.into()))
    }
}

/// A text that is no whole SHA-256 fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoFingerprint {
    /// Something that is no hexadecimal digit.
    #[error("{0:?} is no hexadecimal digit; write the SHA-256 fingerprint that `evercertd trust list` shows")]
    Character(char),
    /// Too few or too many digits.
    #[error(
        "a SHA-256 fingerprint has {DIGITS} hexadecimal digits, this one has {0}; write all that `evercertd trust list` shows, a \
         part is not enough"
    )]
    Length(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_copied_and_whole() {
        let digest = Digest::fingerprint(b"x");
        let plain = digest.to_string();
        let pairs: Vec<_> = plain.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        let colons = pairs.join(":").to_uppercase();
        for text in [
            plain.clone(),
            colons.clone(),
            format!("sha256:{plain}"),
            format!("SHA256:{colons}"),
            format!("sha256 Fingerprint={colons}"),
        ] {
            assert_eq!(text.parse(), Ok(Fingerprint(digest)), "{text}");
        }
        assert_eq!(plain[..12].parse::<Fingerprint>(), Err(NoFingerprint::Length(12)));
        assert_eq!("".parse::<Fingerprint>(), Err(NoFingerprint::Length(0)));
        assert_eq!(format!("{plain}00").parse::<Fingerprint>(), Err(NoFingerprint::Length(66)));
        assert_eq!("sha1:zz".parse::<Fingerprint>(), Err(NoFingerprint::Character('s')));
        assert_eq!("ä".parse::<Fingerprint>(), Err(NoFingerprint::Character('ä')));
    }
}
