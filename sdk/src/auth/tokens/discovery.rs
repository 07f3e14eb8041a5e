//! Asking an issuer for its keys (OpenID Connect Discovery 1.0 §4).

use std::error::Error;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

use bytes::Bytes;
use evercert_core::text;
use http::header::ACCEPT;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use super::json;
use super::key::KeyUse;
use super::key_set::{KEYS_LIMIT, KeySet, KeysProblem};
use crate::client::HttpsConnector;

/// Where an issuer says where its keys are, below its own URL.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The longest that asking may take, with both answers.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// The largest document about an issuer that is read, in bytes.
const DOCUMENT_LIMIT: usize = 64 * 1024;

/// The port of HTTPS where a URL names none (RFC 9110 §4.2.2).
const HTTPS_PORT: u16 = 443;

/// An issuer that can be asked, over TLS alone.
pub(super) struct Discovery {
    issuer: String,
    document: Uri,
    asking: Asking,
    /// For keys that are elsewhere than the issuer.
    asking_others: Asking,
}

type Asking = Client<HttpsConnector, Empty<Bytes>>;

impl Discovery {
    /// One that is asked by `connector`, and its keys by `for_others` where they are on another host.
    pub(super) fn new(
        issuer: String,
        connector: HttpsConnector,
        for_others: HttpsConnector,
    ) -> Result<Self, NotAnIssuer> {
        if issuer.contains(['?', '#']) || https(&issuer).is_none() {
            return Err(NotAnIssuer);
        }
        let document = https(&format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(&issuer)));
        // Connections are made anew each time, by the generation of that time: there is one in minutes.
        let asking = |connector| Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let (asking, asking_others) = (asking(connector), asking(for_others));
        Ok(Self { document: document.ok_or(NotAnIssuer)?, issuer, asking, asking_others })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The keys that the issuer has now.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        timeout(FETCH_LIMIT, self.ask()).await.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn ask(&self) -> Result<KeySet, FetchError> {
        let document = get(&self.asking, &self.document, DOCUMENT_LIMIT).await?;
        let document = json::object(&document).map_err(|error| FetchError::Document(error.into()))?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("issuer") != self.issuer {
            return Err(FetchError::OtherIssuer(text::word(text("issuer"))));
        }
        let keys = https(text("jwks_uri")).ok_or_else(|| FetchError::NoKeys(text::word(text("jwks_uri"))))?;
        let is_its_own = place(&keys) == place(&self.document);
        let asking = if is_its_own { &self.asking } else { &self.asking_others };
        Ok(KeySet::of_jwks(&get(asking, &keys, KEYS_LIMIT).await?, KeyUse::Signatures)?)
    }
}

/// What is there, if it is there: nobody is followed elsewhere.
async fn get(asking: &Asking, uri: &Uri, limit: usize) -> Result<Bytes, FetchError> {
    let request = Request::get(uri).header(ACCEPT, "application/json").body(Empty::new())?;
    let response = asking.request(request).await.map_err(|error| FetchError::Request(chain(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status { uri: uri.to_string(), status: response.status() });
    }
    let body = Limited::new(response.into_body(), limit).collect().await;
    Ok(body.map_err(|error| FetchError::Body { limit, error: chain(&*error) })?.to_bytes())
}

/// The host and port of a URL of HTTPS.
fn place(uri: &Uri) -> (Option<String>, u16) {
    (uri.host().map(str::to_ascii_lowercase), uri.port_u16().unwrap_or(HTTPS_PORT))
}

/// A URL of HTTPS, of a host and no user.
fn https(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    (uri.scheme() == Some(&Scheme::HTTPS) && is_plain).then_some(uri)
}

/// An error with those below it: hyper's own say little.
fn chain(error: &(dyn Error + 'static)) -> String {
    let chain = successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    text::sentence(&chain.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// An issuer that is no URL that can be asked.
#[derive(Debug)]
pub(super) struct NotAnIssuer;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it took more than {} s", FETCH_LIMIT.as_secs())]
    TimedOut,
    #[error("{0}")]
    Request(String),
    #[error("there is no request for its URL: {0}")]
    NoRequest(#[from] http::Error),
    #[error("{uri} answers with {status}, and nothing but 200 is taken: redirects are not followed")]
    Status { uri: String, status: StatusCode },
    #[error("an answer was cut off, or has more than {limit} bytes: {error}")]
    Body { limit: usize, error: String },
    #[error("what it says of itself cannot be read: {0}")]
    Document(KeysProblem),
    #[error("it calls itself {0:?}, so tokens by these keys may be another's: set the issuer to what it is")]
    OtherIssuer(String),
    #[error("its jwks_uri {0:?} is no URL of https")]
    NoKeys(String),
    #[error("its keys cannot be used: {0}")]
    Keys(#[from] KeysProblem),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let place = |uri: &str| super::place(&https(uri).unwrap());
        assert_eq!(place("https://A.example.org/keys"), place("https://a.example.org:443"));
        for other in ["https://b.example.org", "https://a.example.org:8443", "https://example.org"] {
            assert_ne!(place("https://a.example.org"), place(other), "{other}");
        }
    }
}
