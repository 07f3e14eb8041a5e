//! A token, from wherever it comes.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::fetched::{AccessToken, Fetched};
use super::file::{TokenFile, TokenFileError};
use super::token::{BearerTokenError, InvalidToken, Token};
use crate::auth::followed::FollowError;
use crate::telemetry::Recorder;

/// The token of a client's calls (RFC 6750): a JWT, or any other that a server takes. Clones share it, and may be used by any number of
/// channels. It belongs to no runtime, so it may be kept in a static.
///
/// ```no_run
/// # async fn example(identity: evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// use evercert::auth::BearerToken;
/// use tonic_health::pb::health_client::HealthClient;
///
/// // A projected service account token, which the kubelet rotates.
/// let token = BearerToken::file("/var/run/secrets/tokens/api")?;
/// let channel = identity.channel("https://api.internal:50051")?.credentials(token);
/// let client = HealthClient::new(channel);
/// # Ok(())
/// # }
/// ```
///
/// | what is wrong | the call's status |
/// |---|---|
/// | the file cannot be read, the closure fails, panics or takes longer than 30 s | `UNAVAILABLE`: trying again may help |
/// | the token is none, or has expired | `UNAUTHENTICATED` |
/// | the call has an `authorization` of its own | `INVALID_ARGUMENT`: a call has one credential |
///
/// None of these calls is sent. Where a server answers `UNAUTHENTICATED` instead of a response the next token is looked for
/// ([`BearerToken::refresh`]); the call itself is not made again.
#[derive(Clone)]
pub struct BearerToken(Arc<TokenSource>);

enum TokenSource {
    Fixed(Token),
    File(TokenFile),
    Fetched(Arc<Fetched>),
}

impl BearerToken {
    /// Always this token; its bytes are wiped with the last copy. A JWT is sent until it expires, any other for ever.
    ///
    /// # Errors
    ///
    /// It is none that could be sent.
    pub fn fixed(token: impl Into<Zeroizing<String>>) -> Result<Self, InvalidToken> {
        let token = Token::new(&token.into(), None, SystemTime::now())?;
        Ok(Self(Arc::new(TokenSource::Fixed(token))))
    }

    /// The JWT in this file, of at most 12 KiB. The file is looked at every second, so another token is used as soon as it is written; what
    /// cannot be used is told once in the log, and the token before it stays until it expires. From 30 s before that on calls wait for one
    /// more look, for a second at most.
    ///
    /// # Errors
    ///
    /// The file cannot be read now, or holds no JWT that says when it expires. That it has expired is for the calls to tell.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, FollowError<TokenFileError>> {
        Ok(Self(Arc::new(TokenSource::File(TokenFile::open(path.as_ref())?))))
    }

    /// The token that this closure fetches, on the runtime of the call that needs one: at the first call, and again before it expires. What
    /// is no JWT has to come as an [`AccessToken`] that says when that is.
    ///
    /// It is kept until 30 s before its end. In the minute before that a call has the next one fetched and goes on with this one. There is
    /// one fetch at a time, of at most 30 s, for which calls wait within their deadlines; it goes on when they are given up. After one that
    /// failed calls fail with the same error for a while: 1 s at first, then longer, up to 2 min.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evercert::auth::{AccessToken, BearerToken};
    ///
    /// let token = BearerToken::from_fn(|| async {
    ///     let answer = "opaque".to_owned(); // of an authorization server
    ///     Ok::<_, std::io::Error>(AccessToken::new(answer).expires_in(Duration::from_secs(300)))
    /// });
    /// ```
    pub fn from_fn<F, R, T, E>(fetch: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<AccessToken>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(TokenSource::Fetched(Fetched::new(fetch))))
    }

    /// Has this recorder told whenever the token was read or fetched again, or could not be ([`Event::Reloaded`](crate::telemetry::Event)).
    /// Default: that of the first channel that the token is given to, if it has one.
    #[must_use]
    pub fn recorder(self, recorder: Arc<dyn Recorder>) -> Self {
        self.record_to(recorder);
        self
    }

    /// The first one that is given stays.
    pub(super) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        match &*self.0 {
            TokenSource::Fixed(_) => {}
            TokenSource::File(file) => file.record_to(recorder),
            TokenSource::Fetched(fetched) => fetched.record_to(recorder),
        }
    }

    /// Has the next token looked for: the file within 0.1 s, and by the closure at the next call, which waits for it. If there is none, the
    /// one of now stays. A server's `UNAUTHENTICATED` does the same, but for a closure at most once in 10 s.
    ///
    /// A token that is bound to the client's certificate (RFC 8705) is of no use with the next one:
    ///
    /// ```no_run
    /// # async fn example(mut identity: evercert::Identity, token: evercert::auth::BearerToken) {
    /// loop {
    ///     identity.changed().await;
    ///     token.refresh();
    /// }
    /// # }
    /// ```
    pub fn refresh(&self) {
        match &*self.0 {
            TokenSource::Fixed(_) => {}
            TokenSource::File(file) => file.refresh(),
            TokenSource::Fetched(fetched) => fetched.refresh(),
        }
    }

    /// What is sent with a call now; nothing where it has to wait for that.
    pub(super) fn cached(&self, now: SystemTime) -> Result<Option<HeaderValue>, BearerTokenError> {
        match &*self.0 {
            TokenSource::Fixed(token) => Ok(Some(token.unexpired(now)?.clone())),
            TokenSource::File(file) => Ok(file.cached(now)),
            TokenSource::Fetched(fetched) => Ok(fetched.cached(now)),
        }
    }

    /// What is sent with a call that waits for it, on a runtime that runs.
    pub(super) async fn fresh(&self, now: SystemTime) -> Result<HeaderValue, BearerTokenError> {
        match &*self.0 {
            TokenSource::Fixed(token) => Ok(token.unexpired(now)?.clone()),
            TokenSource::File(file) => file.fresh(now).await,
            TokenSource::Fetched(fetched) => fetched.fresh(now).await,
        }
    }

    /// A server did not take this.
    pub(super) fn rejected(&self, sent: &HeaderValue) {
        match &*self.0 {
            TokenSource::Fixed(_) => {}
            TokenSource::File(file) => file.refresh(),
            TokenSource::Fetched(fetched) => fetched.rejected(sent),
        }
    }
}

/// Without the token.
impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &*self.0 {
            TokenSource::Fixed(_) => "fixed",
            TokenSource::File(_) => "file",
            TokenSource::Fetched(_) => "fetched",
        };
        f.debug_struct("BearerToken").field("source", &source).finish_non_exhaustive()
    }
}
