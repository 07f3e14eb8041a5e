//! Names with several addresses, of which some are dead.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evercert::client::{ChannelError, ConnectFailure, Endpoint};
use evercert_fixtures::Authority;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use crate::peers::{DEADLINE, Publisher, SERVER, Server, acceptor, call, until_generation};

/// The longest time within which one living address among ten is found.
const FOUND_WITHIN: Duration = Duration::from_secs(3);

/// A connection that has no answer after so long finds the queue full: less than a second, after which the kernel asks again.
const UNANSWERED: Duration = Duration::from_millis(500);

/// A listener that gives nobody a connection, for as long as it lives.
struct Dead {
    address: SocketAddr,
    /// The number of connections it took.
    taken: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Dead {
    /// It takes connections, and begins a handshake where it has a certificate; else it never says a word.
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Relaxed);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => _ = tls.accept(stream).await,
                        None => _ = stream.read_to_end(&mut Vec::new()).await,
                    }
                });
            }
        }));
        Self { address, taken, _task: task }
    }

    async fn silent() -> Self {
        Self::start(None).await
    }

    /// It shows a certificate of a CA that nobody trusts.
    async fn untrusted() -> Self {
        let stranger = Authority::new("stranger");
        Self::start(Some(acceptor(&stranger, &stranger.issue_dns(SERVER), &[b"h2"]))).await
    }

    fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// An address whose queue of connections is full: the kernel drops every further SYN.
async fn full(bind: &str) -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(bind.parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(UNANSWERED, TcpStream::connect(("127.0.0.1", address.port()))).await {
        queued.push(stream.unwrap());
    }
    (address, queued, listener)
}

/// The endpoint of [`SERVER`], whose name has these addresses.
fn endpoint(addresses: Vec<SocketAddr>) -> Endpoint {
    let resolver = move |_: &str, _| std::future::ready(Ok(addresses.clone()));
    Endpoint::new(format!("https://{SERVER}:50051")).unwrap().resolver(resolver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_addresses_of_which_nine_are_dead_the_living_one_answers_within_three_seconds() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let full =
        [full("127.0.0.1:0").await, full("127.0.0.1:0").await, full("127.0.0.1:0").await, full("127.0.0.1:0").await];
    let silent = [Dead::silent().await, Dead::silent().await, Dead::silent().await];
    let untrusted = [Dead::untrusted().await, Dead::untrusted().await];
    let dead = full.iter().map(|full| full.0).chain(silent.iter().chain(&untrusted).map(|dead| dead.address));
    let addresses = dead.chain([server.address]).collect();

    let channel = endpoint(addresses).wait_for_ready(true).connect_lazy(&Publisher::of(&ca).identity().await);
    let start = Instant::now();
    timeout(DEADLINE, call(&channel)).await.expect("an answer").unwrap();
    assert!(start.elapsed() < FOUND_WITHIN, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_worked_is_tried_first_from_then_on() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let silent = Dead::silent().await;
    let publisher = Publisher::of(&ca);
    let endpoint = endpoint(vec![silent.address, server.address]).rotation_spread(Duration::ZERO);
    let channel = endpoint.connect(&publisher.identity().await).await.unwrap();
    assert_eq!((silent.taken(), server.connections()), (1, 1));

    for moves in 2..6 {
        let generation = publisher.publish(&ca.issue_dns("client"), Some(&ca));
        until_generation(&channel, generation).await;
        assert_eq!((silent.taken(), server.connections()), (1, moves));
    }
}

#[tokio::test]
async fn every_address_that_failed_is_told_with_its_reason() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let (silent, untrusted) = (Dead::silent().await, Dead::untrusted().await);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let limit = Duration::from_millis(300);
    let all = endpoint(vec![silent.address, untrusted.address, closed]).handshake_timeout(limit);
    let status = call(&all.connect_lazy(&identity)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for (address, reason) in [(silent.address, "handshake_timeout"), (untrusted.address, "TLS"), (closed, "refused")] {
        let (_, after) = status.message().split_once(&address.to_string()).expect("each address is named");
        assert!(after.split("127.0.0.1").next().unwrap().contains(reason), "{status}");
    }

    let one = endpoint(vec![untrusted.address]).connect(&identity).await;
    let Err(ChannelError::NotConnected { cause, .. }) = one else { panic!("{one:?}") };
    assert!(matches!(cause.failure, ConnectFailure::Tls(_)), "{cause}");
    assert!(cause.to_string().contains(&format!("at {}", untrusted.address)), "{cause}");
}

#[tokio::test]
async fn a_name_without_addresses_is_unavailable_with_the_resolvers_word_for_it() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let status = call(&endpoint(vec![]).connect_lazy(&identity)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("api.internal has no addresses"), "{status}");

    let limit = Duration::from_millis(50);
    let never = |_: &str, _| std::future::pending::<io::Result<Vec<SocketAddr>>>();
    let endpoint = Endpoint::new(format!("https://{SERVER}")).unwrap().resolver(never).connect_timeout(limit);
    let status = call(&endpoint.connect_lazy(&identity)).await.unwrap_err();
    assert!(status.message().contains("did not resolve within 50ms"), "{status}");
}

/// The two addresses of each connection to this port that waits for an answer to its SYN.
fn unanswered(port: u16) -> BTreeSet<[String; 2]> {
    const SYN_SENT: &str = "02";
    let (to, table) = (format!(":{port:04X}"), std::fs::read_to_string("/proc/net/tcp").unwrap());
    let one = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        (remote.ends_with(&to) && state == SYN_SENT).then(|| [local, remote].map(str::to_owned))
    };
    // The kernel writes the table piece by piece: what changes meanwhile may be in it twice.
    table.lines().filter_map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_has_no_more_than_sixteen_sockets_however_many_addresses_are_dead_and_calls_are_made() {
    let ca = Authority::new("ca");
    let (address, _queued, _listener) = full("0.0.0.0:0").await;
    let port = address.port();
    let addresses = (1..=8).map(|host| ([127, 0, 0, host], port).into()).collect();
    // None of them is given up and made anew while the kernel writes its table: it would be counted twice.
    let endpoint = endpoint(addresses).connect_timeout(DEADLINE);
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let (start, mut most) = (Instant::now(), BTreeSet::new());
    while start.elapsed() < Duration::from_secs(4) {
        _ = timeout(Duration::from_millis(50), call(&channel)).await;
        let now = unanswered(port);
        if now.len() > most.len() {
            most = now;
        }
    }
    assert!((8..=16).contains(&most.len()), "{} sockets: {most:?}", most.len());
}
