//! One connection in the hands of whoever serves it.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::unconstrained;
use tokio_stream::StreamExt as _;
use tokio_util::sync::DropGuard;
use tonic::body::Body;
use tonic::transport::server::Connected;
use tower::{BoxError, Service};

/// One connection that is served; when this is dropped, it is drained.
#[expect(dead_code, reason = "they are there to be dropped")]
pub(super) enum Serving {
    /// By tonic, in our serve loop.
    Tonic(Loop),
    /// By a serve loop of the user's own, which the guard tells.
    Own(DropGuard),
}

/// tonic tells the connections of a serve loop to go by a channel that belongs to the loop's future, and serves each on a task of
/// its own. So a loop of one connection has nothing to do once it has taken that, and is never polled again: the
/// connection costs one task, and not two.
type Loop = Pin<Box<dyn Future<Output = Result<(), tonic::transport::Error>> + Send>>;

impl Serving {
    /// Hands the connection to tonic, with the layered service that all connections of the server share.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(super) fn by_tonic<IO, S, B>(server: tonic::transport::Server, service: S, io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let incoming = tokio_stream::once(Ok::<_, Infallible>(io)).chain(tokio_stream::pending());
        let mut serving: Loop = Box::pin(server.serve_with_incoming_shutdown(service, incoming, pending()));
        // Without a budget: a task that has used up its own would find the connection not ready to be taken.
        let taken = pin!(unconstrained(&mut serving)).poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(taken.is_pending(), "the loop waits for more connections");
        Self::Tonic(serving)
    }
}
