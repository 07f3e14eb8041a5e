//! From an endpoint and a generation to an accepted connection.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::path::Role;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::addresses::Known;
use super::calls::Calls;
use super::connection::{Connection, Life};
use super::cut::{Cut, Severable};
use super::dialer::dial;
use super::driver::Driver;
use super::error::{AddressFailure, ConnectError, ConnectFailure};
use super::first_frame::FirstFrame;
use super::handshake::{Handshake, Limit, Recording};
use super::knocking::{self, knock};
use super::moves;
use super::origin::Origin;
use super::replay::ReplayBody;
use super::request::RequestSettings;
use super::resolving::Resolver;
use super::scheduling::{Batched, Tasks};
use super::target::{Target, Targets};
use super::tcp::TcpSettings;
use super::warden::Warden;
use crate::identity::{Member, Tally};
use crate::telemetry::Recorder;
use crate::tls::session::Session;
use crate::tls::{ClientTls, HttpVersions};

/// The address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Name {
        host: String,
        port: u16,
    },
    Ip(SocketAddr),
    /// One of those that the endpoint's name has.
    Resolved(SocketAddr),
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
    pub(super) max_header_list_size: Option<u32>,
    pub(super) max_frame_size: Option<u32>,
}

/// All that a channel needs to know of its endpoint.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) uri: Arc<str>,
    pub(super) address: Address,
    pub(super) resolver: Resolver,
    pub(super) tcp: TcpSettings,
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: ClientTls,
    pub(super) http2: Http2Settings,
    pub(super) request: RequestSettings,
    pub(super) connect_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    /// The first and the longest wait between two attempts to connect.
    pub(super) backoff: (Duration, Duration),
    pub(super) wait_for_ready: bool,
    pub(super) replay_limit: usize,
    pub(super) rotation_spread: Duration,
    pub(super) expiry_window: Duration,
    pub(super) untrusted_timeout: Duration,
    pub(super) recorder: Option<Arc<dyn Recorder>>,
}

impl Settings {
    /// The addresses of the endpoint's name; `None` where it has no name.
    pub(super) async fn resolve(&self) -> Result<Option<Vec<SocketAddr>>, ConnectFailure> {
        let Address::Name { host, port } = &self.address else { return Ok(None) };
        let limit = self.connect_timeout;
        let resolved = tokio::time::timeout(limit, self.resolver.resolve(host, *port)).await;
        resolved.unwrap_or_else(|_| Err(unresolved(host, limit))).map(Some).map_err(ConnectFailure::Connect)
    }
}

/// Why no connection was made, and to which address where the endpoint's name has but that one.
#[derive(Debug)]
pub(super) struct Failed {
    address: Option<SocketAddr>,
    failure: ConnectFailure,
}

impl From<ConnectFailure> for Failed {
    fn from(failure: ConnectFailure) -> Self {
        Self { address: None, failure }
    }
}

impl From<Vec<AddressFailure>> for Failed {
    fn from(failures: Vec<AddressFailure>) -> Self {
        match <[AddressFailure; 1]>::try_from(failures) {
            Ok([AddressFailure { address, failure }]) => Self { address: Some(address), failure },
            Err(failures) => ConnectFailure::Addresses(failures).into(),
        }
    }
}

impl Failed {
    pub(super) fn at(self, endpoint: String, generation: Option<u64>) -> ConnectError {
        let Self { address, failure } = self;
        ConnectError { endpoint, address, generation, failure }
    }
}

/// Makes connections to one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    settings: Settings,
    targets: Arc<Targets>,
    tally: Arc<Tally>,
}

impl Connector {
    pub(super) fn new(settings: Settings, targets: Arc<Targets>, tally: Arc<Tally>) -> Self {
        Self { settings, targets, tally }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.settings.uri
    }

    pub(super) fn error(&self, generation: Option<u64>, failed: Failed) -> ConnectError {
        failed.at(self.endpoint().to_owned(), generation)
    }

    /// Notes in the tally that a connection is about to be made.
    pub(super) fn begin(&self, target: &Target) -> Member {
        self.tally.begin(target.generation.sequence())
    }

