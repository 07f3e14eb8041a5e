//! `Server` and tonic's own server over an identity's connections: requests, peers and the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use evercert::Refusal;
use evercert::peer::{PeerIdentity, PeerIdentityLayer};
use evercert::server::{IncomingSettings, ServeError};
use evercert::tls::ServerTls;
use evercert::{ClientCertificates, Identity, Server};
use evercert_core::digest::Digest;
use evercert_fixtures::{Authority, Leaf};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::service_fn;

use super::clients::{accepted, channel, client, connect, served};
use super::support::{NAME, Script, bundle, credential, server_leaf, snapshot, soon};

pub(crate) fn nobody_asked() -> IncomingSettings {
    let tls = ServerTls::default().client_certificates(ClientCertificates::None);
    IncomingSettings::default().tls(tls)
}

pub(crate) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// gRPC health behind `Server`, until the sender is dropped.
pub(crate) async fn serve(server: Server) -> (u16, oneshot::Sender<()>, JoinHandle<Result<(), ServeError>>) {
    let (listener, port) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = Routes::new(tonic_health::server::health_reporter().1);
    let serving = tokio::spawn(server.serve(routes, listener, async { drop(stopped.await) }));
    (port, stop, serving)
}

#[tokio::test]
async fn calls_are_answered_over_mutual_tls() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (port, _stop, _serving) = serve(Server::new(&identity)).await;
    let own = ca.issue_dns("client.example.org");
    let mut health = HealthClient::new(channel(client(&ca, Some(&own)), port).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
}

/// A service's view of the peer of one call.
#[derive(Debug)]
pub(crate) struct Seen {
    certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
    pub(crate) peer: Option<PeerIdentity>,
    pub(crate) address: Option<SocketAddr>,
}

pub(crate) struct Recorder(pub(crate) mpsc::UnboundedSender<Seen>);

#[tonic::async_trait]
impl Health for Recorder {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let seen = Seen {
            certificates: request.peer_certs(),
            peer: PeerIdentity::of(&request).cloned(),
            address: request.remote_addr(),
        };
        self.0.send(seen).unwrap();
        Ok(Response::new(HealthCheckResponse::default()))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}

#[tokio::test]
async fn a_service_sees_who_calls() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::new(&identity).client_certificates(ClientCertificates::Optional);
    tokio::spawn(server.serve(Routes::new(HealthServer::new(Recorder(sender))), listener, std::future::pending()));

    let own = ca.issue(
        Leaf::new("payments").dns("a.example.org").ip([192, 0, 2, 1].into()).uri("spiffe://example.org/payments"),
    );
    let mut health = HealthClient::new(channel(client(&ca, Some(&own)), port).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
    let call = seen.recv().await.unwrap();
    assert_eq!(call.certificates.unwrap()[0].as_ref(), own.leaf_der);
    assert_eq!(call.address.unwrap().ip(), Ipv4Addr::LOCALHOST);
    let peer = call.peer.unwrap();
    assert_eq!(peer.common_name(), "payments");
    assert_eq!(peer.dns_names(), ["a.example.org"]);
    assert_eq!(peer.ip_addresses(), [std::net::IpAddr::from([192, 0, 2, 1])]);
    assert_eq!(peer.uris(), ["spiffe://example.org/payments"]);
    assert_eq!(peer.spiffe_id().unwrap().trust_domain().as_str(), "example.org");
    assert_eq!(peer.serial(), format!("{:x}", own.serial_number()));
    assert_eq!(peer.fingerprint(), Digest::fingerprint(&own.leaf_der));
    assert!(peer.not_after() > UNIX_EPOCH + Leaf::LIFETIME);

    let mut anonymous = HealthClient::new(channel(client(&ca, None), port).await);
    soon(anonymous.check(HealthCheckRequest::default())).await.unwrap();
    let call = seen.recv().await.unwrap();
    assert!(call.certificates.is_none() && call.peer.is_none() && call.address.is_some());
}

