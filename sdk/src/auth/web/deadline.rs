//! Deadlines of calls by gRPC-Web, where the answer can still be translated.
//!
//! tonic keeps deadlines too, outside of all layers: its answer is gRPC's, without what CORS demands, so that no page could read it.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::{BoxFuture, Either, MapOk};
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Service};

/// The time that a caller gives a call by gRPC-Web, in the extensions of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Duration);

/// Answers a request that has a [`Deadline`] when it is over. tonic's own begins a moment later.
#[derive(Debug, Clone)]
pub struct Deadlines<S>(pub(super) S);

impl<S, B> Service<Request<Body>> for Deadlines<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        MapOk<S::Future, fn(Response<B>) -> Response<Body>>,
        BoxFuture<'static, Result<Response<Body>, S::Error>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = request.extensions().get::<Deadline>().copied();
        let answer = self.0.call(request).map_ok(of_tonic as fn(Response<B>) -> Response<Body>);
        let Some(Deadline(limit)) = deadline else { return Either::Left(answer) };
        let answer = tokio::time::timeout(limit, answer);
        Either::Right(Box::pin(async move {
            answer.await.unwrap_or_else(|_| Ok(Status::deadline_exceeded("the call's deadline is over").into_http()))
        }))
    }
}

fn of_tonic<B>(response: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(Body::new)
}
