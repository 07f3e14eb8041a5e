//! `host:port`: where somebody listens.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Text that names no place to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not HOST:PORT")]
pub(crate) struct InvalidEndpoint;

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    /// Without a host it is this one.
    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidEndpoint)?;
        let port = port.parse().map_err(|_| InvalidEndpoint)?;
        let host = match host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| InvalidEndpoint)?.to_string(),
            None if host.is_empty() => "localhost".to_owned(),
            None if host.contains([':', '/', '@']) => return Err(InvalidEndpoint),
            None => host.to_owned(),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(v6) => SocketAddr::from((v6, self.port)).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
