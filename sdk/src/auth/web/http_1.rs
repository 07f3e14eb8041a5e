//! HTTP/1.1, where a connection has one call at a time.
//!
//! A connection whose request was not read to its end has to be closed behind the answer (RFC 9112 §9.6): what is left of it would be
//! taken for the next request. hyper does close it, but does not say so in the answer. Who has no word of it sends the next call into a
//! connection that is going, and does not know what became of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Whether a request has been read to its end.
#[derive(Debug, Clone)]
pub(super) struct ReadToEnd(Arc<AtomicBool>);

impl ReadToEnd {
    /// Watches how this request is read.
    pub(super) fn of(request: Request<Body>) -> (Request<Body>, Self) {
        let is_at_end = Self(Arc::new(AtomicBool::new(request.body().is_end_stream())));
        (request.map(|inner| Body::new(Watched { inner, is_at_end: is_at_end.clone() })), is_at_end)
    }

    /// Says in an answer that the connection ends with it, where it has to.
    pub(super) fn said_in<B>(&self, mut answer: Response<B>) -> Response<B> {
        if !self.0.load(Ordering::Relaxed) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

struct Watched {
    inner: Body,
    is_at_end: ReadToEnd,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.is_at_end.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
