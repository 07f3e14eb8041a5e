//! Whom a server lets in, of all that its bundle vouches for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evercert_core::digest::Digest;
use evercert_core::spiffe::{SpiffeId, TrustDomain};
use evercert_core::throttle::Throttle;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

/// The least time between two lines of the log about refused peers, of one [`AllowedPeers`].
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// SPIFFE IDs and trust domains of peers that are let in; nobody unless named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerList {
    ids: BTreeSet<SpiffeId>,
    trust_domains: BTreeSet<TrustDomain>,
}

/// The peers that a server lets in, of all that its bundle vouches for: a [`PeerList`] that can be replaced while servers use it. A clone
/// is a handle on the same one.
///
/// It is asked in the handshake, of sessions that are resumed too: another peer is turned away with the alert `access_denied`
/// (RFC 8446 §6.2), or without one where it resumes. It is counted, and the log names one a second at most. A peer without a SPIFFE ID of
/// its own is on no list.
///
/// ```no_run
/// # fn server(identity: &evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// use evercert::Server;
/// use evercert::tls::{AllowedPeers, PeerList};
///
/// let billing = PeerList::default().spiffe_id("spiffe://example.org/billing".parse()?);
/// let allowed = AllowedPeers::new(billing.clone());
/// let server = Server::new(identity).allowed_peers(&allowed);
/// // Later on, while it serves:
/// allowed.replace(billing.trust_domain("partner.example.org".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AllowedPeers(Arc<InUse>);

struct InUse {
    list: ArcSwap<PeerList>,
    swaps: watch::Sender<()>,
    refused: AtomicU64,
    logged: Mutex<Throttle>,
}

impl PeerList {
    /// Lets the peer with this ID in.
    #[must_use]
    pub fn spiffe_id(mut self, id: SpiffeId) -> Self {
        self.ids.insert(id);
        self
    }

    /// Lets all peers of this trust domain in.
    #[must_use]
    pub fn trust_domain(mut self, trust_domain: TrustDomain) -> Self {
        self.trust_domains.insert(trust_domain);
        self
    }

    /// Whether it lets the peer with this ID in.
    #[must_use]
    pub fn permits(&self, id: &SpiffeId) -> bool {
        self.ids.contains(id) || self.trust_domains.contains(id.trust_domain())
    }
}

impl AllowedPeers {
    /// The peers of this list.
    #[must_use]
    pub fn new(list: PeerList) -> Self {
        Self(Arc::new(InUse {
            list: ArcSwap::from_pointee(list),
            swaps: watch::Sender::new(()),
            refused: AtomicU64::new(0),
            logged: Mutex::new(Throttle::new(LOG_PAUSE)),
        }))
    }

    /// The list of the moment.
    #[must_use]
    pub fn list(&self) -> Arc<PeerList> {
        self.0.list.load_full()
    }

    /// Puts another list to use: for the next handshake, and for connections that exist. Those of peers which it does not let in are
    /// drained and cut as those whose CA has left the bundle are ([`DrainPolicy`](crate::server::DrainPolicy)).
    pub fn replace(&self, list: PeerList) {
        self.0.list.store(Arc::new(list));
        self.0.swaps.send_replace(());
    }

    /// The number of handshakes that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Tells of lists that are put to use from now on.
    pub(crate) fn swaps(&self) -> watch::Receiver<()> {
        self.0.swaps.subscribe()
    }

    /// Whether the peer with this leaf is let in now.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), NotAllowed> {
        match SpiffeId::of_leaf(leaf) {
            Some(id) if self.0.list.load().permits(&id) => Ok(()),
            Some(id) => Err(NotAllowed::Id(id)),
            None => Err(NotAllowed::NoId(Digest::fingerprint(leaf))),
        }
    }

    /// The same, for a handshake: who is refused is counted, and named in the log where nobody has just been.
    ///
    /// # Errors
    ///
    /// It is not let in.
    pub(crate) fn admit(&self, leaf: &CertificateDer<'_>) -> Result<(), NotAllowed> {
        self.check(leaf).inspect_err(|refused| {
            let count = self.0.refused.fetch_add(1, Ordering::Relaxed) + 1;
            if self.is_to_be_told(Instant::now()) {
                tracing::warn!(refused_so_far = count, "turned a client away: {refused}");
            }
        })
    }

    /// Whether nobody was named in the log for a while. A handshake waits for nobody: of two at a time one is told of.
    fn is_to_be_told(&self, now: Instant) -> bool {
        self.0.logged.try_lock().is_some_and(|mut logged| logged.take(now).is_some())
    }
}

impl fmt::Debug for AllowedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowedPeers")
            .field("list", &self.list())
            .field("refused", &self.refused())
            .finish_non_exhaustive()
    }
}

/// Two are equal where they are handles on the same one.
impl PartialEq for AllowedPeers {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AllowedPeers {}

/// A peer that the list does not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAllowed {
    #[error("the list of allowed peers has neither {0} nor its trust domain")]
    Id(SpiffeId),
    #[error("the list of allowed peers has SPIFFE IDs, and the peer with the leaf {0} has none")]
    NoId(Digest),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_are_refused_the_log_names_one_a_second() {
        let (allowed, start) = (AllowedPeers::new(PeerList::default()), Instant::now());
        let told = |millis| allowed.is_to_be_told(start + Duration::from_millis(millis));
        assert_eq!([0, 1, 999, 1000, 1500, 2000].map(told), [true, false, false, true, false, true]);
    }

    #[test]
    fn a_list_lets_in_whom_it_names_and_the_peers_of_its_trust_domains() {
        let list = PeerList::default()
            .spiffe_id("spiffe://example.org/a".parse().unwrap())
            .trust_domain("partner.example.org".parse().unwrap());
        for (id, permitted) in [
            ("spiffe://example.org/a", true),
            ("spiffe://example.org/ab", false),
            ("spiffe://example.org/a/b", false),
            ("spiffe://partner.example.org/whoever", true),
            ("spiffe://a.partner.example.org/whoever", false),
        ] {
            assert_eq!(list.permits(&id.parse().unwrap()), permitted, "{id}");
            assert!(!PeerList::default().permits(&id.parse().unwrap()));
        }
    }
}
