//! A handshake's view: a TLS client of its own, which uses nothing of the SDK.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_fixtures::{Authority, Leaf};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Result;

/// How long one handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Shakes hands with the server to see which leaf it serves.
#[derive(Clone)]
pub(crate) struct Probe {
    connector: TlsConnector,
    name: ServerName<'static>,
    server: SocketAddr,
}

impl Probe {
    /// A probe with a certificate of this authority, valid for the whole demo.
    pub(crate) fn new(authority: &Authority, server: SocketAddr) -> Result<Self> {
        let issued = authority.issue(Leaf::new("probe"));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(issued.ca_der))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![issued.leaf_der.into()], PrivatePkcs8KeyDer::from(issued.key_der).into())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed handshake would show the leaf of the one before.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name: "localhost".try_into()?, server })
    }

    /// The leaf that a handshake sees now.
    pub(crate) async fn leaf(&self) -> Result<Vec<u8>> {
        let shake = async {
            let stream = TcpStream::connect(self.server).await?;
            self.connector.connect(self.name.clone(), stream).await
        };
        let stream = timeout(HANDSHAKE_TIMEOUT, shake).await??;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
    }

    /// Shakes hands until one sees `leaf`, and gives the instant at which that one was complete; `None` if none did by
    /// `deadline`.
    pub(crate) async fn first_with(&self, leaf: &[u8], deadline: Instant) -> Result<Option<Instant>> {
        while Instant::now() < deadline {
            if self.leaf().await? == leaf {
                return Ok(Some(Instant::now()));
            }
        }
        Ok(None)
    }
}
