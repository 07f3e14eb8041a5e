//! Clients made of plain rustls and tonic, so that servers are not tested against their own kind alone.

use std::io;
use std::sync::Arc;

use evercert_core::crypto::provider;
use evercert_fixtures::{Authority, Issued};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::support::{NAME, soon};

pub(crate) static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

/// Trusts `authority`, presents `own`, offers h2.
pub(crate) fn client(authority: &Authority, own: Option<&Issued>) -> ClientConfig {
    client_with(authority, own, &BOTH)
}

pub(crate) fn client_with(
    authority: &Authority,
    own: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.ca_der())).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_webpki_verifier(verifier);
    let mut config = match own {
        Some(own) => {
            let key = PrivatePkcs8KeyDer::from(own.key_der.clone()).into();
            builder.with_client_auth_cert(vec![own.leaf_der.clone().into()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Handshakes and waits until the server has accepted it: its first bytes are its SETTINGS.
pub(crate) async fn accepted<IO: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    io: IO,
) -> io::Result<TlsStream<IO>> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut stream = soon(TlsConnector::from(Arc::clone(config)).connect(name, io)).await?;
    if soon(stream.fill_buf()).await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

pub(crate) async fn connect(config: ClientConfig, port: u16) -> io::Result<TlsStream<TcpStream>> {
    accepted(&Arc::new(config), tcp(port).await).await
}

pub(crate) async fn tcp(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// The serial that the server at `port` presents.
pub(crate) async fn served(config: ClientConfig, port: u16) -> u64 {
    serial(&connect(config, port).await.unwrap())
}

pub(crate) fn serial<IO>(stream: &TlsStream<IO>) -> u64 {
    let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
    leaf.tbs_certificate.serial.to_string().parse().unwrap()
}

/// The alert that ended a handshake.
pub(crate) fn alert<T>(outcome: io::Result<T>) -> AlertDescription {
    let error = outcome.err().expect("the handshake was accepted");
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert, but {error:?}"),
    }
}

/// A tonic channel with that TLS config.
pub(crate) async fn channel(config: ClientConfig, port: u16) -> Channel {
    try_channel(config, port).await.unwrap()
}

pub(crate) async fn try_channel(config: ClientConfig, port: u16) -> Result<Channel, tonic::transport::Error> {
    let config = Arc::new(config);
    let connector = service_fn(move |_| {
        let config = Arc::clone(&config);
        async move {
            let name = ServerName::try_from(NAME).unwrap();
            let stream = TlsConnector::from(config).connect(name, tcp(port).await).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_static("http://server.example.org");
    soon(endpoint.connect_with_connector(connector)).await
}
