//! What a handler answered: its status, and in tonic's own body.

use bytes::Bytes;
use futures_util::future::MapOk;
use http::{HeaderMap, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::BoxError;

/// The future of a handler whose answer is [`boxed`].
pub(super) type Handled<F, B> = MapOk<F, fn(Response<B>) -> Response<Body>>;

/// A body of tonic's stays as it is.
pub(super) fn boxed<B>(answer: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    answer.map(Body::new)
}

/// The status of gRPC among the headers or trailers of an answer.
pub(super) fn status_code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}
