//! What channels and connectors tell their recorder of handshakes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::client::{Endpoint, HttpsSettings};
use evercert::telemetry::{Event, HandshakeKind, HandshakeResult as R, Recorder};
use evercert::tls::{ClientTls, Resumption};
use evercert::{Identity, TlsVersions};
use evercert_core::bundle::Bundle;
use evercert_core::crypto::provider;
use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Issued, Leaf};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::peers::{Publisher, SERVER, Server, acceptor, call, server_leaf, soon};
use super::resumption::tls_1_2;

#[derive(Debug, PartialEq)]
enum Told {
    Handshake(String, R, Option<HandshakeKind>),
    NotAccepted(String, R),
}

struct Telling(mpsc::UnboundedSender<Told>);

impl Recorder for Telling {
    fn record(&self, event: &Event<'_>) {
        _ = self.0.send(match event {
            Event::ClientHandshake { target, result, kind, .. } => {
                Told::Handshake((*target).to_owned(), *result, *kind)
            }
            Event::NotAccepted { target, reason, .. } => Told::NotAccepted((*target).to_owned(), *reason),
            other => panic!("{other:?} is not a client's"),
        });
    }
}

type Telltale = mpsc::UnboundedReceiver<Told>;

fn telling() -> (Arc<dyn Recorder>, Telltale) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Telling(sender)), receiver)
}

const FULL: Option<HandshakeKind> = Some(HandshakeKind::Full);

async fn next(told: &mut Telltale) -> Told {
    soon(told.recv()).await.unwrap()
}

/// The result of the first handshake of a channel.
async fn result(endpoint: Endpoint, identity: &Identity) -> R {
    let (recorder, mut told) = telling();
    let connecting = endpoint.recorder(recorder).connect(identity);
    let (_channel, told) = tokio::join!(connecting, next(&mut told));
    match told {
        Told::Handshake(_, result, _) => result,
        Told::NotAccepted(..) => panic!("{told:?} without a handshake"),
    }
}

/// The URI of a place where `serve` has each connection.
async fn listening<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> String
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    uri
}

/// The URI of a server that shakes hands so, and says nothing then.
async fn shaking_hands(acceptor: TlsAcceptor) -> String {
    let serve = move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    };
    listening(serve).await
}

fn endpoint(uri: &str) -> Endpoint {
    Endpoint::new(uri).unwrap().server_name(SERVER).unwrap().handshake_timeout(Duration::from_millis(500))
}

#[tokio::test]
async fn a_channel_tells_its_uri_and_that_it_shook_hands_once() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let (recorder, mut told) = telling();
    let endpoint = server.endpoint().recorder(recorder);
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    call(&channel).await.unwrap();
    assert_eq!(next(&mut told).await, Told::Handshake(server.uri(), R::Success, FULL));
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_connector_tells_whom_it_connects_to_and_whether_it_resumed() {
    let ca = Authority::new("ca");
    // With TLS 1.2 there is a session to resume once the handshake is done.
    let uri = shaking_hands(Arc::new(tls_1_2(&ca, &ca.issue(server_leaf()))).into()).await;
    let (recorder, mut told) = telling();
    let tls = ClientTls::default().versions(TlsVersions::Tls12And13).resumption(Resumption::PerGeneration);
    let settings = HttpsSettings::default().server_name(SERVER).unwrap().tls(tls).recorder(recorder);
    let mut connector = Publisher::of(&ca).identity().await.connector_with(settings);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let _connection = connector.call(format!("{uri}/with/a?path").parse().unwrap()).await.unwrap();
        assert_eq!(next(&mut told).await, Told::Handshake(uri.clone(), R::Success, Some(kind)));
    }
}

#[tokio::test]
async fn a_server_certificate_that_is_refused_is_told_by_what_is_wrong_with_it() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let revoked = ca.issue(server_leaf());
    let trusted = Bundle::new(vec![ca.ca_der().to_vec().into()], vec![ca.crl(&[&revoked]).der.into()]);
    let publisher = Publisher::new();
    publisher.publish_bundle(&ca.issue_dns("client"), Some(trusted));
    let identity = publisher.identity().await;

    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    let showing = |leaf: Leaf| acceptor(&ca, &ca.issue(leaf), &[b"h2"]);
    let wrong_role = server_leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::ClientAuth]);
    let (own, stranger) = (ca.issue(server_leaf()), other.issue(server_leaf()));
    let cut_off = own.leaf_der[..own.leaf_der.len() - 1].to_vec();
    for (acceptor, expected) in [
        (showing(server_leaf().valid(now - 2 * hour, now - hour)), R::CertificateExpired),
        (showing(server_leaf().valid(now + hour, now + 2 * hour)), R::CertificateNotYetValid),
        (acceptor(&ca, &revoked, &[b"h2"]), R::CertificateRevoked),
        (acceptor(&ca, &stranger, &[b"h2"]), R::CertificateAuthorityInvalid),
        (showing(Leaf::for_dns("other.internal")), R::CertificateHostnameMismatch),
        (showing(wrong_role), R::CertificateVerificationFailed),
        (presenting(cut_off, &own), R::CertificateMalformed),
        // The signature of the handshake is by another key.
        (presenting(own.leaf_der.clone(), &stranger), R::SignatureVerificationFailed),
    ] {
        assert_eq!(result(endpoint(&shaking_hands(acceptor).await), &identity).await, expected);
    }
}

