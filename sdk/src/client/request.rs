//! The parts a channel adds to a request, and those it reads.

use std::mem;
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri};
use tokio::time::Instant;

/// This library's part of the user agent.
const OUR_USER_AGENT: &str = concat!("evercert/", env!("CARGO_PKG_VERSION"));
/// gRPC over HTTP/2, "Requests": `Timeout`.
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// The most digits of a `TimeoutValue`.
const GRPC_TIMEOUT_DIGITS: usize = 8;

/// A longer setting counts as this, since instants have an end: a year.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The time by which a call has to have its response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    limit: Duration,
    at: Instant,
    /// Whether the server is told.
    told: bool,
}

impl Deadline {
    /// The time a call has from its beginning.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// The deadline of a call that has waited for so long already.
    pub(super) fn after(self, waited: Duration) -> Self {
        Self { at: self.at.checked_sub(waited).unwrap_or(self.at), ..self }
    }

    pub(super) fn has_passed(&self) -> bool {
        self.at <= Instant::now()
    }

    /// Tells the server what is left at `now`, where it is told at all; false where nothing is.
    pub(super) fn stamp(&self, headers: &mut HeaderMap, now: Instant) -> bool {
        let left = self.at.saturating_duration_since(now);
        if self.told {
            headers.insert(GRPC_TIMEOUT, timeout_value(left));
        }
        !left.is_zero()
    }
}

/// The settings of an endpoint's requests.
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
    pub(super) fn apply<B>(&self, request: &mut Request<B>) -> Option<Deadline> {
        let mut parts = Parts::default();
        parts.path_and_query = mem::take(request.uri_mut()).into_parts().path_and_query;
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        #[expect(clippy::expect_used, reason = "scheme, authority and path are all present")]
        let uri = Uri::from_parts(parts).expect("a URI of three parts");
        *request.uri_mut() = uri;
        self.add_user_agent(request.headers_mut());
        let asked = asked(request.headers());
        let limit = [asked, self.timeout].into_iter().flatten().min()?;
        Some(Deadline { limit, at: Instant::now() + limit.min(FOREVER), told: asked.is_some() })
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

/// The deadline that a request asks for itself.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers.get(GRPC_TIMEOUT).and_then(grpc_timeout)
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

/// A timeout in the finest unit that its digits have room for.
fn timeout_value(timeout: Duration) -> HeaderValue {
    let most = 10_u128.pow(GRPC_TIMEOUT_DIGITS as u32) - 1;
    let units = [(timeout.as_nanos(), 'n'), (timeout.as_micros(), 'u'), (timeout.as_millis(), 'm')];
    let (number, unit) =
        units.into_iter().find(|(number, _)| *number <= most).unwrap_or((u128::from(timeout.as_secs()).min(most), 'S'));
    #[expect(clippy::expect_used, reason = "digits and a letter")]
    HeaderValue::try_from(format!("{number}{unit}")).expect("a header value")
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
            RequestSettings { timeout, ..settings() }.apply(&mut request).map(|deadline| deadline.limit)
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

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_sent_later_tells_what_is_left() {
        let mut request = Request::builder().header(GRPC_TIMEOUT, "2S").body(()).unwrap();
        let deadline = settings().apply(&mut request).unwrap();
        let mut left = |after: u64| {
            let open = deadline.stamp(request.headers_mut(), Instant::now() + Duration::from_millis(after));
            (open, grpc_timeout(&request.headers()[GRPC_TIMEOUT]).unwrap())
        };
        assert_eq!(left(0), (true, Duration::from_secs(2)));
        assert_eq!(left(1999), (true, Duration::from_millis(1)));
        assert_eq!(left(2000), (false, Duration::ZERO));

        let mut request = Request::new(());
        let own = RequestSettings { timeout: Some(Duration::from_secs(2)), ..settings() }.apply(&mut request).unwrap();
        assert!(own.stamp(request.headers_mut(), Instant::now()));
        assert!(request.headers().get(GRPC_TIMEOUT).is_none(), "the endpoint's own limit is its own");
    }

    #[test]
    fn every_timeout_has_at_most_eight_digits() {
        for timeout in [1_u64, 999, 100_000_000, 123_456_789_012].map(Duration::from_nanos).into_iter().chain([FOREVER])
        {
            let written = grpc_timeout(&timeout_value(timeout)).unwrap();
            assert!(written <= timeout && written >= timeout.mul_f64(0.999), "{timeout:?} as {written:?}");
        }
    }
}
