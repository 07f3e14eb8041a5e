//! HTTP/1.1 beside HTTP/2, where a server is told to let it in: gRPC-Web as browsers and proxies speak it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evercert::peer::PeerIdentity;
use evercert::server::{AcceptLimits, DrainPolicy, ServeError};
use evercert::{HttpVersions, Server};
use evercert_fixtures::{Authority, Issued};
use http::{Response, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_web::GrpcWebLayer;

use super::clients::{alert, channel, client, connect, tcp};
use super::serving::listen;
use super::support::{NAME, Script, server_leaf, snapshot, soon};

/// Answers who called, in the place of a message; a call waits for a permit.
struct WhoCalls {
    begun: mpsc::UnboundedSender<()>,
    permits: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Health for WhoCalls {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let _ = self.begun.send(());
        self.permits.acquire().await.unwrap().forget();
        let peer = PeerIdentity::of(&request).map(|peer| peer.dns_names().join(","));
        let mut response = tonic::Response::new(HealthCheckResponse { status: 1 });
        response.metadata_mut().insert("peer", peer.unwrap_or_default().parse().unwrap());
        Ok(response)
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Ok(tonic::Response::new(tokio_stream::pending()))
    }
}

/// How many calls a stage lets pass.
const CALLS: usize = 1000;

/// A server of gRPC and gRPC-Web.
struct Stage {
    ca: Authority,
    own: Issued,
    script: Arc<Script>,
    port: u16,
    begun: mpsc::UnboundedReceiver<()>,
    permits: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Stage {
    async fn new(settings: impl FnOnce(Server) -> Server) -> Self {
        let ca = Authority::new("root");
        let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
        let (listener, port) = listen().await;
        let (sender, begun) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(CALLS));
        let service = WhoCalls { begun: sender, permits: Arc::clone(&permits) };
        let routes = Routes::new(HealthServer::new(service));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = settings(Server::new(&script.identity().await)).layer(GrpcWebLayer::new());
        let serving = tokio::spawn(server.serve(routes, listener, async { drop(stopped.await) }));
        Self { own: ca.issue_dns("client.example.org"), ca, script, port, begun, permits, stop, serving }
    }

    async fn both() -> Self {
        Self::new(|server| server.http_versions(HttpVersions::Http1And2)).await
    }

    fn offering(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = client(&self.ca, Some(&self.own));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    async fn tls(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(Arc::new(self.offering(protocols)));
        let name = ServerName::try_from(NAME).unwrap();
        soon(connector.connect(name, tcp(self.port).await)).await.unwrap()
    }

    /// A client of HTTP/1.1.
    async fn http_1(&self, protocols: &[&str]) -> SendRequest<Full<Bytes>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.tls(protocols).await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn grpc(&self) -> HealthClient<tonic::transport::Channel> {
        HealthClient::new(channel(self.offering(&["h2"]), self.port).await)
    }
}

/// A call by gRPC-Web: an empty message, with the five octets before it.
fn call() -> http::Request<Full<Bytes>> {
    http::Request::post("/grpc.health.v1.Health/Check")
        .header(header::HOST, NAME)
        .header(header::CONTENT_TYPE, "application/grpc-web+proto")
        .body(Full::from(vec![0; 5]))
        .unwrap()
}

/// The name of the caller, as the server knows it, in an answer by gRPC-Web: a message, and trailers with the status 0.
async fn caller(response: Response<Incoming>) -> String {
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_11));
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc-web+proto");
    let caller = response.headers()["peer"].to_str().unwrap().to_owned();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let (message, trailers) = body.split_at(7);
    assert_eq!(message, [0, 0, 0, 0, 2, 8, 1]);
    assert!(trailers[0] == 0x80 && trailers.ends_with(b"grpc-status:0\r\n"), "{trailers:?}");
    caller
}

/// Until the server has closed the connection.
async fn closed(mut stream: TlsStream<TcpStream>) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    rest
}

#[tokio::test]
async fn grpc_web_over_http_1_1_is_served_beside_grpc() {
    let stage = Stage::both().await;
    let mut web = stage.http_1(&["http/1.1"]).await;
    let mut grpc = stage.grpc().await;
    for _ in 0..3 {
        assert_eq!(caller(soon(web.send_request(call())).await.unwrap()).await, "client.example.org");
        let answer = soon(grpc.check(HealthCheckRequest::default())).await.unwrap();
        assert_eq!(answer.metadata().get("peer").unwrap(), "client.example.org");
        soon(web.ready()).await.unwrap();
    }
}

