//! One generation as rustls uses it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::clock::expiry;
use evercert_core::loading;
use evercert_core::path::PathPolicy;
use evercert_core::snapshot::Snapshot;
use rustls::sign::CertifiedKey;

use crate::refusal::Refusal;
use crate::tls::settings::{ClientTls, OwnCertificate, ServerVerification};
use crate::tls::trust::Trust;

/// The sequence of an identity's first generation.
const FIRST: u64 = 1;

/// One published generation, loaded: the credential as a key rustls signs with, and whom it trusts. Immutable and built whole; the
/// rustls configs of servers and channels are built from it.
#[derive(Clone)]
pub struct Generation {
    snapshot: Arc<Snapshot>,
    certified_key: Option<Arc<CertifiedKey>>,
    trust: Option<Arc<Trust>>,
    sequence: u64,
}

impl Generation {
    /// Loads a snapshot.
    ///
    /// # Errors
    ///
    /// [`Refusal::Credential`]: the key is not in memory, of a kind the crypto provider does not know, or not the leaf's; or no
    /// peer can load the chain.
    /// [`Refusal::Bundle`]: no anchor of the bundle can be used.
    pub fn load(snapshot: Arc<Snapshot>) -> Result<Self, Refusal> {
        Self::following(snapshot, None, PathPolicy::default())
    }

    /// Loads the snapshot that follows `previous`. Equal bundles are the same trust, so that nobody is verified again for nothing.
    pub(crate) fn following(
        snapshot: Arc<Snapshot>,
        previous: Option<&Self>,
        path_policy: PathPolicy,
    ) -> Result<Self, Refusal> {
        let certified_key = snapshot.credential().map(|credential| loading::certified_key(credential)).transpose();
        let certified_key = certified_key.map_err(|error| Refusal::Credential(error.to_string()))?;
        let unchanged = previous.and_then(Self::trust).filter(|trust| trust.bundles() == snapshot.bundles());
        let trust = match unchanged {
            Some(trust) => Some(Arc::clone(trust)),
            None => Trust::load(snapshot.bundles(), path_policy)?.map(Arc::new),
        };
        let sequence = previous.map_or(FIRST, |previous| previous.sequence + 1);
        Ok(Self { certified_key: certified_key.map(Arc::new), trust, snapshot, sequence })
    }

    /// The snapshot it was loaded from.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Chain and key; absent for an identity that only trusts.
    #[must_use]
    pub fn certified_key(&self) -> Option<&Arc<CertifiedKey>> {
        self.certified_key.as_ref()
    }

    /// Its trust; absent for an identity without a bundle. The same `Arc` as the generation's before where bundles are equal.
    #[must_use]
    pub fn trust(&self) -> Option<&Arc<Trust>> {
        self.trust.as_ref()
    }

    /// Whether the leaf is no longer valid at `now`.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.not_after().is_some_and(|not_after| expiry(not_after) <= now)
    }

    /// Counts the swaps of this process; the same content under another number is none.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The last instant at which the leaf is valid.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.snapshot.credential().map(|credential| credential.leaf().not_after)
    }

    /// The same, to hold peers against once more: time alone has changed who is trusted.
    pub(crate) fn trusting_again(&self) -> Result<Self, Refusal> {
        let trust = self.trust.as_ref().map(|trust| trust.again()).transpose()?.flatten();
        Ok(Self { trust: trust.map(Arc::new), ..self.clone() })
    }

    /// The same, as a client with these settings uses it: by its roots, and with the certificate that it presents.
    ///
    /// # Errors
    ///
    /// The settings contradict each other.
    pub(crate) fn of_client(self: &Arc<Self>, tls: &ClientTls) -> Result<Arc<Self>, Refusal> {
        let is_public = tls.roots.of_public().is_some();
        if is_public && matches!(tls.verification, ServerVerification::SpiffeIds(_)) {
            return Err(Refusal::Settings(
                "a channel cannot verify servers by SPIFFE IDs and by the roots of public CAs, which vouch for names alone",
            ));
        }
        let is_presented = match tls.certificate {
            OwnCertificate::UnlessPublic => tls.roots.has_bundle(),
            OwnCertificate::Presented => true,
            OwnCertificate::Withheld => false,
        };
        if !is_public && is_presented {
            return Ok(Arc::clone(self));
        }
        let certified_key = self.certified_key.clone().filter(|_| is_presented);
        let trust = Trust::by(&tls.roots, self.trust.as_ref());
        Ok(Arc::new(Self { certified_key, trust, ..Self::clone(self) }))
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

#[cfg(test)]
mod tests {
    use evercert_core::bundle::Bundles;
    use evercert_core::credential::{Credential, PrivateKey};
    use evercert_fixtures::{Authority, Leaf};

    use super::*;

    fn load(filling: usize) -> Result<Generation, Refusal> {
        let issued = Authority::new("root").issue(Leaf::for_dns("peer.example.org"));
        let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
        let chain = vec![issued.leaf_der.clone().into(), vec![0; filling].into()];
        let credential = Credential::new(chain, key).unwrap();
        Generation::load(Arc::new(Snapshot::new(1, Some(Arc::new(credential)), Bundles::default(), None)))
    }

    #[test]
    fn a_chain_that_no_peer_can_receive_is_refused_as_admission_refuses_it() {
        assert!(load(60_000).is_ok());
        let refused = load(66_000).unwrap_err();
        assert!(matches!(refused, Refusal::Credential(_)));
        assert!(refused.to_string().contains("handshake message"), "{refused}");
    }
}
