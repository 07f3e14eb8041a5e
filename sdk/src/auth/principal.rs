//! Who makes a call.

mod key;
mod require;

use evercert_core::spiffe::SpiffeId;

use super::claims::Claims;
use crate::peer::PeerIdentity;

pub use key::PrincipalKey;

/// Who makes a call, by what they have proven: a certificate in the connection's handshake, a token with the call, or both. It is in
/// the extensions of a request that was authenticated. A cheap clone.
#[derive(Debug, Clone)]
pub struct Principal {
    certificate: Option<PeerIdentity>,
    claims: Option<Claims>,
}

impl Principal {
    /// Who has proven this; `None` for nobody.
    pub(crate) fn new(certificate: Option<PeerIdentity>, claims: Option<Claims>) -> Option<Self> {
        (certificate.is_some() || claims.is_some()).then_some(Self { certificate, claims })
    }

    /// The principal of a request that was authenticated.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        request.extensions().get()
    }

    /// By its certificate, if it has shown one.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerIdentity> {
        self.certificate.as_ref()
    }

    /// By its token, if it has sent one.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    /// The SPIFFE ID: that of the certificate, or else of a JWT-SVID.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        let certificate = self.certificate().and_then(PeerIdentity::spiffe_id);
        certificate.or_else(|| self.claims()?.spiffe_id())
    }

    /// The name under which it is counted and written into logs: the token's issuer and subject, or else the SPIFFE ID, or else the leaf's
    /// fingerprint.
    #[must_use]
    pub fn key(&self) -> PrincipalKey<'_> {
        PrincipalKey::of(self)
    }
}
