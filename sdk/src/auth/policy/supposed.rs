//! Calls that nobody makes, to see what a policy would decide.

use std::time::SystemTime;

use evercert_core::spiffe::SpiffeId;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value};

use crate::auth::claims::Claims;
use crate::auth::principal::Principal;
use crate::peer::{NotACertificate, PeerIdentity};

use super::question::Question;

/// A call that is supposed, by a caller who is. Nothing of it is proven, and no [`Principal`] can be had of it: it is for
/// [`Policy::explain`](super::Policy::explain) alone.
#[derive(Debug, Clone)]
pub struct Supposed {
    path: String,
    headers: HeaderMap,
    certificate: Option<PeerIdentity>,
    claims: Option<Claims>,
}

impl Supposed {
    /// A call of the method at this path, under TLS, by somebody who proves nothing.
    #[must_use]
    pub fn call(path: impl Into<String>) -> Self {
        Self { path: path.into(), headers: HeaderMap::new(), certificate: None, claims: None }
    }

    /// By somebody who shows this leaf.
    ///
    /// # Errors
    ///
    /// It is no certificate.
    pub fn by_certificate(self, leaf: &CertificateDer<'_>) -> Result<Self, NotACertificate> {
        Ok(Self { certificate: Some(PeerIdentity::from_leaf(leaf)?), ..self })
    }

    /// By somebody who shows a certificate that has this SPIFFE ID and no other name.
    #[must_use]
    pub fn by_spiffe_id(self, id: &SpiffeId) -> Self {
        Self { certificate: Some(PeerIdentity::supposed(id)), ..self }
    }

    /// By somebody who sends a token with these claims.
    #[must_use]
    pub fn by_claims(self, claims: Map<String, Value>) -> Self {
        self.by_token(claims, None)
    }

    /// By somebody who sends a JWT-SVID with these claims, whose SPIFFE ID is its subject; `None` if that is no SPIFFE ID.
    #[must_use]
    pub fn by_jwt_svid(self, claims: Map<String, Value>) -> Option<Self> {
        let id = claims.get("sub")?.as_str()?.parse().ok()?;
        Some(self.by_token(claims, Some(id)))
    }

    /// With this header, beside those before.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    fn by_token(self, claims: Map<String, Value>, id: Option<SpiffeId>) -> Self {
        let text = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (issuer, subject) = (text("iss"), text("sub"));
        // No policy looks at its end.
        let claims = Claims::verified(issuer, subject, SystemTime::UNIX_EPOCH, id, claims);
        Self { claims: Some(claims), ..self }
    }

    /// Asks about it.
    pub(super) fn ask<T>(&self, about: impl FnOnce(&Question<'_>) -> T) -> T {
        let principal = Principal::new(self.certificate.clone(), self.claims.clone());
        about(&Question { path: &self.path, headers: &self.headers, principal: principal.as_ref(), is_tls: true })
    }
}
