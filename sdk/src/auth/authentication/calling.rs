//! The future of an authenticated call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::util::Oneshot;
use tower::{BoxError, Service, ServiceExt as _};
use zeroize::Zeroizing;

use super::{Admission, Arrived, Shared};
use crate::auth::claims::Claims;
use crate::auth::expiry::{Expiry, Until};
use crate::telemetry::TokenFailure;

pin_project! {
    /// The future of [`AuthenticationService`](super::AuthenticationService).
    #[must_use = "futures do nothing unless polled"]
    pub struct AuthenticationFuture<S>
    where
        S: Service<Request<Body>>,
    {
        #[pin]
        state: State<S>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S>
    where
        S: Service<Request<Body>>,
    {
        Denied { answer: Option<Response<Body>> },
        Verifying { claims: Pin<Box<dyn Future<Output = Result<Claims, TokenFailure>> + Send>>, call: Option<Box<Verifying<S>>> },
        Calling { #[pin] call: Until<S::Future> },
        Verified { #[pin] call: Until<Oneshot<S, Request<Body>>> },
    }
}

/// A call that waits for its token to be verified.
pub(super) struct Verifying<S> {
    pub(super) inner: S,
    pub(super) shared: Arc<Shared>,
    pub(super) arrived: Arrived,
}

impl<S: Service<Request<Body>>> AuthenticationFuture<S> {
    pub(super) fn denied(answer: Response<Body>) -> Self {
        Self { state: State::Denied { answer: Some(answer) } }
    }

    pub(super) fn calling(call: S::Future, expiry: Option<Expiry>) -> Self {
        Self { state: State::Calling { call: Until::new(call, expiry) } }
    }

    pub(super) fn verifying(call: Verifying<S>, token: Zeroizing<String>) -> Self {
        let (tokens, certificate) = (call.shared.tokens.clone(), call.arrived.certificate.clone());
        let claims = Box::pin(async move {
            match tokens {
                Some(tokens) => tokens.verify(&token, certificate.as_ref(), SystemTime::now()).await,
                None => Err(TokenFailure::KeysUnavailable),
            }
        });
        Self { state: State::Verifying { claims, call: Some(Box::new(call)) } }
    }
}

impl<S, B> Future for AuthenticationFuture<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Calling { call } => return call.poll(cx),
                StateProjection::Verified { call } => return call.poll(cx),
                StateProjection::Denied { answer } => {
                    // A future is not polled after its end.
                    return answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)));
                }
                StateProjection::Verifying { claims, call } => {
                    let claims = ready!(claims.as_mut().poll(cx));
                    let Some(call) = call.take() else { return Poll::Pending };
                    let Verifying { inner, shared, arrived } = *call;
                    match shared.verified(arrived, claims) {
                        Admission::Admitted(request, expiry) => {
                            State::Verified { call: Until::new(inner.oneshot(request), expiry) }
                        }
                        Admission::Denied(answer) => State::Denied { answer: Some(answer) },
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<Body>>> fmt::Debug for AuthenticationFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticationFuture").finish_non_exhaustive()
    }
}
