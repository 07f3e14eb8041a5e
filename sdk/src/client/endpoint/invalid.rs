//! Why no channel can be made to an endpoint.

use http::uri::InvalidUri;

/// An endpoint that no channel can be made to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEndpoint {
    /// The text is no URI.
    #[error("{uri:?} is not a URI ({source}); write https://host:port")]
    NotAUri {
        /// The text.
        uri: String,
        /// The error in it.
        source: InvalidUri,
    },
    /// The scheme is another one, or missing.
    #[error(
        "{uri:?} is not an https URI; write https://host:port: a channel always uses TLS, and calls without it are tonic's Channel to make"
    )]
    NotHttps {
        /// The URI.
        uri: String,
    },
    /// A user name, which neither TLS nor gRPC has a use for.
    #[error("{uri:?} has a user name before its host; write https://host:port")]
    UserInformation {
        /// The URI.
        uri: String,
    },
    /// The host is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address, so no certificate can be checked against it")]
    NotAServerName {
        /// The host.
        name: String,
    },
    /// The text behind the host is not a port.
    #[error(
        "{uri:?} has no port to connect to; write https://host:port with a port from 1 to 65535, or https://host for 443"
    )]
    Port {
        /// The URI.
        uri: String,
    },
    /// The `:authority` is none.
    #[error("{value:?} cannot be the authority of calls; write host or host:port")]
    Authority {
        /// The text.
        value: String,
    },
    /// The user agent is no header value.
    #[error("{value:?} cannot be a user agent: use visible ASCII characters")]
    UserAgent {
        /// The text.
        value: String,
    },
}
