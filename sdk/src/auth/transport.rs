//! What is known of the connection that a call came by.

use http::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo, UdsConnectInfo};

/// Whether a call came by TLS, as tonic tells of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport {
    is_tls: fn(&Extensions) -> bool,
}

impl Transport {
    /// For connections with this `ConnectInfo` under their TLS.
    pub(super) fn over<C: Clone + Send + Sync + 'static>() -> Self {
        Self { is_tls: |extensions| extensions.get::<TlsConnectInfo<C>>().is_some() }
    }

    /// Takes every call for one by TLS.
    #[cfg(test)]
    pub(super) fn always() -> Self {
        Self { is_tls: |_| true }
    }

    pub(super) fn is_tls(self, extensions: &Extensions) -> bool {
        (self.is_tls)(extensions)
    }
}

/// For TCP and Unix sockets.
impl Default for Transport {
    fn default() -> Self {
        Self {
            is_tls: |extensions| {
                extensions.get::<TlsConnectInfo<TcpConnectInfo>>().is_some()
                    || extensions.get::<TlsConnectInfo<UdsConnectInfo>>().is_some()
            },
        }
    }
}
