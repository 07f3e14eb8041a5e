//! A channel whose calls carry a token.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::bearer::BearerToken;
use super::token::BearerTokenError;
use crate::auth::handled::status_code;
use crate::client::{BalancedChannel, Channel, ChannelError, ResponseFuture, VerifiedChannel, has_runtime, within};

/// A channel whose calls carry a token: a tower service for generated clients, as the [`Channel`] or [`BalancedChannel`] is that it is made
/// of. It is ready when that is; a call waits for its token, where it has to, within its deadline.
///
/// There is none over another channel, whose connections may be plaintext or to a server that nobody has verified:
///
/// ```compile_fail,E0599
/// # fn plaintext(token: evercert::auth::BearerToken) {
/// let channel = tonic::transport::Channel::from_static("http://api.internal:50051").connect_lazy();
/// channel.credentials(token);
/// # }
/// ```
pub struct AuthenticatedChannel<C = Channel> {
    channel: C,
    token: BearerToken,
}

impl Channel {
    /// This channel, with this token in every call: see [`BearerToken`].
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
    pub fn credentials(self, token: BearerToken) -> AuthenticatedChannel<Self> {
        AuthenticatedChannel::new(self, token)
    }
}

impl BalancedChannel {
    /// This channel, with this token in every call: see [`BearerToken`].
    #[must_use]
    #[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
    pub fn credentials(self, token: BearerToken) -> AuthenticatedChannel<Self> {
        AuthenticatedChannel::new(self, token)
    }
}

impl<C: VerifiedChannel> AuthenticatedChannel<C> {
    fn new(channel: C, token: BearerToken) -> Self {
        if let Some(recorder) = channel.recorder() {
            token.record_to(Arc::clone(recorder));
        }
        Self { channel, token }
    }
}

impl<C> AuthenticatedChannel<C> {
    /// The channel without the token.
    pub fn channel(&self) -> &C {
        &self.channel
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &BearerToken {
        &self.token
    }
}

impl<C: Clone> Clone for AuthenticatedChannel<C> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), token: self.token.clone() }
    }
}

impl<C: fmt::Debug> fmt::Debug for AuthenticatedChannel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatedChannel").field("channel", &self.channel).field("token", &self.token).finish()
    }
}

impl<C: VerifiedChannel + Send + 'static> Service<Request<Body>> for AuthenticatedChannel<C> {
    type Response = Response<Body>;
    type Error = AuthenticatedError;
    type Future = AuthenticatedCall;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx).map_err(AuthenticatedError::Channel)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if request.headers().contains_key(AUTHORIZATION) {
            return AuthenticatedCall(Step::Failed(Some(AuthenticatedError::two_credentials())));
        }
        match self.token.cached(SystemTime::now()) {
            Ok(Some(header)) => {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
                let response = self.channel.call(request);
                AuthenticatedCall(Step::Sent { response, sent: Sent { token: self.token.clone(), header } })
            }
            Ok(None) => {
                let waited = self.channel.waited();
                let limit = self.channel.limit(request.headers());
                let waiting = call_with_fresh(self.clone(), request, waited, limit);
                AuthenticatedCall(Step::Waiting(Box::pin(waiting)))
            }
            Err(error) => AuthenticatedCall(Step::Failed(Some(error.into()))),
        }
    }
}

/// A call that waits for its token.
async fn call_with_fresh<C: VerifiedChannel>(
    authenticated: AuthenticatedChannel<C>,
    mut request: Request<Body>,
    waited: Duration,
    limit: Option<Duration>,
) -> Result<Response<Body>, AuthenticatedError> {
    if !has_runtime() {
        return Err(BearerTokenError::NoRuntime.into());
    }
    let AuthenticatedChannel { channel, token } = authenticated;
    let began = tokio::time::Instant::now();
    let header =
        within(limit, waited, token.fresh(SystemTime::now())).await.map_err(AuthenticatedError::no_token)??;
    request.headers_mut().insert(AUTHORIZATION, header.clone());
    let response = channel.call_later(waited + began.elapsed(), request).await;
    Sent { token, header }.answered(response)
}

