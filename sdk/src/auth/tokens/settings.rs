//! Which tokens are taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert_core::spiffe::TrustDomain;

use super::algorithm::Algorithm;
use super::discovery::{Discovery, NotAnIssuer};
use super::fetched::{FETCH_INTERVAL, Fetched, Timing};
use super::key::KeyUse;
use super::key_set::InvalidKeys;
use super::keys::{Form, Keys};
use super::rules::{Rules, Types};
use super::verifier::TokenVerifier;
use crate::auth::followed::FollowError;
use crate::client::HttpsSettings;
use crate::identity::Identity;
use crate::tls::HttpVersions;

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
/// A token has to name the issuer (`iss`), an audience (`aud`), a subject (`sub`) and its end (`exp`), each in the form of RFC 7519 and
/// times as whole seconds; `nbf` and `iat` are looked at where they are there. One that is bound to a certificate by `cnf` (RFC 8705
/// §3.1) is taken from a caller that showed that certificate alone.
///
/// Of a JWK set those keys are used that are public, of RSA with 2048 to 8192 bits, P-256, P-384 or Ed25519, and not meant for anything but
/// signatures; others are left out with a warning. Each is for one algorithm: the one in its `alg`, or else the one of its curve, or RS256.
/// A set with two keys of one `kid`, or none that can be used, is an error. A token names its key by `kid`; one without is by the only key
/// for its algorithm.
#[derive(Debug, Clone)]
#[must_use = "it takes no tokens until it is built"]
pub struct Tokens {
    source: KeySource,
    issuer: Option<String>,
    audiences: Vec<String>,
    types: Types,
    leeway: Duration,
    bound: bool,
    trust_domain: Option<TrustDomain>,
    https: Option<HttpsSettings>,
    refresh: Option<Duration>,
    lifetime: Option<Duration>,
}

#[derive(Debug, Clone)]
enum KeySource {
    File { path: PathBuf, form: Form },
    Issuer { url: String, identity: Identity },
}

impl Tokens {
    /// The most that clocks may differ by.
    pub const LEEWAY_LIMIT: Duration = Duration::from_secs(30);

    /// What clocks may differ by unless set.
    pub const LEEWAY: Duration = Duration::from_secs(10);

    /// The time after which an issuer's keys are fetched again unless set.
    pub const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

    /// The time for which an issuer's keys are used unless set.
    pub const KEYS_LIFETIME: Duration = Duration::from_secs(24 * 3600);

    /// Tokens that are signed by a key of a JWK set (RFC 7517 §5) in a file, of at most 1 MiB. It is read again when it changes, and what
    /// cannot be used leaves the keys that were read before.
    pub fn jwks_file(path: impl AsRef<Path>) -> Self {
        Self::of_file(path.as_ref(), Form::Jwks(KeyUse::Signatures), Types::TOKENS)
    }

    /// Tokens that are signed by the one public key (`PUBLIC KEY`, RFC 7468 §13) in a PEM file, by this algorithm. Its name is not known,
    /// so the `kid` of a token is not looked at. The file is read again when it changes, as [`Tokens::jwks_file`] does.
    pub fn pem_file(path: impl AsRef<Path>, algorithm: Algorithm) -> Self {
        Self::of_file(path.as_ref(), Form::Pem(algorithm), Types::TOKENS)
    }

    /// JWT-SVIDs (SPIFFE's JWT-SVID) of a trust domain by the keys of its bundle, a JWK set in a file whose keys have the use `jwt-svid`.
    /// Their subject is a SPIFFE ID with a path; they need name no issuer. The file is read again when it changes, as
    /// [`Tokens::jwks_file`] does.
    pub fn jwt_svids(trust_domain: TrustDomain, bundle: impl AsRef<Path>) -> Self {
        let tokens = Self::of_file(bundle.as_ref(), Form::Jwks(KeyUse::JwtSvids), Types::JWT_SVIDS);
        Self { trust_domain: Some(trust_domain), ..tokens }
    }

    /// Tokens of an issuer that says at its own URL where its keys are (OpenID Connect Discovery 1.0 §4), which is its [`Tokens::issuer`]
    /// too: setting another one is an error.
    ///
    /// It is asked over TLS alone, as [`Tokens::https`] has it: unless set, with the identity's certificate, and verified by its bundle.
    /// What it says of itself may have 64 KiB and its keys 1 MiB; redirects are not followed; all of it may take 10 s. Its keys may be at
    /// another host or port, where the identity's certificate is shown only if [`OwnCertificate::Presented`](crate::OwnCertificate::Presented)
    /// is set.
    ///
    /// The first token, or [`TokenVerifier::ready`], has the keys fetched and waits for it. They are fetched again after
    /// [`Tokens::refresh_interval`], which nobody waits for, and for a token by a key that is not among them, which waits, though no two
    /// fetches begin within 30 s. What cannot be fetched leaves the keys that were fetched before, for [`Tokens::keys_lifetime`].
    pub fn discover(issuer: impl Into<String>, identity: &Identity) -> Self {
        let url = issuer.into();
        Self::new(KeySource::Issuer { url: url.clone(), identity: identity.clone() }, Types::TOKENS).issuer(url)
    }

