//! Peers that take their time, or never come to the point.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert::client::Endpoint;
use evercert::server::{AcceptLimits, IncomingSettings};
use evercert_fixtures::Authority;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::clients::{accepted, channel, client, connect, tcp};
use super::serving::{listen, nobody_asked};
use super::support::{NAME, Script, server_leaf, snapshot, soon};

/// Serves gRPC health to clients that show no certificate.
async fn serve(ca: &Authority, limits: AcceptLimits) -> u16 {
    let identity = Script::of(snapshot(1, &server_leaf(ca), &[ca])).identity().await;
    let (listener, port) = listen().await;
    let incoming = identity.incoming_with(listener, nobody_asked().accept_limits(limits));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    port
}

async fn tcp_from(host: u8, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap()
}

/// Sends its ClientHello and then nothing.
async fn stalled(config: &Arc<ClientConfig>, mut io: TcpStream) -> TcpStream {
    io.write_all(&client_hello(config)).await.unwrap();
    // Its first flight back: the handshake is past the ClientHello.
    assert_ne!(soon(io.read(&mut [0; 1])).await.unwrap(), 0);
    io
}

/// A ClientHello, as it is on the wire.
fn client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut hello = Vec::new();
    let name = ServerName::try_from(NAME).unwrap();
    ClientConnection::new(config.clone(), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// Until the server has closed the connection.
async fn closed(mut io: TcpStream) {
    let mut rest = Vec::new();
    let _ = soon(io.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_and_silent_peers_delay_nobody_and_are_closed() {
    let ca = Authority::new("root");
    let limits = AcceptLimits::default().client_hello(Duration::from_secs(5)).handshake(Duration::from_secs(5));
    let port = serve(&ca, limits.computing(8)).await;
    let config = Arc::new(client(&ca, None));
    let began = Instant::now();
    let mut idlers = Vec::new();
    for i in 0..200 {
        idlers.push(tcp_from(2 + i % 8, port).await);
    }
    for i in 0..20 {
        idlers.push(stalled(&config, tcp_from(2 + i % 8, port).await).await);
    }

    let mut health = HealthClient::new(channel(client(&ca, None), port).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
    // Less than one round of stalled peers in the pool would take.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for idler in idlers {
        closed(idler).await;
    }
}

#[tokio::test]
async fn what_is_wrong_right_behind_a_client_hello_is_told_at_once() {
    let ca = Authority::new("root");
    let patient = Duration::from_secs(600);
    let port = serve(&ca, AcceptLimits::default().client_hello(patient).handshake(patient)).await;
    let hello = client_hello(&Arc::new(client(&ca, None)));
    let plaintext = [23, 3, 3, 0, 2, 1, 2];
    let long = [23, 3, 3, 0xff, 0xff];
    for behind in [&b"GET / HTTP/1.1\r\n\r\n"[..], &hello, &plaintext, &long] {
        let mut io = tcp(port).await;
        io.write_all(&[&hello, behind].concat()).await.unwrap();
        let mut told = Vec::new();
        soon(io.read_to_end(&mut told)).await.unwrap();
        assert!(!told.is_empty(), "{behind:?}");
    }
    // A peer that sends no more than it may is waited for, and one that is legacy-compatible sends that (RFC 8446 §D.4).
    let mut io = tcp(port).await;
    io.write_all(&[&hello[..], &[20, 3, 3, 0, 1, 1]].concat()).await.unwrap();
    assert_ne!(soon(io.read(&mut [0; 1])).await.unwrap(), 0);
    assert!(tokio::time::timeout(Duration::from_millis(300), io.read_to_end(&mut Vec::new())).await.is_err());
}

#[tokio::test]
async fn one_peer_cannot_take_all_places() {
    let ca = Authority::new("root");
    let port =
        serve(&ca, AcceptLimits::default().unfinished_per_peer(2).waiting(1).client_hello(Duration::from_secs(60)))
            .await;
    let _silent = [tcp_from(2, port).await, tcp_from(2, port).await];
    let _waiting = tcp_from(2, port).await;
    closed(tcp_from(2, port).await).await;
    accepted(&Arc::new(client(&ca, None)), tcp_from(3, port).await).await.unwrap();
}

#[tokio::test]
async fn a_connection_beyond_what_its_peer_may_have_at_a_time_waits_and_is_served() {
    let ca = Authority::new("root");
    let limits = AcceptLimits::default().unfinished_per_peer(2).client_hello(Duration::from_secs(60));
    let port = serve(&ca, limits).await;
    let silent = [tcp_from(2, port).await, tcp_from(2, port).await];
    let (config, io) = (Arc::new(client(&ca, None)), tcp_from(2, port).await);
    let waiting = tokio::spawn(async move { accepted(&config, io).await });
    // Others have their handshakes meanwhile.
    accepted(&Arc::new(client(&ca, None)), tcp_from(3, port).await).await.unwrap();
    assert!(!waiting.is_finished(), "it was served beyond the limit");
    drop(silent);
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_channels_of_one_process_connect_at_once_without_a_failure() {
    const CHANNELS: usize = 2_000;
    let files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.map_or(20_000, |most| most.min(20_000));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..files }).unwrap();
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let (listener, port) = listen().await;
    // An unoptimised build on a busy machine may take longer than the defaults.
    let patience = Duration::from_secs(120);
    let limits = AcceptLimits::default().handshake(patience).client_hello(patience);
    let incoming = identity.incoming_with(listener, IncomingSettings::default().accept_limits(limits));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = Endpoint::new(format!("https://127.0.0.1:{port}")).unwrap().server_name(NAME).unwrap();
    let endpoint = endpoint.handshake_timeout(patience);
    let connecting = (0..CHANNELS).map(|_| {
        let (endpoint, identity) = (endpoint.clone(), identity.clone());
        tokio::spawn(async move { endpoint.connect(&identity).await })
    });
    let connecting: Vec<_> = connecting.collect();
    let mut channels = Vec::new();
    for channel in connecting {
        channels.push(tokio::time::timeout(patience, channel).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(identity.status().connections, 2 * CHANNELS as u64);
}

#[tokio::test]
async fn at_the_limit_a_place_is_free_when_a_silent_peer_is_closed() {
    let ca = Authority::new("root");
    let port = serve(&ca, AcceptLimits::default().unfinished(2).client_hello(Duration::from_millis(300))).await;
    let _silent = [tcp(port).await, tcp(port).await];
    connect(client(&ca, None), port).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_sends_the_http_2_preface_is_closed() {
    let ca = Authority::new("root");
    let port = serve(&ca, AcceptLimits::default().preface(Duration::from_millis(200))).await;
    let mut mute = connect(client(&ca, None), port).await.unwrap();
    let _ = soon(mute.read_to_end(&mut Vec::new())).await;

    let mut partial = connect(client(&ca, None), port).await.unwrap();
    partial.get_mut().1.writer().write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    partial.flush().await.unwrap();
    let _ = soon(partial.read_to_end(&mut Vec::new())).await;

    // One that speaks outlives the limit.
    let mut health = HealthClient::new(channel(client(&ca, None), port).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
    let mut watch = soon(health.watch(HealthCheckRequest::default())).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(600), watch.message()).await;
    assert!(more.is_err(), "the stream ended: {more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_beyond_all_measure_limit_nothing() {
    let ca = Authority::new("root");
    let limits = AcceptLimits::default()
        .client_hello(Duration::MAX)
        .handshake(Duration::MAX)
        .preface(Duration::MAX)
        .unfinished(usize::MAX)
        .unfinished_per_peer(usize::MAX)
        .waiting(usize::MAX)
        .computing(usize::MAX);
    let mut health = HealthClient::new(channel(client(&ca, None), serve(&ca, limits).await).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_not_settled_while_a_handshake_with_the_former_leaf_goes_on() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let mut identity = script.identity().await;
    let (listener, port) = listen().await;
    let _incoming = identity.incoming_with(listener, nobody_asked());
    let stalled = stalled(&Arc::new(client(&ca, None)), tcp(port).await).await;
    script.deliver(snapshot(2, &server_leaf(&ca), &[&ca]));
    soon(identity.changed()).await;
    let status = identity.status();
    assert_eq!((status.connections, status.connections_on_older, status.settled), (0, 0, false));
    drop(stalled);
    let settled = async {
        while !identity.status().settled {
            tokio::task::yield_now().await;
        }
    };
    soon(settled).await;
}
