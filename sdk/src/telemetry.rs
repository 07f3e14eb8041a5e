//! What the SDK counts, for whoever wants it counted: one small trait.
//!
//! [`IdentityBuilder::recorder`](crate::identity::IdentityBuilder::recorder) has all servers and channels of an identity counted;
//! [`Server::recorder`](crate::Server::recorder) and [`Endpoint::recorder`](crate::client::Endpoint::recorder) name another one for one of
//! them. Where none is named nothing is counted, and nothing is paid for it.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use evercert::telemetry::{Event, HandshakeResult, Recorder};
//!
//! #[derive(Default)]
//! struct Expired(AtomicU64);
//!
//! impl Recorder for Expired {
//!     fn record(&self, event: &Event<'_>) {
//!         if let Event::ServerHandshake { result: HandshakeResult::CertificateExpired, .. } = event {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//! ```
//!
//! With the feature `prometheus`, `PrometheusRecorder` counts in a Prometheus registry:
//!
//! | metric | labels | what it counts |
//! |---|---|---|
//! | `grpc_server_tls_handshakes_total` | `grpc_tls_handshake_result`, `grpc_tls_handshake_resumed` | [handshakes of servers](Event::ServerHandshake), by [how they ended](HandshakeResult) and [whether a session was resumed](HandshakeKind), which is empty where it did not come to that |
//! | `grpc_client_tls_handshakes_total` | the same, `grpc_target` | [handshakes of channels and connectors](Event::ClientHandshake); of the targets the first 64 have names, and all further ones are `other` |
//! | `evercert_client_connections_not_accepted_total` | `grpc_target`, `reason` | [connections that the server ended](Event::NotAccepted) behind a handshake that succeeded on this side, as where it refuses a certificate with TLS 1.3; the reasons are those of handshakes |
//! | `grpc_server_call_duration_seconds` | `grpc_method`, `grpc_status` | a histogram of [calls](Event::Call), which `_count` counts, by method and status: `example.v1.Users/GetUser`, `NOT_FOUND`. All methods that the server does not have are `other` |
//! | `evercert_calls_denied_total` | `grpc_method`, `grpc_status` | [calls that were turned away](Event::Denied) before their handler |
//! | `evercert_dry_runs_total` | `grpc_method`, `result` | [calls that a dry run would have decided otherwise](Event::DryRun): `allowed` or `denied` by it |
//! | `evercert_tokens_refused_total` | `reason` | [tokens that were refused](Event::TokenRefused), by [why](TokenFailure) |
//! | `evercert_file_reloads_total` | `file`, `result` | [files that were read again, and keys that were fetched](Event::Reloaded), by [what they hold](FileKind): `used`, or `rejected`, and what was read before stays |
//!
//! The first two are those of gRPC's proposal A118, `grpc.server.tls.handshakes` and `grpc.client.tls.handshakes`, and the histogram is A66's
//! `grpc.server.call.duration`, so that services in other languages have the same ones.

mod code;
mod handshake;
mod labels;
#[cfg(feature = "prometheus")]
mod prometheus;
mod token_failure;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tonic::Code;

pub use code::code_name;
pub use handshake::{HandshakeKind, HandshakeResult};
#[cfg(feature = "prometheus")]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub use prometheus::{MOST_TARGETS, OTHER_TARGET, PrometheusRecorder};
pub use token_failure::TokenFailure;

use labels::labels;

/// Takes note of what happens, from wherever it does: calls and handshakes wait for it, so it must neither block nor wait.
///
/// It is one method, so that a recorder which passes on to another one cannot forget a kind of event. Where it panics the event is lost,
/// and nothing else: calls and connections go on.
pub trait Recorder: Send + Sync + 'static {
    /// Something happened.
    fn record(&self, event: &Event<'_>);
}

impl dyn Recorder {
    /// Tells it. A panic of the recorder stays here, and its message with the process's panic hook.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        // What a recorder left half done is its own.
        _ = catch_unwind(AssertUnwindSafe(|| self.record(event)));
    }
}

impl fmt::Debug for dyn Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// Something worth counting. What it says of methods is bounded by what a server serves: all others are one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client's TLS handshake with a server came to an end (gRPC's A118).
    ///
    /// It begins when the connection is taken up, so one that sends nothing and goes, as a TCP probe does, is
    /// [`HandshakeResult::PeerConnectionClosed`]. Connections that a limit turns away before, and handshakes that the server ends because
    /// it shuts down, are none.
    #[non_exhaustive]
    ServerHandshake {
        /// How it ended.
        result: HandshakeResult,
        /// Whether a session was resumed, where it came to that.
        kind: Option<HandshakeKind>,
    },
    /// A channel's, or a connector's, TLS handshake with its server came to an end (gRPC's A118). Attempts that are given up because another
    /// address was faster are none.
    ///
    /// With TLS 1.3 the client is done before the server has looked at the client's certificate: a server that refuses that one is told by
    /// [`Event::NotAccepted`], behind a handshake that succeeded.
    #[non_exhaustive]
    ClientHandshake {
        /// The URI of the channel, or the scheme and authority of what the connector was called with.
        target: &'a str,
        /// How it ended.
        result: HandshakeResult,
        /// Whether a session was resumed, where it came to that.
        kind: Option<HandshakeKind>,
    },
    /// A server did not accept a connection of a channel, though this side's handshake had succeeded: it sent an alert, closed the
    /// connection, or said nothing in time.
    #[non_exhaustive]
    NotAccepted {
        /// The URI of the channel.
        target: &'a str,
        /// Why, in the words of handshakes; [`HandshakeResult::CertificateExpired`] is of this side's certificate.
        reason: HandshakeResult,
    },
    /// A call ended, its stream included.
    #[non_exhaustive]
    Call {
        /// `/package.Service/Method`, or [`OTHER_METHOD`].
        method: &'a str,
        /// Its status.
        code: Code,
        /// The time from its headers to its end.
        duration: Duration,
    },
    /// A call was turned away before its handler, or a request that is no call.
    #[non_exhaustive]
    Denied {
        /// `/package.Service/Method`, or [`OTHER_METHOD`], as for all that is no call.
        method: &'a str,
        /// The status it got, or the one that gRPC takes the status of HTTP for.
        code: Code,
    },
    /// A dry run would have decided about a call otherwise.
    #[non_exhaustive]
    DryRun {
        /// `/package.Service/Method`, or [`OTHER_METHOD`].
        method: &'a str,
        /// Whether it would have been allowed.
        is_allowed: bool,
    },
    /// A token was refused, or a call came without the one that it needs.
    #[non_exhaustive]
    TokenRefused {
        /// Why.
        failure: TokenFailure,
    },
    /// A file that is followed was read again, or keys were fetched from their issuer.
    #[non_exhaustive]
    Reloaded {
        /// What it holds.
        file: FileKind,
        /// Whether it is used; otherwise what was read before stays.
        is_used: bool,
    },
}

/// What a method is called that a server does not have: callers could make up as many as they like.
pub const OTHER_METHOD: &str = "other";

labels! {
    /// What a file that is followed holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum FileKind {
        /// Keys that tokens are verified with.
        Keys = "keys",
        /// A policy, with the documents that it names.
        Policy = "policy",
        /// A client's token.
        Token = "token",
    }
}
