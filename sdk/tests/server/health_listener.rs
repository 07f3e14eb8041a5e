//! The port without TLS: health and nothing else, within bounds.

use std::time::{Duration, Instant};

use bytes::Bytes;
use evercert::health::{Health, ServingStatus};
use evercert::server::HealthListener;
use evercert::{Identity, Server};
use evercert_fixtures::Authority;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use super::clients::{channel, client, tcp};
use super::draining::Stage;
use super::health::{check, next, serve, watch};
use super::patient::reading;
use super::serving::listen;
use super::support::{DEADLINE, Script, server_leaf, snapshot, soon};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// The message of a request that names no service (gRPC's length-prefixed message, of no bytes).
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

async fn identity() -> Identity {
    let ca = Authority::new("root");
    Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await
}

/// A port for as long as the test runs.
async fn listening() -> (Identity, Health, u16) {
    let identity = identity().await;
    let health = Health::new(&identity);
    let (listener, port) = listen().await;
    tokio::spawn(HealthListener::new(listener, &health).serve(std::future::pending()));
    (identity, health, port)
}

async fn connect(port: u16) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    HealthClient::new(soon(endpoint.connect()).await.unwrap())
}

/// A connection of HTTP/2, and no more than that.
async fn raw(port: u16) -> SendRequest<Bytes> {
    let (send, connection) = soon(h2::client::handshake(tcp(port).await)).await.unwrap();
    tokio::spawn(connection);
    send
}

async fn post(raw: &SendRequest<Bytes>, path: &str, headers: HeaderMap) -> Result<Response<RecvStream>, h2::Error> {
    let mut request = Request::post(format!("http://127.0.0.1{path}")).body(()).unwrap();
    *request.headers_mut() = headers;
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let mut raw = soon(raw.clone().ready()).await?;
    let (answer, mut body) = raw.send_request(request, false)?;
    body.send_data(EMPTY, true)?;
    soon(answer).await
}

