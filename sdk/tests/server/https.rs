//! HTTPS by axum, beside gRPC: in a serve loop of one's own over hyper, and in ours.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::routing::get;
use bytes::Bytes;
use evercert::peer::PeerIdentity;
use evercert::server::{DrainPolicy, IncomingSettings};
use evercert::tls::ServerTls;
use evercert::{HttpVersions, Identity, Server};
use evercert_fixtures::Authority;
use evercert_fixtures::wait::until_so;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;

use super::clients::{channel, client, tcp};
use super::draining::NOW;
use super::patient::check;
use super::serving::listen;
use super::support::{DEADLINE, NAME, Script, server_leaf, snapshot, soon};

/// HTTPS and gRPC as one router; `/slow` takes a permit.
struct Site {
    begun: mpsc::UnboundedSender<()>,
    permits: Arc<Semaphore>,
}

impl Site {
    fn router(self) -> axum::Router {
        let slow = move || {
            let _ = self.begun.send(());
            let permits = Arc::clone(&self.permits);
            async move {
                permits.acquire().await.unwrap().forget();
                "done"
            }
        };
        Routes::new(tonic_health::server::health_reporter().1)
            .prepare()
            .into_axum_router()
            .route("/peer", get(async |Extension(peer): Extension<PeerIdentity>| peer.dns_names().join(",")))
            .route("/slow", get(slow))
    }
}

struct Stage {
    ca: Authority,
    script: Arc<Script>,
    identity: Identity,
    port: u16,
    begun: mpsc::UnboundedReceiver<()>,
    permits: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    /// How many connections were cut at the end.
    serving: JoinHandle<usize>,
}

impl Stage {
    /// With axum in a loop of its own.
    async fn of_its_own(drain_policy: DrainPolicy, shutdown: Duration) -> Self {
        Self::new(async move |identity, listener, router: axum::Router, mut stopped| {
            let tls = ServerTls::default().http_versions(HttpVersions::Http1And2);
            let settings = IncomingSettings::default().tls(tls).drain_policy(drain_policy);
            let mut incoming = identity.incoming_with(listener, settings);
            loop {
                tokio::select! {
                    _ = &mut stopped => return incoming.shut_down(shutdown).await,
                    Some(Ok(mut io)) = incoming.next() => {
                        let (draining, peer) = (io.draining(), io.peer_identity().unwrap());
                        let service = TowerToHyperService::new(router.clone().layer(Extension(peer)));
                        tokio::spawn(async move {
                            let http = auto::Builder::new(TokioExecutor::new());
                            let connection = http.serve_connection_with_upgrades(TokioIo::new(io), service);
                            draining.drive(connection, |connection| connection.graceful_shutdown()).await
                        });
                    }
                }
            }
        })
        .await
    }

    /// With `Server`.
    async fn of_ours() -> Self {
        Self::new(async |identity, listener, router, stopped| {
            let server = Server::new(&identity).http_versions(HttpVersions::Http1And2);
            server.serve(Routes::from(router), listener, async { drop(stopped.await) }).await.unwrap();
            0
        })
        .await
    }

    async fn new<F>(
        serve: impl FnOnce(Identity, tokio::net::TcpListener, axum::Router, oneshot::Receiver<()>) -> F,
    ) -> Self
    where
        F: Future<Output = usize> + Send + 'static,
    {
        let ca = Authority::new("root");
        let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
        let identity = script.identity().await;
        let (listener, port) = listen().await;
        let (begun, has_begun) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        let router = Site { begun, permits: Arc::clone(&permits) }.router();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(identity.clone(), listener, router, stopped));
        Self { ca, script, identity, port, begun: has_begun, permits, stop, serving }
    }

    async fn tls(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut config = client(&self.ca, Some(&self.ca.issue_dns("client.example.org")));
        config.alpn_protocols = vec![protocol.into()];
        let connector = TlsConnector::from(Arc::new(config));
        soon(connector.connect(ServerName::try_from(NAME).unwrap(), tcp(self.port).await)).await.unwrap()
    }

    async fn http_1(&self) -> http1::SendRequest<Empty<Bytes>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.tls("http/1.1").await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http_2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let io = TokioIo::new(self.tls("h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn grpc(&self) -> tonic::transport::Channel {
        channel(client(&self.ca, Some(&self.ca.issue_dns("client.example.org"))), self.port).await
    }

    /// A new leaf of the same CA.
    async fn rotate(&self) {
        self.script.publish(snapshot(2, &server_leaf(&self.ca), &[&self.ca])).await;
    }

    async fn connections(&self, wanted: u64) {
        until_so("so many connections", || self.identity.status().connections == wanted).await;
    }
}

fn of(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://{NAME}{path}")).header(header::HOST, NAME).body(Empty::new()).unwrap()
}

async fn body(response: hyper::Result<Response<Incoming>>) -> Bytes {
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    soon(response.into_body().collect()).await.unwrap().to_bytes()
}

