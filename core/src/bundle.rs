//! Trust: the anchors and CRLs of one trust domain, and the set of them an identity trusts its peers by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::digest::DigestWriter;
use crate::spiffe::TrustDomain;

/// The most anchors a bundle may have.
pub const MAX_ANCHORS: usize = 10_000;

/// The most certificate revocation lists of one file, be it a bundle's or one of their own.
pub const MAX_CRLS: usize = 100;

/// The certificate revocation lists of one file of their own.
pub(crate) type Crls = Arc<[CertificateRevocationListDer<'static>]>;

/// Trust anchors and CRLs of one trust domain.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    anchors: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
}

impl Bundle {
    /// A bundle of these anchors and CRLs, in any order and with repetitions; order and repetitions carry no meaning and
    /// are not kept.
    #[must_use]
    pub fn new(
        mut anchors: Vec<CertificateDer<'static>>,
        mut crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Self {
        anchors.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        anchors.dedup();
        crls.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        crls.dedup();
        anchors.shrink_to_fit();
        Self { anchors, crls }
    }

    /// The trust anchors as DER certificates, sorted.
    #[must_use]
    pub fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.anchors
    }

    /// The certificate revocation lists as DER, sorted.
    #[must_use]
    pub fn crls(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.crls
    }

    /// Its content, for a digest.
    pub(crate) fn write(&self, writer: &mut DigestWriter) {
        writer.count(self.anchors.len());
        self.anchors.iter().for_each(|anchor| writer.bytes(anchor));
        writer.count(self.crls.len());
        self.crls.iter().for_each(|crl| writer.bytes(crl));
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("anchors", &self.anchors.len()).field("crls", &self.crls.len()).finish()
    }
}

/// The bundles that an identity trusts: its own trust domain's, and the federated ones by trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundles {
    /// The bundle of the identity's own trust domain; absent for an identity that only presents a credential.
    pub own: Option<Arc<Bundle>>,
    /// The bundles of federated trust domains.
    pub federated: BTreeMap<TrustDomain, Arc<Bundle>>,
}
