//! The server that a URI names.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use http::uri::{Authority, Scheme};
use rustls_pki_types::ServerName;

use super::invalid::InvalidEndpoint;
use crate::client::connector::Address;

/// The port of a URI that names none (RFC 9110 §4.2.2).
const HTTPS_PORT: u16 = 443;

/// A server: where it is, what its certificate has to be for, and what calls name it.
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) name: ServerName<'static>,
    pub(super) authority: Authority,
}

impl Server {
    pub(super) fn of_uri(text: &str) -> Result<Self, InvalidEndpoint> {
        let uri: Uri = text.parse().map_err(|source| InvalidEndpoint::NotAUri { uri: text.to_owned(), source })?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(InvalidEndpoint::NotHttps { uri: text.to_owned() });
        }
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(host).to_owned();
        let name = server_name(&host)?;
        let Some(authority) = uri.authority().cloned() else {
            return Err(InvalidEndpoint::NotAServerName { name: host });
        };
        if authority.as_str().contains('@') {
            return Err(InvalidEndpoint::UserInformation { uri: text.to_owned() });
        }
        let port = port(&authority).ok_or_else(|| InvalidEndpoint::Port { uri: text.to_owned() })?;
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => Address::Ip(SocketAddr::new(ip, port)),
            Err(_) => Address::Name { host, port },
        };
        Ok(Self { address, name, authority })
    }
}

/// The port of an authority; `None` where what it has is none to connect to.
fn port(authority: &Authority) -> Option<u16> {
    let text = authority.as_str();
    let (_, after_host) = text.split_at(text.rfind(']').map_or(0, |end| end + 1));
    match after_host.rsplit_once(':') {
        None => Some(HTTPS_PORT),
        Some(_) => authority.port_u16().filter(|port| *port != 0),
    }
}

pub(in crate::client) fn server_name(name: &str) -> Result<ServerName<'static>, InvalidEndpoint> {
    ServerName::try_from(name.to_owned()).map_err(|_| InvalidEndpoint::NotAServerName { name: name.to_owned() })
}
