//! Connections for the HTTP clients of others.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use evercert_core::path::Role;
use http::{Uri, Version};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;

use super::addresses::Known;
use super::connection::Life;
use super::connector::{Address, Failed, Settings, in_time};
use super::cut::Cut;
use super::dialer::dial;
use super::endpoint::{Endpoint, InvalidEndpoint};
use super::error::{ConnectError, ConnectFailure};
use super::handshake::{Handshake, Limit, Recording};
use super::origin::Origin;
use super::target::{Target, Targets, Wanted};
use super::warden::Warden;
use crate::identity::{Identity, Member};
use crate::telemetry::Recorder;
#[cfg(feature = "auth")]
use crate::tls::OwnCertificate;
use crate::tls::session::Session;
use crate::tls::{ClientTls, HttpVersions, ServerVerification};

/// The settings of an [`HttpsConnector`].
#[derive(Debug, Clone)]
pub struct HttpsSettings {
    tls: ClientTls,
    server_name: Option<ServerName<'static>>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    untrusted_timeout: Duration,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Default for HttpsSettings {
    /// As an [`Endpoint`]: HTTP/2, the server checked against the URI's host, 5 s for each step.
    fn default() -> Self {
        Self {
            tls: ClientTls::default(),
            server_name: None,
            connect_timeout: Endpoint::CONNECT_TIMEOUT,
            handshake_timeout: Endpoint::HANDSHAKE_TIMEOUT,
            untrusted_timeout: Endpoint::UNTRUSTED_TIMEOUT,
            recorder: None,
        }
    }
}

impl HttpsSettings {
    /// The settings of TLS.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = tls;
        self
    }

    /// The versions of HTTP to offer. Default: [`HttpVersions::Http2`], which is what gRPC needs.
    #[must_use]
    pub fn http_versions(mut self, versions: HttpVersions) -> Self {
        self.tls.http_versions = versions;
        self
    }

    /// The check of servers' certificates. Default: [`ServerVerification::Name`].
    #[must_use]
    pub fn server_verification(mut self, verification: ServerVerification) -> Self {
        self.tls.verification = verification;
        self
    }

    /// The name that every server is asked for (SNI) and checked against, instead of the URI's host.
    ///
    /// # Errors
    ///
    /// Neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, InvalidEndpoint> {
        self.server_name = Some(super::endpoint::server_name(name)?);
        Ok(self)
    }

    /// The time resolving the name may take, and the time connecting to one of its addresses may. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The time the TLS handshake may take. Default: 5 s.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// The time that a connection goes on when its server is trusted no longer; then it is cut. Default: 5 s.
    #[must_use]
    pub fn untrusted_timeout(mut self, limit: Duration) -> Self {
        self.untrusted_timeout = limit.min(super::request::FOREVER);
        self
    }

    /// The recorder that is told of handshakes, with `https://` and the URI's authority as their target:
    /// [`telemetry`](crate::telemetry). Default: the identity's
    /// ([`IdentityBuilder::recorder`](crate::identity::IdentityBuilder::recorder)).
    #[must_use]
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The same for servers that are named by somebody else: the identity's certificate is presented to them where
    /// [`OwnCertificate::Presented`] is set, and not otherwise.
    #[cfg(feature = "auth")]
    pub(crate) fn for_others(mut self) -> Self {
        if self.tls.certificate != OwnCertificate::Presented {
            self.tls.certificate = OwnCertificate::Withheld;
        }
        self
    }
}

impl Identity {
    /// Connections for the HTTP clients of others, with the default settings: the client's twin of [`Identity::incoming`].
    #[must_use]
    pub fn connector(&self) -> HttpsConnector {
        self.connector_with(HttpsSettings::default())
    }

