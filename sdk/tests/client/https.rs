//! Connections for the HTTP clients of others: tonic's own channel, and hyper's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use evercert::HttpVersions;
use evercert::client::{ConnectError, ConnectFailure, HttpsSettings};
use evercert_fixtures::Authority;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Service as _;

use super::peers::{Publisher, SERVER, Server, acceptor, server_leaf, soon};

fn settings() -> HttpsSettings {
    HttpsSettings::default().server_name(SERVER).unwrap()
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::from_shared(format!("http://{}", server.address)).unwrap()
}

async fn call(channel: &Channel) -> Result<(), tonic::Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test]
async fn tonics_own_channel_connects_with_the_newest_generation_each_time() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let mut identity = publisher.identity().await;
    let connector = identity.connector_with(settings());
    let first = soon(endpoint(&server).connect_with_connector(connector.clone())).await.unwrap();
    soon(call(&first)).await.unwrap();

    let next = ca.issue_dns("client");
    publisher.publish(&next, Some(&ca));
    soon(identity.changed()).await;
    soon(call(&first)).await.unwrap();
    assert!(!server.has_seen(&next), "a connection that lives is not moved");
    let status = identity.status();
    assert_eq!((status.connections, status.connections_on_older, status.settled), (1, 1, false));

    let second = soon(endpoint(&server).connect_with_connector(connector)).await.unwrap();
    soon(call(&second)).await.unwrap();
    assert!(server.has_seen(&next));
    drop(first);
    soon(async {
        while !identity.status().settled {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(identity.status().connections, 1);
}

#[tokio::test]
async fn tonics_own_channel_connects_anew_when_its_server_restarts() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let mut identity = publisher.identity().await;
    let channel = endpoint(&server).connect_with_connector_lazy(identity.connector_with(settings()));
    soon(call(&channel)).await.unwrap();
    let next = ca.issue_dns("client");
    publisher.publish(&next, Some(&ca));
    soon(identity.changed()).await;
    let server = Server::start_at(&ca, server.stop().await).await;
    soon(async { while call(&channel).await.is_err() {} }).await;
    assert!(server.has_seen(&next));
}

#[tokio::test]
async fn a_connection_to_a_server_that_is_trusted_no_longer_is_cut() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let identity = publisher.identity().await;
    let connector = identity.connector_with(settings().untrusted_timeout(Duration::ZERO));
    let channel = soon(endpoint(&server).connect_with_connector(connector.clone())).await.unwrap();
    soon(call(&channel)).await.unwrap();
    publisher.publish(&ca.issue_dns("client"), Some(&other));
    soon(async {
        while identity.status().connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(soon(call(&channel)).await.is_err());
}

/// An HTTP/1.1 server, which answers every request with the same words.
async fn http_1(ca: &Authority, alpn: &'static [&'static [u8]]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = acceptor(ca, &ca.issue(server_leaf()), alpn);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            count.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
                    }
                }
            });
        }
    });
    (port, connections)
}

#[tokio::test]
async fn hypers_client_speaks_http_1_1_where_that_was_agreed_on() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    for (versions, alpn) in [
        (HttpVersions::Http1, &[b"http/1.1" as &[u8]] as &[&[u8]]),
        (HttpVersions::Http1And2, &[b"http/1.1"]),
        (HttpVersions::Http1, &[]),
    ] {
        let (port, connections) = http_1(&ca, alpn).await;
        let connector = identity.connector_with(settings().http_versions(versions));
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        for _ in 0..3 {
            let answer = soon(client.get(format!("https://127.0.0.1:{port}/").parse().unwrap())).await.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_11);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
        assert_eq!(connections.load(SeqCst), 1, "a connection is used again");
    }
}

#[tokio::test]
async fn hypers_client_speaks_http_2_where_that_was_agreed_on() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let identity = Publisher::of(&ca).identity().await;
    let connector = identity.connector_with(settings().http_versions(HttpVersions::Http1And2));
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let answer = soon(client.get(server.uri().parse().unwrap())).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
}

#[tokio::test]
async fn why_there_is_no_connection_is_said() {
    let ca = Authority::new("ca");
    let failure = async |identity: &evercert::Identity, uri: String| -> ConnectError {
        soon(identity.connector_with(settings()).call(uri.parse().unwrap())).await.unwrap_err()
    };
    let pending = Publisher::new().identity().await;
    let error = failure(&pending, "https://127.0.0.1:1".to_owned()).await;
    assert!(matches!(error.failure, ConnectFailure::NoGeneration), "{error}");
    let identity = Publisher::of(&ca).identity().await;
    let error = failure(&identity, "https://127.0.0.1:1".to_owned()).await;
    assert!(
        matches!(error.failure, ConnectFailure::Connect(_)) && error.to_string().contains("127.0.0.1:1"),
        "{error}"
    );
    let error = failure(&identity, "/path".to_owned()).await;
    assert!(error.to_string().contains("write https://host:port"), "{error}");
    let (port, _) = http_1(&ca, &[b"http/1.1"]).await;
    let error = failure(&identity, format!("https://127.0.0.1:{port}")).await;
    assert!(matches!(error.failure, ConnectFailure::Tls(_)), "{error}");
    let (port, _) = http_1(&ca, &[]).await;
    let error = failure(&identity, format!("https://127.0.0.1:{port}")).await;
    assert!(matches!(error.failure, ConnectFailure::NoHttp2), "{error}");
}
