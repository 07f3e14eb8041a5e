//! The pages over real sockets, while others hold connections.

use std::net::SocketAddr;

use evercert_core::identity::IdentityId;
use evercert_fixtures::wait::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::publication::{KeyClaims, KeyHolder, Store};

/// How long a probe of the kubelet's waits, by default.
const PROBE: Duration = Duration::from_secs(1);

struct Nobody;

impl KeyHolder for Nobody {
    fn want_keys(&self, _: &IdentityId, _: bool) {}
}

async fn served() -> (SocketAddr, AbortOnDropHandle<()>) {
    let store = Store::new(1);
    let metrics = Metrics::new().unwrap();
    let (_, wanted) = watch::channel(Arc::default());
    let pages = Pages {
        readiness: Readiness::new(wanted, Arc::clone(&store)),
        subscribers: Subscribers::new(store, Arc::clone(&metrics) as _, KeyClaims::new(Arc::new(Nobody))),
        metrics,
        silence_limit: DEADLINE,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, AbortOnDropHandle::new(tokio::spawn(serve(listener, pages, CancellationToken::new()))))
}

async fn connect(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    let mut answer = String::new();
    // To the end: the connection is for one request.
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_request_keep_no_probe_and_no_scrape_from_its_answer() {
    let (address, _server) = served().await;
    let mut silent = Vec::new();
    for round in 0..3 {
        for number in 0..2 * CONNECTIONS {
            let half: &[u8] = if number % 2 == 0 { b"" } else { b"GET /metrics HTTP/1.1\r\nHost: x\r\n" };
            silent.push(connect(address, half).await);
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = tokio::time::timeout(PROBE, get(address, path)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{path} was not answered in round {round}"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_ends_soon() {
    let (address, _server) = served().await;
    let mut silent = connect(address, b"GET /healthz").await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(HEADER_TIMEOUT + DEADLINE / 4, silent.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open");
}
