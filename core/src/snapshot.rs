//! One published generation of an identity.

use std::sync::Arc;
use std::time::SystemTime;

use crate::bundle::Bundles;
use crate::credential::Credential;
use crate::digest::{Digest, DigestWriter};

/// The name and version of what [`Snapshot::digest`] is taken over.
const DIGEST_ENCODING: &str = "evercert snapshot v1";

/// One published generation of an identity: the credential and the bundles that go with it. Immutable; what changes with
/// time (findings) lives beside it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    generation: u64,
    digest: Digest,
    credential: Option<Arc<Credential>>,
    bundles: Bundles,
    renewal_due: Option<SystemTime>,
}

impl Snapshot {
    /// A snapshot; its digest is computed here.
    #[must_use]
    pub fn new(
        generation: u64,
        credential: Option<Arc<Credential>>,
        bundles: Bundles,
        renewal_due: Option<SystemTime>,
    ) -> Self {
        let digest = digest(credential.as_deref(), &bundles);
        Self { generation, digest, credential, bundles, renewal_due }
    }

    /// The same generation with the same chain, with or without its key, and this renewal.
    pub(crate) fn again(&self, credential: Option<Arc<Credential>>, renewal_due: Option<SystemTime>) -> Self {
        Self { credential, renewal_due, ..self.clone() }
    }

    /// Whether it is a generation of this chain and these bundles.
    pub(crate) fn publishes(&self, credential: Option<&Credential>, bundles: &Bundles) -> bool {
        self.credential.as_deref().map(Credential::chain) == credential.map(Credential::chain)
            && self.bundles == *bundles
    }

    /// The same generation without the credential's key.
    #[must_use]
    pub fn without_key(&self) -> Self {
        let credential = self.credential.as_ref().map(|credential| Arc::new(credential.without_key()));
        Self { credential, ..self.clone() }
    }

    /// Whether all that a subscriber is to be given is in memory: the credential's key, if there is a credential.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.credential.as_ref().is_none_or(|credential| credential.key().is_some())
    }

    /// The number of this generation, counted from 1 within one run of the publisher.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The digest of chain, anchors and CRLs; not of the key, and not of the generation's number.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Chain and, while it is in memory, key; absent for an identity that only trusts.
    #[must_use]
    pub fn credential(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
    }

    /// The bundles that the identity trusts.
    #[must_use]
    pub fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    /// When the issuer is expected to have issued the next credential.
    #[must_use]
    pub fn renewal_due(&self) -> Option<SystemTime> {
        self.renewal_due
    }
}

/// The digest of a snapshot with this content.
#[must_use]
pub fn digest(credential: Option<&Credential>, bundles: &Bundles) -> Digest {
    let mut writer = DigestWriter::new(DIGEST_ENCODING);
    let chain = credential.map(Credential::chain).unwrap_or_default();
    writer.count(chain.len());
    chain.iter().for_each(|certificate| writer.bytes(certificate));
    writer.count(bundles.own.iter().len());
    bundles.own.iter().for_each(|bundle| bundle.write(&mut writer));
    writer.count(bundles.federated.len());
    for (trust_domain, bundle) in &bundles.federated {
        writer.bytes(trust_domain.as_str().as_bytes());
        bundle.write(&mut writer);
    }
    writer.finish()
}
