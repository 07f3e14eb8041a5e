//! Channels that keep sessions, with a server that resumes whatever it may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::TlsVersions;
use evercert::client::Endpoint;
use evercert::tls::Resumption;
use evercert_fixtures::{Authority, Issued, Leaf};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;

use crate::peers::{DEADLINE, Publisher, SERVER, acceptor, call, until_generation};

/// A tonic server with its health service, which notes how it shook hands and with whom, and asks its connections to go when told to.
struct Resuming {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    seen: watch::Sender<Vec<(HandshakeKind, Vec<u8>)>>,
    drain: Arc<Mutex<watch::Sender<()>>>,
}

impl Resuming {
    async fn start(ca: &Authority) -> Self {
        let acceptor = acceptor(ca, &ca.issue(Leaf::for_dns(SERVER)), &[b"h2"]);
        Self::serve(ServerConfig::clone(acceptor.config())).await
    }

    async fn serve(config: ServerConfig) -> Self {
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = watch::Sender::new(Vec::new());
        let drain = Arc::new(Mutex::new(watch::Sender::new(())));
        let this = Self { address, config: Arc::clone(&config), seen: seen.clone(), drain: Arc::clone(&drain) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&*config.lock()));
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let tls = stream.get_ref().1;
                let kind = tls.handshake_kind().unwrap();
                let leaf = tls.peer_certificates().unwrap()[0].to_vec();
                seen.send_modify(|seen| seen.push((kind, leaf)));
                let mut draining = drain.lock().subscribe();
                let io = tokio_stream::once(Ok::<_, std::io::Error>(stream)).chain(tokio_stream::pending());
                let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
                // An error of the receiver: its sender is gone.
                tokio::spawn(server.serve_with_incoming_shutdown(io, async move { drop(draining.changed().await) }));
            }
        });
        this
    }

    fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::new(format!("https://{}", self.address)).unwrap().server_name(SERVER).unwrap();
        // Those that are asked to go all the time say so to the calls that wait.
        endpoint.tls_versions(TlsVersions::Tls12And13).wait_for_ready(true)
    }

    /// Asks those connected to go, and waits until one of them has connected again.
    async fn reconnected(&self) {
        let mut seen = self.seen.subscribe();
        let before = seen.borrow_and_update().len();
        *self.drain.lock() = watch::Sender::new(());
        let again = tokio::time::timeout(DEADLINE, seen.wait_for(|seen| seen.len() > before)).await;
        assert!(again.is_ok(), "nobody connected again");
    }

    fn last(&self) -> (HandshakeKind, Vec<u8>) {
        self.seen.borrow().last().unwrap().clone()
    }

    fn saw(&self, kind: HandshakeKind, issued: &Issued) {
        assert_eq!(self.last(), (kind, issued.leaf_der.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_resumes_until_its_next_generation_and_is_never_taken_for_its_old_self() {
    let ca = Authority::new("ca");
    let server = Resuming::start(&ca).await;
    let publisher = Publisher::new();
    let (first, second) = (ca.issue_dns("client"), ca.issue_dns("client"));
    publisher.publish(&first, Some(&ca));
    let identity = publisher.identity().await;
    let channel = server.endpoint().resumption(Resumption::PerGeneration).connect(&identity).await.unwrap();
    call(&channel).await.unwrap();
    server.saw(HandshakeKind::Full, &first);
    server.reconnected().await;
    call(&channel).await.unwrap();
    server.saw(HandshakeKind::Resumed, &first);

    let generation = publisher.publish(&second, Some(&ca));
    until_generation(&channel, generation).await;
    call(&channel).await.unwrap();
    server.saw(HandshakeKind::Full, &second);
    server.reconnected().await;
    call(&channel).await.unwrap();
    server.saw(HandshakeKind::Resumed, &second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_resumes_nothing_unless_it_is_asked_to() {
    let ca = Authority::new("ca");
    let server = Resuming::start(&ca).await;
    let publisher = Publisher::new();
    let own = ca.issue_dns("client");
    publisher.publish(&own, Some(&ca));
    let channel = server.endpoint().connect(&publisher.identity().await).await.unwrap();
    for _ in 0..2 {
        call(&channel).await.unwrap();
        server.saw(HandshakeKind::Full, &own);
        server.reconnected().await;
    }
    server.saw(HandshakeKind::Full, &own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_outlast_the_servers_leaf_nor_stand_before_the_next_one() {
    let ca = Authority::new("ca");
    let (now, lifetime) = (SystemTime::now(), Duration::from_secs(5));
    let leaf = Leaf::for_dns(SERVER).valid(now - Duration::from_secs(60), now + lifetime);
    let server = Resuming::serve(tls_1_2(&ca, &ca.issue(leaf))).await;
    let publisher = Publisher::new();
    let own = ca.issue_dns("client");
    publisher.publish(&own, Some(&ca));
    let identity = publisher.identity().await;
    let channel = server.endpoint().resumption(Resumption::PerGeneration).connect(&identity).await.unwrap();
    call(&channel).await.unwrap();
    server.reconnected().await;
    call(&channel).await.unwrap();
    server.saw(HandshakeKind::Resumed, &own);

    // A client with the old session goes on to resume it.
    let mut renewed = tls_1_2(&ca, &ca.issue(Leaf::for_dns(SERVER)));
    renewed.session_storage = Arc::clone(&server.config.lock().session_storage);
    *server.config.lock() = Arc::new(renewed);
    tokio::time::sleep((now + lifetime + Duration::from_secs(1)).duration_since(SystemTime::now()).unwrap()).await;
    tokio::time::timeout(DEADLINE, call(&channel)).await.expect("the channel connects again").unwrap();
    server.saw(HandshakeKind::Full, &own);
}

pub(crate) fn tls_1_2(ca: &Authority, issued: &Issued) -> ServerConfig {
    let provider = evercert_core::crypto::provider();
    let mut roots = RootCertStore::empty();
    roots.add(ca.ca_der().to_vec().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![issued.leaf_der.clone().into()], PrivateKeyDer::Pkcs8(issued.key_der.clone().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
