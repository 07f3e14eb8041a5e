//! One call, over as many attempts as it takes.

use std::error::Error as _;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;
use tonic::body::Body;

use super::body::ResponseBody;
use super::connection::InFlight;
use super::error::{ChannelError, Unprocessed};
use super::replay::{Kept, ReplayBody};
use super::request::Deadline;
use crate::backoff::Backoff;

/// The number of times a call is sent again.
const RESENDS: u32 = 5;
/// The first and the longest wait before a call is sent again that the server refused on a connection it keeps.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A call whose response has not begun.
///
/// It is sent again only where it is proved that the server did not process it:
///
/// - the request comes back from the connection's queue: no byte of it was sent;
/// - the server's GOAWAY names a last stream before the call's (RFC 9113 §6.8). h2 says so on the call's own stream; hyper says the same of
///   a request whose stream it had just opened when any GOAWAY came, which proves nothing. Those two are told apart by the body, which hyper
///   asks for once the stream is the call's;
/// - the server reset the stream with REFUSED_STREAM (RFC 9113 §8.7).
///
/// Everything else, a connection that was lost above all, may have been processed.
#[derive(Debug)]
pub(super) struct Call {
    kept: Kept,
    deadline: Option<Deadline>,
    resends: u32,
    backoff: Option<Backoff>,
}

/// The retry after an attempt that came to nothing.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) request: Request<ReplayBody>,
    pub(super) wait: Duration,
}

impl Call {
    pub(super) fn new(kept: Kept, deadline: Option<Deadline>) -> Self {
        Self { kept, deadline, resends: 0, backoff: None }
    }

    /// The response began.
    pub(super) fn answered(self, response: Response<Incoming>, in_flight: InFlight) -> Response<Body> {
        let sending = self.kept.forget();
        in_flight.answered();
        response.map(|body| Body::new(ResponseBody::new(body, in_flight, sending, self.deadline)))
    }

    /// The retry after an attempt that failed.
    ///
    /// # Errors
    ///
    /// The call failed: it may have been processed, cannot be sent again, or its deadline has passed.
    pub(super) fn again(
        &mut self,
        mut failed: TrySendError<Request<ReplayBody>>,
        in_flight: &InFlight,
    ) -> Result<Again, ChannelError> {
        // The server may be the first to say so, with a CANCEL of the stream.
        if let Some(deadline) = self.deadline.filter(Deadline::has_passed) {
            return Err(ChannelError::no_response(deadline.limit(), None));
        }
        let unsent = failed.take_message();
        let error = failed.into_error();
        let proof = if self.kept.begun() { unprocessed(&error) } else { None };
        if unsent.is_none() && proof.is_none() {
            return Err(ChannelError::lost(error, in_flight.origin(), None));
        }
        if self.resends == RESENDS {
            return Err(ChannelError::lost(error, in_flight.origin(), Some(Unprocessed::TooOften(RESENDS))));
        }
        self.resends += 1;
        let Some(request) = unsent.or_else(|| self.kept.again()) else {
            return Err(ChannelError::lost(error, in_flight.origin(), Some(Unprocessed::NotKept)));
        };
        let wait = match proof {
            Some(Proof::Refused) => self.backoff.get_or_insert_with(|| Backoff::new(FIRST_WAIT, LONGEST_WAIT)).next(),
            _ => Duration::ZERO,
        };
        Ok(Again { request, wait })
    }

    /// Tells the server what is left until the deadline, where the call says it at all.
    ///
    /// # Errors
    ///
    /// Nothing is left.
    pub(super) fn stamp(&self, request: &mut Request<ReplayBody>) -> Result<(), ChannelError> {
        match &self.deadline {
            Some(deadline) if !deadline.stamp(request.headers_mut(), Instant::now()) => {
                Err(ChannelError::no_response(deadline.limit(), None))
            }
            _ => Ok(()),
        }
    }
}

/// The proof that a request with a stream of its own was not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    GoAway,
    Refused,
}

fn unprocessed(error: &hyper::Error) -> Option<Proof> {
    let h2: &h2::Error = error.source()?.downcast_ref()?;
    match h2.reason() {
        _ if !h2.is_remote() => None,
        _ if h2.is_go_away() => Some(Proof::GoAway),
        Some(h2::Reason::REFUSED_STREAM) if h2.is_reset() => Some(Proof::Refused),
        _ => None,
    }
}
