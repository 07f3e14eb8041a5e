//! A service that takes tokens, and what it says to them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use evercert::auth::{Claims, TokenVerifier, Tokens};
use evercert::telemetry::TokenFailure;
use evercert_fixtures::TokenIssuer;
use futures_util::FutureExt as _;
use serde_json::Value;

pub(crate) const ISSUER: &str = "https://issuer.example.org";
pub(crate) const AUDIENCE: &str = "payments";
pub(crate) const SUBJECT: &str = "alice";
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);

/// The instant at which tokens are issued and looked at.
pub(crate) fn now() -> SystemTime {
    evercert_fixtures::now()
}

/// Seconds since 1970, this many after `now`.
pub(crate) fn at(seconds: i64) -> i64 {
    let now = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// Claims that are as they have to be.
pub(crate) fn claims() -> Value {
    evercert_fixtures::claims(ISSUER, AUDIENCE, SUBJECT, now(), LIFETIME)
}

/// The same, with a change.
pub(crate) fn claims_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

/// A file of keys, and what takes the tokens by them.
pub(crate) struct Service {
    pub(crate) verifier: TokenVerifier,
    pub(crate) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Service {
    pub(crate) fn of(issuers: &[&TokenIssuer]) -> Self {
        Self::of_jwks(&TokenIssuer::jwks_of(issuers.iter().copied()))
    }

    pub(crate) fn of_jwks(jwks: &str) -> Self {
        Self::with(jwks, |path| Tokens::jwks_file(path).issuer(ISSUER).audience(AUDIENCE))
    }

    pub(crate) fn with(keys: &str, tokens: impl FnOnce(&PathBuf) -> Tokens) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, keys).unwrap();
        Self { verifier: tokens(&path).build().unwrap(), path, _directory: directory }
    }

    /// What it says now to a caller without certificate.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenFailure> {
        self.verify_at(token, now())
    }

    pub(crate) fn verify_at(&self, token: &str, now: SystemTime) -> Result<Claims, TokenFailure> {
        self.verifier.verify(token, None, now).now_or_never().expect("keys of a file are there")
    }
}
