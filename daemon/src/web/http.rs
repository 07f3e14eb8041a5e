//! The HTTP side: metrics, liveness and readiness, for machines, and a page for people. Where no certificate is configured it is without TLS and without
//! authentication, so by default on the loopback address alone; liveness and readiness may have an address of their own besides.
//!
//! Peers that reach the address can connect as often as they like. So a connection is for one request, nobody waits for a place,
//! and a peer that asks for something comes before one that says nothing: a probe is answered whatever others hold.

mod host;
mod permits;

use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::ready;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_util::sync::{CancellationToken, PollSemaphore};
use tower::ServiceExt as _;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tracing::{debug, error, warn};

use permits::{Permit, Permits};

use crate::host::sockets;
use crate::publication::{Neighbours, Readiness, Subscribers};
use crate::serve::{Accepting, Intake};
use crate::status::Tally;
use crate::web::certificate::Configs;
use crate::web::liveness::Liveness;
use crate::web::metrics::{CONTENT_TYPE, Metrics};
use crate::web::page::{self, Page};

/// The most connections at a time: one more takes the place of an idle one.
const CONNECTIONS: usize = 128;

/// How many of them may be given the metrics at a time: one more takes the place of the one that reads for the longest.
const SCRAPES: usize = 16;

/// How many of them may follow what changes, for as long as somebody looks at the page: one more takes the place of the one that has for the longest.
const FOLLOWERS: usize = 16;

/// How many pages are begun at a time, which is what takes the processor.
const RENDERINGS: usize = 1;

/// How long the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// How many TLS handshakes are computed at a time, each a signature and a chain to verify: the other processors are for the callers.
const HANDSHAKES: usize = 1;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes of a request's head that are kept.
const HEAD_LIMIT: usize = 16 * 1024;

/// The longest life of a connection, whatever it does: a reader that never reads gives its place back.
pub(super) const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// How many connections wait to be served besides those in the kernel's queue.
const NEWCOMERS: usize = 16;

/// The most identities that `/readyz` names.
const NAMED_UNREADY: usize = 100;

/// The sources of the pages.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) metrics: Arc<Metrics>,
    /// Whether everything is published.
    pub(crate) readiness: Readiness,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) neighbours: Arc<Neighbours>,
    /// Whether the daemon turns.
    pub(crate) liveness: Liveness,
}

/// What is served at an address.
pub(crate) enum Scope {
    /// Every page, by TLS where there are configs for it.
    Everything(Option<Configs>, Box<Page>),
    /// Liveness and readiness, without TLS.
    Probes,
}

/// Serves of `pages` what `scope` says on `listener` until `shutdown`; connections are cut then.
pub(crate) async fn serve(listener: TcpListener, scope: Scope, pages: Pages, shutdown: CancellationToken) {
    // As far as the kernel allows, whatever whoever opened the socket asked for.
    if let Err(error) = rustix::net::listen(&listener, sockets::BACKLOG) {
        debug!(%error, "the queue of the HTTP socket stays as long as it was");
    }
    let address = listener.local_addr().ok();
    let turn = Arc::new(Semaphore::new(RENDERINGS));
    let limits = Arc::clone(&pages.metrics);
    let rendering = Rendering { pages, turn: Arc::clone(&turn) };
    let probes = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let (router, configs) = match scope {
        Scope::Everything(configs, page) => {
            let page = page.routes(address, turn, Arc::clone(&limits));
            let metrics = probes.route("/metrics", get(metrics).layer(gzip()));
            (metrics.with_state(rendering).merge(page), configs)
        }
        Scope::Probes => (probes.with_state(rendering), None),
    };
    let is_guarded = configs.is_none() && address.is_none_or(|address| address.ip().is_loopback());
    let router = if is_guarded { router.layer(middleware::from_fn(host::asked_for_here)) } else { router };
    let (sender, mut newcomers) = mpsc::channel(NEWCOMERS);
    let intake = Newcomers { sender, failing: false };
    let accepting = listener.into_std().and_then(|listener| Accepting::start(listener, "http", None, intake));
    let _accepting = match accepting {
        Ok(accepting) => accepting,
        Err(error) => return error!(%error, "HTTP connections cannot be accepted"),
    };
    let permits = Permits::new(CONNECTIONS, SCRAPES, FOLLOWERS, move |limit| limits.limit_reached(limit));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let tls = configs.map(|configs| Tls { configs, turn: handshakes });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Some(stream) = newcomers.recv() => {
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                connections.spawn(connection(stream, tls.clone(), router.clone(), permits.take()));
            }
        }
    }
}

