//! `evercertd probe` against servers of the SDK, of tonic's own and of none, by its exit status.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Output;

use evercert::health::{Health, ServingStatus};
use evercert::server::HealthListener;
use evercert::source::DirectorySettings;
use evercert::{Identity, Server};
use evercert_fixtures::wait::soon;
use evercert_fixtures::{Authority, Leaf, PlainDirectory};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::program;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::service::Routes;

const NAME: &str = "server.example.org";
const ID: &str = "spiffe://example.org/server";

const SERVING: i32 = 0;
const BAD_FLAGS: i32 = 1;
const NO_CONNECTION: i32 = 2;
const CALL_FAILED: i32 = 3;
const NOT_SERVING: i32 = 4;
const NO_IDENTITY: i32 = 20;

/// What the program answers to these flags.
async fn probe(flags: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(program!());
    command.arg("probe").args(flags).kill_on_drop(true);
    soon("the probe's end", command.output()).await.unwrap()
}

#[track_caller]
fn assert_ended(output: &Output, expected: i32, says: &str) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(expected), "{said}");
    assert!(said.contains(says), "{said}");
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server for callers with certificates of its CA, and a port without TLS.
struct Stage {
    ca: Authority,
    own: PlainDirectory,
    health: Health,
    tls: String,
    plain: String,
}

impl Stage {
    async fn new() -> Self {
        let ca = Authority::new("root");
        let own = PlainDirectory::new(&ca.issue(Leaf::for_dns(NAME).uri(ID)).files());
        let settings = DirectorySettings::new(own.path()).observed(false);
        let identity = Identity::from_directory(settings).await.unwrap();
        let health = Health::new(&identity);
        health.set("down", ServingStatus::NotServing);
        let ((listener, tls), (open, plain)) = (listen().await, listen().await);
        let server = Server::new(&identity).health(&health).health_listener(HealthListener::new(open, &health));
        tokio::spawn(server.serve(Routes::default(), listener, std::future::pending()));
        Self { ca, own, health, tls: format!("-addr=127.0.0.1:{tls}"), plain: format!("-addr=127.0.0.1:{plain}") }
    }

