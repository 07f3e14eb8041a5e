//! The hook of a serve loop of one's own.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Ready when the peer of a connection is to be told to go, by [`DrainPolicy`](super::DrainPolicy) or
/// [`Incoming::shut_down`](super::Incoming::shut_down); given by [`TlsIo::draining`](super::TlsIo::draining). Running requests may
/// go on then; the connection is cut after the policy's timeout.
///
/// What a connection is upgraded to, such as a WebSocket, is out of HTTP's hands: whoever serves that takes a hook of its own, or sees it
/// cut.
///
/// hyper tells a peer by its connections' `graceful_shutdown`, which [`Draining::drive`] calls at the right time:
///
/// ```no_run
/// # use evercert::server::Incoming;
/// # use hyper_util::rt::{TokioExecutor, TokioIo};
/// # use hyper_util::server::conn::auto;
/// # use hyper_util::service::TowerToHyperService;
/// # use tokio::net::TcpStream;
/// # use tokio_stream::StreamExt as _;
/// # async fn serve(mut incoming: Incoming<TcpStream>, router: axum::Router) {
/// while let Some(Ok(mut io)) = incoming.next().await {
///     let (draining, peer) = (io.draining(), io.peer_identity());
///     let service = TowerToHyperService::new(router.clone().layer(axum::Extension(peer)));
///     tokio::spawn(async move {
///         let http = auto::Builder::new(TokioExecutor::new());
///         let connection = http.serve_connection_with_upgrades(TokioIo::new(io), service);
///         draining.drive(connection, |connection| connection.graceful_shutdown()).await
///     });
/// }
/// # }
/// ```
#[must_use = "once the hook is taken, nobody else tells the peer to go"]
pub struct Draining(Pin<Box<WaitForCancellationFutureOwned>>);

impl Draining {
    pub(super) fn new(told: CancellationToken) -> Self {
        Self(Box::pin(told.cancelled_owned()))
    }

    /// Runs a connection to its end. `tell` is called once if it is to be drained before that, and has to make it tell its peer to go and
    /// end with what runs on it. Cancel safe if the connection is.
    pub async fn drive<C: Future>(mut self, connection: C, tell: impl FnOnce(Pin<&mut C>)) -> C::Output {
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            output = connection.as_mut() => return output,
            () = &mut self => tell(connection.as_mut()),
        }
        connection.await
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").finish_non_exhaustive()
    }
}
