//! Serving: an accept loop that swaps, and the paved path over it.
//!
//! ```text
//! Listener ─→ accept loop ─→ ClientHello (wide, 2 s) ─→ handshake with the config of that moment ─→ Incoming ─→ tonic
//!                                                            ↓ entered, then held against the current trust
//!                                                       Connections ←→ warden: drain, cut
//! ```
//!
//! [`Server`] is the paved path: HTTP/2 limits that hold, the peer's identity in every request, connections that end when they have
//! to, and a shutdown that ends. [`Identity::incoming`] is the part below, for a serve loop of one's own.

mod accept;
mod all_connections;
mod connections;
mod drain;
mod draining;
mod health_listener;
mod hosts;
mod incoming;
mod io;
mod layered;
mod limits;
mod listener;
mod probes;
mod serving;
mod slot;
mod tonic_settings;
mod warden;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tower::layer::util::Stack;
use tower::{BoxError, Layer, Service};

pub use drain::{DrainPolicy, MaxAge, Superseded};
pub use draining::Draining;
pub use health_listener::HealthListener;
pub use hosts::{Hosts, InvalidHost, ServedBy, UnknownHost};
pub use incoming::{Incoming, IncomingSettings};
pub use io::TlsIo;
pub use layered::ServeError;
pub use limits::AcceptLimits;
pub use listener::{FromStream, Listener, from_stream};
pub use tonic_settings::TonicSettings;

#[cfg(feature = "auth")]
use crate::auth::Security;
use crate::health::Health;
use crate::identity::Identity;
use crate::peer::PeerIdentityLayer;
use crate::telemetry::Recorder;
use crate::tls::{AllowedPeers, ClientCertificates, HttpVersions, Resumption, TlsVersions};
use layered::Layered;
use probes::Probes;

/// The most streams a peer may have open on one connection (RFC 9113 §5.1.2). tonic alone sets no limit, and 50,000 open streams
/// cost some 440 MB.
pub const MAX_CONCURRENT_STREAMS: u32 = 128;

/// The number of streams we had to reset for the peer's errors after which a connection is closed. tonic alone sets no limit.
pub const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;

/// The time a connection is silent before the peer is asked whether it still lives.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// The time the peer may take to answer that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The time running calls may go on after the shutdown signal: within the 30 s that Kubernetes gives a pod.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// The paved path: a tonic server whose certificate, key and trust roots follow the identity.
///
/// ```no_run
/// # async fn run(
/// #     identity: evercert::Identity,
/// #     routes: tonic::service::Routes,
/// #     listener: tokio::net::TcpListener,
/// #     shutdown: impl std::future::Future<Output = ()>,
/// # ) -> Result<(), evercert::server::ServeError> {
/// use evercert::{ClientCertificates, Server};
///
/// Server::new(&identity).client_certificates(ClientCertificates::Required).serve(routes, listener, shutdown).await
/// # }
/// ```
#[must_use = "a server does nothing until it serves"]
pub struct Server<L = tower::layer::util::Identity> {
    identity: Identity,
    incoming: IncomingSettings,
    shutdown_timeout: Duration,
    probes: Probes,
    tonic: tonic::transport::Server,
    #[cfg(feature = "auth")]
    security: Option<Security>,
    layer: L,
}

impl Server {
    /// A server for `identity` with the limits of this module. Clients must show a certificate unless
    /// [`Server::client_certificates`] says otherwise.
    pub fn new(identity: &Identity) -> Self {
        let tonic = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESET_STREAMS))
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        Self {
            identity: identity.clone(),
            incoming: IncomingSettings::default(),
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            probes: Probes::default(),
            tonic,
            #[cfg(feature = "auth")]
            security: None,
            layer: tower::layer::util::Identity::new(),
        }
    }
}

impl<L> Server<L> {
    /// Whether clients are asked for certificates. [`ClientCertificates::Required`] unless set.
    pub fn client_certificates(mut self, certificates: ClientCertificates) -> Self {
        self.incoming.tls.client_certificates = certificates;
        self
    }

