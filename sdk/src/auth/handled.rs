//! What a handler answered, in tonic's own body.

use bytes::Bytes;
use futures_util::future::MapOk;
use http::Response;
use tonic::body::Body;
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
