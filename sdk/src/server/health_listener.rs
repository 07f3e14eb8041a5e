//! A port without TLS at which there is nothing but health.
//!
//! It has an accept loop of its own. That of TLS is made of handshakes: its limits count those that are unfinished, and what comes out of
//! it has a session that was held against a generation. A way through it for connections without any would be one through which a port for
//! callers with certificates could come to serve others.

mod held;
mod probed;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::health::Health;
use held::Held;
use probed::Probed;

/// The most connections at a time. At the limit the oldest one of the address that has the most is closed for the next one: a probe is over
/// in a moment, and so finds a place whatever others hold.
const CONNECTIONS: usize = 32;

/// The most streams of a connection (RFC 9113 §5.1.2).
const STREAMS: u32 = 8;

/// The most streams of the port on which a status is watched; one more is refused with RESOURCE_EXHAUSTED.
const WATCHES: usize = 32;

/// The time a peer has from its connection to its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// The most bytes of a request's headers (RFC 9113 §6.5.2).
const HEADERS: u32 = 4096;

/// The window of a stream (RFC 9113 §6.9): no request is as large, and no answer waits in a larger buffer.
const WINDOW: u32 = 4096;

/// The number of streams that were reset, for the peer's errors or by the peer before they were served, after which a connection is closed.
const RESETS: usize = 16;

/// The pause of accepting after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port without TLS for the probes of a kubelet. It answers `grpc.health.v1.Health/Check` and `Watch` over HTTP/2 with prior knowledge
/// (RFC 9113 §3.3), and everything else with UNIMPLEMENTED: no route of the server is there. [`health`](crate::health) has a sample.
///
/// What callers can cost that have proven nothing is bounded: 32 connections, of which the oldest one of the busiest address makes place for
/// the next, 8 streams on each, 32 that watch, 5 s for a first request and for each call's request, 4 KiB of headers, 1 KiB of a message.
///
/// Given to [`Server::health_listener`](super::Server::health_listener), it goes on while the server drains, where it says NOT_SERVING, and
/// ends with it. So those that ask it know before connections end that no more are to be sent here.
#[must_use = "nobody answers until it is served"]
pub struct HealthListener {
    listener: TcpListener,
    health: Health,
}

impl HealthListener {
    /// Answers at this address.
    ///
    /// # Errors
    ///
    /// It is no address, or cannot be bound.
    pub async fn bind(address: impl ToSocketAddrs, health: &Health) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, health))
    }

    /// Answers at a port that is bound.
    pub fn new(listener: TcpListener, health: &Health) -> Self {
        Self { listener, health: health.clone() }
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Answers until `shutdown` is ready, for a serve loop of one's own; then all of its connections are closed. [`Health::drain`] is the
    /// caller's to call before. Cancel safe.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let watches = Arc::new(Semaphore::new(WATCHES));
        let (mut connections, mut held) = (JoinSet::new(), Held::default());
        let mut failed = false;
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next_with_id() => {
                    held.ended(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failed = false;
                        held.make_room(CONNECTIONS);
                        let connection = serve(stream, Probed::new(&self.health, &watches));
                        held.began(connections.spawn(connection), peer.ip());
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut failed, true) {
                            tracing::warn!(%error, "cannot accept connections of health probes; trying on");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, service: Probed) {
    // It fails only on a connection that is gone already, which HTTP/2 will notice.
    let _ = stream.set_nodelay(true);
    let asked = Arc::new(Notify::new());
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service.telling(&asked)));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = asked.notified() => connection.await,
        () = tokio::time::sleep(FIRST_REQUEST) => return tracing::debug!("a health probe's connection asked nothing"),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a health probe's connection failed");
    }
}

impl fmt::Debug for HealthListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}
