//! The pages over real sockets, while others hold connections.

mod page;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evercert_core::identity::IdentityId;
use evercert_fixtures::wait::{DEADLINE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::callers::Processes;
use crate::config::{Mode, PageAt};
use crate::publication::{KeyClaims, KeyHolder, Neighbours, Store};
use crate::serve::{Context, Control, DaemonInfo};

/// How long a probe of the kubelet's waits, by default.
const PROBE: Duration = Duration::from_secs(1);

struct Nobody;

impl KeyHolder for Nobody {
    fn want_keys(&self, _: &IdentityId, _: bool) {}
}

/// An HTTP side of a daemon that keeps nothing.
struct Side {
    address: SocketAddr,
    store: Arc<Store>,
    subscribers: Arc<Subscribers>,
    info: watch::Sender<DaemonInfo>,
    _server: AbortOnDropHandle<()>,
}

impl Side {
    /// With the page on loopback addresses, at such a one.
    async fn of_everything(configs: Option<Configs>, limit: Duration) -> Self {
        Self::start("127.0.0.1:0", configs, Some(PageAt::Loopback), limit).await
    }

    /// With the page, at this address; without one liveness and readiness are all there is.
    async fn start(address: &str, configs: Option<Configs>, page: Option<PageAt>, limit: Duration) -> Self {
        let store = Store::new(1);
        let metrics = Metrics::new(100, None).unwrap();
        let (_, wanted) = watch::channel(Arc::default());
        let key_claims = KeyClaims::new(Arc::new(Nobody));
        let subscribers = Subscribers::new(Arc::clone(&store), Arc::clone(&metrics) as _, key_claims);
        let (info, info_now) = watch::channel(DaemonInfo {
            version: "0.0.0",
            started: SystemTime::now(),
            ready: false,
            config_error: None,
            findings: BTreeMap::new(),
        });
        let neighbours = Neighbours::new(Arc::clone(&store));
        let context = Context {
            store: Arc::clone(&store),
            subscribers: Arc::clone(&subscribers),
            decisions: Arc::clone(&metrics) as _,
            door: Arc::clone(&metrics) as _,
            neighbours: Arc::clone(&neighbours),
            wanted: wanted.clone(),
            info: info_now,
            control: Control::new().0,
            processes: Arc::new(Processes::new(Vec::new())),
            mode: Mode::Publisher,
        };
        let scope = page.map_or(Scope::Probes, |at| Scope::Everything(configs, Box::new(Page { context, at })));
        let pages = Pages {
            readiness: Readiness::new(wanted, Arc::clone(&store)),
            subscribers: Arc::clone(&subscribers),
            neighbours,
            liveness: Liveness::new(Arc::clone(&metrics), limit),
            metrics,
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let (port, shutdown) = (listener.local_addr().unwrap().port(), CancellationToken::new());
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, scope, pages, shutdown)));
        Self { address: ([127, 0, 0, 1], port).into(), store, subscribers, info, _server: server }
    }
}

async fn connect(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    let mut answer = String::new();
    // To the end: the connection is for one request.
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_request_keep_no_probe_and_no_scrape_from_its_answer() {
    let Side { address, _server, .. } = Side::of_everything(None, DEADLINE).await;
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
    let Side { address, _server, .. } = Side::of_everything(None, DEADLINE).await;
    let mut silent = connect(address, b"GET /healthz").await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(HEADER_TIMEOUT + DEADLINE / 4, silent.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open");
}

#[tokio::test]
async fn a_daemon_that_does_not_turn_is_not_alive_at_either_address() {
    for page in [Some(PageAt::Off), None] {
        let Side { address, _server, .. } = Side::start("127.0.0.1:0", None, page, Duration::from_millis(50)).await;
        let answer = until("it counts as dead", || async {
            Some(get(address, "/healthz").await).filter(|answer| answer.starts_with("HTTP/1.1 503"))
        })
        .await;
        assert!(answer.contains("nothing was looked at for"), "{answer}");
        assert!(
            get(address, "/readyz").await.starts_with("HTTP/1.1 200"),
            "nothing is wanted, and so nothing is missing"
        );
    }
}

#[tokio::test]
async fn the_address_for_probes_has_liveness_and_readiness_and_nothing_else() {
    let Side { address, _server, .. } = Side::start("127.0.0.1:0", None, None, DEADLINE).await;
    let nowhere = ["/metrics", "/", "/updates", "/checks/expired", "/healthz/x"].map(|path| (path, 404));
    for (path, status) in [("/healthz", 200), ("/readyz", 200)].into_iter().chain(nowhere) {
        let answer = get(address, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_at_once_while_there_is_no_certificate_to_present() {
    let (_configs, configs) = watch::channel(None);
    let Side { address, _server, .. } = Side::of_everything(Some(configs), DEADLINE).await;
    let mut closed = connect(address, b"").await;
    let mut answer = Vec::new();
    tokio::time::timeout(PROBE, closed.read_to_end(&mut answer)).await.expect("there is nothing to present").unwrap();
    assert!(answer.is_empty());
}
