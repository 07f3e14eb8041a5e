//! What a server tells its recorder of handshakes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::server::{AcceptLimits, Hosts, IncomingSettings, UnknownHost};
use evercert::telemetry::{Event, HandshakeKind, HandshakeResult as R, Recorder};
use evercert::tls::{Resumption, ServerTls};
use evercert::{ClientCertificates, Identity, Server, TlsVersions};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::crypto::provider;
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Issued, Leaf};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{ActiveKeyExchange, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, NamedGroup, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::clients::{BOTH, TLS12, accepted, client, client_with, connect, tcp};
use super::serving::{self, listen};
use super::support::{DEADLINE, NAME, Script, bundle, credential, server_leaf, snapshot, soon};

const SOON: Duration = Duration::from_millis(100);

/// Passes handshakes of servers on to the test.
struct Telling(mpsc::UnboundedSender<(R, Option<HandshakeKind>)>);

impl Recorder for Telling {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::ServerHandshake { result, kind, .. } => _ = self.0.send((*result, *kind)),
            other => panic!("{other:?} is not a server's"),
        }
    }
}

struct Told(mpsc::UnboundedReceiver<(R, Option<HandshakeKind>)>);

fn telling() -> (Arc<dyn Recorder>, Told) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Telling(sender)), Told(receiver))
}

impl Told {
    async fn next(&mut self) -> (R, Option<HandshakeKind>) {
        soon(self.0.recv()).await.unwrap()
    }

    fn nothing(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// A tonic server with gRPC health whose recorder the test has.
async fn serve(identity: &Identity, settings: IncomingSettings) -> (u16, Told) {
    let (listener, port) = listen().await;
    let (recorder, told) = telling();
    let incoming = identity.incoming_with(listener, settings.recorder(recorder));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    (port, told)
}

async fn plain(ca: &Authority) -> Identity {
    Script::of(snapshot(1, &server_leaf(ca), &[ca])).identity().await
}

#[tokio::test]
async fn a_handshake_that_succeeds_is_told_once_and_whether_it_resumed() {
    let ca = Authority::new("root");
    let tls = ServerTls::default().versions(TlsVersions::Tls12And13).resumption(Resumption::PerGeneration);
    let (port, mut told) = serve(&plain(&ca).await, IncomingSettings::default().tls(tls)).await;
    for versions in [&BOTH[..], &TLS12] {
        let mut config = client_with(&ca, Some(&ca.issue_dns("client.example.org")), versions);
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let _io = accepted(&config, tcp(port).await).await.unwrap();
            assert_eq!(told.next().await, (R::Success, Some(kind)));
        }
    }
    assert!(told.nothing());
}

/// Presents this chain with this key, whether they match or not.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn presenting(ca: &Authority, leaf: impl Into<CertificateDer<'static>>, key: &Issued) -> ClientConfig {
    let mut config = client(ca, None);
    let key = PrivatePkcs8KeyDer::from(key.key_der.clone()).into();
    let key = provider().key_provider.load_private_key(key).unwrap();
    config.client_auth_cert_resolver = Arc::new(Presents(Arc::new(CertifiedKey::new(vec![leaf.into()], key))));
    config
}

#[tokio::test]
async fn a_client_certificate_that_is_refused_is_told_by_what_is_wrong_with_it() {
    let (ca, other) = (Authority::new("root"), Authority::new("other"));
    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    let leaf = || Leaf::for_dns("client.example.org");
    let revoked = ca.issue(leaf());
    let own = Bundle::new(vec![ca.ca_der().to_vec().into()], vec![ca.crl(&[&revoked]).der.into()]);
    let trusted = Bundles { own: Some(Arc::new(own)), ..Bundles::default() };
    let identity = Script::of(Snapshot::new(1, credential(&server_leaf(&ca)), trusted, None)).identity().await;
    let tls = ServerTls::default().versions(TlsVersions::Tls12And13);
    let (port, mut told) = serve(&identity, IncomingSettings::default().tls(tls)).await;

    let showing = |leaf: Leaf| {
        let issued = ca.issue(leaf);
        presenting(&ca, issued.leaf_der.clone(), &issued)
    };
    let broken = ca.issue(leaf());
    let stranger = other.issue(leaf());
    let wrong_role = leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::ServerAuth]);
    let refused = [
        (showing(leaf().valid(now - 2 * hour, now - hour)), R::CertificateExpired),
        (showing(leaf().valid(now + hour, now + 2 * hour)), R::CertificateNotYetValid),
        (presenting(&ca, revoked.leaf_der.clone(), &revoked), R::CertificateRevoked),
        (presenting(&ca, stranger.leaf_der.clone(), &stranger), R::CertificateAuthorityInvalid),
        (showing(wrong_role), R::CertificateVerificationFailed),
        (client(&ca, None), R::CertificateVerificationFailed),
        (presenting(&ca, broken.leaf_der[..broken.leaf_der.len() - 1].to_vec(), &broken), R::CertificateMalformed),
        // The signature of the handshake is by another key.
        (presenting(&ca, broken.leaf_der.clone(), &stranger), R::SignatureVerificationFailed),
    ];
    for (config, expected) in refused {
        connect(config, port).await.unwrap_err();
        assert_eq!(told.next().await, (expected, None));
    }
    assert!(told.nothing(), "each is told once");
}

