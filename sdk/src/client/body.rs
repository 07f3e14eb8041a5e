//! The body of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::connection::InFlight;
use super::error::ChannelError;
use super::replay::Sending;
use super::request::Deadline;

/// The body of a response; a connection lost in the middle of it is `UNAVAILABLE`, and a deadline that passes is `DEADLINE_EXCEEDED`.
///
/// Dropped before its end it cancels the call: HTTP/2 resets the stream (RFC 9113 §8.1), whatever the request has still to send. So does its
/// deadline, once somebody waits for the next frame.
#[derive(Debug)]
pub struct ResponseBody {
    /// Gone once the deadline has passed.
    incoming: Option<Incoming>,
    /// The task that sends the rest of the request; gone once the response has ended.
    sending: Option<Sending>,
    in_flight: InFlight,
    deadline: Option<Alarm>,
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        in_flight: InFlight,
        sending: Option<Sending>,
        deadline: Option<Deadline>,
    ) -> Self {
        let deadline = deadline.map(|deadline| Alarm { deadline, timer: None });
        let ended = incoming.is_end_stream();
        let mut body = Self { incoming: Some(incoming), sending, in_flight, deadline };
        if ended {
            body.end();
        }
        body
    }

    /// The call is over; the server reads no more of the request.
    fn end(&mut self) {
        self.sending = None;
        self.deadline = None;
        self.in_flight.ended();
    }

    /// The next frame, unless the deadline passes first.
    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ChannelError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(alarm) = &mut self.deadline else { return Poll::Pending };
                ready!(alarm.poll(cx));
                return Poll::Ready(self.exceeded());
            }
        };
        // Trailers are the last frame there is.
        let goes_on = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        // An error may be the server's word for the same deadline: it resets the stream with CANCEL.
        let is_late = self.deadline.as_ref().is_some_and(|alarm| alarm.deadline.has_passed());
        if is_late && (goes_on || matches!(&frame, Some(Err(_)))) {
            return Poll::Ready(self.exceeded());
        }
        if !goes_on {
            self.end();
        }
        let origin = self.in_flight.origin();
        Poll::Ready(frame.map(|frame| frame.map_err(|error| ChannelError::lost(error, origin, None))))
    }

    /// Resets the stream: it has no reader any more, and no writer.
    fn exceeded<T>(&mut self) -> Option<Result<T, ChannelError>> {
        let limit = self.deadline.as_ref()?.deadline.limit();
        self.incoming = None;
        self.end();
        Some(Err(ChannelError::unfinished_response(limit)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ChannelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.poll_in_time(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A deadline, and the timer for it once a frame does not come at once: most responses have arrived when they are read.
#[derive(Debug)]
struct Alarm {
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.deadline.at();
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx)
    }
}