    /// A connection that the server has accepted.
    pub(super) async fn connect(
        &self,
        target: &Target,
        known: &mut Known,
        calls: &Calls,
    ) -> Result<Connection, Failed> {
        match &self.settings.address {
            Address::Name { .. } => {
                let resolved = self.settings.resolve().await?.unwrap_or_default();
                let knocks = knocking::most(resolved.len());
                dial(&resolved, known, |address| self.connect_to(address, target, calls, knocks))
                    .await
                    .map_err(Failed::from)
            }
            Address::Ip(address) => Ok(self.connect_to(*address, target, calls, knocking::most(1)).await?),
            Address::Resolved(address) => {
                let connected = self.connect_to(*address, target, calls, knocking::most(1)).await;
                connected.map_err(|failure| Failed { address: Some(*address), failure })
            }
            Address::Unix(path) => {
                let stream = in_time(self.settings.connect_timeout, UnixStream::connect(path)).await?;
                Ok(self.accepted(stream, target).await?)
            }
        }
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        target: &Target,
        calls: &Calls,
        knocks: usize,
    ) -> Result<Connection, ConnectFailure> {
        let connecting = knock(calls, knocks, || self.settings.tcp.connect(address));
        let stream = in_time(self.settings.connect_timeout, connecting).await?;
        self.accepted(stream, target).await
    }

    async fn accepted<S>(&self, stream: S, target: &Target) -> Result<Connection, ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let settings = &self.settings;
        let limit = Limit::of(settings.handshake_timeout);
        let recording = Recording { recorder: settings.recorder.as_ref(), endpoint: &settings.uri };
        let (server, http_versions) = (&settings.server_name, HttpVersions::Http2);
        let (stream, _) = Handshake { target, server, http_versions, limit, recording }.shake(stream).await?;
        limit.hold(self.http2(stream, target)).await.inspect_err(|failure| recording.not_accepted(failure))
    }

    async fn http2<S>(&self, stream: TlsStream<S>, target: &Target) -> Result<Connection, ConnectFailure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let generation = &target.generation;
        // Before the server has accepted: what swaps from here on is seen by the warden.
        let member = self.tally.enter(generation.sequence());
        let peer = stream.get_ref().1.peer_certificates();
        let session = Arc::new(Session::new(Arc::clone(generation), peer, Role::Server));
        let cut = Arc::new(Cut::default());
        let (stream, first_frame) = FirstFrame::new(Severable::new(stream, Arc::clone(&cut)));
        // Boxed: hyper's task of every request is as large as the one that owns the stream.
        let stream = TokioIo::new(Box::new(stream));
        let tasks = Tasks::default();
        let (sender, queue) = self
            .http2_builder(tasks.clone())
            .handshake::<_, ReplayBody>(stream)
            .await
            .map_err(|error| ConnectFailure::Http2(error.into()))?;
        #[expect(clippy::expect_used, reason = "hyper makes the connection's task during the handshake")]
        let connection = tasks.connection().expect("a connection after its handshake");
        let origin = Origin { endpoint: Arc::clone(&self.settings.uri), generation: target.number() };
        let life = Arc::new(Life::new(origin, cut));
        let warden = Warden {
            life: Arc::clone(&life),
            session: Arc::clone(&session),
            targets: Arc::clone(&self.targets),
            untrusted_timeout: self.settings.untrusted_timeout,
        };
        let warden = AbortOnDropHandle::new(tokio::spawn(warden.watch()));
        let (driver, told) = Driver::new(queue, connection, Arc::clone(&life), first_frame);
        tokio::spawn(async move {
            let _ends_with_it = (warden, member);
            Batched::new(driver).await;
        });
        told.await
            .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))
            .map_err(ConnectFailure::NotAccepted)?;
        let window = self.settings.expiry_window;
        let renewal = session.peer_not_after().and_then(|end| moves::renewal(SystemTime::now(), end, window));
        Ok(Connection::new(sender, session, renewal, life))
    }

    fn http2_builder(&self, tasks: Tasks) -> http2::Builder<Tasks> {
        let settings = &self.settings.http2;
        let mut builder = http2::Builder::new(tasks);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .keep_alive_interval(settings.keep_alive_interval)
            .max_frame_size(settings.max_frame_size);
        settings.max_header_list_size.map(|limit| builder.max_header_list_size(limit));
        settings.adaptive_window.map(|adaptive| builder.adaptive_window(adaptive));
        settings.keep_alive_timeout.map(|timeout| builder.keep_alive_timeout(timeout));
        settings.keep_alive_while_idle.map(|idle| builder.keep_alive_while_idle(idle));
        builder
    }
}

pub(super) async fn in_time<T>(
    limit: Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, ConnectFailure> {
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(ConnectFailure::Connect),
        Err(_) => Err(ConnectFailure::ConnectTimeout(limit)),
    }
}

fn unresolved(host: &str, limit: Duration) -> io::Error {
    let text = format!("{host} did not resolve within {limit:?}; the setting is connect_timeout");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
