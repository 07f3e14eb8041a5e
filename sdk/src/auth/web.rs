//! gRPC-Web: the gRPC that pages in browsers can speak, and which pages may (CORS).
//!
//! ```text
//! request ─→ Origin allowed? ─→ preflight? answered here ─→ gRPC or gRPC-Web, by POST? ─→ translated to gRPC ─→ the security stack
//!               ↓ 403                                          ↓ 405, 415, 505
//! ```
//!
//! A server of tonic's runs a method whatever the content type and the HTTP method are. A page of somebody else's can have a browser send
//! such requests without asking first (a "simple request", Fetch Standard §3.2), with the user's certificate. So with gRPC-Web on, nothing
//! goes further that is neither gRPC nor gRPC-Web, nor anything of an origin that was not named.

mod deadline;
mod http_1;
mod layer;
mod origin;

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use layer::{WebLayer, WebService};
pub use origin::InvalidOrigin;

use origin::{Origin, Origins};

/// The time for which a browser may keep the answer to a preflight. Browsers have limits of their own: Chromium's is two hours.
pub const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// The request headers that gRPC-Web's clients send, and the one that tokens come in.
const ALLOWED_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("grpc-accept-encoding"),
];

/// The response headers that a page has to read to know how a call ended where there is no body for it.
const EXPOSED_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-retry-pushback-ms"),
];

/// Calls from browsers: gRPC-Web, for the pages of the origins that are named.
///
/// ```
/// # fn web() -> Result<(), evercert::auth::InvalidWeb> {
/// use evercert::auth::Web;
///
/// let web = Web::origins(["https://app.example.org"]).allow_headers(["x-tenant"]).build()?;
/// # Ok(())
/// # }
/// ```
///
/// - A browser asks before it calls (a preflight: OPTIONS, without credentials). It is answered here, outside of authentication.
/// - A request of any other origin gets 403 and reaches nothing, whether a browser would have asked before or not. Browsers name the origin
///   with every call, of pages of the server's own host too: name that one as well where it serves some. Clients that are no browsers name
///   none, and are let through to authentication.
/// - What is neither gRPC by HTTP/2 nor gRPC-Web, by POST, is refused: with 405, 415 or 505.
/// - Pages authenticate with tokens. A browser sends a preflight without a certificate, so a server that demands one of everybody
///   ([`ClientCertificates::Required`](crate::ClientCertificates::Required)) has no pages of other origins call it: make them optional, and
///   have the policy demand what each method needs; or have a proxy with a certificate between them.
/// - A call whose `grpc-timeout` is over, and a stream whose token expires, end with a status that pages can read. What tonic answers outside
///   of all layers they cannot: a [`TonicSettings`](crate::server::TonicSettings) with a shorter `timeout`, or with `load_shed`.
/// - gRPC-Web has no streams of requests. In its `-text` form a request is one text of base64.
/// - By HTTP/1.1 an answer before the end of its request says `connection: close`, and the next call needs a new connection.
#[derive(Debug, Clone)]
#[must_use = "it lets nobody in until it is built"]
pub struct Web {
    origins: Option<Vec<String>>,
    allow_credentials: bool,
    allow_private_network: bool,
    max_age: Duration,
    allowed: Vec<String>,
    exposed: Vec<String>,
}

