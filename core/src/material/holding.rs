//! What one file holds, for whoever is given files without being told what they are.

use super::contents::Contents;
use crate::certificate;

/// The kinds of what is in one file. A file that cannot be read has none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// There are certificates.
    pub certificates: bool,
    /// The first of them is a CA's, as in a bundle.
    pub begins_with_ca: bool,
    /// There are private keys.
    pub keys: bool,
    /// There are certificate revocation lists.
    pub crls: bool,
}

impl Holding {
    /// Looks into the content of a file.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let Ok(contents) = Contents::parse(content) else { return Self::default() };
        let is_ca = |der: &[u8]| certificate::parse(der).is_ok_and(|certificate| certificate::is_ca(&certificate));
        Self {
            certificates: !contents.certificates.is_empty(),
            begins_with_ca: contents.certificates.first().is_some_and(|first| is_ca(first)),
            keys: !contents.keys.is_empty(),
            crls: !contents.crls.is_empty(),
        }
    }
}
