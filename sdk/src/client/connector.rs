//! From an endpoint and a generation to an accepted connection.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::connection::Connection;
use super::error::{ConnectError, ConnectFailure};
use super::first_frame::FirstFrame;
use super::link::Target;
use super::request::RequestSettings;
use super::scheduling::{Batched, BoxedTasks};
use crate::tls::ClientTls;
use crate::tls::config::ALPN_H2;

/// Where to connect to.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// HTTP/2 settings; unset ones are hyper's, as in tonic.
#[derive(Debug, Clone, Default)]
pub(super) struct Http2Settings {
    pub(super) stream_window: Option<u32>,
    pub(super) connection_window: Option<u32>,
    pub(super) adaptive_window: Option<bool>,
    pub(super) keep_alive_interval: Option<Duration>,
    pub(super) keep_alive_timeout: Option<Duration>,
    pub(super) keep_alive_while_idle: Option<bool>,
}

/// All that a channel needs to know of its endpoint.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) uri: String,
    pub(super) address: Address,
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: ClientTls,
    pub(super) http2: Http2Settings,
    pub(super) request: RequestSettings,
    pub(super) connect_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) wait_for_ready: bool,
}

/// Makes connections to one endpoint.
#[derive(Debug)]
pub(super) struct Connector(Settings);

impl Connector {
    pub(super) fn new(settings: Settings) -> Self {
        Self(settings)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.0.uri
    }

    pub(super) fn error(&self, generation: Option<u64>, failure: ConnectFailure) -> ConnectError {
        ConnectError { endpoint: self.0.uri.clone(), generation, failure }
    }

    /// A connection that the server has accepted.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, ConnectFailure> {
        let limit = self.0.connect_timeout;
        match &self.0.address {
            Address::Tcp { host, port } => {
                let stream = in_time(limit, TcpStream::connect((host.as_str(), *port))).await?;
                // Calls are small writes; a failure costs latency alone.
                _ = stream.set_nodelay(true);
                self.accepted(stream, target).await
            }
            Address::Unix(path) => self.accepted(in_time(limit, UnixStream::connect(path)).await?, target).await,
        }
    }

    async fn accepted<S>(&self, stream: S, target: &Target) -> Result<Connection, ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limit = self.0.handshake_timeout;
        tokio::time::timeout(limit, async {
            let tls = self.tls(stream, target).await?;
            self.http2(tls, target).await
        })
        .await
        .unwrap_or(Err(ConnectFailure::HandshakeTimeout(limit)))
    }

    async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        target: &Target,
    ) -> Result<TlsStream<S>, ConnectFailure> {
        let connector = TlsConnector::from(Arc::clone(&target.tls));
        let stream = connector.connect(self.0.server_name.clone(), stream).await.map_err(ConnectFailure::Tls)?;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) { Ok(stream) } else { Err(ConnectFailure::NoHttp2) }
    }

    async fn http2<S>(&self, stream: TlsStream<S>, target: &Target) -> Result<Connection, ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, told) = FirstFrame::new(stream);
        // Boxed: hyper's task of every request is as large as the one that owns the stream.
        let stream = TokioIo::new(Box::new(stream));
        let (sender, connection) =
            self.http2_builder().handshake::<_, Body>(stream).await.map_err(ConnectFailure::Http2)?;
        told.await
            .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))
            .map_err(ConnectFailure::NotAccepted)?;
        let closed = CancellationToken::new();
        let guard = closed.clone().drop_guard();
        tokio::spawn(async move {
            let _closed = guard;
            if let Err(error) = Batched::new(connection).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(Connection::new(sender, target.generation, target.digest, closed))
    }

    fn http2_builder(&self) -> http2::Builder<BoxedTasks> {
        let settings = &self.0.http2;
        let mut builder = http2::Builder::new(BoxedTasks);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .keep_alive_interval(settings.keep_alive_interval);
        settings.adaptive_window.map(|adaptive| builder.adaptive_window(adaptive));
        settings.keep_alive_timeout.map(|timeout| builder.keep_alive_timeout(timeout));
        settings.keep_alive_while_idle.map(|idle| builder.keep_alive_while_idle(idle));
        builder
    }
}

async fn in_time<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> Result<T, ConnectFailure> {
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(ConnectFailure::Connect),
        Err(_) => Err(ConnectFailure::ConnectTimeout(limit)),
    }
}
