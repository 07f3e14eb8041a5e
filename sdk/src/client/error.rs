//! Why there is no connection, and why a call failed for it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::clock::rfc3339;
use evercert_core::path::PathError;
use evercert_core::text;
use tonic::{Code, Status};

use super::origin::Origin;
use crate::refusal::Refusal;
use crate::telemetry::HandshakeResult;
use crate::tls::outcome;

/// Why a channel has no connection, or none with the newest generation.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {endpoint}{}{}: {failure}", at_address(*.address), with_generation(*.generation))]
#[non_exhaustive]
pub struct ConnectError {
    /// The endpoint's URI; `the balanced channel` where there is no endpoint.
    pub endpoint: String,
    /// The one address that the endpoint's name has; absent where the URI is an address, where it did not come to that, and where there
    /// are several ([`ConnectFailure::Addresses`]).
    pub address: Option<SocketAddr>,
    /// The generation whose credential was presented; absent where it did not come to that.
    pub generation: Option<u64>,
    /// The failed step.
    #[source]
    pub failure: ConnectFailure,
}

fn at_address(address: Option<SocketAddr>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

fn with_generation(generation: Option<u64>) -> String {
    generation.map(|number| format!(" with generation {number}")).unwrap_or_default()
}

/// An error that may quote the names in the peer's certificate.
fn told(error: &io::Error) -> String {
    text::sentence(&error.to_string())
}

/// The step at which connecting failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The identity has no generation yet.
    #[error("the identity has no generation yet; its status says why")]
    NoGeneration,
    /// The identity's generation cannot be used by this channel.
    #[error("the channel cannot use the identity's generation: {0}")]
    Refused(#[source] Refusal),
    /// The call was made outside of a tokio runtime, or on one that has ended.
    #[error("there is no tokio runtime to connect on, or it has ended: make the call on one that runs")]
    NoRuntime,
    /// The name does not resolve, or its address does not accept a connection.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// Nothing answered in time.
    #[error("no connection within {0:?}; the setting is connect_timeout")]
    ConnectTimeout(Duration),
    /// The TLS handshake failed on this side: the server's certificate is not accepted, or the two sides share no parameters.
    #[error("the TLS handshake failed: {}", told(.0))]
    Tls(#[source] io::Error),
    /// The server does not speak HTTP/2 over TLS (RFC 9113 §3.2).
    #[error("the server did not agree to HTTP/2 (ALPN \"h2\")")]
    NoHttp2,
    /// The server ended the connection instead of sending its SETTINGS. With TLS 1.3 this is how a server refuses a client
    /// certificate; the alert says why.
    #[error("the server did not accept the connection: {}", told(.0))]
    NotAccepted(#[source] io::Error),
    /// The server neither accepted nor refused.
    #[error("the server did not accept the connection within {0:?}; the setting is handshake_timeout")]
    HandshakeTimeout(Duration),
    /// The server accepted one connection after the other, and closed each soon after.
    #[error("the server accepts connections only to close them, the last one after {0:?}")]
    ShortLived(Duration),
    /// The name has several addresses, and none of them gave a connection.
    #[error("none of its {} addresses gave a connection: {}", .0.len(), listed(.0))]
    Addresses(Vec<AddressFailure>),
    /// A balanced channel was given an empty set of endpoints.
    #[error("there are no endpoints")]
    NoEndpoints,
    /// A step of connecting panicked: a defect, of this library or of one beneath it. It is tried again like any other.
    #[error("connecting panicked: {}", text::sentence(.0))]
    Panicked(String),
    /// The HTTP/2 preface could not be sent.
    #[error("HTTP/2 could not be started: {0}")]
    Http2(#[source] Box<dyn Error + Send + Sync>),
}

impl ConnectFailure {
    /// Whether an attempt that fails so may have cost the server a handshake, or an unknown amount on this side.
    pub(super) fn is_costly(&self) -> bool {
        match self {
            Self::Addresses(all) => all.iter().any(|one| one.failure.is_costly()),
            Self::NoGeneration
            | Self::Refused(_)
            | Self::NoRuntime
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::NoEndpoints => false,
            Self::Tls(_)
            | Self::NoHttp2
            | Self::NotAccepted(_)
            | Self::HandshakeTimeout(_)
            | Self::ShortLived(_)
            | Self::Panicked(_)
            | Self::Http2(_) => true,
        }
    }

    /// How the handshake ended, where this came of it.
    pub(super) fn outcome(&self) -> HandshakeResult {
        match self {
            Self::Tls(error) | Self::NotAccepted(error) => outcome::of_io(error),
            Self::NoHttp2 => HandshakeResult::NoApplicationProtocol,
            Self::HandshakeTimeout(_) => HandshakeResult::HandshakeTimeout,
            _ => HandshakeResult::UnknownFailure,
        }
    }
}

/// Why one of several addresses gave no connection.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {failure}")]
#[non_exhaustive]
pub struct AddressFailure {
    /// The address.
    pub address: SocketAddr,
    /// The failed step.
    #[source]
    pub failure: ConnectFailure,
}

/// The number of addresses that a text tells of.
const MOST_TOLD: usize = 16;

fn listed(failures: &[AddressFailure]) -> String {
    let mut told: Vec<_> = failures.iter().take(MOST_TOLD).map(|failure| text::word(&failure.to_string())).collect();
    let more = failures.len() - told.len();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    text::sentence(&told.join("; "))
}

/// Why a call failed before a response came. A generated client sees the [`Status`] in [`ChannelError::status`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// There is no connection. The request was not sent.
    #[error("{cause}")]
    NotConnected {
        /// Why.
        cause: Arc<ConnectError>,
        /// `UNAVAILABLE`.
        #[source]
        status: Status,
    },
    /// The connection was lost, or the server reset the call. The server may have seen the request.
    #[error("{}", text::sentence(.status.message()))]
    Transport {
        /// `UNAVAILABLE` for a lost connection, else what gRPC makes of the HTTP/2 error code.
        #[source]
        status: Status,
    },
    /// The call's deadline passed.
    #[error("{}", text::sentence(.status.message()))]
    DeadlineExceeded {
        /// The deadline: the shorter one of the call's `grpc-timeout` and the endpoint's.
        limit: Duration,
        /// `DEADLINE_EXCEEDED`; it says why there is no connection, where a call waited for one.
        #[source]
        status: Status,
    },
}

impl ChannelError {
    /// The status a gRPC caller sees.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::NotConnected { status, .. } | Self::Transport { status } | Self::DeadlineExceeded { status, .. } => {
                status
            }
        }
    }

    pub(super) fn not_connected(cause: Arc<ConnectError>) -> Self {
        // The whole chain in one message: a status crosses layers that keep its text alone.
        let mut status = Status::unavailable(cause.to_string());
        status.set_source(Arc::clone(&cause) as Arc<dyn Error + Send + Sync>);
        Self::NotConnected { cause, status }
    }

    /// A call that was lost with the connection of `origin`, or that the server reset; `unprocessed` says why it was not sent again
    /// although the server has not processed it.
    ///
    /// tonic maps a connection that was lost to `UNKNOWN`, `INTERNAL` or `CANCELLED`, by the way it was lost; retry policies
    /// look for `UNAVAILABLE` (gRPC over HTTP/2, "Errors"). A reset stream keeps tonic's mapping.
    pub(super) fn lost(error: hyper::Error, origin: &Origin, unprocessed: Option<Unprocessed>) -> Self {
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        let status = match h2 {
            Some(h2) if h2.is_reset() => Status::from_error(Box::new(error)),
            _ => {
                let cause = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
                let unprocessed = unprocessed.map(|why| format!("; {why}")).unwrap_or_default();
                let text = format!("the connection to {origin} was lost: {cause}{unprocessed}");
                let mut status = Status::new(Code::Unavailable, text);
                status.set_source(Arc::new(error));
                status
            }
        };
        Self::Transport { status }
    }

    /// The deadline passed before a response began.
    pub(super) fn no_response(limit: Duration, not_connected: Option<&ConnectError>) -> Self {
        let why = not_connected.map(|error| format!(": {error}")).unwrap_or_default();
        let status = Status::deadline_exceeded(format!("no response within {limit:?}{why}"));
        Self::DeadlineExceeded { limit, status }
    }

    /// The deadline passed in the middle of a response.
    pub(super) fn unfinished_response(limit: Duration) -> Self {
        let status = Status::deadline_exceeded(format!("the response did not end within {limit:?}"));
        Self::DeadlineExceeded { limit, status }
    }
}

