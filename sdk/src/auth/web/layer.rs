//! What stands between a browser and the security stack.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{BoxError, Layer, Service};
use tower_http::cors::{self, Cors, CorsLayer};

use super::super::denials::Denials;
use super::super::protocol::{NoCall, Protocol};
use super::deadline::{Deadline, Deadlines};
use super::http_1::ReadToEnd;
use super::origin::{Origins, PageSource};
use crate::client::asked_timeout;

/// Answers preflights, keeps other origins' pages out, and translates gRPC-Web into gRPC: [`Web::build`](super::Web::build).
///
/// It belongs outside of all that authenticates, and on a server that lets HTTP/1.1 in.
#[derive(Debug, Clone)]
pub struct WebLayer {
    origins: Origins,
    cors: CorsLayer,
    denials: Denials,
}

impl WebLayer {
    pub(super) fn new(origins: Origins, cors: CorsLayer) -> Self {
        Self { origins, cors, denials: Denials::default() }
    }

    pub(in crate::auth) fn denials(self, denials: Denials) -> Self {
        Self { denials, ..self }
    }
}

impl<S> Layer<S> for WebLayer {
    type Service = WebService<S>;

    fn layer(&self, inner: S) -> WebService<S> {
        let translated = GrpcWebLayer::new().layer(Deadlines(inner));
        WebService { origins: self.origins.clone(), denials: self.denials.clone(), inner: self.cors.layer(translated) }
    }
}

/// [`WebLayer`]'s service.
#[derive(Debug, Clone)]
pub struct WebService<S> {
    origins: Origins,
    denials: Denials,
    inner: Cors<GrpcWebService<Deadlines<S>>>,
}

/// What comes of a call that goes further.
type Translated<S> = tonic_web::ResponseFuture<<Deadlines<S> as Service<Request<Body>>>::Future>;

/// What comes of any request.
type Answered<S> = Either<
    Ready<Result<Response<Body>, <S as Service<Request<Body>>>::Error>>,
    Either<cors::ResponseFuture<Translated<S>>, Translated<S>>,
>;

impl<S, B> Service<Request<Body>> for WebService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Answered<S>, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.version() >= Version::HTTP_2 {
            return Either::Left(self.answer(request));
        }
        let (request, read_to_end) = ReadToEnd::of(request);
        let answered = self.answer(request);
        Either::Right(Box::pin(async move { Ok(read_to_end.said_in(answered.await?)) }))
    }
}

impl<S, B> WebService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn answer(&mut self, mut request: Request<Body>) -> Answered<S> {
        let source = self.origins.source(request.headers());
        match Asked::of(source, &request) {
            Err(refusal) => return Either::Left(ready(Ok(refusal.response(&request, &self.denials)))),
            Ok(Asked::Call(Protocol::GrpcWeb)) => {
                if let Some(limit) = asked_timeout(request.headers()) {
                    request.extensions_mut().insert(Deadline(limit));
                }
            }
            Ok(Asked::Call(Protocol::Grpc) | Asked::Preflight) => {}
        }
        Either::Right(match source {
            PageSource::NoPage => Either::Right(self.inner.get_mut().call(request)),
            PageSource::Allowed | PageSource::Refused => Either::Left(self.inner.call(request)),
        })
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Preflight,
    Call(Protocol),
}

impl Asked {
    /// What a request asks for, if it goes any further.
    fn of<B>(source: PageSource, request: &Request<B>) -> Result<Self, Refusal> {
        match source {
            PageSource::Refused => return Err(Refusal::Origin),
            PageSource::Allowed if request.method() == Method::OPTIONS => return Ok(Self::Preflight),
            PageSource::Allowed | PageSource::NoPage => {}
        }
        Protocol::of(request).map(Self::Call).map_err(Refusal::NoCall)
    }
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Origin,
    NoCall(NoCall),
}

impl Refusal {
    /// None of it is for a page to read.
    fn response<B>(self, request: &Request<B>, denials: &Denials) -> Response<Body> {
        let mut response = match self {
            Self::Origin => {
                denials.no_call(request, StatusCode::FORBIDDEN, "pages of this origin may not call");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::FORBIDDEN;
                response
            }
            Self::NoCall(no_call) => no_call.refuse(request, "POST, OPTIONS", denials),
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
        response
    }
}
