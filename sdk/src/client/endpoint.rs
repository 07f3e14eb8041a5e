//! The endpoint of a channel, and its settings.

mod invalid;
mod transport;
mod uri;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http::uri::Authority;

use super::channel::Channel;
use super::connector::{Address, Connector, Http2Settings, Settings};
use super::error::{ChannelError, ConnectFailure};
use super::request::{self, FOREVER, RequestSettings};
use super::resolving::{Resolve, Resolver};
use super::target::Targets;
use super::tcp::TcpSettings;
use crate::identity::Identity;
use crate::telemetry::Recorder;
use crate::tls::{ClientTls, OwnCertificate, Resumption, Roots, ServerVerification, TlsVersions};

pub use invalid::InvalidEndpoint;
use uri::Server;
pub(super) use uri::server_name;

/// A server to connect to, and how; [`Endpoint::connect`] and [`Endpoint::connect_lazy`] make a [`Channel`] of it.
///
/// ```no_run
/// # async fn example(identity: evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use evercert::client::Endpoint;
///
/// let channel = Endpoint::new("https://api.internal:50051")?
///     .timeout(Duration::from_secs(2))
///     .connect(&identity)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint {
    settings: Settings,
}

/// The place of an endpoint: two of one URI and one resolved address or Unix socket are the same server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    uri: Arc<str>,
    address: Address,
}

impl Endpoint {
    /// The default of [`Endpoint::connect_timeout`].
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// The default of [`Endpoint::handshake_timeout`].
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
    /// The defaults of [`Endpoint::backoff`]: the first and the longest wait.
    pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
    /// The least wait of [`Endpoint::backoff`].
    pub const LEAST_BACKOFF: Duration = Duration::from_millis(10);
    /// The default of [`Endpoint::replay_limit`], in bytes.
    pub const REPLAY_LIMIT: usize = 64 * 1024;
    /// The default of [`Endpoint::rotation_spread`].
    pub const ROTATION_SPREAD: Duration = Duration::from_secs(1);
    /// The default of [`Endpoint::expiry_window`].
    pub const EXPIRY_WINDOW: Duration = Duration::from_secs(60 * 60);
    /// The default of [`Endpoint::untrusted_timeout`].
    pub const UNTRUSTED_TIMEOUT: Duration = Duration::from_secs(5);

    /// The server at `uri`: `https://host`, `https://host:port`, with a name or an IP address. The server has to show a
    /// certificate for that host.
    ///
    /// # Errors
    ///
    /// Not a URI, not `https`, a host that no certificate can be checked against, or a port that is none.
    pub fn new(uri: impl AsRef<str>) -> Result<Self, InvalidEndpoint> {
        let text = uri.as_ref();
        let Server { address, name: server_name, authority } = Server::of_uri(text)?;
        Ok(Self {
            settings: Settings {
                uri: text.into(),
                address,
                resolver: Resolver::default(),
                tcp: TcpSettings::default(),
                server_name,
                tls: ClientTls::default(),
                http2: Http2Settings::default(),
                request: RequestSettings::new(authority),
                connect_timeout: Self::CONNECT_TIMEOUT,
                handshake_timeout: Self::HANDSHAKE_TIMEOUT,
                backoff: Self::BACKOFF,
                wait_for_ready: false,
                replay_limit: Self::REPLAY_LIMIT,
                rotation_spread: Self::ROTATION_SPREAD,
                expiry_window: Self::EXPIRY_WINDOW,
                untrusted_timeout: Self::UNTRUSTED_TIMEOUT,
                recorder: None,
            },
        })
    }

