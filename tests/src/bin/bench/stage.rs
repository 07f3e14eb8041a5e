//! What the scenarios are played with: certificates, static TLS, an identity from a real daemon.

use std::net::SocketAddr;
use std::sync::Arc;

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
use tonic::service::Routes;

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
    let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    let own = Bundle::new(vec![issued.ca_der.clone().into()], vec![]);
    let bundles = Bundles { own: Some(own.into()), ..Bundles::default() };
    let snapshot = Snapshot::new(1, Some(credential.into()), bundles, None);
    let state = SourceState { snapshot: Some(snapshot.into()), connected: true, trouble: None };
    Identity::from_source(IDENTITY, Arc::new(Unchanging(watch::Sender::new(state)))).await.unwrap()
}

struct Unchanging(watch::Sender<SourceState>);

impl Source for Unchanging {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.0.subscribe()
    }

    fn report(&self, _: Report) {}
}