    /// Connections for the HTTP clients of others: libraries that take a `tonic::transport::Channel`, and hyper-util's client.
    #[must_use]
    pub fn connector_with(&self, mut settings: HttpsSettings) -> HttpsConnector {
        settings.recorder = settings.recorder.or_else(|| self.recorder().cloned());
        let targets = Targets::new(settings.tls.clone());
        let consumer = Arc::downgrade(&targets);
        // A refusal is kept: who connects is told of it until there is a generation that can be used.
        _ = self.attach(consumer);
        HttpsConnector { shared: Arc::new(Shared { settings, targets, identity: self.clone() }) }
    }
}

/// Makes a TLS connection to the server of each URI that it is called with, with the newest generation of that moment.
///
/// ```no_run
/// # async fn example(identity: evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// // The scheme is http, since tonic itself makes no TLS here; the connector always does.
/// let endpoint = tonic::transport::Endpoint::from_static("http://api.internal:50051");
/// let channel: tonic::transport::Channel = endpoint.connect_with_connector(identity.connector()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Whatever the URI's scheme, the connection is TLS, and its port 443 unless it names one. With hyper-util's client the versions of HTTP
/// are set to what that client is to speak ([`HttpsSettings::http_versions`]); it learns which one was agreed on.
///
/// A connection ends with its server's certificate, and a while after the server is trusted no longer or the identity may not be used, as
/// a channel's does. All else that a [`Channel`](super::Channel) does is lost:
///
/// * **Connections that live are not moved.** They go on with the generation they were made with until the client ends them, which the
///   identity's status counts; until then no rotation is settled. A server that drains them makes the client connect anew.
/// * **No call is sent again** that a server's GOAWAY left unprocessed, unless the client does that.
/// * **Connected is not accepted**: under TLS 1.3 a server that refuses our certificate does so after the connection was given out, and
///   the first call fails.
#[derive(Clone)]
pub struct HttpsConnector {
    shared: Arc<Shared>,
}

struct Shared {
    settings: HttpsSettings,
    targets: Arc<Targets>,
    identity: Identity,
}

impl Shared {
    async fn connect(&self, uri: Uri) -> Result<HttpsConnection, ConnectError> {
        let (target, _begun) = self.begin().map_err(|failure| failed(&uri, None, failure))?;
        let connected = match endpoint(&uri) {
            Ok(endpoint) => {
                self.connect_to(endpoint.connect_timeout(self.settings.connect_timeout).settings(), &target).await
            }
            Err(error) => Err(ConnectFailure::Connect(io::Error::new(io::ErrorKind::InvalidInput, error)).into()),
        };
        let (stream, version) = connected.map_err(|failure| failed(&uri, Some(target.number()), failure))?;
        Ok(self.watched(&uri, stream, version, &target))
    }

    /// The newest generation, in whose name a handshake begins.
    fn begin(&self) -> Result<(Arc<Target>, Member), ConnectFailure> {
        let wanted = self.targets.subscribe();
        loop {
            let target = match &*wanted.borrow() {
                Wanted::Nothing => return Err(ConnectFailure::NoGeneration),
                Wanted::Refused(refusal) => return Err(ConnectFailure::Refused(refusal.clone())),
                Wanted::Target(target) => Arc::clone(target),
            };
            let member = self.identity.tally().begin(target.generation.sequence());
            // A swap that came before may have been reported as settled.
            if wanted.borrow().target().is_some_and(|now| Arc::ptr_eq(now, &target)) {
                return Ok((target, member));
            }
        }
    }