#[tokio::test]
async fn a_tonic_server_of_ones_own_sees_the_peer_too_even_over_a_unix_socket() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("server.sock");
    let incoming = identity.incoming(UnixListener::bind(&socket).unwrap());
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder()
        .layer(PeerIdentityLayer::default())
        .add_service(HealthServer::new(Recorder(sender)));
    tokio::spawn(server.serve_with_incoming_shutdown(incoming, std::future::pending()));

    let config = Arc::new(client(&ca, Some(&ca.issue_dns("client.example.org"))));
    let connector = service_fn(move |_| {
        let (config, socket) = (config.clone(), socket.clone());
        async move {
            let name = ServerName::try_from(NAME).unwrap();
            let stream = UnixStream::connect(socket).await?;
            Ok::<_, std::io::Error>(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
        }
    });
    let endpoint = Endpoint::from_static("http://server.example.org");
    let mut health = HealthClient::new(soon(endpoint.connect_with_connector(connector)).await.unwrap());
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
    assert_eq!(seen.recv().await.unwrap().peer.unwrap().dns_names(), ["client.example.org"]);
}

#[tokio::test]
async fn a_shutdown_lets_running_calls_finish_and_takes_no_new_connection() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (port, stop, serving) = serve(Server::new(&identity)).await;
    let own = ca.issue_dns("client.example.org");
    let mut health = HealthClient::new(channel(client(&ca, Some(&own)), port).await);
    let mut watch = soon(health.watch(HealthCheckRequest::default())).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap();
    drop(stop);
    // The listener is closed before the drain begins.
    soon(async { while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} }).await;
    assert!(!serving.is_finished());
    drop((watch, health));
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_though_a_stream_never_does_and_a_peer_never_speaks_http_2() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let server = Server::new(&identity).shutdown_timeout(Duration::from_millis(200));
    let (port, stop, serving) = serve(server).await;
    let own = ca.issue_dns("client.example.org");
    let mut mute = connect(client(&ca, Some(&own)), port).await.unwrap();
    let mut health = HealthClient::new(channel(client(&ca, Some(&own)), port).await);
    let mut watch = soon(health.watch(HealthCheckRequest::default())).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap();
    drop(stop);
    soon(serving).await.unwrap().unwrap();
    assert!(soon(watch.message()).await.is_err());
    let _ = soon(mute.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn a_server_does_not_start_with_a_generation_it_cannot_serve() {
    let ca = Authority::new("root");
    let trusting = Script::of(evercert_core::snapshot::Snapshot::new(1, None, bundle(&[&ca]), None)).identity().await;
    let (_, _stop, serving) = serve(Server::new(&trusting)).await;
    let error = soon(serving).await.unwrap().unwrap_err();
    assert!(matches!(&error, ServeError::Refused(Refusal::Incomplete(what)) if what.contains("credential")), "{error}");

    let presenting = evercert_core::snapshot::Snapshot::new(1, credential(&server_leaf(&ca)), Default::default(), None);
    let presenting = Script::of(presenting).identity().await;
    let (_, _stop, serving) = serve(Server::new(&presenting)).await;
    let error = soon(serving).await.unwrap().unwrap_err();
    assert!(matches!(&error, ServeError::Refused(Refusal::Incomplete(what)) if what.contains("bundle")), "{error}");
}

#[tokio::test]
async fn a_server_that_asks_no_client_needs_no_bundle() {
    let ca = Authority::new("root");
    let leaf = server_leaf(&ca);
    let presenting = evercert_core::snapshot::Snapshot::new(1, credential(&leaf), Default::default(), None);
    let identity = Script::of(presenting).identity().await;
    let (port, _stop, _serving) = serve(Server::new(&identity).client_certificates(ClientCertificates::None)).await;
    assert_eq!(served(client(&ca, None), port).await, leaf.serial_number());
}

#[tokio::test]
async fn dropping_the_incoming_connections_closes_listener_and_unfinished_handshakes() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity: Identity = script.identity().await;
    let (listener, port) = listen().await;
    let mut incoming = identity.incoming_with(listener, nobody_asked());
    let config = Arc::new(client(&ca, None));
    let mut silent = super::clients::tcp(port).await;
    let good = tokio::spawn(async move { accepted(&config, super::clients::tcp(port).await).await });
    // Its handshake is done when it comes out, and the silent one, which came before it, has been accepted.
    soon(tokio_stream::StreamExt::next(&mut incoming)).await.unwrap().unwrap();
    drop(incoming);
    let _ = soon(silent.read(&mut [0; 16])).await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    drop((identity, good));
    script.abandoned().await;
}
