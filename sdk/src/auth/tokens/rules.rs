//! What has to be so of a token whose signature is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use evercert_core::digest::Digest;
use evercert_core::spiffe::{SPIFFE_ID_LIMIT, SpiffeId, TrustDomain};
use evercert_core::text;
use serde_json::{Map, Value};

use crate::auth::claims::Claims;
use crate::telemetry::TokenFailure;

/// The longest subject, in bytes: that of a SPIFFE ID.
const SUBJECT_LIMIT: usize = SPIFFE_ID_LIMIT;

/// The latest instant that a token may name: the end of the year 9999, in seconds since 1970.
const LATEST: u64 = 253_402_300_799;

/// The rules, as they were set.
#[derive(Debug)]
pub(super) struct Rules {
    /// The issuer; `None` for JWT-SVIDs, which need name none.
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) types: Types,
    pub(super) leeway: Duration,
    /// Whether every token has to be bound to a certificate.
    pub(super) bound: bool,
    /// The trust domain, where the tokens are JWT-SVIDs.
    pub(super) trust_domain: Option<TrustDomain>,
}

/// The values of `typ` that are taken.
#[derive(Debug, Clone)]
pub(super) enum Types {
    /// These, or none at all.
    Usual(&'static [&'static str]),
    /// One of these.
    Only(Vec<String>),
}

/// Claims with the certificate that they are bound to.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    pub(super) bound_to: Option<Digest>,
}

impl Types {
    /// Those of tokens in general: `JWT`, and `at+jwt` (RFC 9068 §2.1).
    pub(super) const TOKENS: Self = Self::Usual(&["JWT", "at+jwt"]);

    /// Those of JWT-SVIDs (JWT-SVID §2.3).
    pub(super) const JWT_SVIDS: Self = Self::Usual(&["JWT", "JOSE"]);

    pub(super) fn admit(&self, typ: Option<&str>) -> Result<(), TokenFailure> {
        let is_one = match (self, typ) {
            (Self::Usual(_), None) => true,
            (Self::Only(_), None) => false,
            (Self::Usual(types), Some(typ)) => types.iter().any(|one| is_type(typ, one)),
            (Self::Only(types), Some(typ)) => types.iter().any(|one| is_type(typ, one)),
        };
        if is_one { Ok(()) } else { Err(TokenFailure::WrongType) }
    }
}

/// Media types have no case, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_type(typ: &str, one: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = typ.split_at_checked(PREFIX.len()).filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX));
    short.map_or(typ, |(_, rest)| rest).eq_ignore_ascii_case(one)
}

impl Rules {
    /// The claims, if they are as they have to be at `now`. Whether the caller has the certificate that they are bound to is not looked at.
    pub(super) fn admit(&self, claims: Map<String, Value>, now: SystemTime) -> Result<Verified, TokenFailure> {
        let issuer = self.issuer(&claims)?.to_owned();
        self.audience(&claims)?;
        let subject = subject(&claims)?.to_owned();
        let spiffe_id = self.spiffe_id(&subject)?;
        let expires = instant(&claims, "exp")?.ok_or(TokenFailure::InvalidClaims)? + self.leeway;
        if now >= expires {
            return Err(TokenFailure::Expired);
        }
        for name in ["nbf", "iat"] {
            if instant(&claims, name)?.is_some_and(|begin| now + self.leeway < begin) {
                return Err(TokenFailure::NotYetValid);
            }
        }
        let bound_to = claims.get("cnf").map(confirmation).transpose()?;
        if self.bound && bound_to.is_none() {
            return Err(TokenFailure::Unbound);
        }
        Ok(Verified { claims: Claims::verified(issuer, subject, expires, spiffe_id, claims), bound_to })
    }

    fn issuer<'a>(&self, claims: &'a Map<String, Value>) -> Result<&'a str, TokenFailure> {
        match (&self.issuer, claims.get("iss")) {
            (Some(wanted), Some(Value::String(issuer))) if issuer == wanted => Ok(issuer),
            (Some(_), Some(Value::String(_))) => Err(TokenFailure::WrongIssuer),
            (None, None) => Ok(""),
            (None, Some(Value::String(issuer))) => Ok(issuer),
            _ => Err(TokenFailure::InvalidClaims),
        }
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), TokenFailure> {
        let is_ours = |audience: &str| self.audiences.iter().any(|one| one == audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::String(audience)) => is_ours(audience),
            Some(Value::Array(audiences)) => {
                let texts = audiences.iter().map(|one| one.as_str().ok_or(TokenFailure::InvalidClaims));
                texts.collect::<Result<Vec<_>, _>>()?.into_iter().any(is_ours)
            }
            _ => return Err(TokenFailure::InvalidClaims),
        };
        if is_for_us { Ok(()) } else { Err(TokenFailure::WrongAudience) }
    }

    fn spiffe_id(&self, subject: &str) -> Result<Option<SpiffeId>, TokenFailure> {
        let Some(trust_domain) = &self.trust_domain else { return Ok(None) };
        let id: SpiffeId = subject.parse().map_err(|_| TokenFailure::InvalidClaims)?;
        if id.path().is_empty() {
            return Err(TokenFailure::InvalidClaims);
        }
        if id.trust_domain() != trust_domain {
            return Err(TokenFailure::WrongIssuer);
        }
        Ok(Some(id))
    }
}

/// Of a form in which it can stand in logs and policies.
pub(in crate::auth) fn subject(claims: &Map<String, Value>) -> Result<&str, TokenFailure> {
    let subject =
        claims.get("sub").and_then(Value::as_str).filter(|subject| (1..=SUBJECT_LIMIT).contains(&subject.len()));
    subject.filter(|subject| !subject.chars().any(text::is_unseen)).ok_or(TokenFailure::InvalidClaims)
}

/// A whole number of seconds since 1970. Those with a fraction, which RFC 7519 §2 allows, are refused: they differ by reader.
fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, TokenFailure> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().filter(|seconds| (1..=LATEST).contains(seconds)).ok_or(TokenFailure::InvalidClaims)?;
    Ok(Some(UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// The certificate that a token is bound to (RFC 8705 §3.1). Whatever else a confirmation asks for would not be looked at, so it is
/// refused.
fn confirmation(cnf: &Value) -> Result<Digest, TokenFailure> {
    let only = cnf.as_object().filter(|cnf| cnf.len() == 1).and_then(|cnf| cnf.get("x5t#S256")).and_then(Value::as_str);
    let mut bytes = [0; 32];
    match only.map(|thumbprint| Base64UrlUnpadded::decode(thumbprint, &mut bytes).map(<[u8]>::len)) {
        Some(Ok(32)) => Ok(Digest::from(bytes)),
        _ => Err(TokenFailure::Unbound),
    }
}
