//! The outcome of a check, for people and machines.

mod check;
mod severities;

use std::fmt;
use std::path::{Path, PathBuf};

pub use check::{Check, Subject};
pub use severities::{Severities, SeverityError};

use crate::digest::Digest;
use crate::text;

/// The consequence of a finding for publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Published all the same; something should be mended.
    Warn,
    /// Not published; the last good stays.
    Reject,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warn, Self::Reject];

    /// The metric label and the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing a check has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check speaks.
    pub check: Check,
    /// Its consequence for publication.
    pub severity: Severity,
    /// A sentence that names what is wrong and what to do. Never key material. It is one printable line of bounded length, as are `found`
    /// and `expected`, whatever others wrote into the words that they repeat.
    pub sentence: String,
    /// The file it is about.
    pub file: Option<PathBuf>,
    /// SHA-256 of the certificate it is about, where that is not the first of the file, or not of the chain. Boxed, since few have one.
    pub certificate: Option<Box<Digest>>,
    /// The value that was found, where there is one.
    pub found: Option<String>,
    /// The value that was expected, where there is one.
    pub expected: Option<String>,
}

impl Finding {
    /// A finding of that sentence alone, in which what could not be printed is escaped.
    #[must_use]
    pub fn new(check: Check, severity: Severity, sentence: impl Into<String>) -> Self {
        let sentence = text::sentence(&sentence.into());
        Self { check, severity, sentence, file: None, certificate: None, found: None, expected: None }
    }

    /// The same, about this file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// The same, about the certificate with this DER.
    #[must_use]
    pub fn about(mut self, certificate: &[u8]) -> Self {
        self.certificate = Some(Box::new(Digest::fingerprint(certificate)));
        self
    }

    /// The same, with the value that was found.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = Some(text::sentence(&found.to_string()));
        self
    }

    /// The same, with the value that was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = Some(text::sentence(&expected.to_string()));
        self
    }
}
