//! The TLS handshake with a server.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Version;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ConnectFailure;
use super::request::FOREVER;
use super::target::Target;
use crate::telemetry::{Event, HandshakeKind, HandshakeResult, Recorder};
use crate::tls::{HttpVersions, outcome};

/// A handshake with the server of this name.
pub(super) struct Handshake<'a> {
    pub(super) target: &'a Target,
    pub(super) server: &'a ServerName<'static>,
    pub(super) http_versions: HttpVersions,
    pub(super) limit: Limit,
    pub(super) recording: Recording<'a>,
}

/// The time until the server has to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    time: Duration,
    at: Instant,
}

/// The recorder, if there is one, and what it is told is connected to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recording<'a> {
    pub(super) recorder: Option<&'a Arc<dyn Recorder>>,
    pub(super) endpoint: &'a str,
}

impl Handshake<'_> {
    /// Shakes hands; gives the version of HTTP that was agreed on, too.
    pub(super) async fn shake<S>(self, stream: S) -> Result<(TlsStream<S>, Version), ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut kind = None;
        let shaken = self.limit.hold(self.attempt(stream, &mut kind)).await;
        self.recording.handshake(shaken.as_ref().err(), kind);
        shaken
    }

    async fn attempt<S>(
        &self,
        stream: S,
        kind: &mut Option<HandshakeKind>,
    ) -> Result<(TlsStream<S>, Version), ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (tls, server) = (&self.target.tls, self.server);
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(server.clone(), stream).await.map_err(ConnectFailure::Tls)?;
        let session = stream.get_ref().1;
        *kind = outcome::kind(session);
        let resumed = tls.verify_resumed(session, server, SystemTime::now());
        resumed.map_err(|error| ConnectFailure::Tls(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let version = self.http_versions.agreed(session.alpn_protocol()).ok_or(ConnectFailure::NoHttp2)?;
        Ok((stream, version))
    }
}

impl Limit {
    /// This long from now on.
    pub(super) fn of(time: Duration) -> Self {
        Self { time, at: Instant::now() + time.min(FOREVER) }
    }

    /// The outcome, if there is one in time.
    pub(super) async fn hold<T>(
        self,
        step: impl Future<Output = Result<T, ConnectFailure>>,
    ) -> Result<T, ConnectFailure> {
        timeout_at(self.at, step).await.unwrap_or(Err(ConnectFailure::HandshakeTimeout(self.time)))
    }
}

impl Recording<'_> {
    fn handshake(self, failure: Option<&ConnectFailure>, kind: Option<HandshakeKind>) {
        if let Some(recorder) = self.recorder {
            let result = failure.map_or(HandshakeResult::Success, ConnectFailure::outcome);
            recorder.tell(&Event::ClientHandshake { target: self.endpoint, result, kind });
        }
    }

    /// The server did not accept what this side had shaken hands for.
    pub(super) fn not_accepted(self, failure: &ConnectFailure) {
        if let Some(recorder) = self.recorder {
            recorder.tell(&Event::NotAccepted { target: self.endpoint, reason: failure.outcome() });
        }
    }
}