/// Passes connections on as fast as they are served. Those that are too many wait in the kernel's queue.
struct Newcomers {
    sender: mpsc::Sender<std::net::TcpStream>,
    failing: bool,
}

impl Intake for Newcomers {
    fn came(&mut self, stream: OwnedFd) -> ControlFlow<()> {
        self.failing = false;
        // It ends when the receiver is gone.
        match self.sender.blocking_send(stream.into()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn exhausted(&mut self, error: Errno) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%error, "cannot accept an HTTP connection");
        }
    }
}

/// What a TLS handshake needs.
#[derive(Clone)]
struct Tls {
    configs: Configs,
    turn: Arc<Semaphore>,
}

/// Has `work` compute only in its turn, and not keep it while it waits for the other side.
async fn in_turn<F: Future>(turn: Arc<Semaphore>, work: F) -> F::Output {
    let (mut work, mut turn) = (pin!(work), PollSemaphore::new(turn));
    poll_fn(|cx| {
        // It is never closed.
        let _turn = ready!(turn.poll_acquire(cx));
        work.as_mut().poll(cx)
    })
    .await
}

async fn connection(stream: TcpStream, tls: Option<Tls>, router: Router, permit: Permit) {
    let permit = Arc::new(permit);
    let answering = {
        let permit = Arc::clone(&permit);
        async move {
            let Some(Tls { configs, turn }) = tls else { return answer(stream, router, permit).await };
            // The config of this moment: the next handshake may have another.
            let Some(config) = configs.borrow().clone() else {
                return debug!("an HTTP connection was closed, as there is no certificate to present yet");
            };
            let handshake = async {
                let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
                permit.handshakes();
                in_turn(turn, begun.into_stream(config)).await
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => answer(stream, router, permit).await,
                Ok(Err(error)) => debug!(%error, "a TLS handshake on the HTTP side failed"),
                Err(_) => debug!("a TLS handshake on the HTTP side took too long"),
            }
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(CONNECTION_LIFETIME, answering) => if ended.is_err() {
            debug!("an HTTP connection is over its lifetime");
        },
        () = permit.given_up() => debug!("an HTTP connection gave its place to a newcomer"),
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, permit: Arc<Permit>) {
    let service = tower::service_fn(move |request: http::Request<Incoming>| {
        match request.uri().path() {
            "/metrics" => permit.scrapes(),
            page::UPDATES => permit.follows(),
            _ => permit.answers(),
        }
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = connection.await {
        debug!(%error, "an HTTP connection failed");
    }
}

/// The state of the handlers.
#[derive(Clone)]
struct Rendering {
    pages: Pages,
    turn: Arc<Semaphore>,
}

/// Compresses for those who take it: names of metrics and labels repeat, so that a page becomes a small part of itself.
fn gzip() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

async fn metrics(State(Rendering { pages, turn }): State<Rendering>) -> Response {
    let page = {
        // It is never closed.
        let _turn = turn.acquire().await.ok();
        pages.metrics.page(&pages.readiness, &pages.subscribers, &pages.neighbours, SystemTime::now())
    };
    let body = Body::from_stream(stream::iter(page.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

async fn healthz(State(Rendering { pages, .. }): State<Rendering>) -> Response {
    if pages.liveness.is_alive() {
        return "alive\n".into_response();
    }
    let silence = pages.liveness.silence().as_secs();
    (StatusCode::SERVICE_UNAVAILABLE, format!("nothing was looked at for {silence} s\n")).into_response()
}

async fn readyz(State(Rendering { pages, .. }): State<Rendering>) -> Response {
    let (unpublished, watched) = (pages.readiness.unpublished(), pages.readiness.watched());
    let findings = watched.iter().flat_map(|watched| &watched.findings);
    let told: String = findings.map(|finding| format!("{}: {}\n", finding.check, finding.sentence)).collect();
    let (identities, _) = pages.readiness.identities();
    let tally = Tally::of_states(identities.iter().map(|(_, state)| state.as_deref()), SystemTime::now());
    if unpublished.is_empty() && !watched.iter().any(|watched| watched.is_wanting) {
        return format!("ready: {tally}\n{told}").into_response();
    }
    let named: String = unpublished.iter().take(NAMED_UNREADY).map(|identity| format!("{identity}\n")).collect();
    let more = match unpublished.len().saturating_sub(NAMED_UNREADY) {
        0 => String::new(),
        more => format!("and {more} more\n"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {tally}\n{named}{more}{told}")).into_response()
}

#[cfg(test)]
mod tests;