#[tokio::test]
async fn https_by_axum_is_served_beside_grpc_and_its_handlers_see_the_peer() {
    for stage in [Stage::of_its_own(DrainPolicy::default(), DEADLINE).await, Stage::of_ours().await] {
        assert_eq!(body(soon(stage.http_1().await.send_request(of("/peer"))).await).await, "client.example.org");
        assert_eq!(body(soon(stage.http_2().await.send_request(of("/peer"))).await).await, "client.example.org");
        check(&stage.grpc().await).await.unwrap();
    }
}

#[tokio::test]
async fn connections_of_a_loop_that_takes_the_hook_are_drained_and_the_rotation_is_settled() {
    let mut stage = Stage::of_its_own(NOW, DEADLINE).await;
    let (mut one, mut two) = (stage.http_1().await, stage.http_2().await);
    let mut idle = stage.http_2().await;
    assert_eq!(body(soon(idle.send_request(of("/peer"))).await).await, "client.example.org");
    let running = [tokio::spawn(one.send_request(of("/slow"))), tokio::spawn(two.send_request(of("/slow")))];
    for _ in &running {
        soon(stage.begun.recv()).await.unwrap();
    }
    stage.rotate().await;
    // The idle one goes at once, the others when they are done; nobody is cut.
    stage.connections(2).await;
    assert!(!stage.identity.status().settled);
    stage.permits.add_permits(2);
    for running in running {
        assert_eq!(body(soon(running).await.unwrap()).await, "done");
    }
    stage.connections(0).await;
    assert!(stage.identity.status().settled);
    assert_eq!(body(soon(stage.http_1().await.send_request(of("/peer"))).await).await, "client.example.org");
}

#[tokio::test]
async fn what_a_drained_connection_of_ones_own_does_not_finish_is_cut() {
    let mut stage = Stage::of_its_own(NOW.drain_timeout(Duration::from_millis(300)), DEADLINE).await;
    let mut stuck = stage.http_2().await;
    let stuck = tokio::spawn(stuck.send_request(of("/slow")));
    soon(stage.begun.recv()).await.unwrap();
    stage.rotate().await;
    assert!(soon(stuck).await.unwrap().is_err());
    stage.connections(0).await;
}

#[tokio::test]
async fn a_shutdown_of_a_loop_of_ones_own_lets_running_requests_finish() {
    let mut stage = Stage::of_its_own(DrainPolicy::default(), DEADLINE).await;
    let (mut one, mut two) = (stage.http_1().await, stage.http_2().await);
    let running = [tokio::spawn(one.send_request(of("/slow"))), tokio::spawn(two.send_request(of("/slow")))];
    for _ in &running {
        soon(stage.begun.recv()).await.unwrap();
    }
    let _idle = stage.grpc().await;
    drop(stage.stop);
    soon(async { while TcpStream::connect(("127.0.0.1", stage.port)).await.is_ok() {} }).await;
    assert!(!stage.serving.is_finished());
    stage.permits.add_permits(2);
    for running in running {
        assert_eq!(body(soon(running).await.unwrap()).await, "done");
    }
    assert_eq!(soon(stage.serving).await.unwrap(), 0);
    assert_eq!(stage.identity.status().connections, 0);
}

#[tokio::test]
async fn a_shutdown_of_a_loop_of_ones_own_cuts_what_does_not_finish_and_says_how_many() {
    let mut stage = Stage::of_its_own(DrainPolicy::default(), Duration::from_millis(200)).await;
    let mut stuck = stage.http_2().await;
    let stuck = tokio::spawn(stuck.send_request(of("/slow")));
    soon(stage.begun.recv()).await.unwrap();
    drop(stage.stop);
    assert_eq!(soon(stage.serving).await.unwrap(), 1);
    assert!(soon(stuck).await.unwrap().is_err());
}

#[tokio::test]
async fn a_hook_that_is_taken_late_or_twice_fires_once_the_connection_is_to_go_and_not_before() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let (listener, port) = listen().await;
    let settings = IncomingSettings::default().drain_policy(NOW);
    let mut incoming = identity.incoming_with(listener, settings);
    let connector = TlsConnector::from(Arc::new(client(&ca, Some(&ca.issue_dns("client.example.org")))));
    let connect = async || connector.connect(ServerName::try_from(NAME).unwrap(), tcp(port).await).await.unwrap();
    let (_one, _other) = (soon(connect()).await, soon(connect()).await);
    let mut early = soon(incoming.next()).await.unwrap().unwrap();
    let mut late = soon(incoming.next()).await.unwrap().unwrap();
    let (mut once, mut twice) = (early.draining(), early.draining());
    for hook in [&mut once, &mut twice] {
        assert!(futures_util::poll!(hook).is_pending());
    }
    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    soon(once).await;
    soon(twice).await;
    soon(late.draining()).await;
}
