//! A handshake with a certificate of its own: what a stranger sees of a server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use evercert_core::crypto;
use evercert_fixtures::{Authority, Issued};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::side::NAME;
use evercert_fixtures::wait::DEADLINE;

/// A client's config of this certificate, which trusts these authorities and never changes.
#[must_use]
pub fn config(issued: &Issued, trusted: &[&Authority]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.ca_der().to_vec().into()).unwrap();
    }
    let key = PrivateKeyDer::Pkcs8(issued.key_der.clone().into());
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![issued.leaf_der.clone().into()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// Shakes hands with the server, and gives its leaf once it has accepted the connection: with TLS 1.3 that is its first frame.
///
/// # Errors
///
/// No connection, or one side does not trust the other.
pub async fn handshake(server: SocketAddr, issued: &Issued, trusted: &[&Authority]) -> io::Result<Vec<u8>> {
    let connector = TlsConnector::from(Arc::new(config(issued, trusted)));
    let accepted = async {
        let stream = TcpStream::connect(server).await?;
        let mut stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await?;
        stream.read_u8().await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    };
    timeout(DEADLINE, accepted).await.expect("a server answers a handshake within the deadline")
}
