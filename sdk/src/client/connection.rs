//! One accepted HTTP/2 connection.

use std::time::{Duration, Instant};

use evercert_core::digest::Digest;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::SendRequest;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

/// A connection that a server accepted, and the generation it was made with. Dropping it drops the last handle to the HTTP/2
/// connection but for those of calls: it then takes no new stream, finishes those it has, and closes.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    generation: u64,
    digest: Digest,
    closed: CancellationToken,
    since: Instant,
}

impl Connection {
    /// `closed` is cancelled when the connection takes no new stream any more.
    pub(super) fn new(sender: SendRequest<Body>, generation: u64, digest: Digest, closed: CancellationToken) -> Self {
        Self { sender, generation, digest, closed, since: Instant::now() }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// How long ago the server accepted it.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it takes new streams, as far as is known here: a GOAWAY may be on its way.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Completes once it takes no new stream.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Sends a request. An error that carries the request back proves that the server never saw it.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.sender.clone().try_send_request(request)
    }
}
