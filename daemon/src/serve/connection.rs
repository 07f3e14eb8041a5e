//! One connection: its peer, and the limits it is served under.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt as _;

use super::limits::BYTES;
use super::patience::{Allowance, GaveUp, Patience, Patient};
use super::turned_away::{Doorkeeper, ServingLimit, TurnedAway};
use crate::callers::{Caller, Exceeded, Party, Rates, Share, Uses};
use crate::publication::Disconnect;

/// The interval at which a peer is asked whether it is still there.
const PING: Duration = Duration::from_secs(10);

/// The streams one connection may have open (SETTINGS_MAX_CONCURRENT_STREAMS).
const STREAMS: u32 = 128;

/// The streams a peer may have reset, or made this side reset, before the connection is closed.
const RESETS: usize = 1024;

/// The bytes a peer may send before they are read, for a stream and for all streams of a connection.
const RECEIVE_WINDOW: u32 = 64 * 1024;

/// The bytes taken from a stream's responses before the peer has made room for them. The rest stays where it is: in the
/// store, where the latest generation replaces the one before.
const SEND_BUFFER: usize = 16 * 1024;

/// The largest set of headers, in bytes.
const HEADERS: u32 = 16 * 1024;

/// The time a connection, or a stream, that was displaced may take to be told.
pub(super) const FAREWELL: Duration = Duration::from_millis(200);

/// Whether a request has lost its place to another party's: an extension of the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Displaced(CancellationToken);

impl Displaced {
    pub(super) fn new(by: CancellationToken) -> Self {
        Self(by)
    }

    pub(super) fn is_so(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// The other end of a connection: an extension of every request.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) caller: Caller,
    /// The time a message may wait for the peer to take it.
    pub(super) taking: Duration,
    /// The streams that were accepted on the connection.
    pub(super) accepted: Uses,
    gave_up: GaveUp,
    takes_nothing: CancellationToken,
    displaced: CancellationToken,
}

impl Peer {
    /// Why a stream ended that the other side, or what counts the streams, broke off.
    pub(super) fn why_it_left(&self, stream: &Displaced) -> Disconnect {
        if stream.is_so() {
            Disconnect::Displaced
        } else if self.caller.has_ended() {
            Disconnect::ProcessEnded
        } else if self.displaced.is_cancelled() {
            Disconnect::Displaced
        } else if self.is_silent() {
            Disconnect::Timeout
        } else {
            Disconnect::ClientClosed
        }
    }

    /// Gives the connection up: what was sent is not taken.
    pub(super) fn takes_nothing(&self) {
        self.gave_up.now();
        self.takes_nothing.cancel();
    }

    /// Is cancelled when the connection has to make room for another caller's.
    pub(super) fn displaced(&self) -> &CancellationToken {
        &self.displaced
    }

    /// Whether the connection was given up because the peer was silent for too long.
    fn is_silent(&self) -> bool {
        self.gave_up.is_so()
    }
}

#[cfg(test)]
impl From<Caller> for Peer {
    fn from(caller: Caller) -> Self {
        Self {
            caller,
            taking: Duration::from_secs(30),
            accepted: Uses::default(),
            gave_up: GaveUp::default(),
            takes_nothing: CancellationToken::new(),
            displaced: CancellationToken::new(),
        }
    }
}

/// The request's sender.
pub(super) fn peer<T>(request: &tonic::Request<T>) -> Result<Arc<Peer>, Status> {
    request.extensions().get::<Arc<Peer>>().cloned().ok_or_else(|| Status::internal("the caller is not known"))
}

impl From<Exceeded> for TurnedAway {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::InAll => Self::AsksTooOftenInAll,
            Exceeded::PerParty => Self::AsksTooOften,
        }
    }
}

fn too_often(exceeded: Exceeded) -> Status {
    let setting = match exceeded {
        Exceeded::InAll => "requests_per_second",
        Exceeded::PerParty => "requests_per_second_per_caller",
    };
    Status::resource_exhausted(format!(
        "too many requests: `{setting}` of [limits] allows no more; try again in a second"
    ))
}

