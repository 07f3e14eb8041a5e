//! The origins of pages.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

/// The origin of a page as browsers write it (RFC 6454 §6.2): a scheme, a host, and a port where it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    value: HeaderValue,
    is_trustworthy: bool,
}

impl Origin {
    /// Reads one that a browser could send: any other would be compared with all of them and never be met.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        if text.contains('*') {
            return Err(InvalidOrigin::Pattern);
        }
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(InvalidOrigin::NoScheme);
        }
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidOrigin::Path);
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if !is_host(host) {
            return Err(InvalidOrigin::Host);
        }
        if let Some(port) = port {
            let number: u16 = port.parse().map_err(|_| InvalidOrigin::Port)?;
            if number == 0 || number.to_string() != port {
                return Err(InvalidOrigin::Port);
            }
            if matches!((scheme, number), ("https", 443) | ("http", 80)) {
                return Err(InvalidOrigin::OwnPort);
            }
        }
        let value = HeaderValue::from_str(text).map_err(|_| InvalidOrigin::Host)?;
        Ok(Self { value, is_trustworthy: scheme != "http" || is_loopback(host) })
    }

    /// Whether nobody on the way can change its pages.
    pub(super) fn is_trustworthy(&self) -> bool {
        self.is_trustworthy
    }
}

/// A scheme of RFC 3986 §3.1, in lower case: `https`, and those of pages that come with an application.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// A name or an address, as browsers write them: in lower case, in ASCII, the shortest form of an address.
fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        let Some(inner) = inner.strip_suffix(']') else { return false };
        return inner.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == inner);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Those whose pages may call.
#[derive(Debug, Clone)]
pub(super) struct Origins(Option<Arc<[HeaderValue]>>);

impl Origins {
    pub(super) fn any() -> Self {
        Self(None)
    }

    pub(super) fn of(origins: Vec<Origin>) -> Self {
        Self(Some(origins.into_iter().map(|origin| origin.value).collect()))
    }

    /// As headers; `None` for any.
    pub(super) fn values(&self) -> Option<&[HeaderValue]> {
        self.0.as_deref()
    }

    /// Where a request comes from.
    pub(super) fn source(&self, headers: &HeaderMap) -> PageSource {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => PageSource::NoPage,
            (Some(origin), None) if self.0.as_ref().is_none_or(|named| named.contains(origin)) => PageSource::Allowed,
            _ => PageSource::Refused,
        }
    }
}

/// Where a request comes from, by its `Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageSource {
    /// A client that is no browser: browsers say the origin with every POST.
    NoPage,
    /// A page that may call.
    Allowed,
    /// Another one, or one that is not said in one header.
    Refused,
}

/// Why a text is not the origin of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// It stands for several.
    #[error("there are no patterns; name each origin")]
    Pattern,
    /// It begins with no scheme.
    #[error("it begins with a scheme in lower case, as in https://app.example.org")]
    NoScheme,
    /// There is a path behind it, or a slash.
    #[error("it ends with the host or the port, without a slash")]
    Path,
    /// Its host is not in the form in which browsers say it.
    #[error("its host is a name in lower case and ASCII (xn--… where it is not), or an address")]
    Host,
    /// Its port is none.
    #[error("its port is a number from 1 to 65535")]
    Port,
    /// Browsers leave the port out that a scheme has anyway.
    #[error("browsers leave out the port that the scheme has anyway, and so must you")]
    OwnPort,
}