#[tokio::test]
async fn the_alert_of_a_client_is_told_as_what_it_says() {
    let (ca, other) = (Authority::new("root"), Authority::new("other"));
    let (port, mut told) = serve(&plain(&ca).await, serving::nobody_asked()).await;
    connect(client(&other, None), port).await.unwrap_err();
    assert_eq!(told.next().await, (R::CertificateAuthorityInvalid, None));

    for (alert, expected) in [
        (86, R::InappropriateFallback),
        (45, R::CertificateExpired),
        (44, R::CertificateRevoked),
        (40, R::CipherSuiteMismatch),
        (90, R::PeerConnectionClosed),
        (255, R::UnknownFailure),
    ] {
        let mut io = tcp(port).await;
        io.write_all(&hello(&client(&ca, None))).await.unwrap();
        assert_ne!(soon(io.read(&mut [0; 1])).await.unwrap(), 0);
        // A client that cannot read the answer has no keys to send it with.
        io.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.unwrap();
        assert_eq!(told.next().await, (expected, None), "{alert}");
    }
}

/// The ClientHello of a client.
fn hello(config: &ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config.clone()), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// A group for the key exchange that no server knows.
#[derive(Debug)]
struct Unheard(&'static dyn SupportedKxGroup);

impl SupportedKxGroup for Unheard {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        self.0.start()
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe01)
    }
}

#[tokio::test]
async fn a_client_that_shares_nothing_with_the_server_is_told_by_what_it_does_not_share() {
    let ca = Authority::new("root");
    let (port, mut told) = serve(&plain(&ca).await, serving::nobody_asked()).await;
    connect(client_with(&ca, None, &TLS12), port).await.unwrap_err();
    assert_eq!(told.next().await, (R::ProtocolVersionUnsupported, None));

    for offered in [vec![b"spdy".to_vec()], Vec::new()] {
        let mut config = client(&ca, None);
        config.alpn_protocols = offered;
        _ = connect(config, port).await;
        assert_eq!(told.next().await, (R::NoApplicationProtocol, None));
    }

    // Behind the headers of record and message, the version, the random and the session's name: the suites.
    const SUITES: usize = 5 + 4 + 2 + 32 + 1 + 32;
    let mut unknown = hello(&client_with(&ca, None, &[&rustls::version::TLS13]));
    let length = usize::from(u16::from_be_bytes([unknown[SUITES], unknown[SUITES + 1]]));
    for suite in unknown[SUITES + 2..][..length].chunks_exact_mut(2) {
        suite.copy_from_slice(&[0xfe, 1]);
    }
    tcp(port).await.write_all(&unknown).await.unwrap();
    assert_eq!(told.next().await, (R::CipherSuiteMismatch, None));

    let mut unheard = (*provider()).clone();
    unheard.kx_groups = vec![Box::leak(Box::new(Unheard(unheard.kx_groups[0])))];
    let builder = ClientConfig::builder_with_provider(Arc::new(unheard));
    let config = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    tcp(port).await.write_all(&hello(&config)).await.unwrap();
    assert_eq!(told.next().await, (R::KeyExchangeFailure, None));
}

#[tokio::test]
async fn what_is_no_tls_is_told_as_an_unexpected_message_and_what_is_garbled_as_one_that_cannot_be_decrypted() {
    let ca = Authority::new("root");
    let (port, mut told) = serve(&plain(&ca).await, serving::nobody_asked()).await;
    tcp(port).await.write_all(b"GET / HTTP/1.1\r\nhost: server.example.org\r\n\r\n").await.unwrap();
    assert_eq!(told.next().await, (R::UnexpectedMessage, None));

    let mut io = tcp(port).await;
    io.write_all(&hello(&client(&ca, None))).await.unwrap();
    assert_ne!(soon(io.read(&mut [0; 1])).await.unwrap(), 0, "there are keys from here on");
    io.write_all(&[&[23, 3, 3, 0, 32][..], &[7; 32]].concat()).await.unwrap();
    assert_eq!(told.next().await, (R::DecryptionFailed, None));
}

