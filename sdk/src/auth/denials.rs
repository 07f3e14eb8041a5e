//! Calls that are turned away: how the caller is told, the log and the counters.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::text;
use evercert_core::throttle::Throttle;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};

use super::method_names::MethodNames;
use super::noted::Noted;
use super::principal::Principal;
use crate::telemetry::{Event, OTHER_METHOD, Recorder, TokenFailure, code_name};

/// The lines about denials of one kind: so many at once after a rest, and then one in this time. All of them are counted.
const LINES: Throttle = Throttle::new(Duration::from_secs(1)).with_burst(20);

/// Where denials are told of. A cheap clone.
#[derive(Clone, Default)]
pub(super) struct Denials(Arc<Inner>);

#[derive(Default)]
struct Inner {
    recorder: Option<Arc<dyn Recorder>>,
    names: MethodNames,
    lines: Mutex<Lines>,
}

/// Apart, since strangers can make any number of the first kind.
struct Lines {
    unauthenticated: Throttle,
    limited: Throttle,
    denied: Throttle,
    dry: Throttle,
    no_calls: Throttle,
}

/// Why a call is turned away, for the log. None of it is the caller's to know.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Why<'a> {
    pub(super) reason: &'a str,
    pub(super) policy: &'a str,
    pub(super) rule: &'a str,
}

impl Denials {
    pub(super) fn new(recorder: Option<Arc<dyn Recorder>>, names: MethodNames) -> Self {
        Self(Arc::new(Inner { recorder, names, lines: Mutex::default() }))
    }

    /// Turns a call away.
    pub(super) fn deny<B>(
        &self,
        request: &Request<B>,
        principal: Option<&Principal>,
        status: Status,
        why: Why<'_>,
    ) -> Response<Body> {
        let code = status.code();
        if let Some(noted) = request.extensions().get::<Noted>() {
            noted.denied();
        }
        let path = path(request);
        if let Some(recorder) = &self.0.recorder {
            self.0.names.with(path, |method| recorder.tell(&Event::Denied { method, code }));
        }
        // By itself: the lock is not held while the line is written.
        let left_out = self.0.lines.lock().of(code).take(Instant::now());
        if let Some(left_out) = left_out {
            let (method, principal) = (text::word(path), principal.map(|principal| principal.key().to_string()));
            let principal = principal.as_deref().unwrap_or("nobody");
            let Why { reason, policy, rule } = why;
            tracing::warn!(
                method,
                principal,
                code = code_name(code),
                reason,
                policy,
                rule,
                left_out,
                "a call is denied"
            );
        }
        answer(request, status)
    }

    /// A request was turned away that is no call, with this status of HTTP.
    pub(super) fn no_call<B>(&self, request: &Request<B>, status: StatusCode, reason: &str) {
        if let Some(noted) = request.extensions().get::<Noted>() {
            noted.denied();
        }
        // What gRPC takes such a status for ("HTTP to gRPC Status Code Mapping").
        let code = if status == StatusCode::FORBIDDEN { Code::PermissionDenied } else { Code::Unknown };
        if let Some(recorder) = &self.0.recorder {
            recorder.tell(&Event::Denied { method: OTHER_METHOD, code });
        }
        let left_out = self.0.lines.lock().no_calls.take(Instant::now());
        if let Some(left_out) = left_out {
            let (http_method, path) = (text::word(request.method().as_str()), text::word(path(request)));
            tracing::warn!(http_method, path, status = status.as_u16(), reason, left_out, "a request is no call");
        }
    }

    /// A call's token was refused.
    pub(super) fn token_refused(&self, failure: TokenFailure) {
        if let Some(recorder) = &self.0.recorder {
            recorder.tell(&Event::TokenRefused { failure });
        }
    }

    /// A call is decided about otherwise than a dry run has it, and is not turned away for that.
    pub(super) fn would_be(&self, path: &str, principal: Option<&Principal>, is_allowed: bool, why: Why<'_>) {
        if let Some(recorder) = &self.0.recorder {
            self.0.names.with(path, |method| recorder.tell(&Event::DryRun { method, is_allowed }));
        }
        let left_out = self.0.lines.lock().dry.take(Instant::now());
        if let Some(left_out) = left_out {
            let (method, principal) = (text::word(path), principal.map(|principal| principal.key().to_string()));
            let principal = principal.as_deref().unwrap_or("nobody");
            let Why { reason, policy, rule } = why;
            tracing::warn!(method, principal, is_allowed, reason, policy, rule, left_out, "a dry run");
        }
    }
}

/// The path as it is on the wire, a query included: no method has one.
pub(super) fn path<B>(request: &Request<B>) -> &str {
    request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str)
}

/// To whoever does not speak gRPC, HTTP's own status tells it too: 200 would be a success there.
fn answer<B>(request: &Request<B>, status: Status) -> Response<Body> {
    let code = status.code();
    let mut answer: Response<Body> = status.into_http();
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if !content_type.starts_with(b"application/grpc") {
        *answer.status_mut() = match code {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unimplemented => StatusCode::NOT_FOUND,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
    }
    answer
}

impl Lines {
    fn of(&mut self, code: Code) -> &mut Throttle {
        match code {
            Code::Unauthenticated => &mut self.unauthenticated,
            Code::ResourceExhausted => &mut self.limited,
            _ => &mut self.denied,
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self { unauthenticated: LINES, limited: LINES, denied: LINES, dry: LINES, no_calls: LINES }
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(content_type: Option<&'static str>, code: Code) -> Response<Body> {
        let mut request = Request::new(());
        request.headers_mut().extend(content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())));
        Denials::default().deny(&request, None, Status::new(code, "no"), Why::default())
    }

    #[test]
    fn grpc_is_told_by_its_status_and_everybody_else_by_https_too() {
        let answer = denied(Some("application/grpc+proto"), Code::PermissionDenied);
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::PermissionDenied);
        for (code, status) in
            [(Code::Unauthenticated, 401), (Code::PermissionDenied, 403), (Code::ResourceExhausted, 429)]
        {
            assert_eq!(denied(Some("text/plain"), code).status(), status);
            assert_eq!(denied(None, code).status(), status);
        }
    }
}