/// The status of a call, which is in the headers where there is no message.
async fn status(answer: Response<RecvStream>) -> String {
    let trailers = async {
        let mut body = answer.into_parts();
        if let Some(status) = body.0.headers.remove("grpc-status") {
            return status;
        }
        while let Some(data) = soon(body.1.data()).await {
            data.unwrap();
        }
        soon(body.1.trailers()).await.unwrap().unwrap().remove("grpc-status").unwrap()
    };
    trailers.await.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_kubelet_is_told_what_callers_with_certificates_are_told() {
    let (_identity, health, port) = listening().await;
    health.set("b", ServingStatus::NotServing);
    let mut asked = connect(port).await;
    for (service, answer) in [
        ("", Ok("SERVING")),
        ("b", Ok("NOT_SERVING")),
        ("liveness", Ok("SERVING")),
        ("c", Err(Code::NotFound)),
        (&"a".repeat(2000), Err(Code::OutOfRange)),
    ] {
        assert_eq!(check(&mut asked, service).await, answer, "{service}");
    }
    let mut watched = watch(&mut asked, "b").await.unwrap();
    assert_eq!(next(&mut watched).await, Ok("NOT_SERVING"));
    health.set("b", ServingStatus::Serving);
    assert_eq!(next(&mut watched).await, Ok("SERVING"));
}

#[tokio::test]
async fn nothing_but_check_and_watch_is_there() {
    let (_identity, _health, port) = listening().await;
    let raw = raw(port).await;
    assert_eq!(status(post(&raw, CHECK, HeaderMap::new()).await.unwrap()).await, "0");
    for path in [
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/check",
        "/grpc.health.v1.Health/Check/",
        "//grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/%43heck",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/payments.v1.Payments/Pay",
        "/metrics",
        "/",
    ] {
        let answer = post(&raw, path, HeaderMap::new()).await.unwrap();
        assert_eq!(status(answer).await, "12", "{path}: UNIMPLEMENTED");
    }
}

#[tokio::test]
async fn what_is_not_http_2_is_not_answered() {
    let (_identity, _health, port) = listening().await;
    for bytes in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &[22, 3, 1, 2, 0, 1]] {
        let mut stream = tcp(port).await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        _ = soon(stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP") && !answer.starts_with(&[22]), "{answer:?}");
    }
}

#[tokio::test]
async fn who_asks_nothing_is_let_go() {
    let (_identity, _health, port) = listening().await;
    let begun = Instant::now();
    let mut silent = tcp(port).await;
    let mut without_request = tcp(port).await;
    without_request.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    for stream in [&mut silent, &mut without_request] {
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
        _ = ended.expect("it goes on");
    }
    assert!(begun.elapsed() > Duration::from_secs(4), "it has some time");
}

#[tokio::test]
async fn a_request_without_an_end_is_answered_after_a_while() {
    let (_identity, _health, port) = listening().await;
    let mut raw = soon(raw(port).await.ready()).await.unwrap();
    let request = Request::post(format!("http://127.0.0.1{CHECK}")).header("content-type", "application/grpc");
    let (answer, _body) = raw.send_request(request.body(()).unwrap(), false).unwrap();
    let answer = tokio::time::timeout(DEADLINE, answer).await.expect("it waits on").unwrap();
    assert_eq!(status(answer).await, "4", "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn large_headers_and_many_streams_are_refused() {
    let (_identity, _health, port) = listening().await;
    let large = HeaderMap::from_iter([("a".parse::<http::HeaderName>().unwrap(), "a".repeat(6000).parse().unwrap())]);
    let answer = post(&raw(port).await, CHECK, large).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);

    let mut asked = connect(port).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"), "of others nobody learns");
    let raw = raw(port).await;
    assert_eq!(status(post(&raw, CHECK, HeaderMap::new()).await.unwrap()).await, "0");
    assert_eq!(raw.current_max_send_streams(), 8);
}

#[tokio::test]
async fn no_more_watch_than_may() {
    let (_identity, _health, port) = listening().await;
    let (mut watching, mut refused) = (Vec::new(), 0);
    for _ in 0..5 {
        let mut asked = connect(port).await;
        for _ in 0..8 {
            match watch(&mut asked, "").await {
                Ok(stream) => watching.push((asked.clone(), stream)),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((watching.len(), refused), (32, 8));
    let mut asked = connect(port).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"), "a check needs no place");
    watching.clear();
    let freed = async { while watch(&mut asked, "").await.is_err() {} };
    soon(freed).await;
}

#[tokio::test]
async fn a_probe_is_answered_however_many_connections_others_hold() {
    let (_identity, _health, port) = listening().await;
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..500 {
        held.push(tcp(port).await);
    }
    let mut asked = connect(port).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"));
    let mut open = 0;
    for stream in &mut held {
        let end = tokio::time::timeout(Duration::from_millis(20), stream.read_to_end(&mut Vec::new())).await;
        open += usize::from(end.is_err());
    }
    assert!(open <= 32, "{open} connections are held");
}

#[tokio::test]
async fn a_flood_of_resets_takes_nothing_from_others() {
    let (_identity, _health, port) = listening().await;
    let mut asked = connect(port).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"));
    let mut flood = raw(port).await;
    let flooded = async {
        loop {
            let Ok(ready) = flood.clone().ready().await else { return };
            flood = ready;
            let request = Request::post(format!("http://127.0.0.1{CHECK}")).body(()).unwrap();
            let Ok((_, mut body)) = flood.send_request(request, false) else { return };
            body.send_reset(Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    // Where each reset is taken before the next one comes it goes on.
    _ = tokio::time::timeout(Duration::from_secs(1), flooded).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"));
}

#[tokio::test]
async fn a_server_says_there_that_it_drains_until_its_last_call_has_ended() {
    let (listener, port) = listen().await;
    let own = identity().await;
    let plain = HealthListener::new(listener, &Health::new(&own));
    let mut stage = Stage::new(|server| server.health_listener(plain).shutdown_timeout(DEADLINE), &[]).await;
    let mut asked = connect(port).await;
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"));
    let client = stage.client().await;
    let call = reading(super::patient::watch(&client).await);
    stage.shut_down();
    let drains = async { while check(&mut asked, "").await != Ok("NOT_SERVING") {} };
    soon(drains).await;
    let mut again = connect(port).await;
    assert_eq!(check(&mut again, "").await, Ok("NOT_SERVING"), "new connections are answered meanwhile");
    assert_eq!(check(&mut again, "liveness").await, Ok("SERVING"));
    stage.patient.end.cancel();
    assert_eq!(soon(call).await.unwrap(), Code::Ok);
}

#[tokio::test]
async fn the_port_is_closed_when_the_server_has_ended() {
    let identity = identity().await;
    let health = Health::new(&identity);
    let (listener, port) = listen().await;
    let server = Server::new(&identity).health_listener(HealthListener::new(listener, &health));
    let (_, stop, serving) = serve(server).await;
    assert_eq!(check(&mut connect(port).await, "").await, Ok("SERVING"));
    drop(stop);
    soon(serving).await.unwrap();
    let refused = async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} };
    soon(refused).await;
}

#[tokio::test]
async fn no_method_of_the_server_can_be_called_there() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let health = Health::new(&identity);
    let (listener, plain) = listen().await;
    let server = Server::new(&identity).health(&health).health_listener(HealthListener::new(listener, &health));
    let (listener, port) = listen().await;
    let routes = tonic::service::Routes::from(axum::Router::new().route("/a.v1.A/A", axum::routing::any(async || "a")));
    tokio::spawn(server.serve(routes, listener, std::future::pending()));
    let own = ca.issue_dns("client.example.org");
    let mut asked = HealthClient::new(channel(client(&ca, Some(&own)), port).await);
    assert_eq!(check(&mut asked, "").await, Ok("SERVING"), "health is beside the routes");
    let answer = post(&raw(plain).await, "/a.v1.A/A", HeaderMap::new()).await.unwrap();
    assert_eq!(status(answer).await, "12");
}
