//! User decisions about TLS; everything else follows from the generation.

use evercert_core::spiffe::SpiffeId;
use http::Version;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::ServerName;

use super::allowed::AllowedPeers;
use super::roots::Roots;

/// The TLS versions a handshake may agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsVersions {
    /// TLS 1.3 (RFC 8446) alone.
    #[default]
    Tls13,
    /// TLS 1.2 (RFC 5246) too, for peers that know nothing newer. A passive listener then sees both sides' certificates.
    Tls12And13,
}

impl TlsVersions {
    pub(crate) fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls13 => &NEWEST,
            Self::Tls12And13 => &BOTH,
        }
    }
}

/// HTTP/2 over TLS in the terms of ALPN (RFC 9113 §3.2): the only protocol that gRPC itself runs on.
pub(crate) const ALPN_HTTP_2: &[u8] = b"h2";

/// HTTP/1.1 in the terms of ALPN (RFC 7301 §6).
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// The versions of HTTP that a client offers and a server accepts by ALPN (RFC 7301). Two sides that both have HTTP/2 speak that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HttpVersions {
    /// HTTP/2 (RFC 9113) alone. A client that does not offer it is turned away during the handshake, or after it if it offers nothing.
    #[default]
    Http2,
    /// HTTP/1.1 (RFC 9112) too, for HTTPS, and for browsers and proxies that call by gRPC-Web. A client that offers both gets HTTP/2, and one
    /// that offers nothing is taken to speak HTTP/1.1.
    Http1And2,
    /// HTTP/1.1 alone, for HTTPS that HTTP/2 would disturb, such as WebSockets. A client that offers nothing is taken to speak it.
    Http1,
}

impl HttpVersions {
    /// These, and HTTP/1.1.
    #[cfg(feature = "auth")]
    pub(crate) fn with_http_1(self) -> Self {
        match self {
            Self::Http2 | Self::Http1And2 => Self::Http1And2,
            Self::Http1 => Self::Http1,
        }
    }

    /// The ALPN offer, the preferred one first.
    pub(crate) fn offered(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http2 => vec![ALPN_HTTP_2.to_vec()],
            Self::Http1And2 => vec![ALPN_HTTP_2.to_vec(), ALPN_HTTP_1_1.to_vec()],
            Self::Http1 => vec![ALPN_HTTP_1_1.to_vec()],
        }
    }

    /// The version that a handshake came to, if it is one of these.
    pub(crate) fn agreed(self, alpn: Option<&[u8]>) -> Option<Version> {
        match (self, alpn) {
            (Self::Http2 | Self::Http1And2, Some(ALPN_HTTP_2)) => Some(Version::HTTP_2),
            (Self::Http1 | Self::Http1And2, Some(ALPN_HTTP_1_1) | None) => Some(Version::HTTP_11),
            _ => None,
        }
    }
}

/// Whether a server asks its clients for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// A client without a certificate that chains to the bundle is turned away.
    #[default]
    Required,
    /// A client may come without; a certificate it shows must chain to the bundle.
    Optional,
    /// Clients are not asked.
    None,
}

/// Whether a client presents its identity's certificate to a server that asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OwnCertificate {
    /// It is presented, unless servers are verified by public CAs alone ([`Roots`]): it tells internal names.
    #[default]
    UnlessPublic,
    /// It is presented.
    Presented,
    /// It is not: a server that demands one turns the client away.
    Withheld,
}

/// A client's demands on the server's certificate, beside a path to its [`Roots`].
///
/// A server of a federated trust domain is verified by its SPIFFE ID alone: its CA is a partner's, which vouches for no name of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerVerification {
    /// It is valid for the DNS name or IP address that the URI names (RFC 9525).
    #[default]
    Name,
    /// It is valid for one of these DNS names or IP addresses, whatever the URI says. None of none.
    Names(Vec<ServerName<'static>>),
    /// It is an X.509-SVID of one of these SPIFFE IDs; DNS names and IP addresses are not looked at. None of none.
    SpiffeIds(Vec<SpiffeId>),
}

impl ServerVerification {
    /// [`ServerVerification::Names`] from text.
    ///
    /// # Errors
    ///
    /// One of the texts is neither a DNS name nor an IP address.
    pub fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<Self, InvalidServerName> {
        let name = |name: T| {
            let name = name.as_ref();
            ServerName::try_from(name).map(|name| name.to_owned()).map_err(|_| InvalidServerName(name.to_owned()))
        };
        names.into_iter().map(name).collect::<Result<_, _>>().map(Self::Names)
    }
}

/// A text that is neither a DNS name nor an IP address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a DNS name nor an IP address, so no certificate can be valid for it")]
pub struct InvalidServerName(pub String);

