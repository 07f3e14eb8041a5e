//! Paths that are nearly a method's, as a client of one's own writes them.

use std::sync::Arc;

use bytes::Bytes;
use evercert_core::crypto;
use evercert_fixtures::wait::soon;
use evercert_tests::guarded::{Guarded, Stage, Token};
use h2::client::SendRequest;
use http::{Request, uri::PathAndQuery};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection on which nothing is put right.
async fn connect(stage: &Stage, server: &Guarded) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(tls(stage, server).await).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn tls(stage: &Stage, server: &Guarded) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(stage.authority().ca_der().to_vec().into()).unwrap();
    let issued = stage.authority().issue(evercert_tests::side::leaf().uri(evercert_tests::guarded::CALLER));
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(issued.key_der.clone().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

/// Ends a header block and a stream (RFC 9113 §6.1, §6.2), and the kinds of frames.
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header as a literal (RFC 7541 §6.2.2), neither indexed nor compressed.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let (length, bytes) = (text.len(), text.as_bytes());
        let Some(more) = length.checked_sub(127) else { return [&[u8::try_from(length).unwrap()], bytes].concat() };
        let (low, high) = (u8::try_from(more % 128).unwrap(), u8::try_from(more / 128).unwrap());
        [&[127, low | 128, high], bytes].concat()
    };
    [&[0][..], &text(name), &text(value)].concat()
}

/// Makes a call of this path by frames of one's own, whatever a library would say to it, and waits for its end.
async fn call_by_hand(stage: &Stage, server: &Guarded, path: &str, token: &str) {
    let mut tls = tls(stage, server).await;
    let authorization = format!("Bearer {token}");
    let headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &authorization),
    ];
    let headers: Vec<u8> = headers.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &headers),
        frame(DATA, END_STREAM, 1, &[0; 5]),
    ];
    tls.write_all(&bytes.concat()).await.unwrap();
    let mut head = [0; 9];
    while tls.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        tls.read_exact(&mut payload).await.unwrap();
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        if kind == GOAWAY || stream == 1 && (kind == RST_STREAM || flags & END_STREAM != 0) {
            return;
        }
    }
}

#[tokio::test]
async fn a_path_without_a_slash_or_none_at_all_reaches_no_handler() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let token = stage.token(Token::Good).unwrap();
    soon("the call ends", call_by_hand(&stage, &server, "/grpc.testing.TestService/EmptyCall", &token)).await;
    assert_eq!(server.counted.reached(), 1, "by hand it is a call like any other");
    for path in [
        "",
        "grpc.testing.TestService/EmptyCall",
        "grpc.health.v1.Health/Check",
        "https://localhost/grpc.testing.TestService/EmptyCall",
        "//localhost/grpc.testing.TestService/EmptyCall",
        "localhost/grpc.testing.TestService/EmptyCall",
        "\\grpc.testing.TestService\\EmptyCall",
        "/grpc.testing.TestService\\EmptyCall",
        " /grpc.testing.TestService/EmptyCall",
        "/grpc.testing.TestService/EmptyCall\t",
        "/grpc.testing.TestService/EmptyCall\0",
        "/grpc.testing.TestService/Empty\u{ad}Call",
    ] {
        soon("the call ends", call_by_hand(&stage, &server, path, &token)).await;
        assert_eq!(server.counted.reached(), 1, "{path:?}");
    }
    // HTTP/2 cuts a fragment off before policy and router see the path, so both see the same one.
    let forged = stage.token(Token::Forged).unwrap();
    soon("the call ends", call_by_hand(&stage, &server, "/grpc.testing.TestService/EmptyCall#a", &forged)).await;
    assert_eq!(server.counted.reached(), 1);
}

