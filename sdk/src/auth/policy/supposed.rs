//! Calls that nobody makes, to see what a policy would decide.

use std::time::SystemTime;

use evercert_core::spiffe::SpiffeId;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value};

use crate::auth::claims::Claims;
use crate::auth::principal::Principal;
use crate::auth::tokens;
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

    /// By somebody who shows a certificate that has this SPIFFE ID and no other name. Without a path it is nobody's, as in a handshake.
    #[must_use]
    pub fn by_spiffe_id(self, id: &SpiffeId) -> Self {
        Self { certificate: Some(PeerIdentity::supposed(id)), ..self }
    }

    /// By somebody who sends a token with these claims, an object in JSON that is read as strictly as a server does.
    ///
    /// # Errors
    ///
    /// No server would take a token with these claims.
    pub fn by_claims(self, json: &[u8]) -> Result<Self, NotClaims> {
        let claims = tokens::object(json)?;
        let issuer = claims.get("iss").and_then(Value::as_str).filter(|issuer| !issuer.is_empty());
        let issuer = issuer.ok_or(NotClaims::Issuer)?.to_owned();
        self.by_token(claims, issuer, None)
    }

    /// By somebody who sends a JWT-SVID with these claims, whose SPIFFE ID is its subject.
    ///
    /// # Errors
    ///
    /// No server would take a JWT-SVID with these claims.
    pub fn by_jwt_svid(self, json: &[u8]) -> Result<Self, NotClaims> {
        let claims = tokens::object(json)?;
        let id = claims.get("sub").and_then(Value::as_str).and_then(|id| id.parse::<SpiffeId>().ok());
        let id = id.filter(|id| !id.path().is_empty()).ok_or(NotClaims::SpiffeId)?;
        let issuer = match claims.get("iss") {
            None => String::new(),
            Some(issuer) => issuer.as_str().ok_or(NotClaims::Issuer)?.to_owned(),
        };
        self.by_token(claims, issuer, Some(id))
    }

    /// With this header, beside those before.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    fn by_token(self, claims: Map<String, Value>, issuer: String, id: Option<SpiffeId>) -> Result<Self, NotClaims> {
        let subject = tokens::subject(&claims).map_err(|_| NotClaims::Subject)?.to_owned();
        // No policy looks at its end.
        let claims = Claims::verified(issuer, subject, SystemTime::UNIX_EPOCH, id, claims);
        Ok(Self { claims: Some(claims), ..self })
    }

    /// Asks about it.
    pub(super) fn ask<T>(&self, about: impl FnOnce(&Question<'_>) -> T) -> T {
        let principal = Principal::new(self.certificate.clone(), self.claims.clone());
        about(&Question { path: &self.path, headers: &self.headers, principal: principal.as_ref(), is_tls: true })
    }
}

/// Claims that no server would take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotClaims {
    /// They are no object, or have a name twice.
    #[error("is no object of claims in JSON: {0}; write what a token says, such as {{\"iss\": \"…\", \"sub\": \"…\"}}")]
    Json(#[from] serde_json::Error),
    /// They do not say who issued the token.
    #[error("its claim `iss` is no text; write the issuer")]
    Issuer,
    /// They do not say whom the token is about.
    #[error("its claim `sub` is no text of a subject; write whom the token is about")]
    Subject,
    /// They are not those of a JWT-SVID.
    #[error("its claim `sub` is no SPIFFE ID with a path, as that of a JWT-SVID has to be")]
    SpiffeId,
}
