//! The HTTP side: metrics, liveness and readiness, for machines on the node. Without TLS and without authentication,
//! so by default on the loopback address alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::readiness::Readiness;
use crate::subscribers::Subscribers;

/// The most connections at a time; further ones wait to be accepted.
const CONNECTIONS: u32 = 64;

/// How long the head of a request may take, and a connection may wait for the next one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest life of a connection, whatever it does: a reader that never reads gives its place back.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);

/// The pause after a failed accept, which most likely means that no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most identities that `/readyz` names.
const NAMED_UNREADY: usize = 100;

/// What the pages are made from.
#[derive(Clone)]
pub(crate) struct Pages {
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether everything is published.
    pub(crate) readiness: Readiness,
    /// Who is connected.
    pub(crate) subscribers: Arc<Subscribers>,
    /// How long the keeper may be silent before it counts as dead.
    pub(crate) silence_limit: Duration,
}

impl Pages {
    /// Whether the keeper gave a sign of life lately.
    pub(crate) fn is_alive(&self) -> bool {
        self.metrics.silence() <= self.silence_limit
    }
}

/// Serves `pages` on `listener` until `shutdown`; connections are cut then.
pub(crate) async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages);
    let permits = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let accepting = async {
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(stream, router.clone());
                    let shutdown = shutdown.clone();
                    tokio::spawn(async move {
                        shutdown.run_until_cancelled(connection).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accepting).await;
    // Every connection holds a permit until it has ended.
    let _ = permits.acquire_many(CONNECTIONS).await;
}

async fn connection(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_LIFETIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an HTTP connection failed"),
        Err(_) => debug!("an HTTP connection is over its lifetime"),
    }
}

async fn index() -> Html<&'static str> {
    Html(include_str!("http/index.html"))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let page = pages.metrics.page(&pages.readiness, &pages.subscribers, SystemTime::now());
    let body = Body::from_stream(stream::iter(page.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

async fn healthz(State(pages): State<Pages>) -> Response {
    if pages.is_alive() {
        return "alive\n".into_response();
    }
    let silence = pages.metrics.silence().as_secs();
    (StatusCode::SERVICE_UNAVAILABLE, format!("nothing was looked at for {silence} s\n")).into_response()
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let (unpublished, watched) = (pages.readiness.unpublished(), pages.readiness.watched());
    let findings = watched.iter().flat_map(|watched| &watched.findings);
    let told: String = findings.map(|finding| format!("{}: {}\n", finding.check, finding.sentence)).collect();
    if unpublished.is_empty() && !watched.iter().any(|watched| watched.is_wanting) {
        return format!("ready\n{told}").into_response();
    }
    let named = unpublished.iter().take(NAMED_UNREADY).map(|identity| format!("{identity}\n"));
    let more = unpublished.len().saturating_sub(NAMED_UNREADY);
    let more = (more > 0).then(|| format!("and {more} more\n"));
    (StatusCode::SERVICE_UNAVAILABLE, named.chain(more).chain([told]).collect::<String>()).into_response()
}