    /// The clients that the server's default identity lets in, of all that its bundle vouches for; all of them unless set.
    ///
    /// Other identities ([`Server::identity_for`]) have lists of their own, since their CAs may issue the same SPIFFE IDs. Where this list is
    /// set, one that was given none by [`Server::allowed_peers_of`] lets no client with a certificate in.
    pub fn allowed_peers(mut self, allowed: &AllowedPeers) -> Self {
        self.incoming.tls.allowed_peers = Some(allowed.clone());
        self
    }

    /// The TLS versions. [`TlsVersions::Tls13`] unless set.
    pub fn tls_versions(mut self, versions: TlsVersions) -> Self {
        self.incoming.tls.versions = versions;
        self
    }

    /// The versions of HTTP that clients may speak. [`HttpVersions::Http2`] unless set. [`HttpVersions::Http1And2`] is for HTTPS beside
    /// gRPC ([`Routes`] are made from an axum `Router` too): gRPC itself is HTTP/2. A security for pages (`SecurityBuilder::web`, feature
    /// `web`) adds HTTP/1.1 by itself; gRPC-Web without one needs a layer, such as `auth::WebLayer`.
    ///
    /// A connection of HTTP/1.1 has one call at a time. It is closed when a request's head takes longer than 30 s, the wait for the next
    /// request included. There is no probe for a peer that is gone: a call that neither side continues goes on until the connection has to
    /// end. All else holds for it as for others: what a handshake demands, the [`DrainPolicy`], the shutdown.
    pub fn http_versions(mut self, versions: HttpVersions) -> Self {
        self.incoming.tls.http_versions = versions;
        self
    }

    /// Whether clients may resume sessions. [`Resumption::Off`] unless set.
    pub fn resumption(mut self, resumption: Resumption) -> Self {
        self.incoming.tls.resumption = resumption;
        self
    }

    /// The clients that an identity of [`Server::identity_for`] lets in, of all that its own bundle vouches for:
    /// [`Hosts::allowed_peers_of`].
    pub fn allowed_peers_of(mut self, identity: &Identity, allowed: &AllowedPeers) -> Self {
        self.incoming.hosts = self.incoming.hosts.allowed_peers_of(identity, allowed);
        self
    }

    /// Presents another identity to clients that ask for this name, and verifies them by its bundle: [`Hosts::identity_for`]. It has a list
    /// of allowed peers of its own: [`Server::allowed_peers_of`].
    ///
    /// # Errors
    ///
    /// It is no DNS name, or was given to another identity, or another identity of the server, the default one included, is called as this
    /// one is.
    pub fn identity_for(mut self, name: &str, identity: &Identity) -> Result<Self, InvalidHost> {
        hosts::told_apart(&self.identity, identity)?;
        self.incoming.hosts = self.incoming.hosts.identity_for(name, identity)?;
        Ok(self)
    }

    /// The answer to clients that ask for a name which no identity was given for, or for none. They get the server's default identity
    /// unless set.
    pub fn unknown_hosts(mut self, unknown: UnknownHost) -> Self {
        self.incoming.hosts = self.incoming.hosts.unknown_hosts(unknown);
        self
    }

    /// The limits of connections that have not finished their handshake. [`AcceptLimits::default`] unless set.
    pub fn accept_limits(mut self, limits: AcceptLimits) -> Self {
        self.incoming.accept_limits = limits;
        self
    }

