//! Whatever ends a connection, nothing of it stays. Tasks and descriptors are the process's, so this test has one of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, reason = "the tests of the server use the rest")]
#[path = "../server/clients.rs"]
mod clients;
#[allow(dead_code, reason = "the tests of the server use the rest")]
#[path = "../server/patient.rs"]
mod patient;
#[allow(dead_code, reason = "the tests of the server use the rest")]
#[path = "../server/support.rs"]
mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use evercert::server::{AcceptLimits, DrainPolicy, Superseded};
use evercert::{Identity, Server};
use evercert_fixtures::{Authority, Issued};
use http::Request;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tower::util::MapRequestLayer;

use clients::{accepted, channel, client, tcp, try_channel};
use patient::{PANICS, Patient, check, checking, reading, silent_watch, slow_check, watch};
use support::{NAME, Script, server_leaf, snapshot, soon};

/// A process's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    tasks: usize,
    descriptors: usize,
}

impl Held {
    fn now() -> Self {
        let tasks = Handle::current().metrics().num_alive_tasks();
        Self { tasks, descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count() }
    }

    /// Until the process has what it had then.
    async fn is_back_at(then: Self) {
        let back = async {
            while Self::now() != then {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(support::DEADLINE, back).await.is_err() {
            panic!("{then:?} then, {:?} now", Self::now());
        }
    }
}

struct Peers {
    port: u16,
    ca: Authority,
    own: Issued,
}

impl Peers {
    fn config(&self) -> Arc<ClientConfig> {
        Arc::new(client(&self.ca, Some(&self.own)))
    }

    /// One connection of each way to end.
    async fn come_and_go(&self, way: usize) {
        match way {
            0 => {
                let channel = self.channel().await;
                check(&channel).await.unwrap();
            }
            1 => {
                let channel = self.channel().await;
                let stream = watch(&channel).await;
                drop((channel, stream));
            }
            2 => {
                let stream = self.connection().await;
                stream.get_ref().0.set_zero_linger().unwrap();
            }
            3 => drop(self.connection().await),
            4 => until_closed(self.connection().await).await,
            5 => until_closed(tcp(self.port).await).await,
            6 => self.half_a_handshake().await,
            7 => {
                let channel = self.channel().await;
                assert!(soon(checking(&channel, PANICS)).await.unwrap().is_err());
                check(&channel).await.unwrap();
            }
            8 => {
                let channel = self.channel().await;
                let mut request = tonic::Request::new(tonic_health::pb::HealthCheckRequest::default());
                request.metadata_mut().insert("panic", "in a layer".parse().unwrap());
                let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
                assert!(soon(health.check(request)).await.is_err());
            }
            _ => {
                let channel = self.channel().await;
                let call = slow_check(&channel);
                tokio::task::yield_now().await;
                call.abort();
                let _ = call.await;
            }
        }
    }

    /// The server's deadlines are short, and a busy machine may need another try.
    async fn channel(&self) -> tonic::transport::Channel {
        soon(async {
            loop {
                if let Ok(channel) = try_channel(client(&self.ca, Some(&self.own)), self.port).await {
                    return channel;
                }
            }
        })
        .await
    }

    async fn connection(&self) -> TlsStream<TcpStream> {
        soon(async {
            loop {
                if let Ok(connection) = accepted(&self.config(), tcp(self.port).await).await {
                    return connection;
                }
            }
        })
        .await
    }

    async fn half_a_handshake(&self) {
        let mut io = tcp(self.port).await;
        let mut hello = Vec::new();
        let name = ServerName::try_from(NAME).unwrap();
        ClientConnection::new(self.config(), name).unwrap().write_tls(&mut hello).unwrap();
        io.write_all(&hello).await.unwrap();
        until_closed(io).await;
    }
}

async fn until_closed(mut io: impl tokio::io::AsyncRead + Unpin) {
    let _ = soon(io.read_to_end(&mut Vec::new())).await;
}

fn panicking(request: Request<Body>) -> Request<Body> {
    assert!(!request.headers().contains_key("panic"), "as the test wants it");
    request
}

async fn emptied(identity: &Identity) {
    soon(async {
        while identity.status().connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_descriptor_or_entry_outlives_its_connection() {
    // What identities have in common stays for good: the thread they follow their sources on.
    drop(Identity::from_source("first", Script::new()).start_pending());
    let before_all = Held::now();
    let (ca, leaving) = (Authority::new("root"), Authority::new("leaving"));
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca, &leaving]));
    let identity = script.identity().await;
    let patient = Patient::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = AcceptLimits::default()
        .client_hello(Duration::from_secs(1))
        .handshake(Duration::from_secs(1))
        .preface(Duration::from_secs(1));
    let policy = DrainPolicy::default()
        .superseded(Superseded::Drain { over: Duration::from_millis(200) })
        .drain_timeout(Duration::from_millis(300))
        .untrusted_timeout(Duration::from_millis(300));
    let server = Server::new(&identity)
        .accept_limits(limits)
        .drain_policy(policy)
        .shutdown_timeout(Duration::from_millis(300))
        .layer(MapRequestLayer::new(panicking));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(patient.routes(), listener, async { drop(stopped.await) }));
    soon(async { while TcpStream::connect(("127.0.0.1", port)).await.is_err() {} }).await;
    let (own, others) = (ca.issue_dns("client.example.org"), leaving.issue_dns("client.example.org"));
    let peers = Arc::new(Peers { port, ca, own });
    // The first makes what stays, on both sides.
    peers.come_and_go(0).await;
    emptied(&identity).await;
    tokio::time::sleep(limits.client_hello * 2).await;
    let idle = Held::now();

    let mut coming = JoinSet::new();
    for i in 0..200 {
        let peers = Arc::clone(&peers);
        coming.spawn(async move { peers.come_and_go(i % 10).await });
    }
    while let Some(gone) = coming.join_next().await {
        gone.unwrap();
    }
    emptied(&identity).await;
    Held::is_back_at(idle).await;

    // Drained, and cut: superseded ones, those of a CA that is removed.
    let mut stuck = Vec::new();
    for i in 0..20 {
        let own = if i % 4 == 0 { &others } else { &peers.own };
        let channel = channel(client(&peers.ca, Some(own)), port).await;
        stuck.push(reading(if i % 2 == 0 { silent_watch(&channel).await } else { watch(&channel).await }));
    }
    script.publish(snapshot(2, &server_leaf(&peers.ca), &[&peers.ca])).await;
    for stuck in stuck {
        soon(stuck).await.unwrap();
    }
    emptied(&identity).await;
    Held::is_back_at(idle).await;

    // The shutdown, with one of each still there.
    let channel = peers.channel().await;
    let stuck = reading(silent_watch(&channel).await);
    let (silent, mute) = (tcp(port).await, peers.connection().await);
    drop(stop);
    soon(serving).await.unwrap().unwrap();
    assert_eq!(identity.status().connections, 0, "a connection outlived the server");
    soon(stuck).await.unwrap();
    drop((channel, silent, mute, identity));
    script.abandoned().await;
    Held::is_back_at(before_all).await;
}
