//! The digest of a generation.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// SHA-256 over what a generation publishes but for the key, which admission has proven to belong to the leaf. So it may be
/// logged and shown, and equal digests mean that the same is served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of one DER structure, as `openssl x509 -fingerprint -sha256` prints it.
    #[must_use]
    pub fn fingerprint(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = InvalidDigest;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidDigest> {
        bytes.try_into().map(Self).map_err(|_| InvalidDigest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Bytes that are no SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 bytes")]
pub struct InvalidDigest;

/// Hashes parts with their lengths before them, so that no two different sequences of parts hash alike.
pub(crate) struct DigestWriter(Sha256);

impl DigestWriter {
    /// Starts with the encoding's name and version.
    pub(crate) fn new(version: &str) -> Self {
        let mut writer = Self(Sha256::new());
        writer.bytes(version.as_bytes());
        writer
    }

    /// One part.
    pub(crate) fn bytes(&mut self, part: &[u8]) {
        self.count(part.len());
        self.0.update(part);
    }

    /// How many parts follow.
    pub(crate) fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
