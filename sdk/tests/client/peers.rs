//! The two sides of a channel: a source that publishes what it is told to, and a server that demands client certificates.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use evercert::Identity;
use evercert::client::{Channel, ChannelState, Endpoint};
use evercert::identity::ExpiryPolicy;
use evercert::source::{Report, Source, SourceState};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::certificate::CertificateFacts;
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
pub(crate) use evercert_fixtures::wait::DEADLINE;
use evercert_fixtures::wait::until_shown;
use evercert_fixtures::{Authority, Issued, Leaf, wait};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::HealthReporter;

use crate::duplex::Duplex;

/// How many calls of a connection a server allows at a time.
pub(crate) const ALLOWED: u32 = 100;
/// The name on the server's certificate.
pub(crate) const SERVER: &str = "api.internal";
pub(crate) const SERVER_ID: &str = "spiffe://example.org/api";

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    wait::soon("what the test does", future).await
}

/// The names of every server here.
pub(crate) fn server_leaf() -> Leaf {
    Leaf::for_dns(SERVER).ip([127, 0, 0, 1].into()).uri(SERVER_ID)
}

pub(crate) struct Publisher {
    state: watch::Sender<SourceState>,
    reports: Mutex<Vec<Report>>,
    next: AtomicU64,
}

impl Publisher {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: watch::Sender::default(), reports: Mutex::default(), next: AtomicU64::new(1) })
    }

    /// A publisher of one credential under `ca`, which trusts `ca`.
    pub(crate) fn of(ca: &Authority) -> Arc<Self> {
        let publisher = Self::new();
        publisher.publish(&ca.issue_dns("client"), Some(ca));
        publisher
    }

    /// Publishes a credential and whom it trusts; returns the generation.
    pub(crate) fn publish(&self, issued: &Issued, trusted: Option<&Authority>) -> u64 {
        self.publish_trusting(issued, trusted.as_slice())
    }

    /// As [`Publisher::publish`], with any number of trust anchors.
    pub(crate) fn publish_trusting(&self, issued: &Issued, trusted: &[&Authority]) -> u64 {
        let anchors: Vec<_> = trusted.iter().map(|ca| ca.ca_der().to_vec().into()).collect();
        self.publish_bundle(issued, (!anchors.is_empty()).then(|| Bundle::new(anchors, vec![])))
    }

    /// As [`Publisher::publish`], with a bundle.
    pub(crate) fn publish_bundle(&self, issued: &Issued, bundle: Option<Bundle>) -> u64 {
        let generation = self.next.fetch_add(1, SeqCst);
        let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
        let credential = Arc::new(Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap());
        let bundles = Bundles { own: bundle.map(Arc::new), ..Bundles::default() };
        let snapshot = Snapshot::new(generation, Some(credential), bundles, None);
        self.state.send_replace(SourceState::delivered(snapshot));
        generation
    }

    /// The last report on a generation.
    pub(crate) fn report_on(&self, generation: u64) -> Option<Report> {
        self.reports.lock().iter().rev().find(|report| report.generation == generation).cloned()
    }

    /// Publishes neither credential nor bundle.
    #[cfg(all(feature = "native-roots", feature = "webpki-roots"))]
    pub(crate) fn publish_nothing(&self) {
        let generation = self.next.fetch_add(1, SeqCst);
        self.state.send_replace(SourceState::delivered(Snapshot::new(generation, None, Bundles::default(), None)));
    }

    pub(crate) async fn identity(self: &Arc<Self>) -> Identity {
        self.identity_with(ExpiryPolicy::Retain).await
    }

    pub(crate) async fn identity_with(self: &Arc<Self>, policy: ExpiryPolicy) -> Identity {
        let pending = self.state.borrow().snapshot.is_none();
        let identity = Identity::from_source("client", Arc::clone(self) as _).expiry_policy(policy);
        if pending { identity.start_pending().unwrap() } else { identity.await.unwrap() }
    }
}

impl Source for Publisher {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.state.subscribe()
    }

    fn report(&self, report: Report) {
        self.reports.lock().push(report);
    }
}