impl Web {
    /// Pages of these origins may call: each as a browser writes it, `https://app.example.org` or `https://app.example.org:8443`
    /// (RFC 6454 §6.2). They are compared as a whole; there are no patterns.
    pub fn origins<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self::of(Some(origins.into_iter().map(Into::into).collect()))
    }

    /// Pages of any origin may call, and none of them with the browser's credentials: only for methods that anybody may call, and for
    /// those that demand a token.
    pub fn any_origin() -> Self {
        Self::of(None)
    }

    fn of(origins: Option<Vec<String>>) -> Self {
        Self {
            origins,
            allow_credentials: false,
            allow_private_network: false,
            max_age: PREFLIGHT_MAX_AGE,
            allowed: Vec::new(),
            exposed: Vec::new(),
        }
    }

    /// Pages may call with the browser's own credentials: the user's certificate, and cookies. Not unless set; a token that a page sends in
    /// `authorization` needs no such leave.
    pub fn allow_credentials(mut self) -> Self {
        self.allow_credentials = true;
        self
    }

    /// Pages of public sites may call this server at a private address (`Access-Control-Allow-Private-Network`). Not unless set.
    pub fn allow_private_network(mut self) -> Self {
        self.allow_private_network = true;
        self
    }

    /// The time for which a browser may keep the answer to a preflight. [`PREFLIGHT_MAX_AGE`] unless set.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The names of metadata that pages may send, beside gRPC's own and `authorization`.
    pub fn allow_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.allowed.extend(names.into_iter().map(Into::into));
        self
    }

    /// The names of metadata that pages may read of an answer's head, beside gRPC's own. Trailers need no such leave.
    pub fn expose_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.exposed.extend(names.into_iter().map(Into::into));
        self
    }

    /// The layer, which belongs outside of all that authenticates. It is one to use alone, too:
    ///
    /// ```no_run
    /// # fn server(identity: &evercert::Identity, web: evercert::auth::Web) -> Result<(), evercert::auth::InvalidWeb> {
    /// use evercert::{HttpVersions, Server};
    ///
    /// let server = Server::new(identity).http_versions(HttpVersions::Http1And2).layer(web.build()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An origin or the name of a header is none, or what is allowed contradicts itself.
    pub fn build(self) -> Result<WebLayer, InvalidWeb> {
        let origins = match &self.origins {
            None if self.allow_credentials => return Err(InvalidWeb::CredentialsOfAnyOrigin),
            None => Origins::any(),
            Some(named) if named.is_empty() => return Err(InvalidWeb::NoOrigin),
            Some(named) => Origins::of(named.iter().map(|text| self.origin(text)).collect::<Result<_, _>>()?),
        };
        let allow_origin = match origins.values() {
            None => AllowOrigin::any(),
            Some(values) => AllowOrigin::list(values.iter().cloned()),
        };
        let cors = CorsLayer::new()
            .allow_origin(allow_origin)
            .allow_methods([Method::POST])
            .allow_headers(header_names(ALLOWED_HEADERS, &self.allowed)?)
            .expose_headers(header_names(EXPOSED_HEADERS, &self.exposed)?)
            .allow_credentials(self.allow_credentials)
            .allow_private_network(self.allow_private_network)
            .max_age(self.max_age);
        Ok(WebLayer::new(origins, cors))
    }

    fn origin(&self, text: &str) -> Result<Origin, InvalidWeb> {
        let invalid = |reason| InvalidWeb::Origin { origin: text.to_owned(), reason };
        let origin = Origin::parse(text).map_err(invalid)?;
        if self.allow_credentials && !origin.is_trustworthy() {
            return Err(InvalidWeb::CredentialsInTheClear { origin: text.to_owned() });
        }
        Ok(origin)
    }
}

/// Those of gRPC's, and those that were named beside them.
fn header_names<const N: usize>(own: [HeaderName; N], named: &[String]) -> Result<Vec<HeaderName>, InvalidWeb> {
    let mut names = Vec::from(own);
    for name in named {
        // To CORS, the star is every name; to HTTP, it is one like others.
        let parsed = HeaderName::try_from(name.as_str()).ok().filter(|parsed| parsed.as_str() != "*");
        let parsed = parsed.ok_or_else(|| InvalidWeb::Header { name: name.clone() })?;
        if !names.contains(&parsed) {
            names.push(parsed);
        }
    }
    Ok(names)
}

/// What is allowed to browsers makes no sense, or is not safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWeb {
    /// No origin was named.
    #[error("gRPC-Web is on for no origin: name the origins of the pages that call, such as https://app.example.org")]
    NoOrigin,
    /// It is not the origin of a page.
    #[error("{origin:?} is not an origin: {reason}")]
    Origin {
        /// What was given.
        origin: String,
        /// The reason that it is none.
        reason: InvalidOrigin,
    },
    /// Any page of anybody's could act with the user's certificate.
    #[error(
        "pages of any origin cannot be allowed the browser's credentials: name the origins, or leave allow_credentials out"
    )]
    CredentialsOfAnyOrigin,
    /// Anybody on the way could change such a page, and act with the user's certificate.
    #[error(
        "pages of {origin} come unencrypted, and are not to be allowed the browser's credentials: serve them by https, or leave allow_credentials out"
    )]
    CredentialsInTheClear {
        /// The origin.
        origin: String,
    },
    /// It is not the name of a header.
    #[error("{name:?} is not the name of a header: each is named in full, without patterns")]
    Header {
        /// What was given.
        name: String,
    },
}

#[cfg(test)]
mod tests;