    fn of_file(path: &Path, form: Form, types: Types) -> Self {
        Self::new(KeySource::File { path: path.to_owned(), form }, types)
    }

    fn new(source: KeySource, types: Types) -> Self {
        Self {
            source,
            issuer: None,
            audiences: Vec::new(),
            types,
            leeway: Self::LEEWAY,
            bound: false,
            trust_domain: None,
            https: None,
            refresh: None,
            lifetime: None,
        }
    }

    /// The issuer, which `iss` has to be to the letter. It must be set, but for JWT-SVIDs.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// An audience that tokens may be for: this service's own name, one of those in `aud` to the letter. One must be set; each call adds
    /// one.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Values that `typ` may have, `at+jwt` for one, beside those given before; a token without is refused then. Unless set, `JWT`, `at+jwt`
    /// (`JOSE` instead for JWT-SVIDs) or none.
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let mut only = match self.types {
            Types::Only(only) => only,
            Types::Usual(_) => Vec::new(),
        };
        only.extend(types.into_iter().map(Into::into));
        self.types = Types::Only(only);
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

    /// The settings of the connections to the issuer that [`Tokens::discover`] names: public roots for one. The version of HTTP is not
    /// looked at: HTTP/2 and HTTP/1.1 are offered.
    pub fn https(mut self, settings: HttpsSettings) -> Self {
        self.https = Some(settings);
        self
    }

    /// The time after which the keys of the issuer that [`Tokens::discover`] names are fetched again: [`Tokens::REFRESH_INTERVAL`] unless
    /// set, no less than 30 s. That long a key may be used that the issuer has withdrawn.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh = Some(interval);
        self
    }

    /// The time for which the keys of the issuer that [`Tokens::discover`] names are used if none can be fetched:
    /// [`Tokens::KEYS_LIFETIME`] unless set, longer than [`Tokens::refresh_interval`]. After it no token is taken.
    pub fn keys_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
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
        let keys = self.keys()?;
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

    fn keys(&self) -> Result<Keys, InvalidTokens> {
        let (url, identity) = match &self.source {
            KeySource::File { .. } if self.https.is_some() || self.refresh.is_some() || self.lifetime.is_some() => {
                return Err(InvalidTokens::NotFetched);
            }
            KeySource::File { path, form } => return Ok(Keys::of_file(path, *form)?),
            KeySource::Issuer { url, identity } => (url, identity),
        };
        if let Some(issuer) = self.issuer.as_ref().filter(|issuer| *issuer != url) {
            return Err(InvalidTokens::OtherIssuer { asked: url.clone(), issuer: issuer.clone() });
        }
        let refresh = self.refresh.unwrap_or(Self::REFRESH_INTERVAL);
        let lifetime = self.lifetime.unwrap_or(Self::KEYS_LIFETIME);
        if refresh < FETCH_INTERVAL || lifetime <= refresh {
            return Err(InvalidTokens::Timing { refresh, lifetime });
        }
        let settings = self.https.clone().unwrap_or_default().http_versions(HttpVersions::Http1And2);
        let for_others = identity.connector_with(settings.clone().for_others());
        let discovery = Discovery::new(url.clone(), identity.connector_with(settings), for_others);
        let discovery = discovery.map_err(|NotAnIssuer| InvalidTokens::IssuerUrl { issuer: url.clone() })?;
        Ok(Keys::Issuer(Fetched::new(discovery, Timing { refresh, lifetime })))
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
    /// The issuer cannot be asked for its keys.
    #[error(
        "the issuer {issuer:?} is no URL of https without user, query and fragment, so it cannot be asked for its keys"
    )]
    #[non_exhaustive]
    IssuerUrl {
        /// What was set.
        issuer: String,
    },
    /// One issuer's tokens would be held against another's keys.
    #[error(
        "the issuer is set to {issuer:?}, and {asked:?} is asked for its keys: an issuer is asked at its own URL, so leave \
         `Tokens::issuer` out beside `Tokens::discover`"
    )]
    #[non_exhaustive]
    OtherIssuer {
        /// The issuer that [`Tokens::discover`] names.
        asked: String,
        /// The one that [`Tokens::issuer`] sets.
        issuer: String,
    },
    /// Keys would be fetched too often, or not again before they may not be used.
    #[error("keys that are fetched every {} s and used for {} s: the first is to be {} s at least, and the second more than the first",
        refresh.as_secs_f32(), lifetime.as_secs_f32(), FETCH_INTERVAL.as_secs())]
    #[non_exhaustive]
    Timing {
        /// The time after which keys are fetched again.
        refresh: Duration,
        /// The time for which they are used.
        lifetime: Duration,
    },
    /// Keys of a file are not fetched.
    #[error(
        "`Tokens::https`, `refresh_interval` and `keys_lifetime` are for keys that are fetched, by `Tokens::discover`"
    )]
    NotFetched,
    /// The keys cannot be used.
    #[error("the keys of tokens cannot be used: {0}")]
    Keys(#[from] FollowError<InvalidKeys>),
}