impl From<ChannelError> for Status {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::NotConnected { status, .. }
            | ChannelError::Transport { status }
            | ChannelError::DeadlineExceeded { status, .. } => status,
        }
    }
}

/// Why a connection is ended from this side.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Ending {
    #[error("the server's certificate expired at {}", rfc3339(*.0))]
    Expired(SystemTime),
    #[error("generation {generation} does not trust the server's certificate: {cause}")]
    Untrusted {
        generation: u64,
        #[source]
        cause: PathError,
    },
    #[error("the channel may not use the identity: {0}")]
    Withdrawn(#[source] Refusal),
}

/// Why a call that was not processed is not sent again.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Unprocessed {
    #[error("the call was not processed, and was sent again {0} times already")]
    TooOften(u32),
    #[error("the call was not processed, but is not sent again: its body is longer than replay_limit, or failed")]
    NotKept,
}

#[cfg(test)]
mod tests {
    use evercert_core::text::is_unseen;
    use rustls::CertificateError::NotValidForNameContext;

    use super::*;

    #[test]
    fn the_names_in_a_servers_certificate_begin_no_line_of_a_log() {
        let presented = vec!["DnsName(\"x\n2026-11-28T23:30:00Z  INFO granted\u{1b}[2J\u{202e}\")".to_owned()];
        let expected = "a.example.org".try_into().unwrap();
        let refused = rustls::Error::InvalidCertificate(NotValidForNameContext { expected, presented });
        assert!(refused.to_string().contains(is_unseen), "rustls escapes it by itself by now");
        for failure in [ConnectFailure::Tls, ConnectFailure::NotAccepted] {
            let failure = failure(io::Error::new(io::ErrorKind::InvalidData, refused.clone()));
            let endpoint = "https://a.example.org".to_owned();
            let error = ConnectError { endpoint, address: None, generation: Some(1), failure };
            let text = error.to_string();
            assert!(text.contains("INFO granted") && !text.contains(is_unseen), "{text:?}");
        }
    }

    #[test]
    fn a_name_with_many_addresses_makes_no_endless_sentence() {
        let failure =
            |n: u8| AddressFailure { address: ([192, 0, 2, n], 443).into(), failure: ConnectFailure::NoHttp2 };
        let text = ConnectFailure::Addresses((0..200).map(failure).collect()).to_string();
        assert!(text.contains("192.0.2.0:443: the server did not agree") && text.ends_with("and 184 more"), "{text}");
    }
}