/// Presents this leaf with this key, whether they match or not.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn presenting(leaf: impl Into<CertificateDer<'static>>, key: &Issued) -> TlsAcceptor {
    let key = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.key_der.clone()).into()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let presents = Arc::new(Presents(Arc::new(CertifiedKey::new(vec![leaf.into()], key))));
    let mut config = builder.with_no_client_auth().with_cert_resolver(presents);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config).into()
}

#[tokio::test]
async fn a_server_that_shares_nothing_with_the_channel_is_told_by_what_it_does_not_share() {
    let ca = Authority::new("ca");
    let (identity, issued) = (Publisher::of(&ca).identity().await, ca.issue(server_leaf()));
    let old = endpoint(&shaking_hands(Arc::new(tls_1_2(&ca, &issued)).into()).await);
    assert_eq!(result(old, &identity).await, R::ProtocolVersionUnsupported);

    for offered in [&[b"spdy".as_slice()][..], &[]] {
        let other = endpoint(&shaking_hands(acceptor(&ca, &issued, offered)).await);
        assert_eq!(result(other, &identity).await, R::NoApplicationProtocol);
    }

    for (alert, expected) in [
        (40, R::CipherSuiteMismatch),
        (86, R::InappropriateFallback),
        (112, R::CertificateHostnameMismatch),
        (80, R::UnknownFailure),
    ] {
        let refusing = listening(move |mut stream| async move {
            _ = stream.read(&mut [0; 1 << 14]).await;
            _ = stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await;
        });
        assert_eq!(result(endpoint(&refusing.await), &identity).await, expected, "{alert}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_told_as_a_timeout_and_one_that_goes_or_speaks_no_tls_as_what_it_does() {
    let ca = Authority::new("ca");
    let identity = Publisher::of(&ca).identity().await;
    let silent = listening(|mut stream| async move { _ = stream.read_to_end(&mut Vec::new()).await });
    assert_eq!(result(endpoint(&silent.await), &identity).await, R::HandshakeTimeout);

    let closing = listening(|mut stream| async move { _ = stream.read(&mut [0; 1 << 14]).await });
    assert_eq!(result(endpoint(&closing.await), &identity).await, R::PeerConnectionClosed);

    let plain = listening(|mut stream| async move {
        _ = stream.read(&mut [0; 1 << 14]).await;
        _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    assert_eq!(result(endpoint(&plain.await), &identity).await, R::UnexpectedMessage);
}

#[tokio::test]
async fn a_server_that_refuses_the_channels_certificate_is_told_behind_a_handshake_that_succeeded() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let server = Server::start(&other).await;
    server.present(&other, &ca.issue(server_leaf()));
    let (recorder, mut told) = telling();
    let endpoint = server.endpoint().recorder(recorder);
    let _refused = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap_err();
    assert_eq!(next(&mut told).await, Told::Handshake(server.uri(), R::Success, FULL));
    assert_eq!(next(&mut told).await, Told::NotAccepted(server.uri(), R::CertificateAuthorityInvalid));

    let mute = shaking_hands(acceptor(&ca, &ca.issue(server_leaf()), &[b"h2"])).await;
    let (recorder, mut told) = telling();
    let connecting = self::endpoint(&mute).recorder(recorder);
    let _refused = connecting.connect(&Publisher::of(&ca).identity().await).await.unwrap_err();
    assert_eq!(next(&mut told).await, Told::Handshake(mute.clone(), R::Success, FULL));
    assert_eq!(next(&mut told).await, Told::NotAccepted(mute, R::HandshakeTimeout));
}

#[tokio::test]
async fn channels_and_connectors_tell_their_identitys_recorder_unless_they_have_their_own() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let (recorder, mut of_identity) = telling();
    let source = Publisher::of(&ca);
    let identity = Identity::from_source("client", source).recorder(recorder).await.unwrap();
    server.endpoint().connect(&identity).await.unwrap();
    assert_eq!(next(&mut of_identity).await, Told::Handshake(server.uri(), R::Success, FULL));
    let settings = || HttpsSettings::default().server_name(SERVER).unwrap();
    identity.connector_with(settings()).call(server.uri().parse().unwrap()).await.unwrap();
    assert_eq!(next(&mut of_identity).await, Told::Handshake(server.uri(), R::Success, FULL));

    let (recorder, mut own) = telling();
    server.endpoint().recorder(Arc::clone(&recorder)).connect(&identity).await.unwrap();
    identity.connector_with(settings().recorder(recorder)).call(server.uri().parse().unwrap()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut own).await, Told::Handshake(server.uri(), R::Success, FULL));
    }
    assert!(of_identity.try_recv().is_err());
}

struct Panicking;

impl Recorder for Panicking {
    fn record(&self, _: &Event<'_>) {
        panic!("a recorder's own fault");
    }
}

#[tokio::test]
async fn a_recorder_that_panics_costs_no_connection() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let endpoint = server.endpoint().recorder(Arc::new(Panicking));
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    call(&channel).await.unwrap();
}
