//! The layer that tells of calls: a log, and what is counted.

mod call;
mod settings;
mod watched;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

use super::method_names::MethodNames;
use crate::telemetry::Recorder;
use call::{Call, Telling};

pub use settings::AccessLog;
pub use watched::AccessLogFuture;

/// Writes calls into the log, under the target `evercert::access`, once they are over, streams at the end of their stream: method,
/// principal, status and duration, never a token or other headers. So many calls that succeeded are one line as [`AccessLog`] says; those that
/// failed have a line each, at a bounded rate. Its [`Recorder`] is told of all of them.
///
/// It belongs outside of the layers that it is to tell of.
#[derive(Clone)]
pub struct AccessLogLayer {
    telling: Arc<Telling>,
}

impl AccessLogLayer {
    /// As `log` has it.
    #[must_use]
    pub fn new(log: AccessLog) -> Self {
        Self::telling(log, None, MethodNames::default())
    }

    /// The same, with a recorder that is told of each call. Methods are named by what has been called, up to a bound.
    #[must_use]
    pub fn recording(log: AccessLog, recorder: Arc<dyn Recorder>) -> Self {
        Self::telling(log, Some(recorder), MethodNames::default())
    }

    /// The same, with a recorder.
    pub(super) fn with_recorder(&self, recorder: Arc<dyn Recorder>) -> Self {
        Self { telling: Arc::new(self.telling.with_recorder(recorder)) }
    }

    pub(super) fn telling(log: AccessLog, recorder: Option<Arc<dyn Recorder>>, names: MethodNames) -> Self {
        Self { telling: Arc::new(Telling::new(log, recorder, names)) }
    }
}

impl fmt::Debug for AccessLogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLogService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessLogService { inner, telling: Arc::clone(&self.telling) }
    }
}

/// The service of [`AccessLogLayer`].
#[derive(Clone)]
pub struct AccessLogService<S> {
    inner: S,
    telling: Arc<Telling>,
}

impl<S: fmt::Debug> fmt::Debug for AccessLogService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, R, B> Service<Request<R>> for AccessLogService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AccessLogFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<R>) -> Self::Future {
        let call = Call::begin(&self.telling, &mut request);
        AccessLogFuture::new(self.inner.call(request), call)
    }
}

#[cfg(test)]
mod tests;