/// Whether a peer that reconnects may resume its session instead of shaking hands anew (RFC 8446 §2.2, RFC 5246 §7.3).
///
/// A resumption saves both sides' signatures, and the verification with them: TLS takes the peer for the one it was when the session
/// began. So sessions live with one generation here, and a peer that resumes is verified again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resumption {
    /// Every handshake is a full one. No session is kept, and no ticket is sent.
    #[default]
    Off,
    /// Sessions are kept in memory, by each server and channel for itself, and dropped with the generation they began under. So
    /// after a swap everyone shakes hands anew, and what left the bundle is gone.
    ///
    /// A peer that resumes is verified as in a full handshake: path, validity and revocation as of now, its role, a server's name or
    /// SPIFFE ID. One that fails is turned away before the first request, and all sessions of that server or channel are forgotten:
    /// the next handshake is a full one. Early data (RFC 8446 §2.3) stays off, since it can be replayed.
    ///
    /// A gap remains: a foreign client that was issued a new leaf, and resumes a session that it began with the old one, is who the
    /// old one says until that expires. Our own channels do not do that.
    PerGeneration,
}

/// The settings of a server's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerTls {
    /// The TLS versions.
    pub versions: TlsVersions,
    /// Whether clients are asked for certificates.
    pub client_certificates: ClientCertificates,
    /// The clients that the default identity lets in, of all that its bundle vouches for; all of them unless set. Where certificates are
    /// optional, a client without one is let in too, and where clients are not asked there can be no list. Other identities have lists of
    /// their own: [`Hosts`](crate::server::Hosts).
    pub allowed_peers: Option<AllowedPeers>,
    /// The versions of HTTP.
    pub http_versions: HttpVersions,
    /// Whether clients may resume sessions.
    pub resumption: Resumption,
}

impl ServerTls {
    /// Sets [`ServerTls::versions`](#structfield.versions).
    #[must_use]
    pub fn versions(self, versions: TlsVersions) -> Self {
        Self { versions, ..self }
    }

    /// Sets [`ServerTls::client_certificates`](#structfield.client_certificates).
    #[must_use]
    pub fn client_certificates(self, client_certificates: ClientCertificates) -> Self {
        Self { client_certificates, ..self }
    }

    /// Sets [`ServerTls::allowed_peers`](#structfield.allowed_peers).
    #[must_use]
    pub fn allowed_peers(self, allowed: &AllowedPeers) -> Self {
        Self { allowed_peers: Some(allowed.clone()), ..self }
    }

    /// Sets [`ServerTls::http_versions`](#structfield.http_versions).
    #[must_use]
    pub fn http_versions(self, http_versions: HttpVersions) -> Self {
        Self { http_versions, ..self }
    }

    /// Sets [`ServerTls::resumption`](#structfield.resumption).
    #[must_use]
    pub fn resumption(self, resumption: Resumption) -> Self {
        Self { resumption, ..self }
    }
}

/// The settings of a client's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientTls {
    /// The TLS versions.
    pub versions: TlsVersions,
    /// The roots by which servers are verified.
    pub roots: Roots,
    /// Demands on the server's certificate.
    pub verification: ServerVerification,
    /// Whether the identity's own certificate is presented.
    pub certificate: OwnCertificate,
    /// The versions of HTTP to offer. A [`Channel`](crate::Channel) speaks HTTP/2 alone.
    pub http_versions: HttpVersions,
    /// Whether sessions are resumed.
    pub resumption: Resumption,
}

impl ClientTls {
    /// Sets [`ClientTls::versions`](#structfield.versions).
    #[must_use]
    pub fn versions(self, versions: TlsVersions) -> Self {
        Self { versions, ..self }
    }

    /// Sets [`ClientTls::roots`](#structfield.roots).
    #[must_use]
    pub fn roots(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }

    /// Sets [`ClientTls::certificate`](#structfield.certificate).
    #[must_use]
    pub fn certificate(self, certificate: OwnCertificate) -> Self {
        Self { certificate, ..self }
    }

    /// Sets [`ClientTls::verification`](#structfield.verification).
    #[must_use]
    pub fn verification(self, verification: ServerVerification) -> Self {
        Self { verification, ..self }
    }

    /// Sets [`ClientTls::http_versions`](#structfield.http_versions).
    #[must_use]
    pub fn http_versions(self, http_versions: HttpVersions) -> Self {
        Self { http_versions, ..self }
    }

    /// Sets [`ClientTls::resumption`](#structfield.resumption).
    #[must_use]
    pub fn resumption(self, resumption: Resumption) -> Self {
        Self { resumption, ..self }
    }
}
