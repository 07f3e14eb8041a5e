//! What is known of the connection that a call came by.

use http::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};

/// Finds out how a call came, as tonic tells of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport {
    connection: fn(&Extensions) -> Connection,
}

/// A connection, as far as it was secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// It is without TLS, or of a kind that the layer does not know.
    Plaintext,
    /// The peer showed no certificate.
    Anonymous,
    /// The peer showed a certificate, whatever is understood of it.
    Certified,
}

impl Transport {
    /// For connections with this `ConnectInfo` under their TLS.
    pub(super) fn over<C: Clone + Send + Sync + 'static>() -> Self {
        Self { connection: |extensions| under::<C>(extensions).unwrap_or(Connection::Plaintext) }
    }

    /// Takes every call for one that came by such a connection.
    #[cfg(test)]
    pub(super) fn always(connection: Connection) -> Self {
        match connection {
            Connection::Plaintext => Self { connection: |_| Connection::Plaintext },
            Connection::Anonymous => Self { connection: |_| Connection::Anonymous },
            Connection::Certified => Self { connection: |_| Connection::Certified },
        }
    }

    pub(super) fn connection(self, extensions: &Extensions) -> Connection {
        (self.connection)(extensions)
    }
}

/// For TCP and Unix sockets.
impl Default for Transport {
    fn default() -> Self {
        Self {
            connection: |extensions| {
                let unix = || under::<UdsConnectInfo>(extensions);
                under::<TcpConnectInfo>(extensions).or_else(unix).unwrap_or(Connection::Plaintext)
            },
        }
    }
}

fn under<C: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Option<Connection> {
    let shown = extensions.get::<TlsConnectInfo<C>>()?.peer_certs();
    let has_leaf = shown.is_some_and(|chain| !chain.is_empty());
    Some(if has_leaf { Connection::Certified } else { Connection::Anonymous })
}
