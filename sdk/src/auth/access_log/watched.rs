//! The answer to a call, watched until its end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::BoxError;

use super::call::Call;
use crate::auth::handled::status_code;

pin_project! {
    /// The future of [`AccessLogService`](super::AccessLogService).
    #[must_use = "futures do nothing unless polled"]
    pub struct AccessLogFuture<F> {
        // Before the future: what is dropped with it is over then.
        call: Option<Call>,
        #[pin]
        answer: F,
    }
}

impl<F> AccessLogFuture<F> {
    pub(super) fn new(answer: F, call: Call) -> Self {
        Self { call: Some(call), answer }
    }
}

impl<F, B, E> Future for AccessLogFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        let call = this.call.take();
        Poll::Ready(match (answer, call) {
            (Ok(answer), Some(call)) => Ok(watched(answer.map(Body::new), call)),
            (Ok(answer), None) => Ok(answer.map(Body::new)),
            (Err(error), call) => {
                if let Some(mut call) = call {
                    call.end(Code::Unknown);
                }
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for AccessLogFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogFuture").finish_non_exhaustive()
    }
}

fn watched(answer: Response<Body>, mut call: Call) -> Response<Body> {
    // A status among the headers is that of an answer without a body ("Trailers-Only").
    let code = status_code(answer.headers());
    call.answered(code);
    if code.is_some() {
        return answer;
    }
    // Without trailers it is no gRPC, and HTTP's own status is the only one.
    let without_trailers = if answer.status().is_success() { Code::Ok } else { Code::Unknown };
    if answer.body().is_end_stream() {
        call.end(without_trailers);
        return answer;
    }
    answer.map(|body| Body::new(WatchedBody { body, call, without_trailers }))
}

struct WatchedBody {
    body: Body,
    call: Call,
    without_trailers: Code,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.end(status_code(trailers).unwrap_or(Code::Unknown));
                } else if self.body.is_end_stream() {
                    let code = self.without_trailers;
                    self.call.end(code);
                }
            }
            Some(Err(status)) => {
                let code = status.code();
                self.call.end(code);
            }
            None => {
                let code = self.without_trailers;
                self.call.end(code);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