    /// Connects through this Unix socket instead of the URI's host and port; that host is still what the server is checked
    /// against, and the `:authority` of calls.
    #[must_use]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.address = Address::Unix(path.into());
        self
    }

    /// The name the server is asked for (SNI) and checked against, instead of the URI's host: for a URI that is an address.
    ///
    /// # Errors
    ///
    /// Neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, InvalidEndpoint> {
        self.settings.server_name = server_name(name)?;
        Ok(self)
    }

    /// The check of the server's certificate. Default: [`ServerVerification::Name`].
    #[must_use]
    pub fn server_verification(mut self, verification: ServerVerification) -> Self {
        self.settings.tls.verification = verification;
        self
    }

    /// The roots by which the server is verified. Default: those of the identity's bundle.
    ///
    /// ```no_run
    /// # #[cfg(feature = "webpki-roots")]
    /// # fn example(identity: evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
    /// use evercert::Roots;
    /// use evercert::client::Endpoint;
    ///
    /// let channel = Endpoint::new("https://api.example.org")?.roots(Roots::mozilla()).connect_lazy(&identity);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.settings.tls.roots = roots;
        self
    }

    /// Whether the identity's certificate is presented to a server that asks for one. Default: [`OwnCertificate::UnlessPublic`].
    #[must_use]
    pub fn client_certificate(mut self, certificate: OwnCertificate) -> Self {
        self.settings.tls.certificate = certificate;
        self
    }

    /// The TLS versions to offer. Default: [`TlsVersions::Tls13`].
    #[must_use]
    pub fn tls_versions(mut self, versions: TlsVersions) -> Self {
        self.settings.tls.versions = versions;
        self
    }

    /// Whether the channel resumes sessions with the server. Default: [`Resumption::Off`].
    #[must_use]
    pub fn resumption(mut self, resumption: Resumption) -> Self {
        self.settings.tls.resumption = resumption;
        self
    }

    /// The resolver of the URI's host, where that is a name. Default: the system's.
    ///
    /// The addresses of a name are tried as RFC 8305 says: one after the other, each 250 ms after the one before or as soon as that has
    /// failed, the two families in turn, up to 16 at once and 64 in all. The first whose server accepts the connection is used, so an
    /// address that takes connections and says nothing, or whose certificate is not accepted, costs 250 ms. The one that worked is
    /// the first to be tried next time, and the one that failed last the last.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.settings.resolver = Resolver::new(resolver);
        self
    }

    /// The time resolving the name may take, and the time connecting to one of its addresses may. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.connect_timeout = limit;
        self
    }

    /// The time it may take from there until the server at that address has accepted the connection: the TLS handshake and the first
    /// frame of HTTP/2. Default: 5 s.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.settings.handshake_timeout = limit;
        self
    }

    /// The first and the longest wait between two attempts to connect: each is twice as long as the one before, and up to as much again
    /// is added by chance. Default: 500 ms and 10 s; at least 10 ms.
    ///
    /// A call that finds no connection ends the wait, so that a server that is back is found as soon as it is needed; but attempts
    /// that calls ask for are 100 ms apart. While attempts come as far as the handshake and cost the server that, they are further and
    /// further apart, up to 2 s. Calls that wait for a connection end the waits too: those after the first failures 100 ms apart, and then
    /// further, up to 1 s, with at most 100 attempts a second for all such calls of the process. Other waits cost nothing but the time until an
    /// idle channel has its connection again. After a connection that ended young and unanswered the waits are 50 ms to 5 s, whatever is set.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.clamp(Self::LEAST_BACKOFF, FOREVER);
        self.settings.backoff = (first, longest.clamp(first, FOREVER));
        self
    }

    /// The time a call may take, to the end of its response; a shorter `grpc-timeout` of the call counts. A response that is not read to its
    /// end by then ends with `DEADLINE_EXCEEDED`, and its stream is reset: a limit for streams that are meant to go on is none for the
    /// endpoint. It is noticed when the response is read. Default: no limit but the call's.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.request.timeout = Some(limit);
        self
    }

    /// Whether calls wait until there is a connection, however many attempts that takes, up to their deadline. By default they
    /// fail with `UNAVAILABLE` once an attempt has failed, as gRPC has it.
    #[must_use]
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.settings.wait_for_ready = wait;
        self
    }

    /// The size of a call's request body kept so that the call can be sent again: in bytes, until its response begins. The kept part
    /// is shared with what is sent, not copied. Default: 64 KiB. With 0, calls whose body has begun are never sent again.
    ///
    /// A call is sent again where the server provably did not process it, for it was closing the connection or refused the stream
    /// (RFC 9113 §6.8 and §8.7): five times at most, and never after its deadline. A call that may have been processed never is.
    #[must_use]
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.settings.replay_limit = bytes;
        self
    }

    /// The span after a rotation of the identity in which the channel moves to a new connection. The channels of a process move at
    /// evenly spread points of it, so that its servers are not asked for all handshakes at once. Default: 1 s.
    ///
    /// A channel moves at once where its connection may not be used any more, or one of the two leaves would not outlast the wait.
    #[must_use]
    pub fn rotation_spread(mut self, span: Duration) -> Self {
        self.settings.rotation_spread = span.min(FOREVER);
        self
    }

    /// The span before the end of the server's leaf in which the channel moves to a new connection, at a random point: a server that
    /// was given a newer leaf shows it there. Default: 1 h; never more than a quarter of what was left of the leaf when the
    /// connection was made, so that a server which shows the same leaf again is asked a few times at most.
    ///
    /// At its end the connection is cut, with the calls that still run on it.
    #[must_use]
    pub fn expiry_window(mut self, span: Duration) -> Self {
        self.settings.expiry_window = span;
        self
    }

    /// The time the calls that run on a connection have when its server is no longer trusted (its issuer left the bundle, or a CRL
    /// revokes it), or when the identity's own leaf has expired and its policy is to fail closed. New calls do not use it from the
    /// first moment. Default: 5 s.
    #[must_use]
    pub fn untrusted_timeout(mut self, limit: Duration) -> Self {
        self.settings.untrusted_timeout = limit.min(FOREVER);
        self
    }

    /// The recorder that is told of the channel's handshakes, with this endpoint's URI as their target: [`telemetry`](crate::telemetry).
    /// Default: the identity's ([`IdentityBuilder::recorder`](crate::identity::IdentityBuilder::recorder)).
    #[must_use]
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.settings.recorder = Some(recorder);
        self
    }

    /// The text before this library's name in the `user-agent` of calls.
    ///
    /// # Errors
    ///
    /// Not a header value.
    pub fn user_agent(mut self, application: &str) -> Result<Self, InvalidEndpoint> {
        let value = HeaderValue::from_str(application)
            .map_err(|_| InvalidEndpoint::UserAgent { value: application.to_owned() })?;
        self.settings.request.user_agent = request::user_agent(&value);
        Ok(self)
    }

    /// The `:authority` of calls, host and port, instead of the URI's: for a proxy that finds the server by it. The server is still
    /// checked against the URI's host or [`Endpoint::server_name`].
    ///
    /// # Errors
    ///
    /// Not an authority.
    pub fn authority(mut self, authority: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint::Authority { value: authority.to_owned() };
        let parsed: Authority = authority.parse().map_err(|_| invalid())?;
        if parsed.as_str().contains('@') {
            return Err(invalid());
        }
        self.settings.request.authority = parsed;
        Ok(self)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn uri(&self) -> &str {
        &self.settings.uri
    }

    pub(super) fn call_timeout(&self) -> Option<Duration> {
        self.settings.request.timeout
    }

    /// The place by which endpoints of a set are told apart.
    pub(super) fn place(&self) -> Place {
        Place { uri: Arc::clone(&self.settings.uri), address: self.settings.address.clone() }
    }

    /// This endpoint at each address of its name; itself where it has no name.
    pub(super) async fn resolved(&self) -> Result<Vec<Self>, ConnectFailure> {
        let Some(addresses) = self.settings.resolve().await? else { return Ok(vec![self.clone()]) };
        let at = |address| {
            let mut endpoint = self.clone();
            endpoint.settings.address = Address::Resolved(address);
            endpoint
        };
        Ok(addresses.into_iter().map(at).collect())
    }

    /// A channel that has connected.
    ///
    /// # Errors
    ///
    /// The first attempt failed, or `identity` has no generation to connect with.
    pub async fn connect(self, identity: &Identity) -> Result<Channel, ChannelError> {
        let channel = self.connect_lazy(identity);
        channel.connected().await?;
        Ok(channel)
    }

    /// A channel that connects at its first call, and stays connected from then on.
    #[must_use]
    pub fn connect_lazy(mut self, identity: &Identity) -> Channel {
        self.settings.recorder = self.settings.recorder.or_else(|| identity.recorder().cloned());
        let targets = Targets::new(self.settings.tls.clone());
        let consumer = Arc::downgrade(&targets);
        // A refusal is kept: calls are told of it until there is a generation they can use.
        _ = identity.attach(consumer);
        let connector = Connector::new(self.settings, targets, Arc::clone(identity.tally()));
        Channel::new(connector, identity.clone())
    }
}

