//! Which tokens are taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert_core::spiffe::TrustDomain;

use super::algorithm::Algorithm;
use super::key::KeyUse;
use super::key_set::InvalidKeys;
use super::keys::{Form, Keys};
use super::rules::{Rules, Types};
use super::verifier::TokenVerifier;
use crate::auth::followed::FollowError;

/// Which tokens are taken: whose, for whom, and by which keys.
///
/// ```no_run
/// # fn example() -> Result<(), evercert::auth::InvalidTokens> {
/// use evercert::auth::Tokens;
///
/// let verifier = Tokens::jwks_file("/etc/tls/jwks.json")
///     .issuer("https://issuer.example.org")
///     .audience("payments")
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// A token has to name the issuer (`iss`), an audience (`aud`), a subject (`sub`) and its end (`exp`), each in the form of RFC 7519 and times as
/// whole seconds; `nbf` and `iat` are looked at where they are there. One that is bound to a certificate by `cnf` (RFC 8705 §3.1) is taken from
/// a caller that showed that certificate alone.
///
/// Of a JWK set those keys are used that are public, of RSA with 2048 to 8192 bits, P-256, P-384 or Ed25519, and not meant for anything but
/// signatures; others are left out with a warning. Each is for one algorithm: the one in its `alg`, or else the one of its curve, or RS256.
/// A set with two keys of one `kid`, or none that can be used, is an error. A token names its key by `kid`; one without is by the only key
/// for its algorithm.
#[derive(Debug, Clone)]
#[must_use = "it takes no tokens until it is built"]
pub struct Tokens {
    source: Source,
    issuer: Option<String>,
    audiences: Vec<String>,
    types: Types,
    leeway: Duration,
    bound: bool,
    trust_domain: Option<TrustDomain>,
}

#[derive(Debug, Clone)]
enum Source {
    File { path: PathBuf, form: Form },
}

impl Tokens {
    /// The most that clocks may differ by.
    pub const LEEWAY_LIMIT: Duration = Duration::from_secs(30);

    /// What clocks may differ by unless set.
    pub const LEEWAY: Duration = Duration::from_secs(10);

    /// Tokens that are signed by a key of a JWK set (RFC 7517 §5) in a file, of at most 1 MiB. It is read again when it changes, and what cannot be
    /// used leaves the keys that were read before.
    pub fn jwks_file(path: impl AsRef<Path>) -> Self {
        Self::of_file(path.as_ref(), Form::Jwks(KeyUse::Signatures), Types::TOKENS)
    }

    /// Tokens that are signed by the one public key (`PUBLIC KEY`, RFC 7468 §13) in a PEM file, by this algorithm. Its name is not known, so
    /// the `kid` of a token is not looked at. The file is read again when it changes, as [`Tokens::jwks_file`] does.
    pub fn pem_file(path: impl AsRef<Path>, algorithm: Algorithm) -> Self {
        Self::of_file(path.as_ref(), Form::Pem(algorithm), Types::TOKENS)
    }

    /// JWT-SVIDs (SPIFFE's JWT-SVID) of a trust domain by the keys of its bundle, a JWK set in a file whose keys have the use `jwt-svid`. Their
    /// subject is a SPIFFE ID with a path; they need name no issuer. The file is read again when it changes, as [`Tokens::jwks_file`] does.
    pub fn jwt_svids(trust_domain: TrustDomain, bundle: impl AsRef<Path>) -> Self {
        let tokens = Self::of_file(bundle.as_ref(), Form::Jwks(KeyUse::JwtSvids), Types::JWT_SVIDS);
        Self { trust_domain: Some(trust_domain), ..tokens }
    }

    fn of_file(path: &Path, form: Form, types: Types) -> Self {
        Self::new(Source::File { path: path.to_owned(), form }, types)
    }

    fn new(source: Source, types: Types) -> Self {
        Self {
            source,
            issuer: None,
            audiences: Vec::new(),
            types,
            leeway: Self::LEEWAY,
            bound: false,
            trust_domain: None,
        }
    }

    /// The issuer, which `iss` has to be to the letter. It must be set, but for JWT-SVIDs.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// An audience that tokens may be for: this service's own name, one of those in `aud` to the letter. One must be set; each call adds one.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The values that `typ` may have, `at+jwt` for one; a token without is refused then. Unless set, `JWT`, `at+jwt` (`JOSE` instead for
    /// JWT-SVIDs) or none.
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = Types::Only(types.into_iter().map(Into::into).collect());
        self
    }

    /// What the issuer's clock and this one may differ by: [`Tokens::LEEWAY`] unless set, [`Tokens::LEEWAY_LIMIT`] at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Takes tokens alone that are bound to the caller's certificate (RFC 8705 §3.1). A service then asks for client certificates; a client
    /// gets a new token when its certificate rotates.
    pub fn require_bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// What takes them.
    ///
    /// # Errors
    ///
    /// A setting is missing or contradicts another one, or the keys cannot be used.
    pub fn build(self) -> Result<TokenVerifier, InvalidTokens> {
        if self.issuer.is_none() && self.trust_domain.is_none() {
            return Err(InvalidTokens::NoIssuer);
        }
        if self.audiences.is_empty() {
            return Err(InvalidTokens::NoAudience);
        }
        let types = match &self.types {
            Types::Only(types) => types.as_slice(),
            Types::Usual(_) => &[],
        };
        let is_empty = |texts: &[String]| texts.iter().any(String::is_empty);
        if is_empty(self.issuer.as_slice()) || is_empty(&self.audiences) || is_empty(types) {
            return Err(InvalidTokens::Empty);
        }
        if matches!(&self.types, Types::Only(types) if types.is_empty()) {
            return Err(InvalidTokens::NoType);
        }
        if self.leeway > Self::LEEWAY_LIMIT {
            return Err(InvalidTokens::Leeway { leeway: self.leeway });
        }
        let keys = match &self.source {
            Source::File { path, form } => Keys::of_file(path, *form)?,
        };
        let rules = Rules {
            issuer: self.issuer,
            audiences: self.audiences,
            types: self.types,
            leeway: self.leeway,
            bound: self.bound,
            trust_domain: self.trust_domain,
        };
        Ok(TokenVerifier::new(rules, keys))
    }
}

/// Settings of [`Tokens`] that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTokens {
    /// Tokens of any issuer would be taken.
    #[error("tokens have no issuer: set `Tokens::issuer` to what their `iss` says")]
    NoIssuer,
    /// Tokens for any service would be taken.
    #[error("tokens have no audience: set `Tokens::audience` to what their `aud` says of this service")]
    NoAudience,
    /// No token would be taken.
    #[error("`Tokens::types` is given no type, so that no token would be taken")]
    NoType,
    /// An issuer, audience or type has no letter.
    #[error("an issuer, audience or type of tokens is empty")]
    Empty,
    /// Tokens would be taken too long after their end.
    #[error("a leeway of {} s is more than the {} s that clocks may differ by", leeway.as_secs_f32(), Tokens::LEEWAY_LIMIT.as_secs())]
    #[non_exhaustive]
    Leeway {
        /// What was set.
        leeway: Duration,
    },
    /// The keys cannot be used.
    #[error("the keys of tokens cannot be used: {0}")]
    Keys(#[from] FollowError<InvalidKeys>),
}
