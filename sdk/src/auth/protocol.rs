//! What is gRPC, and what only looks as if a method could be run for it.
//!
//! tonic runs a method whatever the content type and the HTTP method of its request are. A page of anybody's can have a browser send such
//! requests without asking first (a "simple request", Fetch Standard §3.2.2), with the certificate of whoever looks at it.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;
use tower::Service;

use super::denials::Denials;

/// What a call is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
}

impl Protocol {
    /// What a request calls by, if it is a call.
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, NoCall> {
        if request.method() != Method::POST {
            return Err(NoCall::Method);
        }
        match Self::of_content(request.headers()) {
            Some(Self::Grpc) if request.version() != Version::HTTP_2 => Err(NoCall::HttpVersion),
            protocol => protocol.ok_or(NoCall::ContentType),
        }
    }

    /// By the content type: gRPC-Web's four in full, as tonic-web knows them, and gRPC's with whatever follows it.
    fn of_content(headers: &HeaderMap) -> Option<Self> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let (Some(only), None) = (types.next(), types.next()) else { return None };
        match only.as_bytes() {
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

/// Why a request is no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCall {
    Method,
    ContentType,
    HttpVersion,
}

impl NoCall {
    /// What a server of gRPC alone answers ("gRPC over HTTP/2", "Requests"). `methods` are those that it has.
    pub(super) fn refuse<B>(self, request: &Request<B>, methods: &'static str, denials: &Denials) -> Response<Body> {
        let (status, reason) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "a call is a POST"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type is not gRPC's"),
            Self::HttpVersion => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC is by HTTP/2"),
        };
        denials.no_call(request, status, reason);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if self == Self::Method {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

/// Passes calls by gRPC on, and answers all else itself.
#[derive(Debug, Clone)]
pub struct GrpcOnly<S> {
    inner: S,
    denials: Denials,
}

impl<S> GrpcOnly<S> {
    pub(super) fn new(inner: S, denials: Denials) -> Self {
        Self { inner, denials }
    }
}

impl<S> Service<Request<Body>> for GrpcOnly<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match Protocol::of(&request) {
            Ok(Protocol::Grpc) => Either::Right(self.inner.call(request)),
            Ok(Protocol::GrpcWeb) => {
                Either::Left(ready(Ok(NoCall::ContentType.refuse(&request, "POST", &self.denials))))
            }
            Err(no_call) => Either::Left(ready(Ok(no_call.refuse(&request, "POST", &self.denials)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(method: &str, version: Version, content_types: &[&str]) -> Result<Protocol, NoCall> {
        let mut request = Request::builder().method(method).version(version);
        for content_type in content_types {
            request = request.header("content-type", *content_type);
        }
        Protocol::of(&request.body(()).unwrap())
    }

    #[test]
    fn a_call_by_grpc_is_a_post_by_http_2() {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;a=b", "application/grpc+x"]
        {
            assert_eq!(protocol("POST", Version::HTTP_2, &[content_type]), Ok(Protocol::Grpc));
            assert_eq!(protocol("POST", Version::HTTP_11, &[content_type]), Err(NoCall::HttpVersion));
            for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "post"] {
                assert_eq!(protocol(method, Version::HTTP_2, &[content_type]), Err(NoCall::Method));
            }
        }
    }

    #[test]
    fn a_call_by_grpc_web_is_a_post_by_either_version() {
        for content_type in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(protocol("POST", version, &[content_type]), Ok(Protocol::GrpcWeb));
            }
        }
    }

    #[test]
    fn nothing_else_is_a_call() {
        for content_types in [
            &[][..],
            &[""],
            &["text/plain"],
            &["application/grpcx"],
            &["application/grp"],
            &["Application/grpc"],
            &[" application/grpc-web"],
            &["application/grpc-web+json"],
            &["application/grpc-web+proto; charset=utf-8"],
            &["text/plain, application/grpc"],
            &["application/grpc", "text/plain"],
            &["text/plain", "application/grpc"],
            &["application/grpc", "application/grpc"],
        ] {
            assert_eq!(protocol("POST", Version::HTTP_2, content_types), Err(NoCall::ContentType), "{content_types:?}");
        }
    }
}
