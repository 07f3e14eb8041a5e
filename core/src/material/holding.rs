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

#[cfg(test)]
mod tests {
    use evercert_fixtures::Authority;

    use super::*;

    #[test]
    fn a_file_is_told_by_what_is_in_it_and_not_at_all_where_that_is_damaged() {
        let ca = Authority::new("root");
        let issued = ca.issue_dns("a.example.org");
        let certificates = Holding { certificates: true, ..Holding::default() };
        let anchors = Holding { begins_with_ca: true, ..certificates };
        let crl = ca.crl(&[]);
        for (content, holding) in [
            (issued.chain_pem.as_bytes(), certificates),
            (&issued.leaf_der, certificates),
            (issued.ca_pem.as_bytes(), anchors),
            (issued.key_pem.as_bytes(), Holding { keys: true, ..Holding::default() }),
            (issued.combined_pem().as_bytes(), Holding { keys: true, ..certificates }),
            (&crl.der, Holding { crls: true, ..Holding::default() }),
            (&issued.chain_pem.as_bytes()[..300], Holding::default()),
            (b"", Holding::default()),
        ] {
            assert_eq!(Holding::of(content), holding, "{}", String::from_utf8_lossy(content));
        }
    }
}