#[tokio::test]
async fn http_2_is_preferred_and_a_client_that_offers_nothing_is_taken_to_speak_http_1_1() {
    let stage = Stage::both().await;
    let both = stage.tls(&["http/1.1", "h2"]).await;
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut unsaid = stage.http_1(&[]).await;
    assert_eq!(caller(soon(unsaid.send_request(call())).await.unwrap()).await, "client.example.org");
}

#[tokio::test]
async fn a_server_of_http_1_1_alone_refuses_http_2_in_the_handshake() {
    let stage = Stage::new(|server| server.http_versions(HttpVersions::Http1)).await;
    assert_eq!(alert(connect(stage.offering(&["h2"]), stage.port).await), AlertDescription::NoApplicationProtocol);
    for offered in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let mut web = stage.http_1(offered).await;
        assert_eq!(caller(soon(web.send_request(call())).await.unwrap()).await, "client.example.org");
    }
}

#[tokio::test]
async fn a_server_that_was_not_told_refuses_http_1_1_in_the_handshake() {
    let stage = Stage::new(|server| server).await;
    let refused = connect(stage.offering(&["http/1.1"]), stage.port).await;
    assert_eq!(alert(refused), AlertDescription::NoApplicationProtocol);
    let mut unsaid = stage.tls(&[]).await;
    let _ = unsaid.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(closed(unsaid).await.is_empty());
    let mut lying = stage.tls(&["h2"]).await;
    lying.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(!closed(lying).await.windows(8).any(|bytes| bytes == b"HTTP/1.1"));
    soon(stage.grpc().await.check(HealthCheckRequest::default())).await.unwrap();
}

#[tokio::test]
async fn no_other_version_is_spoken_than_the_one_that_was_agreed_on() {
    let stage = Stage::both().await;
    let mut agreed_on_1 = stage.tls(&["http/1.1"]).await;
    agreed_on_1.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(closed(agreed_on_1).await.is_empty(), "HTTP/2 would begin with SETTINGS");
    let mut agreed_on_2 = stage.tls(&["h2"]).await;
    agreed_on_2.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(!closed(agreed_on_2).await.windows(8).any(|bytes| bytes == b"HTTP/1.1"));
}

#[tokio::test]
async fn a_peer_of_http_1_1_that_begins_no_request_is_closed() {
    let limits = AcceptLimits::default().preface(Duration::from_millis(200));
    let stage = Stage::new(|server| server.http_versions(HttpVersions::Http1And2).accept_limits(limits)).await;
    let _ = closed(stage.tls(&["http/1.1"]).await).await;
    // One that has begun outlives the limit.
    let mut web = stage.http_1(&["http/1.1"]).await;
    let first = soon(web.send_request(call())).await.unwrap();
    caller(first).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    caller(soon(web.send_request(call())).await.unwrap()).await;
}

#[tokio::test]
async fn a_shutdown_lets_a_running_call_of_http_1_1_finish_and_closes_the_idle() {
    let mut stage = Stage::both().await;
    let mut idle = stage.http_1(&["http/1.1"]).await;
    caller(soon(idle.send_request(call())).await.unwrap()).await;
    soon(stage.begun.recv()).await.unwrap();
    stage.permits.forget_permits(CALLS);
    let mut running = stage.http_1(&["http/1.1"]).await;
    let running = tokio::spawn(async move { running.send_request(call()).await });
    soon(stage.begun.recv()).await.unwrap();
    drop(stage.stop);
    soon(async {
        while !idle.is_closed() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert!(!stage.serving.is_finished());
    stage.permits.add_permits(1);
    let answer = soon(running).await.unwrap().unwrap();
    assert_eq!(answer.headers()[header::CONNECTION], "close");
    assert_eq!(caller(answer).await, "client.example.org");
    soon(stage.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_of_http_1_1_whose_ca_leaves_the_bundle_is_drained_too() {
    let policy = DrainPolicy::default().untrusted_spread(Duration::ZERO);
    let stage = Stage::new(|server| server.http_versions(HttpVersions::Http1And2).drain_policy(policy)).await;
    let mut web = stage.http_1(&["http/1.1"]).await;
    caller(soon(web.send_request(call())).await.unwrap()).await;
    let other = Authority::new("other");
    stage.script.publish(snapshot(2, &server_leaf(&stage.ca), &[&other])).await;
    soon(async {
        while !web.is_closed() {
            tokio::task::yield_now().await
        }
    })
    .await;
}
