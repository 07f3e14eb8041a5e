//! The body of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::InFlight;
use super::error::ChannelError;

/// The body of a response; a connection lost in the middle of it is `UNAVAILABLE`.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    in_flight: InFlight,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, mut in_flight: InFlight) -> Self {
        if incoming.is_end_stream() {
            in_flight.ended();
        }
        Self { incoming, in_flight }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ChannelError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        // Trailers are the last frame there is.
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            this.in_flight.ended();
        }
        let origin = this.in_flight.origin();
        Poll::Ready(frame.map(|frame| frame.map_err(|error| ChannelError::lost(error, origin, None))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