    fn of_directory(path: &Path) -> String {
        format!("--identity-dir={}", path.display())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_tls_is_asked_as_a_kubelet_asks_it() {
    let stage = Stage::new().await;
    let plain = stage.plain.as_str();
    assert_ended(&probe(&[plain]).await, SERVING, "status: SERVING");
    assert_ended(&probe(&[plain, "-service", "liveness", "-v"]).await, SERVING, "connected after");
    assert_ended(&probe(&[plain, "--service=down"]).await, NOT_SERVING, "it says NOT_SERVING");
    assert_ended(&probe(&[plain, "-service=unheard.of"]).await, CALL_FAILED, "does not know the service");
    assert_ended(&probe(&[plain, "-tls", "-tls-ca-cert=/nowhere"]).await, BAD_FLAGS, "/nowhere");
    stage.health.drain();
    assert_ended(&probe(&[plain]).await, NOT_SERVING, "it says NOT_SERVING");
    assert_ended(&probe(&[plain, "-service=liveness"]).await, SERVING, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_certificates_is_called_with_those_of_a_directory_or_of_files() {
    let stage = Stage::new().await;
    let (tls, named) = (stage.tls.as_str(), format!("-tls-server-name={NAME}"));
    let own = Stage::of_directory(stage.own.path());
    assert_ended(&probe(&[tls, &own, &named]).await, SERVING, "status: SERVING");
    assert_ended(&probe(&[tls, &own, &format!("--server-spiffe-id={ID}")]).await, SERVING, "");
    assert_ended(&probe(&[tls, &own, &named, "-service=down"]).await, NOT_SERVING, "");
    assert_ended(&probe(&[tls, &own]).await, NO_CONNECTION, "not valid for name");
    let other = "--server-spiffe-id=spiffe://example.org/other";
    assert_ended(&probe(&[tls, &own, other]).await, NO_CONNECTION, "the TLS handshake failed");

    let file = |flag: &str, name: &str| format!("-tls-{flag}={}", stage.own.path().join(name).display());
    let (ca, chain, key) = (file("ca-cert", "ca.crt"), file("client-cert", "tls.crt"), file("client-key", "tls.key"));
    assert_ended(&probe(&[tls, "-tls", &ca, &chain, &key, &named]).await, SERVING, "");
    let none = probe(&[tls, "-tls", &ca, &named]).await;
    assert_ended(&none, NO_CONNECTION, "did not accept the connection");
    let wrong = PlainDirectory::new(&Authority::new("other").issue_dns(NAME).files());
    let wrong_ca = format!("-tls-ca-cert={}", wrong.path().join("ca.crt").display());
    assert_ended(
        &probe(&[tls, "-tls", &wrong_ca, &chain, &key, &named]).await,
        NO_CONNECTION,
        "the TLS handshake failed",
    );
    assert_ended(&probe(&[tls, &Stage::of_directory(wrong.path()), &named]).await, NO_CONNECTION, "");
    let mixed = format!("-tls-client-key={}", wrong.path().join("tls.key").display());
    assert_ended(
        &probe(&[tls, "-tls", &ca, &chain, &mixed, &named]).await,
        BAD_FLAGS,
        "the certificates cannot be used",
    );
    assert_ended(&probe(&[tls]).await, NO_CONNECTION, "does it want -tls?");
    drop(stage.ca);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_the_daemons_is_used_where_it_gives_it() {
    let stage = Stage::new().await;
    let home = Home::new(|| program!());
    home.configure(&identity("payments", stage.own.path()));
    let _daemon = home.start().await;
    let socket = format!("--agent-socket={}", home.agent_socket().display());
    let named = format!("-tls-server-name={NAME}");
    let with = async |name: &str| probe(&[&stage.tls, &format!("--identity={name}"), &socket, &named]).await;
    assert_ended(&with("payments").await, SERVING, "status: SERVING");
    assert_ended(&with("unheard-of").await, NO_IDENTITY, "unheard-of");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_grpc_server_is_no_connection_and_what_does_not_answer_is_a_failed_call() {
    let (closed, port) = listen().await;
    drop(closed);
    assert_ended(&probe(&[&format!("-addr=127.0.0.1:{port}")]).await, NO_CONNECTION, "refused");
    let (silent, port) = listen().await;
    let at = format!("-addr=127.0.0.1:{port}");
    assert_ended(&probe(&[&at, "-connect-timeout=200ms"]).await, NO_CONNECTION, "-connect-timeout");
    let own = PlainDirectory::new(&Authority::new("root").issue_dns(NAME).files());
    let own = Stage::of_directory(own.path());
    assert_ended(&probe(&[&at, &own, "-connect-timeout=500ms"]).await, NO_CONNECTION, "");
    drop(silent);

    // HTTP/2 whose calls are never answered.
    let (hanging, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = hanging.accept().await {
            tokio::spawn(async {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut held = Vec::new();
                while let Some(Ok(call)) = connection.accept().await {
                    held.push(call);
                }
            });
        }
    });
    let at = format!("-addr=127.0.0.1:{port}");
    assert_ended(&probe(&[&at, "-rpc-timeout=200ms"]).await, CALL_FAILED, "-rpc-timeout");

    let (http_1, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = http_1.accept().await {
            _ = stream.read(&mut [0; 1000]).await;
            _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    assert_ended(&probe(&[&format!("-addr=127.0.0.1:{port}")]).await, NO_CONNECTION, "does not speak HTTP/2");

    let (without, port) = listen().await;
    let routes = tonic::transport::Server::builder().add_routes(Routes::default());
    tokio::spawn(routes.serve_with_incoming(tonic::transport::server::TcpIncoming::from(without)));
    let at = format!("-addr=127.0.0.1:{port}");
    assert_ended(&probe(&[&at]).await, CALL_FAILED, "has no grpc.health.v1.Health");
}

#[tokio::test]
async fn flags_that_cannot_be_used_end_as_grpc_health_probe_ends() {
    for flags in [
        &[][..],
        &["-addr=:1", "-unheard-of"],
        &["-addr=:1", "-tls", "-tls-no-verify"],
        &["-addr=:1", "-connect-timeout=soon"],
        &["-addr=:1", "-tls=maybe"],
    ] {
        assert_ended(&probe(flags).await, BAD_FLAGS, "-");
    }
    assert_ended(&probe(&["-addr=nowhere"]).await, NO_CONNECTION, "HOST:PORT");
    assert_ended(&probe(&["-version"]).await, SERVING, "evercertd ");
    assert_ended(&probe(&["--help"]).await, SERVING, "readinessProbe");
}
