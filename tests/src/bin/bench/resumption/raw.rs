//! Peers of plain rustls, which keep sessions and tickets as long as they can.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use evercert_core::crypto;
use evercert_fixtures::{Authority, Issued};
use evercert_tests::service;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    WebPkiServerVerifier,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, StoresServerSessions, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, HandshakeKind, NamedGroup, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::stage;

/// The connection preface and empty SETTINGS (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// How many peers do something at a time.
const AT_A_TIME: usize = 16;

pub(super) type Version = &'static SupportedProtocolVersion;

pub(super) fn roots(trusted: &[&Authority]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.ca_der().to_vec().into()).unwrap();
    }
    roots.into()
}

pub(super) fn client_verifier(trusted: &[&Authority]) -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::builder_with_provider(roots(trusted), crypto::provider()).build().unwrap()
}

pub(super) fn server_verifier(trusted: &[&Authority]) -> Arc<dyn ServerCertVerifier> {
    WebPkiServerVerifier::builder_with_provider(roots(trusted), crypto::provider()).build().unwrap()
}

/// A server's config that resumes whatever it has seen.
pub(super) fn server(version: Version, verifier: Arc<dyn ClientCertVerifier>, issued: &Issued) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Presented::new(issued));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(Everything::default());
    config
}

/// As many clients, each of which keeps its own sessions.
pub(super) fn clients(
    count: usize,
    version: Version,
    verifier: &Arc<dyn ServerCertVerifier>,
    presented: &Arc<Presented>,
) -> Vec<Arc<ClientConfig>> {
    let client = || {
        let mut config = ClientConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(verifier))
            .with_client_cert_resolver(Arc::clone(presented) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::store(Arc::new(Hoard::default()));
        Arc::new(config)
    };
    (0..count).map(|_| client()).collect()
}

/// Shakes hands and exchanges data; with TLS 1.3 a handshake alone is not accepted yet.
pub(super) async fn exchange(config: &Arc<ClientConfig>, server: SocketAddr) -> io::Result<HandshakeKind> {
    let exchanged = async {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(stage::NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        stream.write_all(PREFACE).await?;
        stream.flush().await?;
        stream.read_u8().await?;
        Ok(stream.get_ref().1.handshake_kind().unwrap())
    };
    timeout(evercert_fixtures::wait::DEADLINE, exchanged).await.unwrap()
}

/// How they fared: how many were accepted, and how many of those resumed.
pub(super) async fn all_exchange(clients: &[Arc<ClientConfig>], server: SocketAddr) -> (usize, usize) {
    let exchanges = clients.iter().cloned().map(|config| async move { exchange(&config, server).await.ok() });
    let kinds: Vec<_> = together(exchanges).await.into_iter().flatten().collect();
    (kinds.len(), kinds.iter().filter(|kind| **kind == HandshakeKind::Resumed).count())
}

/// Does it all, a few at a time.
pub(super) async fn together<T: Send + 'static>(
    work: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for one in work {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            one.await
        });
    }
    tasks.join_all().await
}

/// A server's view of one handshake.
pub(super) struct Seen {
    pub(super) kind: HandshakeKind,
    pub(super) leaf: Vec<u8>,
}

/// A greeter over a rustls config that can be changed under it.
pub(super) struct RawServer {
    pub(super) address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: AbortHandle,
}

impl RawServer {
    pub(super) async fn start(config: ServerConfig) -> Self {
        let (listener, address) = stage::listener().await;
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let (seen, connections) = (Arc::default(), Arc::default());
        let accepting =
            tokio::spawn(accept(listener, Arc::clone(&config), Arc::clone(&seen), Arc::clone(&connections)));
        Self { address, config, seen, connections, accepting: accepting.abort_handle() }
    }

    /// The next handshakes are made with this config.
    pub(super) fn swap(&self, config: ServerConfig) {
        *self.config.lock() = Arc::new(config);
    }

    /// Cuts all connections.
    pub(super) fn cut(&self) {
        self.connections.lock().drain(..).for_each(|connection| connection.abort());
    }

    /// Handshakes since it was asked last.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock())
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (config, seen) = (Arc::clone(&*config.lock()), Arc::clone(&seen));
        let connection = tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            let tls = stream.get_ref().1;
            let leaf = tls.peer_certificates().unwrap()[0].to_vec();
            seen.lock().push(Seen { kind: tls.handshake_kind().unwrap(), leaf });
            let service = TowerToHyperService::new(service::routes());
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        let mut connections = connections.lock();
        connections.retain(|connection| !connection.is_finished());
        connections.push(connection.abort_handle());
    }
}

/// A credential that can be replaced behind the config.
#[derive(Debug)]
pub(super) struct Presented(Mutex<Arc<CertifiedKey>>);

impl Presented {
    pub(super) fn new(issued: &Issued) -> Arc<Self> {
        Arc::new(Self(Mutex::new(certified(issued))))
    }

    pub(super) fn replace(&self, issued: &Issued) {
        *self.0.lock() = certified(issued);
    }
}

fn certified(issued: &Issued) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(issued.key_der.clone().into());
    Arc::new(CertifiedKey::from_der(vec![issued.leaf_der.clone().into()], key, &crypto::provider()).unwrap())
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&*self.0.lock()))
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&*self.0.lock()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A server's sessions: none is ever forgotten, or used up.
#[derive(Debug, Default)]
pub(super) struct Everything(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl StoresServerSessions for Everything {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.lock().insert(key, value);
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A client's sessions with one server: of TLS 1.2 the last one, whatever becomes of it, and of TLS 1.3 every ticket.
#[derive(Debug, Default)]
pub(super) struct Hoard {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for Hoard {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tls13.lock().push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().pop()
    }
}
