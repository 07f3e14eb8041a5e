//! The setup of the scenarios: certificates, static TLS, an identity from a real daemon.

use std::net::SocketAddr;
use std::sync::Arc;

use evercert::identity::IdentityBuilder;
use evercert::source::{AgentSettings, Report, Source, SourceState};
use evercert::{Identity, Server};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::crypto;
use evercert_core::snapshot::Snapshot;
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf};
use evercert_tests::daemon::{Home, identity};
use rustls::client::Resumption;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{self, Certificate, ClientTlsConfig, Identity as TonicIdentity, ServerTlsConfig};

/// The name on every certificate.
pub(crate) const NAME: &str = "localhost";
/// The identity's name at the daemon.
pub(crate) const IDENTITY: &str = "bench";

/// Certificates for [`NAME`], of one CA and one key.
pub(crate) fn certificates(count: usize) -> Vec<Issued> {
    Authority::new("bench").issue_all((0..count).map(|_| Leaf::for_dns(NAME).ip([127, 0, 0, 1].into())))
}

fn roots(issued: &Issued) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(issued.ca_der.clone().into()).unwrap();
    roots.into()
}

fn key(issued: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(issued.key_der.clone().into())
}

/// A client's config that never changes.
pub(crate) fn static_client(issued: &Issued) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots(issued))
        .with_client_auth_cert(vec![issued.leaf_der.clone().into()], key(issued))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config.into()
}

/// A server's config that never changes, with client certificates required and, like ours, without resumption.
pub(crate) fn static_server(issued: &Issued) -> Arc<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(issued), crypto::provider()).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![issued.leaf_der.clone().into()], key(issued))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.into()
}

/// A free port of the loopback interface, with its listener.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A daemon's home with one mounted identity, [`IDENTITY`].
pub(crate) fn home(volume: &KubeletVolume) -> Home {
    let home = Home::new(crate::daemon);
    home.configure(&identity(IDENTITY, volume.path()));
    home
}

/// That identity from a daemon that runs in `home`.
pub(crate) async fn from_agent(home: &Home) -> Identity {
    Identity::from_agent(AgentSettings::new(IDENTITY).socket(home.agent_socket())).await.unwrap()
}

/// Serves the greeter as the SDK's paved path does, and gives its address.
pub(crate) async fn serve(identity: &Identity) -> SocketAddr {
    let (listener, address) = listener().await;
    let serving =
        Server::new(identity).serve(Routes::new(GreeterServer::new(GreeterService)), listener, std::future::pending());
    tokio::spawn(serving);
    address
}

/// An identity of this one certificate, for scenarios without rotations.
pub(crate) async fn unchanging(issued: &Issued) -> Identity {
    Delivery::new(issued, &[&issued.ca_der]).identity().await.unwrap()
}

/// A source in this process: it delivers what it is told to, as fast as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Delivery(Arc<watch::Sender<SourceState>>);

impl Delivery {
    /// With its first generation: this certificate, and these trust anchors.
    pub(crate) fn new(issued: &Issued, anchors: &[&[u8]]) -> Self {
        Self(Arc::new(watch::Sender::new(state(1, issued, anchors))))
    }

    /// An identity of this source.
    pub(crate) fn identity(&self) -> IdentityBuilder {
        Identity::from_source(IDENTITY, Arc::new(self.clone()))
    }

    /// Delivers the next generation, and gives its number.
    pub(crate) fn deliver(&self, issued: &Issued, anchors: &[&[u8]]) -> u64 {
        let generation = self.0.borrow().snapshot.as_ref().unwrap().generation() + 1;
        self.0.send_replace(state(generation, issued, anchors));
        generation
    }
}

fn state(generation: u64, issued: &Issued, anchors: &[&[u8]]) -> SourceState {
    let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    let anchors = anchors.iter().map(|anchor| anchor.to_vec().into()).collect();
    let bundles = Bundles { own: Some(Bundle::new(anchors, vec![]).into()), ..Bundles::default() };
    SourceState::delivered(Snapshot::new(generation, Some(credential.into()), bundles, None))
}

impl Source for Delivery {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.0.subscribe()
    }

    fn report(&self, _: Report) {}
}

/// The greeter on tonic's own server with its own TLS, with this certificate, for clients of the CA `ca_pem`.
pub(crate) async fn tonics_server(issued: &Issued, ca_pem: &str) -> SocketAddr {
    let (listener, address) = listener().await;
    let tls = tonics_server_tls(&issued.chain_pem, &issued.key_pem, ca_pem);
    let server = transport::Server::builder().tls_config(tls).unwrap().add_service(GreeterServer::new(GreeterService));
    tokio::spawn(server.serve_with_incoming(undelayed(listener)));
    address
}

/// tonic's own TLS of a server, from PEM, for clients of the CA `ca`.
pub(crate) fn tonics_server_tls(
    chain: impl AsRef<[u8]>,
    key: impl AsRef<[u8]>,
    ca: impl AsRef<[u8]>,
) -> ServerTlsConfig {
    ServerTlsConfig::new().identity(TonicIdentity::from_pem(chain, key)).client_ca_root(Certificate::from_pem(ca))
}

/// tonic's own TLS of a client, from PEM, to a server of the CA `ca`.
pub(crate) fn tonics_client_tls(
    chain: impl AsRef<[u8]>,
    key: impl AsRef<[u8]>,
    ca: impl AsRef<[u8]>,
) -> ClientTlsConfig {
    let identity = TonicIdentity::from_pem(chain, key);
    ClientTlsConfig::new().identity(identity).ca_certificate(Certificate::from_pem(ca)).domain_name(NAME)
}

/// The connections of a listener, without Nagle's algorithm, as the SDK has them.
pub(crate) fn undelayed(
    listener: TcpListener,
) -> impl tokio_stream::Stream<Item = std::io::Result<tokio::net::TcpStream>> {
    tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |stream| {
        stream.inspect(|stream| stream.set_nodelay(true).unwrap())
    })
}

/// tonic's own channel with its own TLS, with this certificate, to a server of the CA `ca_pem`.
pub(crate) async fn tonics_channel(server: SocketAddr, issued: &Issued, ca_pem: &str) -> transport::Channel {
    let tls = tonics_client_tls(&issued.chain_pem, &issued.key_pem, ca_pem);
    let endpoint = transport::Channel::from_shared(format!("https://{server}")).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}
