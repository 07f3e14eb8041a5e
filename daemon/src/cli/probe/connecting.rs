//! From an address to a connection that the server has accepted.

use std::io;
use std::time::Duration;

use evercert::client::{ChannelError, Endpoint, InvalidEndpoint};
use evercert::{Identity, ServerVerification};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_util::io::InspectReader;

use super::question::{Address, Question};

/// A connection that the server has accepted.
pub(super) enum Connected {
    Plain(tonic::transport::Channel),
    Tls(evercert::Channel),
}

/// Connects, with TLS where there is an identity. A server has accepted a connection when it has sent its SETTINGS: with TLS 1.3 that is when
/// the client's certificate was taken too.
///
/// # Errors
///
/// There is no such connection within the time.
pub(super) async fn connect(question: &Question, identity: Option<&Identity>) -> Result<Connected, ConnectError> {
    let connecting = async {
        match identity {
            Some(identity) => Ok(Connected::Tls(with_tls(question, identity).await?)),
            None => Ok(Connected::Plain(without_tls(question).await?)),
        }
    };
    let late = |_| ConnectError::Late { address: question.address.clone(), limit: question.connect_timeout };
    tokio::time::timeout(question.connect_timeout, connecting).await.map_err(late)?
}

async fn with_tls(question: &Question, identity: &Identity) -> Result<evercert::Channel, ConnectError> {
    let mut endpoint = Endpoint::new(format!("https://{}", question.address.authority()))?
        .user_agent(&question.user_agent)?
        // As much as anybody's server may speak, which is asked and told nothing that is secret.
        .tls_versions(evercert::TlsVersions::Tls12And13)
        .connect_timeout(question.connect_timeout)
        .handshake_timeout(question.connect_timeout);
    if let Some(path) = question.address.socket() {
        endpoint = endpoint.unix_socket(path);
    }
    if let Some(name) = &question.server_name {
        endpoint = endpoint.server_name(name)?.authority(name)?;
    }
    if !question.server_ids.is_empty() {
        endpoint = endpoint.server_verification(ServerVerification::SpiffeIds(question.server_ids.clone()));
    }
    Ok(endpoint.connect(identity).await?)
}

async fn without_tls(question: &Question) -> Result<tonic::transport::Channel, ConnectError> {
    let failed = |source| ConnectError::Plain { address: question.address.clone(), source };
    match &question.address {
        Address::Tcp(endpoint) => {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(failed)?;
            accepted(question, stream).await
        }
        Address::Unix(path) => accepted(question, UnixStream::connect(path).await.map_err(failed)?).await,
    }
}

/// The offset of an HTTP/2 frame's type, and the type SETTINGS, which the first frame of a server has (RFC 9113 §3.4, §4.1).
const FRAME_TYPE: usize = 3;
const SETTINGS: u8 = 4;

async fn accepted(
    question: &Question,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<tonic::transport::Channel, ConnectError> {
    let (tell, told) = oneshot::channel();
    let (mut tell, mut begin) = (Some(tell), Vec::with_capacity(FRAME_TYPE + 1));
    let stream = InspectReader::new(stream, move |read: &[u8]| {
        begin.extend_from_slice(&read[..read.len().min(FRAME_TYPE + 1 - begin.len())]);
        if let Some(kind) = begin.get(FRAME_TYPE)
            && let Some(tell) = tell.take()
        {
            _ = tell.send(*kind == SETTINGS);
        }
    });
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take();
        async { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let refused = || ConnectError::NotHttp2 { address: question.address.clone() };
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", question.address.authority()));
    let endpoint = endpoint.and_then(|endpoint| endpoint.user_agent(question.user_agent.as_str()));
    let channel = endpoint.map_err(ConnectError::Tonic)?.connect_with_connector(connector).await;
    let channel = channel.map_err(|_| refused())?;
    match told.await {
        Ok(true) => Ok(channel),
        _ => Err(refused()),
    }
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection to {address} within {limit:?}; the flag is -connect-timeout")]
    Late { address: Address, limit: Duration },
    #[error("no connection to {address}: {source}")]
    Plain { address: Address, source: io::Error },
    #[error("{address} does not speak HTTP/2 without TLS: does it want -tls?")]
    NotHttp2 { address: Address },
    #[error(transparent)]
    Tls(#[from] ChannelError),
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    #[error("the address or -user-agent cannot be used: {0}")]
    Tonic(#[source] tonic::transport::Error),
}
