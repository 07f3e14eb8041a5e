//! What a handler may demand of a peer.

use evercert_core::digest::Digest;
use evercert_core::spiffe::{SpiffeId, TrustDomain};
use tonic::Status;

use super::PeerIdentity;

/// What a caller is told that shows no certificate where one is needed.
pub(crate) const NO_CERTIFICATE: &str = "a client certificate is required";

/// What a caller is told whose certificate is another's.
pub(crate) const NOT_THE_ONE: &str = "the caller may not do this";

/// For handlers: each of these fails with `UNAUTHENTICATED` where what is asked for is missing and could be shown, and with
/// `PERMISSION_DENIED` where it is another. The caller is not told what would have been right.
impl PeerIdentity {
    /// The identity of the peer of a request, as [`PeerIdentity::of`] has it.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: it showed no certificate.
    pub fn required<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        Self::of(request).ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))
    }

    /// Demands this SPIFFE ID.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`: it has another one, or none.
    pub fn require_spiffe_id(&self, wanted: &SpiffeId) -> Result<(), Status> {
        permitted(self.spiffe_id() == Some(wanted))
    }

    /// Demands a SPIFFE ID of this trust domain.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`: its SPIFFE ID is of another one, or it has none.
    pub fn require_trust_domain(&self, wanted: &TrustDomain) -> Result<(), Status> {
        permitted(self.spiffe_id().is_some_and(|id| id.trust_domain() == wanted))
    }

    /// Demands this name among the DNS names of the leaf, letter for letter but for their case; a wildcard there stands for nothing.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`: the leaf does not have it.
    pub fn require_dns_name(&self, wanted: &str) -> Result<(), Status> {
        permitted(!wanted.is_empty() && self.dns_names().iter().any(|name| name.eq_ignore_ascii_case(wanted)))
    }

    /// Demands this leaf.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`: it is another one.
    pub fn require_fingerprint(&self, wanted: Digest) -> Result<(), Status> {
        permitted(self.fingerprint() == wanted)
    }
}

fn permitted(is_permitted: bool) -> Result<(), Status> {
    if is_permitted { Ok(()) } else { Err(Status::permission_denied(NOT_THE_ONE)) }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::{Authority, Leaf};
    use rustls_pki_types::CertificateDer;
    use tonic::{Code, Request};

    use super::*;

    #[test]
    fn what_is_missing_is_unauthenticated_and_what_is_wrong_is_denied() {
        let issued = Authority::new("root").issue(Leaf::for_dns("a.example.org").uri("spiffe://example.org/a"));
        let peer = PeerIdentity::of_chain(&[CertificateDer::from(issued.leaf_der)]).unwrap();
        let id = |text: &str| text.parse::<SpiffeId>().unwrap();
        let domain = |text: &str| text.parse::<TrustDomain>().unwrap();
        assert!(peer.require_spiffe_id(&id("spiffe://example.org/a")).is_ok());
        assert!(peer.require_trust_domain(&domain("example.org")).is_ok());
        assert!(peer.require_dns_name("A.example.org").is_ok());
        assert!(peer.require_fingerprint(peer.fingerprint()).is_ok());
        for wrong in [
            peer.require_spiffe_id(&id("spiffe://example.org/ab")),
            peer.require_trust_domain(&domain("example.com")),
            peer.require_dns_name("b.example.org"),
            peer.require_dns_name(""),
            peer.require_fingerprint(Digest::fingerprint(b"another")),
        ] {
            assert_eq!(wrong.unwrap_err().code(), Code::PermissionDenied);
        }
        let mut request = Request::new(());
        assert_eq!(PeerIdentity::required(&request).unwrap_err().code(), Code::Unauthenticated);
        request.extensions_mut().insert(peer.clone());
        assert_eq!(PeerIdentity::required(&request).unwrap(), &peer);
    }
}
