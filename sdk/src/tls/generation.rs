//! One generation as rustls uses it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::credential::Credential;
use evercert_core::crypto;
use evercert_core::path::PathValidator;
use evercert_core::snapshot::Snapshot;
use rustls::InconsistentKeys;
use rustls::sign::CertifiedKey;

use crate::source::Refusal;

/// One published generation, loaded: the credential as a key rustls signs with, and the validator over the bundle of the identity's
/// own trust domain; federated bundles are carried, and no peer is accepted by them. Immutable and built whole; the rustls configs
/// of servers and channels are built from it.
#[derive(Clone)]
pub struct Generation {
    snapshot: Arc<Snapshot>,
    certified_key: Option<Arc<CertifiedKey>>,
    validator: Option<Arc<PathValidator>>,
}

impl Generation {
    /// Loads a snapshot.
    ///
    /// # Errors
    ///
    /// [`Refusal::Credential`]: the key is of a kind the crypto provider does not know, or is not the leaf's.
    /// [`Refusal::Bundle`]: no anchor of the bundle can be used.
    pub fn load(snapshot: Arc<Snapshot>) -> Result<Self, Refusal> {
        let certified_key = snapshot.credential().map(|credential| certified_key(credential)).transpose()?;
        let validator = snapshot.bundles().own.as_deref().map(PathValidator::new).transpose();
        let validator = validator.map_err(|error| Refusal::Bundle(error.to_string()))?;
        Ok(Self { certified_key: certified_key.map(Arc::new), validator: validator.map(Arc::new), snapshot })
    }

    /// What this generation was loaded from.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Chain and key; absent for an identity that only trusts.
    #[must_use]
    pub fn certified_key(&self) -> Option<&Arc<CertifiedKey>> {
        self.certified_key.as_ref()
    }

    /// The validator of peers' paths; absent for an identity without a bundle.
    #[must_use]
    pub fn validator(&self) -> Option<&Arc<PathValidator>> {
        self.validator.as_ref()
    }

    /// The last instant at which the leaf is valid.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.snapshot.credential().map(|credential| credential.leaf().not_after)
    }

    /// The same content under the number another run of the publisher gave it. For a snapshot of equal digest only.
    pub(crate) fn renumbered(&self, snapshot: Arc<Snapshot>) -> Self {
        debug_assert_eq!(self.snapshot.digest(), snapshot.digest());
        Self { snapshot, ..self.clone() }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

fn certified_key(credential: &Credential) -> Result<CertifiedKey, Refusal> {
    let refused = |error: rustls::Error| Refusal::Credential(error.to_string());
    let key = crypto::signing_key(credential.key()).map_err(refused)?;
    let certified_key = CertifiedKey::new(credential.chain().to_vec(), key);
    match certified_key.keys_match() {
        // A provider that cannot tell is no reason to refuse: admission has compared the two already.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified_key),
        Err(error) => Err(refused(error)),
    }
}