    async fn connect_to(&self, place: &Settings, target: &Target) -> Result<(TlsStream<TcpStream>, Version), Failed> {
        let settings = &self.settings;
        let server = settings.server_name.as_ref().unwrap_or(&place.server_name);
        let recording = Recording { recorder: settings.recorder.as_ref(), endpoint: &place.uri };
        let attempt = async |address| {
            let stream = in_time(settings.connect_timeout, place.tcp.connect(address)).await?;
            let (limit, http_versions) = (Limit::of(settings.handshake_timeout), settings.tls.http_versions);
            Handshake { target, server, http_versions, limit, recording }.shake(stream).await
        };
        match (&place.address, place.resolve().await?) {
            (_, Some(resolved)) => Ok(dial(&resolved, &mut Known::default(), attempt).await?),
            (Address::Ip(address) | Address::Resolved(address), None) => Ok(attempt(*address).await?),
            (Address::Name { .. } | Address::Unix(_), None) => {
                let error = io::Error::new(io::ErrorKind::Unsupported, "a URI names a host that is reached by TCP");
                Err(ConnectFailure::Connect(error).into())
            }
        }
    }

    /// The connection with a task that ends it when it may not be used any more.
    fn watched(&self, uri: &Uri, stream: TlsStream<TcpStream>, version: Version, target: &Target) -> HttpsConnection {
        let tls = stream.get_ref().1;
        // What swaps from here on is seen by the warden.
        let member = self.identity.tally().enter(target.generation.sequence());
        let session = Session::new(Arc::clone(&target.generation), tls.peer_certificates(), Role::Server);
        let origin = Origin { endpoint: uri.to_string().into(), generation: target.number() };
        let life = Arc::new(Life::new(origin, Arc::new(Cut::default())));
        let warden = Warden {
            life: Arc::clone(&life),
            session: Arc::new(session),
            targets: Arc::clone(&self.targets),
            untrusted_timeout: self.settings.untrusted_timeout,
        };
        let warden = AbortOnDropHandle::new(tokio::spawn(warden.watch()));
        HttpsConnection { stream: TokioIo::new(stream), version, life, _ends_with_it: (warden, member) }
    }
}

/// The endpoint of a URI: its host and port.
fn endpoint(uri: &Uri) -> Result<Endpoint, InvalidEndpoint> {
    match uri.authority() {
        Some(authority) => Endpoint::new(format!("https://{authority}")),
        None => Err(InvalidEndpoint::NotHttps { uri: uri.to_string() }),
    }
}

fn failed(uri: &Uri, generation: Option<u64>, failure: impl Into<Failed>) -> ConnectError {
    failure.into().at(uri.to_string(), generation)
}

impl Service<Uri> for HttpsConnector {
    type Response = HttpsConnection;
    type Error = ConnectError;
    type Future = HttpsConnecting;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        HttpsConnecting(Box::pin(async move { shared.connect(uri).await }))
    }
}

impl fmt::Debug for HttpsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsConnector").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

/// A connection that an [`HttpsConnector`] makes; dropped before, it gives that up.
#[must_use = "dropping it gives the connection up"]
pub struct HttpsConnecting(Pin<Box<dyn Future<Output = Result<HttpsConnection, ConnectError>> + Send>>);

impl Future for HttpsConnecting {
    type Output = Result<HttpsConnection, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for HttpsConnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsConnecting").finish_non_exhaustive()
    }
}

/// A connection by an [`HttpsConnector`], for hyper's clients and tonic's.
pub struct HttpsConnection {
    stream: TokioIo<TlsStream<TcpStream>>,
    version: Version,
    life: Arc<Life>,
    _ends_with_it: (AbortOnDropHandle<()>, Member),
}

impl HttpsConnection {
    /// The version of HTTP that was agreed on.
    #[must_use]
    pub fn http_version(&self) -> Version {
        self.version
    }
}

impl Connection for HttpsConnection {
    fn connected(&self) -> Connected {
        let connected = self.stream.inner().get_ref().0.connected();
        if self.version == Version::HTTP_2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for HttpsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // A client reads as long as it has the connection, so whoever reads is who is to learn that it is cut.
        self.life.cut().register(cx.waker());
        self.life.cut().check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for HttpsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.life.cut().check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.life.cut().check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.cut().check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.cut().check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for HttpsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsConnection").field("version", &self.version).finish_non_exhaustive()
    }
}
