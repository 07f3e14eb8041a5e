//! What one file holds, for whoever is given files without being told what they are.

use rustls_pki_types::CertificateDer;

use super::MAX_CHAIN;
use super::contents::Contents;
use crate::certificate::{self, CertificateFacts, is_ca, is_issued_leaf};

/// The kinds of what is in one file. A file that cannot be read has none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// What the certificates are taken for, if there are any.
    pub certificates: Option<Certificates>,
    /// There are private keys.
    pub keys: bool,
    /// There are certificate revocation lists.
    pub crls: bool,
}

/// What certificates are taken for that come without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificates {
    /// A chain: the first is no CA's.
    Chain,
    /// A chain whose leaf is not its first: the first is a CA's, and one after it a leaf that another issued.
    ChainOutOfOrder,
    /// Anchors: the first is a CA's.
    Anchors,
    /// Anchors, though the first could be a leaf by mistake: it is a CA's, and has names of a host.
    NamedAnchor,
}

impl Holding {
    /// Looks into the content of a file.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let Ok(contents) = Contents::parse(content) else { return Self::default() };
        Self {
            certificates: Certificates::of(&contents.certificates),
            keys: !contents.keys.is_empty(),
            crls: !contents.crls.is_empty(),
        }
    }
}

impl Certificates {
    fn of(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let (first, others) = certificates.split_first()?;
        if !certificate::parse(first).is_ok_and(|first| is_ca(&first)) {
            return Some(Self::Chain);
        }
        let is_leaf = |der: &CertificateDer<'_>| certificate::parse(der).is_ok_and(|other| is_issued_leaf(&other));
        if certificates.len() <= MAX_CHAIN && others.iter().any(is_leaf) {
            return Some(Self::ChainOutOfOrder);
        }
        let names = CertificateFacts::from_der(first).map(|facts| facts.names).unwrap_or_default();
        let is_named = !(names.dns.is_empty() && names.ip.is_empty());
        Some(if is_named { Self::NamedAnchor } else { Self::Anchors })
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::{Authority, Issued, Leaf};

    use super::*;

    #[test]
    fn a_file_is_told_by_what_is_in_it_and_not_at_all_where_that_is_damaged() {
        let ca = Authority::new("root");
        let issued = ca.issue_dns("a.example.org");
        let [chain, out_of_order, anchors, named] =
            [Certificates::Chain, Certificates::ChainOutOfOrder, Certificates::Anchors, Certificates::NamedAnchor]
                .map(|certificates| Holding { certificates: Some(certificates), ..Holding::default() });
        let own = Authority::root(Leaf::for_dns("a.example.org"));
        let crl = ca.crl(&[]);
        for (content, holding) in [
            (issued.chain_pem.as_bytes(), chain),
            (&issued.leaf_der, chain),
            (issued.ca_pem.as_bytes(), anchors),
            ((issued.ca_pem.clone() + &Authority::new("other").own_pem()).as_bytes(), anchors),
            ((issued.ca_pem.clone() + &issued.leaf_pem).as_bytes(), out_of_order),
            (
                (issued.ca_pem.clone() + &Issued::self_signed(Leaf::for_dns("b.example.org")).leaf_pem).as_bytes(),
                anchors,
            ),
            (own.ca_der(), named),
            (issued.key_pem.as_bytes(), Holding { keys: true, ..Holding::default() }),
            (issued.combined_pem().as_bytes(), Holding { keys: true, ..chain }),
            (&crl.der, Holding { crls: true, ..Holding::default() }),
            (&issued.chain_pem.as_bytes()[..300], Holding::default()),
            (b"", Holding::default()),
        ] {
            assert_eq!(Holding::of(content), holding, "{}", String::from_utf8_lossy(content));
        }
    }
}
