//! The layer that puts the peer's identity into requests.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use evercert_core::swept::Swept;
use http::{Extensions, Request};
use parking_lot::RwLock;
use rustls_pki_types::CertificateDer;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};
use tower::{Layer, Service};

use super::PeerIdentity;

/// Puts the [`PeerIdentity`] of a peer that showed a certificate into the extensions of its requests. [`Server`] adds it as the
/// outermost layer; a tonic server of one's own over [`Incoming`], or over tonic's TLS, may add it too. The default is for TCP and Unix
/// sockets, [`PeerIdentityLayer::over`] for other connections.
///
/// [`Server`]: crate::server::Server
/// [`Incoming`]: crate::server::Incoming
#[derive(Debug, Clone)]
pub struct PeerIdentityLayer {
    parsed: Arc<RwLock<Parsed>>,
    chain: FindChain,
}

/// Finds the peer's chain among what tonic tells of the connection.
type FindChain = fn(&Extensions) -> Option<Arc<Certificates>>;

impl PeerIdentityLayer {
    /// The layer for connections with this `ConnectInfo` under their TLS.
    #[must_use]
    pub fn over<C: Clone + Send + Sync + 'static>() -> Self {
        Self { parsed: Arc::default(), chain: |extensions| extensions.get::<TlsConnectInfo<C>>()?.peer_certs() }
    }
}

impl Default for PeerIdentityLayer {
    fn default() -> Self {
        let chain: FindChain = |extensions| {
            let tcp = || extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?.peer_certs();
            let unix = || extensions.get::<TlsConnectInfo<UdsConnectInfo>>()?.peer_certs();
            tcp().or_else(unix)
        };
        Self { parsed: Arc::default(), chain }
    }
}

impl<S> Layer<S> for PeerIdentityLayer {
    type Service = PeerIdentityService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PeerIdentityService { inner, parsed: Arc::clone(&self.parsed), chain: self.chain }
    }
}

/// The service of [`PeerIdentityLayer`].
#[derive(Debug, Clone)]
pub struct PeerIdentityService<S> {
    inner: S,
    parsed: Arc<RwLock<Parsed>>,
    chain: FindChain,
}

impl<S, B> Service<Request<B>> for PeerIdentityService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(certificates) = (self.chain)(request.extensions())
            && let Some(peer) = identity(&self.parsed, &certificates)
        {
            request.extensions_mut().insert(peer);
        }
        self.inner.call(request)
    }
}

/// The peer's chain. It is the same `Arc` in all requests of one connection.
type Certificates = Vec<CertificateDer<'static>>;

fn identity(parsed: &RwLock<Parsed>, certificates: &Arc<Certificates>) -> Option<PeerIdentity> {
    let address = Arc::as_ptr(certificates).addr();
    if let Some((_, known)) = parsed.read().get(&address) {
        return known.clone();
    }
    let peer = PeerIdentity::of_chain(certificates);
    let mut parsed = parsed.write();
    let lives = |_: &_, (chain, _): &(Weak<Certificates>, _)| chain.strong_count() > 0;
    parsed.entry(address, lives).insert_entry((Arc::downgrade(certificates), peer.clone()));
    peer
}

/// The peers parsed from chains of live connections, by the chain's address. The weak reference keeps that address from being
/// used anew for as long as its entry is here.
type Parsed = Swept<usize, (Weak<Certificates>, Option<PeerIdentity>)>;

#[cfg(test)]
mod tests {
    use evercert_core::swept::FIRST_SWEEP;
    use evercert_fixtures::{Authority, Leaf};

    use super::*;

    fn chain(name: &str) -> Arc<Certificates> {
        let issued = Authority::new("root").issue(Leaf::for_dns(name).uri("spiffe://example.org/a"));
        Arc::new(vec![CertificateDer::from(issued.leaf_der)])
    }

    #[test]
    fn a_chain_is_parsed_once_for_its_connection() {
        let (parsed, chain) = (RwLock::default(), chain("a.example.org"));
        let (first, again) = (identity(&parsed, &chain).unwrap(), identity(&parsed, &chain).unwrap());
        assert!(Arc::ptr_eq(&first.0, &again.0));
        assert_eq!(first.dns_names(), ["a.example.org"]);
        assert_eq!(first.spiffe_id().unwrap().as_str(), "spiffe://example.org/a");
    }

    #[test]
    fn two_connections_of_one_certificate_are_two_entries_and_closed_ones_are_swept() {
        let parsed = RwLock::default();
        let live = chain("live.example.org");
        let peer = identity(&parsed, &live).unwrap();
        for _ in 0..10 * FIRST_SWEEP {
            let other = Arc::new(live.as_ref().clone());
            assert!(!Arc::ptr_eq(&identity(&parsed, &other).unwrap().0, &peer.0));
        }
        assert!(parsed.read().values().len() <= FIRST_SWEEP);
        assert!(Arc::ptr_eq(&identity(&parsed, &live).unwrap().0, &peer.0));
    }

    #[test]
    fn a_leaf_that_is_no_certificate_is_no_identity() {
        let parsed = RwLock::default();
        let garbage: Arc<Certificates> = Arc::new(vec![CertificateDer::from(vec![1, 2, 3])]);
        assert_eq!(identity(&parsed, &garbage), None);
    }
}
