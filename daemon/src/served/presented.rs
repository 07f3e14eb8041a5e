//! The leaf that an endpoint presents.
//!
//! It is asked for by a TLS handshake that shows nothing: no certificate of a client, no data. Which chain the leaf has is not looked at, for a
//! stale leaf has a good one. That the server has the leaf's key is verified, as in every handshake.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::certificate::{CertificateFacts, NotACertificate};
use evercert_core::crypto;
use evercert_core::detached::Threads;
use evercert_core::digest::Digest;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::config::Endpoint;

/// How long an address is tried before the next is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// The most addresses of one name that are tried: with the head starts of all of them there is time left to shake hands.
const ADDRESSES: usize = 12;

/// What is known of a presented leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) fingerprint: Digest,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// Why it is not known what an endpoint presents.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    #[error("it did not answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error("its name cannot be looked up: {0}")]
    Name(#[source] io::Error),
    #[error("it cannot be connected to: {0}")]
    Connect(#[source] io::Error),
    #[error("it presents nothing by TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("it presents no certificate: {0}")]
    NotACertificate(#[from] NotACertificate),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The leaf that is presented by `endpoint` to a client that asks for its host or, where that is no name, for `server_name`. The caller
/// bounds how long that may take.
pub(super) async fn by(endpoint: &Endpoint, server_name: Option<&str>) -> Result<Presented, Unknown> {
    let stream = connected(addresses(endpoint).await.map_err(Unknown::Name)?).await?;
    let seen = Arc::new(Seen { provider: crypto::provider(), leaf: Mutex::new(None) });
    let config = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as _)
        .with_no_client_auth();
    let name = asked_for(endpoint, server_name, stream.peer_addr().map_err(Unknown::Connect)?.ip());
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    // What was proven counts, whatever comes after it: a server may refuse who shows no certificate.
    let leaf = seen.leaf.lock().take();
    match (leaf, shaken) {
        (Some(leaf), _) => {
            let facts = CertificateFacts::from_der(&leaf)?;
            let CertificateFacts { fingerprint, not_before, not_after, .. } = facts;
            Ok(Presented { fingerprint, not_before, not_after })
        }
        (None, Err(error)) => Err(Unknown::Tls(error)),
        (None, Ok(_)) => Err(Unknown::Tls(io::ErrorKind::InvalidData.into())),
    }
}

/// A connection to the first address that takes one. One that does not answer is not waited for before the next is tried beside it.
pub(super) async fn connected(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<TcpStream, Unknown> {
    let mut waiting = addresses.into_iter().take(ADDRESSES);
    let mut trying = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    loop {
        trying.extend(waiting.next().map(TcpStream::connect));
        match tokio::time::timeout(HEAD_START, trying.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => failure = error,
            Ok(None) => return Err(Unknown::Connect(failure)),
            Err(_) => {}
        }
    }
}

async fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![(address, endpoint.port).into()]);
    }
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    // The C library's resolver blocks for as long as it likes, and must not hold up the runtime's end.
    let found = Threads::named("lookup").call(move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect));
    found.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

/// The name that is asked for: an address and this host's own name say nothing of which of a server's certificates is meant.
fn asked_for(endpoint: &Endpoint, of_leaf: Option<&str>, address: IpAddr) -> ServerName<'static> {
    let host = Some(&*endpoint.host).filter(|host| host.parse::<IpAddr>().is_err() && *host != "localhost");
    let name = host.or(of_leaf).and_then(|name| ServerName::try_from(name.to_owned()).ok());
    name.unwrap_or_else(|| ServerName::IpAddress(address.into()))
}

/// Keeps the leaf of a server that has proven to have its key.
#[derive(Debug)]
struct Seen {
    provider: Arc<CryptoProvider>,
    leaf: Mutex<Option<CertificateDer<'static>>>,
}

impl Seen {
    fn proven(
        &self,
        leaf: &CertificateDer<'_>,
        verified: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verified.inspect(|_| *self.leaf.lock() = Some(leaf.clone().into_owned()))
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Nothing is sent to the server, and nothing taken from it but the leaf.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proven(leaf, verify_tls12_signature(message, leaf, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proven(leaf, verify_tls13_signature(message, leaf, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