/// A tonic server with its health service, which demands client certificates of one CA and notes the serials it sees.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) health: HealthReporter,
    pub(crate) duplex: Duplex,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    accepted: Arc<AtomicU64>,
    called: Arc<AtomicU64>,
    serials: Arc<Mutex<BTreeSet<String>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(ca: &Authority) -> Self {
        Self::start_at(ca, ANY).await
    }

    pub(crate) async fn start_at(ca: &Authority, address: SocketAddr) -> Self {
        Self::start_with(ca, &ca.issue(server_leaf()), address).await
    }

    /// A server that shows this certificate to the clients of `clients`.
    pub(crate) async fn showing(clients: &Authority, issued: &Issued) -> Self {
        Self::start_with(clients, issued, ANY).await
    }

    /// The same, where clients may come without a certificate.
    #[cfg(all(feature = "native-roots", feature = "webpki-roots"))]
    pub(crate) async fn open(clients: &Authority, issued: &Issued) -> Self {
        Self::start_by(acceptor_of(false, clients, issued, &[b"h2"]), ANY).await
    }

    async fn start_with(clients: &Authority, issued: &Issued, address: SocketAddr) -> Self {
        Self::start_by(acceptor(clients, issued, &[b"h2"]), address).await
    }

    async fn start_by(acceptor: TlsAcceptor, address: SocketAddr) -> Self {
        let acceptor = Arc::new(Mutex::new(acceptor));
        let start = Instant::now();
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(start.elapsed() < DEADLINE, "{address}: {error}"),
            }
            tokio::task::yield_now().await;
        };
        let address = listener.local_addr().unwrap();
        let (health, service) = tonic_health::server::health_reporter();
        let serials = Arc::new(Mutex::new(BTreeSet::new()));
        let called = Arc::new(AtomicU64::new(0));
        let (seen, calls) = (Arc::clone(&serials), Arc::clone(&called));
        let service = InterceptedService::new(service, move |request: Request<()>| {
            calls.fetch_add(1, SeqCst);
            if let Some(certificates) = request.peer_certs() {
                seen.lock().insert(CertificateFacts::from_der(&certificates[0]).unwrap().serial);
            }
            Ok(request)
        });
        let stop = CancellationToken::new();
        let (accepted, incoming) = mpsc::channel(16);
        let (presented, count) = (Arc::clone(&acceptor), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&count);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, accepted) = (presented.lock().clone(), accepted.clone());
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        counted.fetch_add(1, SeqCst);
                        _ = accepted.send(Ok::<_, std::io::Error>(stream)).await;
                    }
                });
            }
        }));
        let stopped = stop.clone().cancelled_owned();
        let duplex = Duplex::default();
        // Calls that end by the hundred before a busy machine has come to them are what tests here do: that the server would take it
        // for an attack (h2 ends a connection at 20) and close the connection is not what they are about.
        let server = tonic::transport::Server::builder()
            .max_concurrent_streams(ALLOWED)
            .http2_max_pending_accept_reset_streams(Some(1_000));
        let server = server.clone().add_service(service).add_service(duplex.clone());
        let task = tokio::spawn(async move {
            server.serve_with_incoming_shutdown(ReceiverStream::new(incoming), stopped).await.unwrap();
        });
        Self { address, health, duplex, acceptor, accepted: count, called, serials, stop, task }
    }

    pub(crate) fn uri(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The endpoint by address, checked against [`SERVER`].
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.uri()).unwrap().server_name(SERVER).unwrap()
    }

    pub(crate) fn has_seen(&self, issued: &Issued) -> bool {
        self.serials.lock().contains(&issued.serial_number().to_string())
    }

    /// Shows this certificate from now on.
    pub(crate) fn present(&self, clients: &Authority, issued: &Issued) {
        *self.acceptor.lock() = acceptor(clients, issued, &[b"h2"]);
    }

    /// How many TLS handshakes it has finished.
    pub(crate) fn connections(&self) -> u64 {
        self.accepted.load(SeqCst)
    }

    /// How many calls it has taken.
    pub(crate) fn calls(&self) -> u64 {
        self.called.load(SeqCst)
    }

    /// Accepts no more, and asks those connected to go.
    pub(crate) fn drain(&self) {
        self.stop.cancel();
    }

    /// Ends it gracefully.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.drain();
        self.task.await.unwrap();
        self.address
    }
}

pub(crate) fn acceptor(clients: &Authority, issued: &Issued, alpn: &[&[u8]]) -> TlsAcceptor {
    acceptor_of(true, clients, issued, alpn)
}

fn acceptor_of(is_mandatory: bool, clients: &Authority, issued: &Issued, alpn: &[&[u8]]) -> TlsAcceptor {
    let provider = evercert_core::crypto::provider();
    let mut roots = RootCertStore::empty();
    roots.add(clients.ca_der().to_vec().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let verifier = if is_mandatory { verifier } else { verifier.allow_unauthenticated() }.build().unwrap();
    let key = PrivateKeyDer::Pkcs8(issued.key_der.clone().into());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![issued.leaf_der.clone().into()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config).into()
}

/// A unary call.
pub(crate) async fn call(channel: &Channel) -> Result<(), Status> {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

/// A stream of the server's health, whose first message has come.
pub(crate) async fn stream(channel: &Channel) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: String::new() };
    let mut stream = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    stream
}

pub(crate) async fn until(channel: &Channel, wanted: impl FnMut(&ChannelState) -> bool) -> ChannelState {
    until_shown(channel.state(), wanted).await
}

pub(crate) async fn until_generation(channel: &Channel, generation: u64) -> ChannelState {
    until(channel, |state| state.generation == Some(generation)).await
}

pub(crate) async fn until_trouble(channel: &Channel) -> ChannelState {
    until(channel, |state| state.trouble.is_some()).await
}
