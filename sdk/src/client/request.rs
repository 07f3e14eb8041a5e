//! What a channel adds to a request, and what it reads from it.

use std::mem;
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri};

/// This library's part of the user agent.
const OUR_USER_AGENT: &str = concat!("evercert/", env!("CARGO_PKG_VERSION"));
/// gRPC over HTTP/2, "Requests": `Timeout`.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// The most digits of a `TimeoutValue`.
const GRPC_TIMEOUT_DIGITS: usize = 8;

/// What every request of an endpoint gets.
#[derive(Debug, Clone)]
pub(super) struct RequestSettings {
    /// The `:authority`.
    pub(super) authority: Authority,
    /// The `user-agent` of a request that has none.
    pub(super) user_agent: HeaderValue,
    /// The longest wait for a response.
    pub(super) timeout: Option<Duration>,
}

impl RequestSettings {
    pub(super) fn new(authority: Authority) -> Self {
        Self { authority, user_agent: HeaderValue::from_static(OUR_USER_AGENT), timeout: None }
    }

    /// Puts origin and user agent into `request`, and returns its deadline: the shorter one of `grpc-timeout` and the
    /// endpoint's.
    pub(super) fn apply<B>(&self, request: &mut Request<B>) -> Option<Duration> {
        let mut parts = Parts::default();
        parts.path_and_query = mem::take(request.uri_mut()).into_parts().path_and_query;
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        #[expect(clippy::expect_used, reason = "scheme, authority and path are all present")]
        let uri = Uri::from_parts(parts).expect("a URI of three parts");
        *request.uri_mut() = uri;
        self.add_user_agent(request.headers_mut());
        let asked = request.headers().get(GRPC_TIMEOUT).and_then(grpc_timeout);
        [asked, self.timeout].into_iter().flatten().min()
    }

    fn add_user_agent(&self, headers: &mut HeaderMap) {
        let value = match headers.get(USER_AGENT) {
            None => self.user_agent.clone(),
            Some(own) => joined(own, &self.user_agent),
        };
        headers.insert(USER_AGENT, value);
    }
}

/// `application` before this library's own part, as gRPC orders user agents.
pub(super) fn user_agent(application: &HeaderValue) -> HeaderValue {
    joined(application, &HeaderValue::from_static(OUR_USER_AGENT))
}

fn joined(first: &HeaderValue, second: &HeaderValue) -> HeaderValue {
    let bytes = [first.as_bytes(), second.as_bytes()].join(&b' ');
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| second.clone())
}

/// A `grpc-timeout`: up to eight digits and a unit. Anything else is no timeout, as tonic has it.
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > GRPC_TIMEOUT_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RequestSettings {
        RequestSettings::new(Authority::from_static("api.internal:50051"))
    }

    #[test]
    fn the_origin_is_the_endpoints_whatever_the_request_says() {
        for uri in ["/greeter.v1.Greeter/SayHello", "http://elsewhere/greeter.v1.Greeter/SayHello"] {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            settings().apply(&mut request);
            assert_eq!(request.uri(), "https://api.internal:50051/greeter.v1.Greeter/SayHello");
        }
    }

    #[test]
    fn a_user_agent_of_the_caller_comes_first() {
        let mut request = Request::builder().header(USER_AGENT, "shop/2").body(()).unwrap();
        settings().apply(&mut request);
        assert_eq!(request.headers()[USER_AGENT], format!("shop/2 {OUR_USER_AGENT}"));
        let mut request = Request::new(());
        settings().apply(&mut request);
        assert_eq!(request.headers()[USER_AGENT], OUR_USER_AGENT);
    }

    #[test]
    fn the_shorter_deadline_counts() {
        let deadline = |header: Option<&str>, timeout| {
            let mut request = Request::new(());
            header.map(|value| request.headers_mut().insert(GRPC_TIMEOUT, value.parse().unwrap()));
            RequestSettings { timeout, ..settings() }.apply(&mut request)
        };
        let (short, long) = (Duration::from_millis(7), Duration::from_secs(2));
        assert_eq!(deadline(None, None), None);
        assert_eq!(deadline(Some("7m"), None), Some(short));
        assert_eq!(deadline(Some("7m"), Some(long)), Some(short));
        assert_eq!(deadline(Some("2S"), Some(short)), Some(short));
        for not_a_timeout in ["", "S", "7", "123456789S", "-1S", "+1S", "1.5S", "7s"] {
            assert_eq!(deadline(Some(not_a_timeout), None), None, "{not_a_timeout:?}");
        }
    }
}
