//! Taking tokens, and refusing them.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tonic::Status;

use super::cache::Cached;
use super::compact::Compact;
use super::key_set::KeySet;
use super::keys::Keys;
use super::rules::{Rules, Verified};
use crate::auth::claims::Claims;
use crate::peer::PeerIdentity;
use crate::telemetry::{Recorder, TokenFailure};

/// Verifies the tokens of callers; [`Tokens`](super::Tokens) makes it. A cheap clone, and all clones know the same tokens.
///
/// A token of first sight costs one check of a signature, and one that was seen before a digest and a look into a table. Tokens that are
/// refused are not kept.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    rules: Rules,
    keys: Keys,
    cached: Cached,
}

impl TokenVerifier {
    pub(super) fn new(rules: Rules, keys: Keys) -> Self {
        Self(Arc::new(Inner { rules, keys, cached: Cached::new() }))
    }

    /// What this token says, if it was verified before, with the keys of now, and is neither over nor bound to another certificate than
    /// that of the caller. `None` says nothing about it: [`TokenVerifier::verify`] does.
    #[must_use]
    pub fn cached(&self, token: &str, peer: Option<&PeerIdentity>, now: SystemTime) -> Option<Claims> {
        let generation = self.0.keys.generation(now)?;
        self.0
            .cached
            .get(token, generation, now)
            .filter(|verified| verified.is_of(peer))
            .map(|verified| verified.claims)
    }

    /// What this token says, which a caller sent that showed the certificate of `peer`, or none.
    ///
    /// It waits only where keys come from an issuer's URL, until they are there or cannot be had.
    ///
    /// # Errors
    ///
    /// It is not to be believed, or not to be used by this caller; or there are no keys to tell.
    pub async fn verify(
        &self,
        token: &str,
        peer: Option<&PeerIdentity>,
        now: SystemTime,
    ) -> Result<Claims, TokenFailure> {
        if let Some(claims) = self.cached(token, peer, now) {
            return Ok(claims);
        }
        let compact = Compact::read(token)?;
        self.0.rules.types.admit(compact.header.typ.as_deref())?;
        let (verified, generation) = self.0.keys.with(now, |keys, now| self.0.checked(&compact, keys, now)).await?;
        // Who shows another certificate may still do so later.
        self.0.cached.insert(token, generation, verified.clone());
        if verified.is_of(peer) { Ok(verified.claims) } else { Err(TokenFailure::Unbound) }
    }

    /// Waits for the keys, so that no call has to: those of a file are there, and those of an issuer are fetched.
    ///
    /// # Errors
    ///
    /// There are none now. The next call that needs them looks again.
    pub async fn ready(&self, now: SystemTime) -> Result<(), TokenFailure> {
        self.0.keys.with(now, |_, _| Ok(())).await.map(drop)
    }

    /// Whether a token alone is not enough: it has to be bound to the caller's certificate.
    pub(crate) fn requires_certificates(&self) -> bool {
        self.0.rules.bound
    }

    /// Whether they are JWT-SVIDs, whose subject is a SPIFFE ID.
    pub(crate) fn takes_jwt_svids(&self) -> bool {
        self.0.rules.trust_domain.is_some()
    }

    /// Has this recorder told of keys that are read or fetched from now on; the first one that is given stays.
    pub fn record_to(&self, recorder: Arc<dyn Recorder>) {
        self.0.keys.record_to(recorder);
    }
}

impl Inner {
    fn checked(&self, token: &Compact<'_>, keys: &KeySet, now: SystemTime) -> Result<Verified, TokenFailure> {
        let key = keys.find(token.header.kid.as_deref(), token.header.algorithm)?;
        if !key.verifies(token.message, &token.signature) {
            return Err(TokenFailure::BadSignature);
        }
        self.rules.admit(token.claims()?, now)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("rules", &self.0.rules)
            .field("keys", &self.0.keys)
            .finish_non_exhaustive()
    }
}

