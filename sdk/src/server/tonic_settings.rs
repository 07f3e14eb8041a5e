//! tonic's own knobs.

use std::fmt;
use std::time::Duration;

/// tonic's own knobs, as far as they are of use here: those of its transport's `Server`, which each does what tonic says of it.
///
/// | tonic's | is here |
/// |---|---|
/// | `tls_config` | the identity: TLS is made before tonic sees a connection, and a second TLS inside of it would be nobody's to read |
/// | `accept_http1` | [`Server::http_versions`](super::Server::http_versions) |
/// | `layer` | [`Server::layer`](super::Server::layer) |
/// | `max_connection_age`, `max_connection_age_grace` | [`DrainPolicy::max_age`](super::DrainPolicy::max_age), which has jitter and a deadline: tonic's age has neither, and its grace cuts calls without telling the peer |
/// | `tcp_keepalive`, `tcp_nodelay` and the like | the [`Listener`](super::Listener)'s to set; `TCP_NODELAY` is on |
///
/// So this does not compile:
///
/// ```compile_fail
/// # fn server(identity: &evercert::Identity, tls: tonic::transport::ServerTlsConfig) -> evercert::Server {
/// evercert::Server::new(identity).tonic(|tonic| tonic.tls_config(tls).unwrap())
/// # }
/// ```
///
/// while others of tonic's do:
///
/// ```
/// # fn server(identity: &evercert::Identity) -> evercert::Server {
/// evercert::Server::new(identity).tonic(|tonic| tonic.timeout(std::time::Duration::from_secs(10)).load_shed(true))
/// # }
/// ```
#[must_use = "the settings are given back to the server"]
pub struct TonicSettings(pub(super) tonic::transport::Server);

/// tonic's knobs of the same names.
macro_rules! knobs {
    ($($(#[$doc:meta])+ $name:ident($value:ty);)+) => {
        impl TonicSettings {
            $(
                $(#[$doc])+
                pub fn $name(self, value: $value) -> Self {
                    Self(self.0.$name(value))
                }
            )+
        }
    };
}

knobs! {
    /// The most requests of one connection that are worked on at a time. Unlimited unless set.
    concurrency_limit_per_connection(usize);
    /// Whether requests are refused with RESOURCE_EXHAUSTED rather than kept waiting where the service is not ready.
    load_shed(bool);
    /// The longest time for a request, unless its own `grpc-timeout` is shorter. None unless set.
    timeout(Duration);
    /// The window of a stream at its beginning (RFC 9113 §6.9.2), in bytes.
    initial_stream_window_size(impl Into<Option<u32>>);
    /// The window of a connection at its beginning, in bytes.
    initial_connection_window_size(impl Into<Option<u32>>);
    /// The most streams a peer may have open on one connection. [`MAX_CONCURRENT_STREAMS`](super::MAX_CONCURRENT_STREAMS) unless set.
    max_concurrent_streams(impl Into<Option<u32>>);
    /// The time a connection is silent before the peer is asked whether it still lives. [`KEEPALIVE_INTERVAL`](super::KEEPALIVE_INTERVAL)
    /// unless set.
    http2_keepalive_interval(Option<Duration>);
    /// The time the peer may take to answer that. [`KEEPALIVE_TIMEOUT`](super::KEEPALIVE_TIMEOUT) unless set.
    http2_keepalive_timeout(Option<Duration>);
    /// Whether windows grow with what the connection carries; overrides the initial ones.
    http2_adaptive_window(Option<bool>);
    /// The number of streams that a peer may have opened and reset again before they were accepted.
    http2_max_pending_accept_reset_streams(Option<usize>);
    /// The number of streams reset for the peer's errors after which a connection is closed.
    /// [`MAX_LOCAL_ERROR_RESET_STREAMS`](super::MAX_LOCAL_ERROR_RESET_STREAMS) unless set.
    http2_max_local_error_reset_streams(Option<usize>);
    /// The most bytes of a request's headers (RFC 9113 §6.5.2).
    http2_max_header_list_size(impl Into<Option<u32>>);
    /// The most bytes of a frame that peers may send (RFC 9113 §4.2).
    max_frame_size(impl Into<Option<u32>>);
}

impl TonicSettings {
    /// Makes the span that a request is worked on in.
    pub fn trace_fn<F>(self, span: F) -> Self
    where
        F: Fn(&http::Request<()>) -> tracing::Span + Send + Sync + 'static,
    {
        Self(self.0.trace_fn(span))
    }
}

impl fmt::Debug for TonicSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TonicSettings").finish_non_exhaustive()
    }
}