/// How much may be asked and read of the callers of a socket, and who is told where that is too much.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) rates: Arc<Rates>,
    pub(super) budget: ByteBudget,
    pub(super) doorkeeper: Arc<Doorkeeper>,
}

/// Serves `routes` to one caller until it closes, its process ends, it is silent or takes nothing for too long, or `shutdown` has ended its
/// streams. Dropping the future closes the connection.
pub(super) async fn serve(
    stream: UnixStream,
    caller: Caller,
    share: Share,
    routes: Routes,
    meters: Meters,
    patience: Patience,
    shutdown: CancellationToken,
) {
    let gave_up = GaveUp::default();
    let Meters { rates, budget, doorkeeper } = meters;
    let allowance = budget.of(caller.party(), Arc::clone(&doorkeeper));
    let io = TokioIo::new(Patient::new(stream, patience, gave_up.clone()).within(allowance));
    let displaced = share.displaced().clone();
    let takes_nothing = CancellationToken::new();
    let peer = Arc::new(Peer {
        caller,
        taking: patience.taking,
        accepted: share.uses().clone(),
        gave_up,
        takes_nothing: takes_nothing.clone(),
        displaced: displaced.clone(),
    });
    let caller = Arc::clone(&peer);
    let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let party = peer.caller.party();
        let allowed =
            rates.check(&party).inspect_err(|exceeded| doorkeeper.turned_away(Some(&party), (*exceeded).into()));
        request.extensions_mut().insert(Arc::clone(&peer));
        let routes = routes.clone();
        async move {
            match allowed {
                Ok(()) => routes.oneshot(request).await,
                Err(exceeded) => Ok(too_often(exceeded).into_http()),
            }
        }
    });
    let connection = builder(patience).serve_connection(io, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        // Another process may hold the socket still; it is not the one that was let in.
        () = caller.caller.ended() => Ok(()),
        ended = connection.as_mut() => ended,
        () = takes_nothing.cancelled() => Ok(()),
        () = displaced.cancelled() => {
            // Without a stream there is nobody to be told, and those who come in a loop would be many at a time.
            if caller.caller.is_hidden() && caller.accepted.is_none() {
                Ok(())
            } else {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
            }
        }
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    drop(share);
}

/// Answers whatever is asked that it has to be asked again: it is not known yet who asks.
pub(super) async fn put_off(stream: UnixStream, share: Share, patience: Patience) {
    let io = TokioIo::new(Patient::new(stream, patience, GaveUp::default()));
    let service = tower::service_fn(|_: http::Request<hyper::body::Incoming>| async {
        let status = Status::unavailable(
            "evercertd has no descriptor left to find out who calls (LimitNOFILE of its unit): try again in a second",
        );
        Ok::<_, Infallible>(status.into_http::<tonic::body::Body>())
    });
    let connection = builder(patience).serve_connection(io, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = share.displaced().cancelled() => {}
        () = tokio::time::sleep(patience.preface) => {}
    }
}

fn builder(patience: Patience) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.min(patience.silence / 3))
        // Silence is noticed by the IO, which also notices it while a write is stuck; hyper's own timeout would only
        // send a GOAWAY then.
        .keep_alive_timeout(patience.silence * 2)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADERS);
    builder
}

/// Each caller's budget of bytes.
#[derive(Clone)]
pub(super) struct ByteBudget(Arc<Rates>);

impl ByteBudget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Rates::new(NonZeroU32::MAX, BYTES)))
    }

    /// That of `party`; `doorkeeper` is told each time that it is used up.
    fn of(&self, party: Party, doorkeeper: Arc<Doorkeeper>) -> Allowance {
        let rates = Arc::clone(&self.0);
        Box::new(move |bytes| {
            let wait = rates.wait(&party, bytes.min(BYTES));
            wait.inspect(|_| doorkeeper.limit_reached(&party, ServingLimit::BytesPerSecond))
        })
    }
}