impl TokenFailure {
    /// What a caller is told: UNAUTHENTICATED, or UNAVAILABLE where it is not the token's fault, and nothing of why.
    #[must_use]
    pub fn to_status(self) -> Status {
        match self {
            Self::KeysUnavailable => Status::unavailable("tokens cannot be verified at the moment"),
            _ => Status::unauthenticated("a valid token is needed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use evercert_fixtures::{Entity, TokenIssuer, claims, now};
    use futures_util::FutureExt as _;
    use serde_json::json;

    use super::*;
    use crate::auth::tokens::Tokens;

    const ISSUER: &str = "https://issuer.example.org";

    fn verifier(issuer: &TokenIssuer) -> TokenVerifier {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jwks.json");
        std::fs::write(&path, issuer.jwks()).unwrap();
        Tokens::jwks_file(&path).issuer(ISSUER).audience("payments").build().unwrap()
    }

    fn peer() -> PeerIdentity {
        let leaf = Entity::root("root").leaf();
        PeerIdentity::of_chain(&[leaf.certificate.der().clone()]).unwrap()
    }

    #[test]
    fn a_bound_token_is_taken_from_whoever_shows_its_certificate_alone() {
        let (issuer, owner, thief) = (TokenIssuer::es256("one"), peer(), peer());
        let verifier = verifier(&issuer);
        let mut said = claims(ISSUER, "payments", "alice", now(), Duration::from_secs(60));
        let thumbprint = Base64UrlUnpadded::encode_string(owner.fingerprint().as_bytes());
        said["cnf"] = json!({"x5t#S256": thumbprint});
        let token = issuer.sign(&said);
        let verify = |peer| verifier.verify(&token, peer, now()).now_or_never().unwrap().map(drop);
        // A thief that comes first neither gets in nor keeps the owner out, and no better with the token known.
        for _ in 0..2 {
            assert_eq!(verify(Some(&thief)), Err(TokenFailure::Unbound));
            assert_eq!(verify(None), Err(TokenFailure::Unbound));
            assert!(verifier.cached(&token, Some(&thief), now()).is_none());
            assert!(verifier.cached(&token, None, now()).is_none());
            assert_eq!(verify(Some(&owner)), Ok(()));
            assert!(verifier.cached(&token, Some(&owner), now()).is_some());
        }
    }

    #[test]
    fn verified_tokens_take_a_bounded_amount_of_memory() {
        let issuer = TokenIssuer::eddsa("one");
        let verifier = verifier(&issuer);
        for index in 0..2000 {
            let mut said = claims(ISSUER, "payments", &index.to_string(), now(), Duration::from_secs(60));
            said["x"] = "x".repeat(8_000).into();
            verifier.verify(&issuer.sign(&said), None, now()).now_or_never().unwrap().unwrap();
        }
        // Each of them takes more than 32 KiB of the 16 MiB.
        let count = verifier.0.cached.len();
        assert!((200..512).contains(&count), "{count}");
    }

    #[test]
    fn nothing_of_a_token_is_in_what_is_printed() {
        let issuer = TokenIssuer::es256("one");
        let verifier = verifier(&issuer);
        let token = issuer.sign(&claims(ISSUER, "payments", "alice", now(), Duration::from_secs(60)));
        let claims = verifier.verify(&token, None, now()).now_or_never().unwrap().unwrap();
        let printed = format!("{verifier:?} {claims:?}");
        assert!(token.split('.').all(|part| !printed.contains(part)), "{printed}");
    }

    #[test]
    fn callers_are_told_nothing_of_why() {
        let told = |failure: TokenFailure| (failure.to_status().code(), failure.to_status().message().to_owned());
        let refused = told(TokenFailure::Missing);
        assert_eq!(refused.0, tonic::Code::Unauthenticated);
        for failure in
            [TokenFailure::WrongAudience, TokenFailure::BadSignature, TokenFailure::Unbound, TokenFailure::Expired]
        {
            assert_eq!(told(failure), refused);
        }
        assert_eq!(told(TokenFailure::KeysUnavailable).0, tonic::Code::Unavailable);
    }
}
