use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use evercert::client::{ChannelError, ConnectError, ConnectFailure, Endpoint, InvalidEndpoint};
use evercert::{Identity, ServerVerification};
use evercert_fixtures::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::peers::{DEADLINE, Publisher, SERVER, SERVER_ID, Server, acceptor, call, until_generation, until_trouble};

/// Why an endpoint cannot be connected to.
async fn refused(endpoint: Endpoint, identity: &Identity) -> Arc<ConnectError> {
    match endpoint.connect(identity).await {
        Err(ChannelError::NotConnected { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

async fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr().unwrap());
    (listener, Endpoint::new(uri).unwrap().server_name(SERVER).unwrap())
}

#[tokio::test]
async fn a_server_is_checked_against_the_uris_host_or_what_is_given_instead() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let identity = Publisher::of(&ca).identity().await;

    let by_address = identity.channel(server.uri()).unwrap();
    call(&by_address).await.unwrap();
    let other_name = refused(server.endpoint().server_name("other.internal").unwrap(), &identity).await;
    assert!(matches!(other_name.failure, ConnectFailure::Tls(_)), "{other_name}");

    let names = |name: &str| server.endpoint().server_verification(ServerVerification::names([name]).unwrap());
    call(&names(SERVER).connect(&identity).await.unwrap()).await.unwrap();
    let other_name = refused(names("other.internal"), &identity).await;
    assert!(matches!(other_name.failure, ConnectFailure::Tls(_)), "{other_name}");

    let ids =
        |id: &str| server.endpoint().server_verification(ServerVerification::SpiffeIds(vec![id.parse().unwrap()]));
    let elsewhere = ids(SERVER_ID).server_name("other.internal").unwrap();
    call(&elsewhere.connect(&identity).await.unwrap()).await.unwrap();
    let other_id = refused(ids("spiffe://example.org/other"), &identity).await;
    assert!(matches!(other_id.failure, ConnectFailure::Tls(_)), "{other_id}");
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_trusted() {
    let (ca, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    publisher.publish(&ca.issue_dns("client"), Some(&stranger));
    let error = refused(server.endpoint(), &publisher.identity().await).await;
    assert!(matches!(error.failure, ConnectFailure::Tls(_)), "{error}");
}

#[tokio::test]
async fn an_eager_channel_fails_at_once_and_a_lazy_one_at_its_calls() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::new();
    let identity = publisher.identity().await;

    let error = refused(server.endpoint(), &identity).await;
    assert!(matches!(error.failure, ConnectFailure::NoGeneration), "{error}");
    let channel = server.endpoint().connect_lazy(&identity);
    assert_eq!(call(&channel).await.unwrap_err().code(), Code::Unavailable);

    let issued = ca.issue_dns("client");
    let generation = publisher.publish(&issued, Some(&ca));
    until_generation(&channel, generation).await;
    call(&channel).await.unwrap();
    assert!(server.has_seen(&issued));

    let idle = server.endpoint().connect_lazy(&identity);
    assert_eq!(idle.state().borrow().generation, None);
    call(&idle).await.unwrap();
    assert_eq!(idle.state().borrow().generation, Some(generation));
}

#[tokio::test]
async fn plain_text_is_refused_with_what_to_write() {
    let error = Publisher::new().identity().await.channel("http://api.internal:50051").unwrap_err();
    assert!(matches!(error, InvalidEndpoint::NotHttps { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_never_accepts_is_given_up() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let limit = Duration::from_millis(300);

    // It finishes the TLS handshake, and then says nothing.
    let (tcp, endpoint) = listener().await;
    let acceptor = acceptor(&ca, &ca.issue_dns(SERVER), &[b"h2"]);
    let silent = tokio::spawn(async move {
        let (stream, _) = tcp.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await.unwrap();
        sent
    });
    let error = refused(endpoint.handshake_timeout(limit), &identity).await;
    assert!(matches!(error.failure, ConnectFailure::HandshakeTimeout(within) if within == limit), "{error}");
    let sent = tokio::time::timeout(DEADLINE, silent).await.expect("the connection is closed").unwrap();
    assert!(sent.starts_with(b"PRI * HTTP/2.0"), "the client's preface does not wait for the server's");

    // It accepts TCP connections, and never answers.
    let (_tcp, endpoint) = listener().await;
    let error = refused(endpoint.handshake_timeout(limit), &identity).await;
    assert!(matches!(error.failure, ConnectFailure::HandshakeTimeout(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_only_to_close_is_not_flooded_and_calls_are_told() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let (tcp, endpoint) = listener().await;
    let acceptor = acceptor(&ca, &ca.issue_dns(SERVER), &[b"h2"]);
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        loop {
            let (stream, _) = tcp.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            count.fetch_add(1, Relaxed);
            _ = stream.write_all(&EMPTY_SETTINGS).await;
            _ = stream.shutdown().await;
        }
    });
    let channel = endpoint.connect_lazy(&identity);
    let status = tokio::time::timeout(DEADLINE, call(&channel)).await.expect("the call ends").unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let state = until_trouble(&channel).await;
    assert!(matches!(state.trouble.unwrap().failure, ConnectFailure::ShortLived(_)));
    assert!(accepted.load(Relaxed) < 10, "{accepted:?} connections");
}

#[tokio::test]
async fn a_resolver_that_panics_is_a_failure_like_others_and_waited_after() {
    let ca = Authority::new("ca");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let endpoint = Endpoint::new(format!("https://{SERVER}")).unwrap().resolver(move |_: &str, _| {
        count.fetch_add(1, Relaxed);
        async { panic!("no such zone") }
    });
    let channel = endpoint.backoff(DEADLINE, DEADLINE).connect_lazy(&Publisher::of(&ca).identity().await);
    let status = tokio::time::timeout(DEADLINE, call(&channel)).await.expect("the call ends").unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("panicked"), "{status}");
    assert_eq!(asked.load(Relaxed), 1);
    // The channel goes on.
    let start = std::time::Instant::now();
    while asked.load(Relaxed) == 1 {
        assert!(start.elapsed() < DEADLINE);
        call(&channel).await.unwrap_err();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn windows_larger_than_http_2_has_are_the_largest_it_has() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let endpoint = server.endpoint().connection_window(u32::MAX).stream_window(u32::MAX);
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    tokio::time::timeout(DEADLINE, call(&channel)).await.expect("an answer").unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_without_http2_is_not_accepted() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let (tcp, endpoint) = listener().await;
    let acceptor = acceptor(&ca, &ca.issue_dns(SERVER), &[]);
    tokio::spawn(async move {
        let (stream, _) = tcp.accept().await.unwrap();
        let _stream = acceptor.accept(stream).await;
    });
    let error = refused(endpoint, &identity).await;
    assert!(matches!(error.failure, ConnectFailure::NoHttp2), "{error}");
}

#[tokio::test]
async fn a_unix_socket_carries_the_same() {
    let ca = Authority::new("ca");
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let acceptor = acceptor(&ca, &ca.issue_dns(SERVER), &[b"h2"]);
    let (_, service) = tonic_health::server::health_reporter();
    let (accepted, incoming) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await;
        accepted.send(stream).await.unwrap();
    });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));

    let endpoint = Endpoint::new(format!("https://{SERVER}")).unwrap().unix_socket(socket);
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_with_the_word_for_it() {
    let ca = Authority::new("ca");
    let (_tcp, endpoint) = listener().await;
    let endpoint = endpoint.timeout(Duration::from_millis(50));
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    assert_eq!(call(&channel).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_deadline_that_passes_while_waiting_for_a_connection_says_why_there_is_none() {
    let ca = Authority::new("ca");
    let (tcp, endpoint) = listener().await;
    drop(tcp);
    let endpoint = endpoint.wait_for_ready(true).timeout(Duration::from_secs(1));
    let status = call(&endpoint.connect_lazy(&Publisher::of(&ca).identity().await)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("Connection refused"), "{status}");
}

#[tokio::test]
async fn a_connection_lost_under_a_call_is_unavailable() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    // Connections through here can be cut.
    let (tcp, endpoint) = listener().await;
    let (cut, upstream) = (CancellationToken::new(), server.address);
    tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
        let (mut client, _) = tcp.accept().await.unwrap();
        let mut server = TcpStream::connect(upstream).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await.unwrap();
    }));
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    cut.cancel();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_failure_to_connect_is_unavailable_with_its_cause_through_any_layer() {
    let ca = Authority::new("ca");
    let (tcp, endpoint) = listener().await;
    let address = tcp.local_addr().unwrap().to_string();
    drop(tcp);
    let error = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap_err();
    let status = Status::from_error(error.into());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&address) && status.message().contains("refused"), "{status}");
}
