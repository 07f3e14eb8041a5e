//! A server does with calls what tonic's own does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evercert::{ClientCertificates, Server};
use evercert_core::crypto::provider;
use evercert_fixtures::{Authority, Issued};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;
use tower::limit::ConcurrencyLimitLayer;

use super::clients::{accepted, client, tcp};
use super::draining::Stage;
use super::patient::{Patient, check, slow_check};
use super::serving::listen;
use super::support::{NAME, Script, server_leaf, snapshot, soon};

/// The longest message.
const MESSAGE_LIMIT: usize = 32;

fn routes() -> Routes {
    let (_, health) = tonic_health::server::health_reporter();
    Routes::new(HealthServer::new(Patient::new()).max_decoding_message_size(MESSAGE_LIMIT)).add_service(Named(health))
}

/// gRPC health under a name of its own.
#[derive(Clone)]
struct Named<S>(S);

impl<S> tonic::server::NamedService for Named<S> {
    const NAME: &'static str = "real.Health";
}

impl<S: tower::Service<Request<tonic::body::Body>>> tower::Service<Request<tonic::body::Body>> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> S::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        *request.uri_mut() = format!("/grpc.health.v1.Health/{method}").parse().unwrap();
        self.0.call(request)
    }
}

/// A tonic server over TLS that never changes.
async fn tonic_alone(leaf: &Issued) -> u16 {
    let (listener, port) = listen().await;
    let key = PrivatePkcs8KeyDer::from(leaf.key_der.clone()).into();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf.leaf_der.clone())], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let incoming = TcpIncoming::from(listener).then(move |io| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(io?).await }
    });
    tokio::spawn(tonic::transport::Server::builder().add_routes(routes()).serve_with_incoming(incoming));
    port
}

async fn ours(identity: &evercert::Identity) -> u16 {
    let (listener, port) = listen().await;
    let server = Server::new(identity).client_certificates(ClientCertificates::None);
    tokio::spawn(server.serve(routes(), listener, std::future::pending()));
    port
}

