//! One connection in tonic's hands.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::unconstrained;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::transport::server::Connected;
use tower::{BoxError, Service};

/// One connection that tonic serves; when this is dropped, it is drained.
///
/// tonic tells the connections of a serve loop to go by a channel that belongs to the loop's future, and serves each on a task of
/// its own. So a loop of one connection has nothing to do once it has taken that, and is never polled again: the
/// connection costs one task, and not two.
pub(super) struct Serving(
    #[expect(dead_code, reason = "it is there to be dropped")] Pin<Box<dyn Future<Output = ()> + Send>>,
);

impl Serving {
    /// Hands the connection to tonic, with the layered service that all connections of the server share.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(super) fn start<IO, S, B>(server: tonic::transport::Server, service: S, io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let incoming = tokio_stream::once(Ok::<_, Infallible>(io)).chain(tokio_stream::pending());
        let serving = server.serve_with_incoming_shutdown(service, incoming, pending());
        let mut serving: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { drop(serving.await) });
        // Without a budget: a task that has used up its own would find the connection not ready to be taken.
        let taken = pin!(unconstrained(&mut serving)).poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(taken.is_pending(), "the loop waits for more connections");
        Self(serving)
    }
}
