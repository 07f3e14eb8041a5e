//! The identity of a request's peer, by its certificate.

#[cfg(feature = "auth")]
mod grpc_names;
mod layer;
mod require;
#[cfg(feature = "auth")]
#[cfg(test)]
pub(crate) mod test_leaf;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

#[doc(inline)]
pub use evercert_core::certificate::{CertificateFacts, Name, NotACertificate, SubjectAltNames};
use evercert_core::digest::Digest;
use evercert_core::spiffe::SpiffeId;
use evercert_core::throttle::Throttle;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;

pub use layer::{PeerIdentityLayer, PeerIdentityService};
#[cfg(feature = "auth")]
pub(crate) use require::{NO_CERTIFICATE, NOT_THE_ONE};

/// The identity of a request's peer: the facts of the leaf that it proved in its handshake to have the key of, and that chained to the
/// bundle then. A cheap clone; parsed once per connection.
///
/// Where bundles of federated trust domains are trusted, decide by [`PeerIdentity::spiffe_id`]: a partner's CA is held to its own trust
/// domain there, and may write what it likes into all other names.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerIdentity(Arc<Facts>);

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    leaf: CertificateFacts,
    spiffe_id: Option<SpiffeId>,
    #[cfg(feature = "auth")]
    grpc_names: Option<Box<[String]>>,
}

impl PeerIdentity {
    /// The identity of the peer of a request that came through [`PeerIdentityLayer`]; `None` for one that showed no certificate. It is in
    /// the extensions of the HTTP request too, where axum's `Extension<PeerIdentity>` finds it.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        request.extensions().get()
    }

    /// The identity of a peer that showed this chain, leaf first; `None` with a word in the log for a leaf that is not understood.
    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let peer = Self::from_leaf(chain.first()?);
        peer.inspect_err(not_understood).ok()
    }

    /// The identity that a leaf with this SPIFFE ID and no other name would have.
    #[cfg(feature = "auth")]
    pub(crate) fn supposed(id: &SpiffeId) -> Self {
        let mut names = SubjectAltNames::default();
        names.uris.push(id.as_str().to_owned());
        Self(Arc::new(Facts {
            leaf: CertificateFacts::supposed(names),
            spiffe_id: (!id.path().is_empty()).then(|| id.clone()),
            grpc_names: Some([id.as_str().to_owned()].into()),
        }))
    }

    /// The facts of a leaf.
    pub(crate) fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, NotACertificate> {
        Ok(Self(Arc::new(Facts {
            spiffe_id: SpiffeId::of_leaf(leaf),
            #[cfg(feature = "auth")]
            grpc_names: grpc_names::of_leaf(leaf),
            leaf: CertificateFacts::of_peer(leaf)?,
        })))
    }

    /// The SPIFFE ID, if the leaf is an X.509-SVID: its only URI is one, with a path (X509-SVID §2, §5.2).
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.0.spiffe_id.as_ref()
    }

    /// The subject's common name; empty if there is none. Unlike the alternative names it is no name that a CA is bound to check.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.0.leaf.subject.common_name
    }

    /// The DNS names among the subject alternative names.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.0.leaf.names.dns
    }

    /// The IP addresses among the subject alternative names.
    #[must_use]
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.0.leaf.names.ip
    }

    /// The URIs among the subject alternative names.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.0.leaf.names.uris
    }

    /// The serial number, in lowercase hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        let CertificateFacts { hexadecimal_serial, .. } = &self.0.leaf;
        hexadecimal_serial
    }

    /// SHA-256 of the leaf's DER: the `x5t#S256` of RFC 8705, though there in base64url.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        self.0.leaf.fingerprint
    }

    /// The last instant at which the leaf is valid. A long connection may outlive it.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.0.leaf.not_after
    }

    /// The names by which gRPC's authorisation policies know it: the first that there is of its URIs, its DNS names and its subject.
    /// `None` if not all of them can be read.
    #[cfg(feature = "auth")]
    pub(crate) fn grpc_names(&self) -> Option<&[String]> {
        self.0.grpc_names.as_deref()
    }

    /// All facts of the leaf.
    #[must_use]
    pub fn leaf(&self) -> &CertificateFacts {
        &self.0.leaf
    }
}

fn not_understood(error: &NotACertificate) {
    let left_out = NOT_UNDERSTOOD.lock().take(Instant::now());
    if let Some(left_out) = left_out {
        tracing::warn!(%error, left_out, "a peer's leaf is not understood");
    }
}

/// The lines about leaves that are not understood, of whoever connects how often.
static NOT_UNDERSTOOD: Mutex<Throttle> = Mutex::new(Throttle::new(Duration::from_secs(1)).with_burst(20));

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity")
            .field("common_name", &self.common_name())
            .field("names", &self.0.leaf.names)
            .field("serial", &self.serial())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}
