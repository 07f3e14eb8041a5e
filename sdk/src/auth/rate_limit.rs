//! The layer that bounds how often one caller calls.

mod settings;
mod table;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, Ready, ready};
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{BoxError, Layer, Service};

use super::denials::{Denials, Why};
use super::handled::{Handled, boxed};
use super::passage::Passage;

pub use settings::{AnonymousLimit, InvalidRateLimit, RateLimit};
use table::{Key, Table};

/// The metadata by which a server tells a client when it may try again, in milliseconds (gRPC A6).
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Bounds how often one verified principal calls, whichever connections it has: calls above it are refused with `RESOURCE_EXHAUSTED`, and
/// told when to try again, by `google.rpc.RetryInfo` and `grpc-retry-pushback-ms`. A stream is one call.
///
/// It has to be inside of an [`AuthenticationLayer`](super::AuthenticationLayer), and refuses calls that did not pass one: no header says
/// who calls, since anybody can write one. Health checks are not counted.
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
struct Shared {
    table: Arc<Table>,
    anonymous: AnonymousLimit,
    denials: Denials,
}

impl RateLimitLayer {
    /// By this limit.
    ///
    /// # Errors
    ///
    /// The limit is none that could be kept.
    pub fn new(limit: RateLimit) -> Result<Self, InvalidRateLimit> {
        let table = Arc::new(Table::new(limit.quota()?));
        Ok(Self { shared: Arc::new(Shared { table, anonymous: limit.anonymous, denials: Denials::default() }) })
    }

    pub(super) fn denials(mut self, denials: Denials) -> Self {
        Arc::make_mut(&mut self.shared).denials = denials;
        self
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// The service of [`RateLimitLayer`].
#[derive(Debug, Clone)]
pub struct RateLimitService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, R, B> Service<Request<R>> for RateLimitService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Handled<S::Future, B>, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        match self.shared.refusal(&request) {
            None => Either::Left(self.inner.call(request).map_ok(boxed)),
            Some(answer) => Either::Right(ready(Ok(answer))),
        }
    }
}

impl Shared {
    /// The answer to a call that is refused.
    fn refusal<R>(&self, request: &Request<R>) -> Option<Response<Body>> {
        let Some(passage) = request.extensions().get::<Passage>() else {
            let reason = "the rate limit is not inside of an AuthenticationLayer";
            let status = Status::unauthenticated("the caller is not known");
            return Some(self.denials.deny(request, None, status, Why { reason, ..Why::default() }));
        };
        let principal = match passage {
            Passage::Exempt => return None,
            passage => passage.principal(),
        };
        let key = match (principal, self.anonymous) {
            (Some(principal), _) => self.table.key(&principal.key()),
            (None, AnonymousLimit::Shared) => Key::Anonymous,
            (None, AnonymousLimit::Refused) => {
                let status = Status::unauthenticated("a certificate or a token is required");
                let reason = "the rate limit is for callers that are known";
                return Some(self.denials.deny(request, None, status, Why { reason, ..Why::default() }));
            }
        };
        let wait = self.table.take(key).err()?;
        let why = Why { reason: "the caller is above its rate limit", ..Why::default() };
        Some(self.denials.deny(request, principal, exhausted(wait), why))
    }
}

/// The status for a caller that may try again after `wait`.
fn exhausted(wait: Duration) -> Status {
    let message = "too many calls; try again later";
    let details = ErrorDetails::with_retry_info(Some(wait));
    let mut status = Status::with_error_details(Code::ResourceExhausted, message, details);
    // Rounded up: who comes a little too early is refused again.
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    if let Ok(pushback) = milliseconds.to_string().parse() {
        status.metadata_mut().insert(RETRY_PUSHBACK, pushback);
    }
    status
}

#[cfg(test)]
mod tests;