/// The status of gRPC that the answer to a call of this path has; `None` where the stream was reset.
async fn status(sender: &SendRequest<Bytes>, path: &str, token: Option<&str>) -> Option<String> {
    let path = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes())).ok()?;
    let uri = http::Uri::builder().scheme("https").authority("localhost").path_and_query(path).build().ok()?;
    let mut request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut sender = sender.clone().ready().await.unwrap();
    let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    // An empty message.
    body.send_data(Bytes::from_static(&[0; 5]), true).ok()?;
    let answer = answer.await.ok()?;
    if let Some(status) = answer.headers().get("grpc-status") {
        return Some(status.to_str().unwrap().to_owned());
    }
    let mut body = answer.into_body();
    while body.data().await.is_some() {}
    let trailers = body.trailers().await.ok()??;
    Some(trailers.get("grpc-status").unwrap().to_str().unwrap().to_owned())
}

/// `UNAUTHENTICATED` and `PERMISSION_DENIED`, as they are on the wire.
const DENIED: [&str; 2] = ["16", "7"];

#[tokio::test]
async fn a_path_that_is_nearly_a_methods_is_denied_and_reaches_no_handler() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let sender = connect(&stage, &server).await;
    let good = stage.token(Token::Good);
    let method = "/grpc.testing.TestService/EmptyCall";
    assert_eq!(status(&sender, method, good.as_deref()).await.as_deref(), Some("0"));
    let reached = server.counted.reached();
    let mut asked = 0;
    for path in [
        "//grpc.testing.TestService/EmptyCall",
        "/grpc.testing.TestService//EmptyCall",
        "/grpc.testing.TestService/EmptyCall/",
        "/grpc.testing.TestService/EmptyCall//",
        "/grpc.testing.TestService/",
        "/grpc.testing.TestService",
        "/",
        "/grpc.testing.TestService/emptycall",
        "/grpc.testing.testservice/EmptyCall",
        "/GRPC.TESTING.TESTSERVICE/EMPTYCALL",
        "/grpc.testing.TestService/%45mptyCall",
        "/grpc.testing.TestService%2FEmptyCall",
        "/%67rpc.testing.TestService/EmptyCall",
        "/grpc.testing.TestService/EmptyCall%20",
        "/grpc.testing.TestService/EmptyCall%00",
        "/grpc.testing.TestService/EmptyCall?",
        "/grpc.testing.TestService/EmptyCall?a=b",
        "/grpc.testing.TestService/EmptyCall;a",
        "/grpc.testing.TestService/../grpc.testing.TestService/EmptyCall",
        "/./grpc.testing.TestService/EmptyCall",
        "/x/grpc.testing.TestService/EmptyCall",
        "/grpc.testing.TestService/EmptyCall/x",
        "/.grpc.testing.TestService/EmptyCall",
        "/grpc.testing.TestService./EmptyCall",
        "/grpc.testing.TestService/EmptyCal",
        "/grpc.testing.TestService/EmptyCalll",
        "/grpc.testing.TestService/Unknown",
        "/grpc.testing.Unknown/EmptyCall",
        "/TestService/EmptyCall",
        "/grpc.health.v1.Health/Check/",
        "//grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Check/../../grpc.testing.TestService/EmptyCall",
        "/grpc.health.v1.Health/Check?/grpc.testing.TestService/EmptyCall",
        "*",
    ] {
        for token in [None, good.as_deref()] {
            asked += 1;
            // Where HTTP/2 itself refuses it, no call was made.
            let status = status(&sender, path, token).await;
            assert!(status.as_deref().is_none_or(|status| DENIED.contains(&status)), "{path}: {status:?}");
        }
    }
    assert_eq!((asked, server.counted.reached()), (72, reached));
    assert_eq!(status(&sender, method, good.as_deref()).await.as_deref(), Some("0"), "the server goes on");
}

#[tokio::test]
async fn health_checks_are_anybodys_and_reflection_is_nobodys() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let sender = connect(&stage, &server).await;
    let garbage = stage.token(Token::Garbage);
    for token in [None, garbage.as_deref()] {
        assert_eq!(status(&sender, "/grpc.health.v1.Health/Check", token).await.as_deref(), Some("0"));
        for reflection in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{reflection}.ServerReflection/ServerReflectionInfo");
            assert_eq!(status(&sender, &path, token).await.as_deref(), Some("12"), "unimplemented");
        }
    }
}