/// The token that a call was sent with.
struct Sent {
    token: BearerToken,
    header: HeaderValue,
}

impl Sent {
    fn answered(&self, response: Result<Response<Body>, ChannelError>) -> Result<Response<Body>, AuthenticatedError> {
        if response.as_ref().is_ok_and(is_unauthenticated) {
            self.token.rejected(&self.header);
        }
        response.map_err(AuthenticatedError::Channel)
    }
}

/// Whether a server answers that it does not know the caller, at once: in headers that are the whole answer ("Trailers-Only"), or as a proxy
/// does that knows no gRPC.
fn is_unauthenticated<B>(response: &Response<B>) -> bool {
    status_code(response.headers()) == Some(Code::Unauthenticated) || response.status() == StatusCode::UNAUTHORIZED
}

/// The response to a call; dropped before it came, it cancels the call.
#[must_use = "dropping the response cancels the call"]
pub struct AuthenticatedCall(Step);

enum Step {
    Sent { response: ResponseFuture, sent: Sent },
    Waiting(Pin<Box<dyn Future<Output = Result<Response<Body>, AuthenticatedError>> + Send>>),
    Failed(Option<AuthenticatedError>),
}

impl Future for AuthenticatedCall {
    type Output = Result<Response<Body>, AuthenticatedError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Step::Sent { response, sent } => {
                let response = ready!(Pin::new(response).poll(cx));
                Poll::Ready(sent.answered(response))
            }
            Step::Waiting(waiting) => waiting.as_mut().poll(cx),
            Step::Failed(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

impl fmt::Debug for AuthenticatedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatedCall").finish_non_exhaustive()
    }
}

/// Why a call with a token failed before a response came. A generated client sees the [`Status`] in [`AuthenticatedError::status`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticatedError {
    /// There is no token. The request was not sent.
    #[error("{cause}")]
    NoToken {
        /// Why.
        cause: BearerTokenError,
        /// That of [`BearerTokenError::status`].
        #[source]
        status: Status,
    },
    /// The call has an `authorization` of its own. The request was not sent: it would carry two credentials, or not the one that was meant.
    #[error("{}", .status.message())]
    TwoCredentials {
        /// `INVALID_ARGUMENT`.
        #[source]
        status: Status,
    },
    /// The channel failed.
    #[error(transparent)]
    Channel(ChannelError),
}

impl AuthenticatedError {
    /// The status a gRPC caller sees.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::NoToken { status, .. } | Self::TwoCredentials { status } => status,
            Self::Channel(error) => error.status(),
        }
    }

    fn two_credentials() -> Self {
        let text =
            "the call has an authorization of its own, and the channel has one for every call: leave one of them out";
        Self::TwoCredentials { status: Status::invalid_argument(text) }
    }

    fn no_token(limit: Duration) -> Self {
        let status = Status::deadline_exceeded(format!("no token for the call within {limit:?}"));
        Self::Channel(ChannelError::DeadlineExceeded { limit, status })
    }
}

impl From<BearerTokenError> for AuthenticatedError {
    fn from(cause: BearerTokenError) -> Self {
        let status = cause.status();
        Self::NoToken { cause, status }
    }
}

impl From<AuthenticatedError> for Status {
    fn from(error: AuthenticatedError) -> Self {
        match error {
            AuthenticatedError::NoToken { status, .. } | AuthenticatedError::TwoCredentials { status } => status,
            AuthenticatedError::Channel(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_or_a_proxy_that_does_not_know_the_caller_is_told_from_one_that_denies_it() {
        let is_told = |http: u16, grpc: Option<&str>| {
            let mut response = Response::builder().status(http);
            if let Some(grpc) = grpc {
                response = response.header(Status::GRPC_STATUS, grpc);
            }
            is_unauthenticated(&response.body(()).unwrap())
        };
        assert!(is_told(200, Some("16")) && is_told(401, None));
        for (http, grpc) in
            [(200, None), (200, Some("0")), (200, Some("7")), (200, Some("1")), (403, None), (307, None)]
        {
            assert!(!is_told(http, grpc), "{http} {grpc:?}");
        }
    }
}
