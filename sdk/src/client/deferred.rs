//! Calls that wait for something else before they are made on a channel.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::{HeaderMap, Request, Response};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tower::Service;

use super::balance::BalancedChannel;
use super::channel::{Channel, ResponseFuture};
use super::error::ChannelError;
use super::readiness::lives;
use super::request::{self, FOREVER};
use crate::telemetry::Recorder;

/// A channel of this library. Its connections are TLS, to servers that were verified: there is no other kind, and no way to make one.
pub trait VerifiedChannel:
    Service<Request<Body>, Response = Response<Body>, Error = ChannelError, Future = ResponseFuture> + Deferred + Clone
{
}

/// What a call needs that is made later than it could be.
pub trait Deferred {
    /// The time that the call which follows has waited already.
    fn waited(&mut self) -> Duration;

    /// The longest wait for the response to a call with these headers, as of now.
    fn limit(&self, headers: &HeaderMap) -> Option<Duration>;

    /// The recorder of what happens on it.
    fn recorder(&self) -> Option<&Arc<dyn Recorder>>;

    /// A call that has waited for so long.
    fn call_later(self, waited: Duration, request: Request<Body>) -> impl Future<Output = Called> + Send;
}

type Called = Result<Response<Body>, ChannelError>;

impl VerifiedChannel for Channel {}

impl Deferred for Channel {
    fn waited(&mut self) -> Duration {
        self.take_waited()
    }

    fn limit(&self, headers: &HeaderMap) -> Option<Duration> {
        [request::asked(headers), self.timeout()].into_iter().flatten().min()
    }

    fn recorder(&self) -> Option<&Arc<dyn Recorder>> {
        self.told()
    }

    async fn call_later(self, waited: Duration, request: Request<Body>) -> Called {
        self.call_after(waited, request).await
    }
}

impl VerifiedChannel for BalancedChannel {}

impl Deferred for BalancedChannel {
    fn waited(&mut self) -> Duration {
        self.take_waited()
    }

    fn limit(&self, headers: &HeaderMap) -> Option<Duration> {
        [request::asked(headers), self.timeout()].into_iter().flatten().min()
    }

    fn recorder(&self) -> Option<&Arc<dyn Recorder>> {
        self.told()
    }

    async fn call_later(self, waited: Duration, request: Request<Body>) -> Called {
        self.pick_and_call(waited, request).await
    }
}

/// What came, unless the limit passed first: the limit then. The wait began so long before now.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    waited: Duration,
    coming: impl Future<Output = T>,
) -> Result<T, Duration> {
    let Some(limit) = limit else { return Ok(coming.await) };
    let end = Instant::now() + limit.min(FOREVER).saturating_sub(waited);
    match select(pin!(coming), pin!(sleep_until(end))).await {
        Either::Left((came, _)) => Ok(came),
        Either::Right(((), _)) => Err(limit),
    }
}

/// Whether the caller is on a runtime that runs: elsewhere there is no timer, and nobody to do anything.
pub(crate) fn has_runtime() -> bool {
    Handle::try_current().is_ok_and(|runtime| lives(&runtime))
}
