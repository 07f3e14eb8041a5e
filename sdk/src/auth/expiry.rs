//! Calls that end with the token that they were made with.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// The longest time without a look at the wall clock, which may have been set meanwhile.
const CLOCK_INTERVAL: Duration = Duration::from_secs(30);

/// An instant of the wall clock, with a timer once somebody has to wait for it: most calls are over before.
#[derive(Debug)]
pub(super) struct Expiry {
    at: SystemTime,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Expiry {
    pub(super) fn new(at: SystemTime) -> Self {
        Self { at, timer: None }
    }

    /// The same instant, to be waited for by another one.
    fn another(&self) -> Self {
        Self::new(self.at)
    }

    fn has_passed(&self) -> bool {
        SystemTime::now() >= self.at
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(left) = self.at.duration_since(SystemTime::now()) else { return Poll::Ready(()) };
            if left.is_zero() {
                return Poll::Ready(());
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            self.timer = Some(Box::pin(tokio::time::sleep(left.min(CLOCK_INTERVAL))));
        }
    }
}

/// The status that such a call ends with.
pub(super) fn expired() -> Status {
    Status::unauthenticated("the token has expired")
}

pin_project! {
    /// A call to a handler, which is dropped when the token expires.
    pub(super) struct Until<F> {
        #[pin]
        call: Option<F>,
        expiry: Option<Expiry>,
    }
}

impl<F> Until<F> {
    /// Without an expiry the call goes on for as long as it likes.
    pub(super) fn new(call: F, expiry: Option<Expiry>) -> Self {
        Self { call: Some(call), expiry }
    }
}

impl<F, B, E> Future for Until<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // What waited for its turn until then is not begun any more.
        if this.expiry.as_ref().is_some_and(Expiry::has_passed) {
            this.call.set(None);
            return Poll::Ready(Ok(expired().into_http()));
        }
        if let Some(call) = this.call.as_mut().as_pin_mut()
            && let Poll::Ready(answer) = call.poll(cx)
        {
            let expiry = this.expiry.take();
            return Poll::Ready(answer.map(|answer| answer.map(|body| until(Body::new(body), expiry, Side::Response))));
        }
        let Some(expiry) = this.expiry else { return Poll::Pending };
        ready!(expiry.poll(cx));
        this.call.set(None);
        Poll::Ready(Ok(expired().into_http()))
    }
}

/// The request's body until then: after that it fails.
pub(super) fn request_until(body: Body, expiry: &Expiry) -> Body {
    until(body, Some(expiry.another()), Side::Request)
}

fn until(body: Body, expiry: Option<Expiry>, side: Side) -> Body {
    match expiry {
        Some(expiry) if !body.is_end_stream() => Body::new(UntilBody { body: Some(body), expiry, side }),
        _ => body,
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Request,
    Response,
}

/// A body that ends when the token expires.
struct UntilBody {
    /// Gone once it has ended.
    body: Option<Body>,
    expiry: Expiry,
    side: Side,
}

impl UntilBody {
    fn expire(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        self.body = None;
        match self.side {
            Side::Request => Some(Err(expired())),
            Side::Response => {
                let mut trailers = HeaderMap::new();
                Some(expired().add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
            }
        }
    }
}

impl http_body::Body for UntilBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            // What follows data is not the end yet, and a body that always has more never waits.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && self.expiry.has_passed() => Poll::Ready(self.expire()),
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => {
                ready!(self.expiry.poll(cx));
                Poll::Ready(self.expire())
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // It may end before.
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, poll_fn};

    use http_body_util::{BodyExt as _, StreamBody};
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    /// Long enough for what comes before, short enough to be waited for.
    const SOON: Duration = Duration::from_millis(200);

    fn soon() -> Expiry {
        Expiry::new(SystemTime::now() + SOON)
    }

    fn endless() -> Body {
        let frames = tokio_stream::iter(std::iter::repeat(Bytes::from_static(b"x")));
        Body::new(StreamBody::new(frames.map(|data| Ok::<_, Infallible>(Frame::data(data)))))
    }

    fn silent() -> Body {
        Body::new(StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>()))
    }

    /// The status in the trailers, after all data.
    async fn end(mut body: Body) -> Code {
        while let Some(frame) = body.frame().await {
            if let Some(trailers) = frame.unwrap().trailers_ref() {
                assert!(body.is_end_stream());
                return Status::from_header_map(trailers).unwrap().code();
            }
        }
        panic!("no trailers")
    }

    #[tokio::test]
    async fn a_response_ends_with_trailers_whether_it_is_silent_or_never_pauses() {
        for body in [endless(), silent()] {
            assert_eq!(end(until(body, Some(soon()), Side::Response)).await, Code::Unauthenticated);
        }
    }

    #[tokio::test]
    async fn a_request_ends_in_an_error_and_has_nothing_after_it() {
        for body in [endless(), silent()] {
            let mut body = request_until(body, &soon());
            let error = loop {
                if let Err(error) = body.frame().await.unwrap() {
                    break error;
                }
            };
            assert_eq!(error.code(), Code::Unauthenticated);
            assert!(body.frame().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_handler_that_has_not_answered_yet_is_dropped() {
        struct Dropped(tokio::sync::oneshot::Sender<()>);
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let held = Dropped(sender);
        let handler = async move {
            let _held = held.0;
            pending::<Result<Response<Body>, Infallible>>().await
        };
        let mut call = Box::pin(Until::new(handler, Some(soon())));
        let answer = call.as_mut().await.unwrap();
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::Unauthenticated);
        assert!(dropped.await.is_err(), "its future is gone while the call's is still there");
    }

    #[tokio::test]
    async fn a_handler_is_not_begun_with_a_token_that_has_expired_meanwhile() {
        let mut is_begun = false;
        let handler = poll_fn(|_| {
            is_begun = true;
            Poll::Ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        });
        let answer = Until::new(handler, Some(Expiry::new(SystemTime::now()))).await.unwrap();
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::Unauthenticated);
        assert!(!is_begun);
    }

    #[tokio::test]
    async fn what_answers_at_once_has_no_timer() {
        let mut expiry = soon();
        assert!(poll_fn(|cx| Poll::Ready(expiry.poll(cx).is_pending())).await);
        assert!(expiry.timer.is_some());
        let call = Until::new(async { Ok::<_, Infallible>(Response::new(Body::empty())) }, Some(soon()));
        assert!(call.await.unwrap().body().is_end_stream());
    }
}