#[tokio::test]
async fn a_peer_that_is_silent_is_told_as_a_timeout_and_one_that_goes_as_closed() {
    let ca = Authority::new("root");
    let limits = AcceptLimits::default().client_hello(SOON).handshake(SOON);
    let (port, mut told) = serve(&plain(&ca).await, serving::nobody_asked().accept_limits(limits)).await;
    let _silent = tcp(port).await;
    assert_eq!(told.next().await, (R::HandshakeTimeout, None));
    let mut stalled = tcp(port).await;
    stalled.write_all(&hello(&client(&ca, None))).await.unwrap();
    assert_eq!(told.next().await, (R::HandshakeTimeout, None));

    drop(tcp(port).await);
    assert_eq!(told.next().await, (R::PeerConnectionClosed, None));
    let mut gone = tcp(port).await;
    gone.write_all(&hello(&client(&ca, None))).await.unwrap();
    drop(gone);
    assert_eq!(told.next().await, (R::PeerConnectionClosed, None));
}

#[tokio::test]
async fn a_name_that_no_identity_was_given_for_is_a_mismatch_and_an_identity_without_a_generation_a_failure() {
    let ca = Authority::new("root");
    let hosts = Hosts::default().identity_for("other.example.org", &other_named(&ca).await).unwrap();
    let settings = serving::nobody_asked().hosts(hosts.unknown_hosts(UnknownHost::Refuse));
    let (port, mut told) = serve(&plain(&ca).await, settings).await;
    connect(client(&ca, None), port).await.unwrap_err();
    assert_eq!(told.next().await, (R::CertificateHostnameMismatch, None));

    let pending = Identity::from_source("pending", Script::new()).start_pending().unwrap();
    let (port, mut told) = serve(&pending, serving::nobody_asked()).await;
    connect(client(&ca, None), port).await.unwrap_err();
    assert_eq!(told.next().await, (R::UnknownFailure, None));
}

async fn other_named(ca: &Authority) -> Identity {
    let issued = ca.issue(Leaf::for_dns("other.example.org"));
    let script = Script::of(snapshot(1, &issued, &[ca]));
    Identity::from_source("other", script).timeout(DEADLINE).await.unwrap()
}

#[tokio::test]
async fn connections_that_a_limit_turns_away_are_no_handshakes() {
    let ca = Authority::new("root");
    let limits = AcceptLimits::default().unfinished_per_peer(1).waiting(0);
    let (port, mut told) = serve(&plain(&ca).await, serving::nobody_asked().accept_limits(limits)).await;
    let mut first = tcp(port).await;
    let hello = hello(&client(&ca, None));
    first.write_all(&hello).await.unwrap();
    assert_ne!(soon(first.read(&mut [0; 1])).await.unwrap(), 0);
    let mut turned_away = tcp(port).await;
    _ = turned_away.write_all(&hello).await;
    _ = soon(turned_away.read_to_end(&mut Vec::new())).await;
    drop(first);
    assert_eq!(told.next().await, (R::PeerConnectionClosed, None));
    assert!(told.nothing());
}

#[tokio::test]
async fn a_server_tells_its_own_recorder_or_else_its_identitys() {
    let ca = Authority::new("root");
    let start = async |recorder| {
        let script = Script::of(Snapshot::new(1, credential(&server_leaf(&ca)), bundle(&[&ca]), None));
        Identity::from_source("test", script).timeout(DEADLINE).recorder(recorder).await.unwrap()
    };
    let (recorder, mut of_identity) = telling();
    let identity = start(recorder).await;
    let server = || Server::new(&identity).client_certificates(ClientCertificates::None);
    let (port, _stop, _serving) = serving::serve(server()).await;
    connect(client(&ca, None), port).await.unwrap();
    assert_eq!(of_identity.next().await, (R::Success, Some(HandshakeKind::Full)));

    let (recorder, mut of_server) = telling();
    let (port, _stop, _serving) = serving::serve(server().recorder(recorder)).await;
    connect(client(&ca, None), port).await.unwrap();
    assert_eq!(of_server.next().await, (R::Success, Some(HandshakeKind::Full)));
    assert!(of_identity.nothing());
}

struct Panicking;

impl Recorder for Panicking {
    fn record(&self, _: &Event<'_>) {
        panic!("a recorder's own fault");
    }
}

#[tokio::test]
async fn a_recorder_that_panics_costs_no_connection() {
    let ca = Authority::new("root");
    let (listener, port) = listen().await;
    let settings = serving::nobody_asked().recorder(Arc::new(Panicking));
    let incoming = plain(&ca).await.incoming_with(listener, settings);
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    for _ in 0..2 {
        connect(client(&ca, None), port).await.unwrap();
    }
}