async fn h2(ca: &Authority, port: u16) -> SendRequest<Bytes> {
    let stream = accepted(&Arc::new(client(ca, None)), tcp(port).await).await.unwrap();
    let (send, connection) = soon(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    soon(send.ready()).await.unwrap()
}

/// A call as it goes over the wire: the service asked about, and the grpc-timeout. Gives the answer's headers and trailers.
async fn call(
    send: &mut SendRequest<Bytes>,
    path: &str,
    service: &str,
    deadline: Option<&str>,
) -> (StatusCode, HeaderMap) {
    let mut request = Request::post(format!("https://{NAME}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(deadline) = deadline {
        request = request.header("grpc-timeout", deadline);
    }
    let mut message =
        vec![0, 0, 0, 0, 2 + u8::try_from(service.len()).unwrap(), 0x0a, u8::try_from(service.len()).unwrap()];
    message.extend(service.as_bytes());
    let (answer, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(message.into(), true).unwrap();
    let (head, body) = soon(answer).await.unwrap().into_parts();
    let trailers = soon(trailers(body)).await.unwrap_or_default();
    let mut headers = head.headers;
    headers.extend(trailers);
    headers.remove("date");
    (head.status, headers)
}

async fn trailers(mut body: RecvStream) -> Option<HeaderMap> {
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    body.trailers().await.unwrap()
}

#[tokio::test]
async fn deadlines_message_limits_and_health_are_as_under_tonic_alone() {
    let ca = Authority::new("root");
    let leaf = server_leaf(&ca);
    let identity = Script::of(snapshot(1, &leaf, &[&ca])).identity().await;
    let ports = [ours(&identity).await, tonic_alone(&leaf).await];
    let long = "a".repeat(MESSAGE_LIMIT + 1);
    let check = "/grpc.health.v1.Health/Check";
    // tonic says CANCELLED (1) where others say DEADLINE_EXCEEDED.
    let calls: [(&str, &str, Option<&str>, &str); 7] = [
        (check, "", None, "0"),
        (check, "slow", Some("100m"), "1"),
        (check, "", Some("10S"), "0"),
        (check, &long, None, "11"),
        ("/grpc.health.v1.Health/Nothing", "", None, "12"),
        ("/real.Health/Check", "", None, "0"),
        ("/real.Health/Check", "unknown", None, "5"),
    ];
    for (path, service, deadline, status) in calls {
        let mut answers = Vec::new();
        for port in ports {
            answers.push(call(&mut h2(&ca, port).await, path, service, deadline).await);
        }
        assert_eq!(answers[0], answers[1], "{path} {service}");
        assert_eq!(answers[0].1["grpc-status"], status, "{path} {service} {:?}", answers[0]);
    }
}

#[tokio::test]
async fn a_layer_limits_the_server_and_not_each_connection() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let patient = Patient::new();
    let server =
        Server::new(&identity).client_certificates(ClientCertificates::None).layer(ConcurrencyLimitLayer::new(1));
    tokio::spawn(server.serve(patient.routes(), listener, std::future::pending()));
    let (first, second) = (
        super::clients::channel(client(&ca, None), port).await,
        super::clients::channel(client(&ca, None), port).await,
    );
    check(&second).await.unwrap();
    let slow = slow_check(&first);
    // Until the slow call has the only place.
    soon(async { while timeout(Duration::from_millis(100), check(&second)).await.is_ok() {} }).await;
    assert!(
        timeout(Duration::from_millis(300), check(&second)).await.is_err(),
        "on another connection there was a place"
    );
    patient.slow.add_permits(1);
    soon(slow).await.unwrap().unwrap();
    check(&second).await.unwrap();
}

#[tokio::test]
async fn knobs_of_tonic_apply_to_each_connection() {
    let stage = Stage::new(|server| server.tonic(|tonic| tonic.timeout(Duration::from_secs(1))), &[]).await;
    let client = stage.client().await;
    let error = soon(slow_check(&client)).await.unwrap().unwrap_err();
    assert_eq!(error.code(), tonic::Code::Cancelled, "{error}");
    check(&client).await.unwrap();
}

#[tokio::test]
async fn a_peer_gets_so_many_streams_and_no_more_resets_than_it_may() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let port = ours(&identity).await;
    let mut send = h2(&ca, port).await;
    call(&mut send, "/grpc.health.v1.Health/Check", "", None).await;
    assert_eq!(send.current_max_send_streams(), evercert::server::MAX_CONCURRENT_STREAMS as usize);

    // A content length that is not kept is an error that the server has to reset the stream for.
    let mut resets = 0;
    let closed = loop {
        let request = Request::post(format!("https://{NAME}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("content-length", "1");
        let Ok(mut ready) = soon(send.clone().ready()).await else { break true };
        let Ok((answer, mut body)) = ready.send_request(request.body(()).unwrap(), false) else { break true };
        if body.send_data(Bytes::from_static(b"more than one"), true).is_err() {
            break true;
        }
        match soon(answer).await {
            Err(error) if error.is_go_away() || error.is_io() => break true,
            Err(error) => assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{error}"),
            Ok(answer) => panic!("{answer:?}"),
        }
        resets += 1;
        if resets > 2 * evercert::server::MAX_LOCAL_ERROR_RESET_STREAMS {
            break false;
        }
    };
    assert!(closed, "still open after {resets} resets");
    assert!(resets >= 100, "closed after {resets} already");
}

#[tokio::test]
async fn a_connection_costs_one_task() {
    let stage = Stage::new(|server| server, &[]).await;
    let config = Arc::new(client(&stage.ca, Some(&stage.ca.issue_dns("client.example.org"))));
    let alive = |count: usize| {
        soon(async move {
            let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
            while tasks() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    let mut peers = vec![accepted(&config, tcp(stage.port).await).await.unwrap()];
    // The server's, its accept loop's, its warden's, and the connection's.
    alive(4).await;
    for _ in 0..20 {
        peers.push(accepted(&config, tcp(stage.port).await).await.unwrap());
    }
    alive(3 + peers.len()).await;
    drop(peers);
    alive(3).await;
}