    /// The recorder that is told of the server's handshakes: [`telemetry`](crate::telemetry). The identity's unless set
    /// ([`IdentityBuilder::recorder`](crate::identity::IdentityBuilder::recorder)).
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.incoming.recorder = Some(recorder);
        self
    }

    /// The time running calls may go on after the shutdown signal; then their connections are cut. [`SHUTDOWN_TIMEOUT`] unless set. A
    /// connection that is drained before has [`DrainPolicy::drain_timeout`].
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Serves `grpc.health.v1.Health` beside the routes, which must not have it already, and has it say NOT_SERVING from the shutdown on.
    pub fn health(mut self, health: &Health) -> Self {
        self.probes.health = Some(health.clone());
        self
    }

    /// Answers health at a port of its own too, without TLS, for as long as the server runs and drains.
    pub fn health_listener(mut self, listener: HealthListener) -> Self {
        self.probes.listener = Some(listener);
        self
    }

    /// The policy by which connections are ended before either side wants to. [`DrainPolicy::new`] unless set.
    pub fn drain_policy(mut self, policy: DrainPolicy) -> Self {
        self.incoming.drain_policy = policy;
        self
    }

    /// Who may call what, how often, and what is told of it: [`Security`] says in which order. It is outside of all layers of one's own. A
    /// server without one lets everybody call everything whose handshake it took. It is for servers of one identity, without
    /// [`Server::identity_for`]: which of several trust bundles vouched for a caller no policy can ask.
    #[cfg(feature = "auth")]
    #[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
    pub fn security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// Adds a tower layer inside of those added before; outside of all of them, ours puts the [`PeerIdentity`](crate::peer::PeerIdentity) into the
    /// request. Each is applied once, so what it limits or buffers it does for the server and not for a connection.
    pub fn layer<New>(self, layer: New) -> Server<Stack<New, L>> {
        Server {
            identity: self.identity,
            incoming: self.incoming,
            shutdown_timeout: self.shutdown_timeout,
            probes: self.probes,
            tonic: self.tonic,
            #[cfg(feature = "auth")]
            security: self.security,
            layer: Stack::new(layer, self.layer),
        }
    }

    /// Turns tonic's own knobs. [`TonicSettings`] has those that are of use here, and says what there is in the place of others: `tls_config`
    /// is none of them.
    pub fn tonic(mut self, turn: impl FnOnce(TonicSettings) -> TonicSettings) -> Self {
        self.tonic = turn(TonicSettings(self.tonic)).0;
        self
    }

    /// Serves until `shutdown` is ready; then the listener is closed, peers are told to go, running calls finish, and what is
    /// left after the shutdown timeout is cut. No connection is left when this returns. Where it is dropped instead, all connections
    /// are cut. An identity without a generation (see `start_pending`) is served as soon as it has one.
    ///
    /// # Errors
    ///
    /// An identity's current generation lacks what this server needs, a list of allowed peers is for an identity that it does not serve, or
    /// its security asks for what its other settings rule out.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, where the listener panics, and where both [`Server::health`] and the routes serve health.
    pub async fn serve<A, B>(
        self,
        routes: Routes,
        listener: A,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        A: Listener,
        L: Layer<Routes>,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = self.layer.layer(self.probes.routes(routes).prepare());
        let serving = Layered {
            identity: self.identity,
            incoming: self.incoming,
            shutdown_timeout: self.shutdown_timeout,
            tonic: self.tonic,
            probes: self.probes,
        };
        #[cfg(feature = "auth")]
        if let Some(security) = self.security {
            security.fits(serving.incoming.tls.client_certificates, !serving.incoming.hosts.is_empty())?;
            let mut serving = serving;
            if security.is_for_pages() {
                serving.incoming.tls.http_versions = serving.incoming.tls.http_versions.with_http_1();
            }
            let recorder = serving.incoming.recorder.as_ref().or(serving.identity.recorder());
            let service = security.or_recorder(recorder.cloned()).over::<<A::Io as Connected>::ConnectInfo, _>(service);
            return serving.serve(service, listener, shutdown).await;
        }
        let peers = PeerIdentityLayer::over::<<A::Io as Connected>::ConnectInfo>();
        serving.serve(peers.layer(service), listener, shutdown).await
    }
}

impl<L> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("identity", &self.identity)
            .field("incoming", &self.incoming)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}
