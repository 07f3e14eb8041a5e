//! Metadata behind the replies: tonic sends none with a call that goes well, and shows a unary call's together with its headers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::{BoxError, Service};

/// The trailers that a response is to have, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Trailers(pub(crate) MetadataMap);

/// Adds a response's [`Trailers`].
#[derive(Debug, Clone)]
pub(crate) struct WithTrailers<S>(pub(crate) S);

impl<S: NamedService> NamedService for WithTrailers<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for WithTrailers<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            let Some(Trailers(trailers)) = response.extensions_mut().remove() else { return Ok(response) };
            let mut trailers = trailers.into_headers();
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |mut frame| {
                    if let Some(end) = frame.trailers_mut() {
                        end.extend(std::mem::take(&mut trailers));
                    }
                    frame
                }))
            }))
        })
    }
}

/// What came back for a call before and behind its replies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(HeaderMap, Option<HeaderMap>)>>);

impl Seen {
    /// The headers, and the trailers. An answer that has nothing else than headers has them as trailers.
    pub(crate) fn metadata(&self) -> (MetadataMap, MetadataMap) {
        let (headers, trailers) = self.0.lock().clone();
        let (headers, trailers) = match trailers {
            None if headers.contains_key("grpc-status") => (HeaderMap::new(), headers),
            trailers => (headers, trailers.unwrap_or_default()),
        };
        (MetadataMap::from_headers(headers), MetadataMap::from_headers(trailers))
    }
}

/// Takes note of what comes back.
#[derive(Debug, Clone)]
pub(crate) struct Noting<S> {
    pub(crate) inner: S,
    pub(crate) seen: Seen,
}

impl<S, B> Service<Request<Body>> for Noting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.inner.call(request);
        let seen = self.seen.clone();
        Box::pin(async move {
            let response = response.await?;
            seen.0.lock().0 = response.headers().clone();
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        seen.0.lock().1 = Some(trailers.clone());
                    }
                    frame
                }))
            }))
        })
    }
}