impl Identity {
    /// A channel to the server at `uri`, which connects at its first call: [`Endpoint::new`] and [`Endpoint::connect_lazy`].
    ///
    /// # Errors
    ///
    /// As [`Endpoint::new`].
    pub fn channel(&self, uri: impl AsRef<str>) -> Result<Channel, InvalidEndpoint> {
        Ok(Endpoint::new(uri)?.connect_lazy(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> (String, u16, String) {
        let settings = Endpoint::new(uri).unwrap().settings;
        let (host, port) = match settings.address {
            Address::Name { host, port } => (host, port),
            Address::Ip(address) => (address.ip().to_string(), address.port()),
            Address::Resolved(_) | Address::Unix(_) => panic!("not TCP"),
        };
        (host, port, settings.server_name.to_str().into_owned())
    }

    #[test]
    fn the_host_is_a_name_or_an_address_and_the_port_defaults_to_443() {
        assert_eq!(address("https://api.internal:50051"), ("api.internal".into(), 50051, "api.internal".into()));
        assert_eq!(address("https://api.internal"), ("api.internal".into(), 443, "api.internal".into()));
        assert_eq!(address("https://127.0.0.1:1/"), ("127.0.0.1".into(), 1, "127.0.0.1".into()));
        assert_eq!(address("https://[::1]:50051"), ("::1".into(), 50051, "::1".into()));
        assert_eq!(address("https://[::1]"), ("::1".into(), 443, "::1".into()));
    }

    #[test]
    fn a_port_that_nothing_listens_at_is_refused_with_what_to_write() {
        for uri in [
            "https://api.internal:",
            "https://api.internal:0",
            "https://api.internal:65536",
            "https://[::1]:0/",
            "https://[::1]:",
        ] {
            let error = Endpoint::new(uri).unwrap_err();
            assert!(matches!(error, InvalidEndpoint::Port { .. } | InvalidEndpoint::NotAUri { .. }), "{error:?}");
            let error = error.to_string();
            assert!(error.contains("https://host:port") && error.contains(uri), "{error}");
        }
        assert!(matches!(Endpoint::new("https://api.internal:65536"), Err(InvalidEndpoint::Port { .. })));
    }

    #[test]
    fn calls_may_name_another_authority_than_the_one_the_server_is_checked_against() {
        let endpoint = || Endpoint::new("https://proxy.example.org:8443").unwrap();
        let settings = endpoint().authority("api.internal:50051").unwrap().settings;
        assert_eq!(settings.request.authority, "api.internal:50051");
        assert_eq!(settings.server_name.to_str(), "proxy.example.org");
        for none in ["", "a b", "user@api.internal", "https://api.internal"] {
            let error = endpoint().authority(none).unwrap_err().to_string();
            assert!(error.contains("write host or host:port"), "{error}");
        }
    }

    #[test]
    fn what_is_no_https_server_is_refused_with_what_to_write() {
        for uri in ["http://api.internal:50051", "api.internal:50051", "/path", "unix:/run/a.sock"] {
            let error = Endpoint::new(uri).unwrap_err().to_string();
            assert!(error.contains("https://host:port") && error.contains(uri), "{error}");
        }
        assert!(matches!(Endpoint::new("https://user@host"), Err(InvalidEndpoint::UserInformation { .. })));
        assert!(matches!(Endpoint::new("https://a_b..c:1"), Err(InvalidEndpoint::NotAServerName { .. })));
    }
}
