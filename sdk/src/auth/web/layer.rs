//! What stands between a browser and the security stack.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{BoxError, Layer, Service};
use tower_http::cors::{self, Cors, CorsLayer};

use super::origin::{Origins, PageSource};

/// Answers preflights, keeps other origins' pages out, and translates gRPC-Web into gRPC: [`Web::build`](super::Web::build).
///
/// It belongs outside of all that authenticates, and on a server that lets HTTP/1.1 in.
#[derive(Debug, Clone)]
pub struct WebLayer {
    origins: Origins,
    cors: CorsLayer,
}

impl WebLayer {
    pub(super) fn new(origins: Origins, cors: CorsLayer) -> Self {
        Self { origins, cors }
    }
}

impl<S> Layer<S> for WebLayer {
    type Service = WebService<S>;

    fn layer(&self, inner: S) -> WebService<S> {
        WebService { origins: self.origins.clone(), inner: self.cors.layer(GrpcWebLayer::new().layer(inner)) }
    }
}

/// [`WebLayer`]'s service.
#[derive(Debug, Clone)]
pub struct WebService<S> {
    origins: Origins,
    inner: Cors<GrpcWebService<S>>,
}

impl<S, B> Service<Request<Body>> for WebService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Display,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        Ready<Result<Response<Body>, S::Error>>,
        Either<cors::ResponseFuture<tonic_web::ResponseFuture<S::Future>>, tonic_web::ResponseFuture<S::Future>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let source = self.origins.source(request.headers());
        match refusal(source, &request) {
            Some(refusal) => Either::Left(ready(Ok(refusal.response()))),
            None if source == PageSource::NoPage => Either::Right(Either::Right(self.inner.get_mut().call(request))),
            None => Either::Right(Either::Left(self.inner.call(request))),
        }
    }
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Origin,
    Method,
    ContentType,
    HttpVersion,
}

/// Whether, and why, a request goes no further. A preflight goes on to what answers it.
fn refusal<B>(source: PageSource, request: &Request<B>) -> Option<Refusal> {
    if source == PageSource::Refused {
        return Some(Refusal::Origin);
    }
    if source == PageSource::Allowed && request.method() == Method::OPTIONS {
        return None;
    }
    if request.method() != Method::POST {
        return Some(Refusal::Method);
    }
    match Protocol::of(request.headers()) {
        None => Some(Refusal::ContentType),
        Some(Protocol::Grpc) if request.version() != Version::HTTP_2 => Some(Refusal::HttpVersion),
        Some(Protocol::Grpc | Protocol::GrpcWeb) => None,
    }
}

impl Refusal {
    /// What a server of gRPC alone answers to such ("gRPC over HTTP/2", "Requests"); none of it is for a page to read.
    fn response(self) -> Response<Body> {
        let status = match self {
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        if self == Self::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        }
        response
    }
}

/// What a call is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Grpc,
    GrpcWeb,
}

impl Protocol {
    /// By the content type: gRPC-Web's four in full, as tonic-web knows them, and gRPC's with whatever follows it.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(first), None) = (types.next(), types.next()) else { return None };
        match first.as_bytes() {
            b"application/grpc-web"
            | b"application/grpc-web+proto"
            | b"application/grpc-web-text"
            | b"application/grpc-web-text+proto" => Some(Self::GrpcWeb),
            other => {
                let rest = other.strip_prefix(b"application/grpc")?;
                matches!(rest.first(), None | Some(b'+' | b';')).then_some(Self::Grpc)
            }
        }
    }
}
