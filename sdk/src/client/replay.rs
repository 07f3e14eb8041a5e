//! Requests that can be sent again.
//!
//! A call that a server provably did not process is sent again, so what its body has produced is kept until the response begins, up
//! to a limit. Data is shared, not copied. The part not produced yet stays in the body and goes to the next attempt.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;

use super::scheduling::{self, SentByTask};

/// The least that a piece counts: a body of single bytes costs more than its bytes.
const LEAST_PIECE: usize = 64;

/// Kept parts of a request. Dropped before its response began, it ends the request: nothing more of its body is sent.
#[derive(Debug)]
pub(super) struct Kept {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Arc<Mutex<Production>>,
    /// Whether the response began.
    answered: bool,
}

/// The body of one attempt.
#[derive(Debug)]
pub(super) struct ReplayBody {
    production: Arc<Mutex<Production>>,
    attempt: u32,
}

/// The task that sends the body of a request whose response has begun. Dropping this ends the task, and with it, as far as the request goes,
/// the stream.
#[derive(Debug)]
pub(super) struct Sending(AbortHandle);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `request` as it is sent first, and what it takes to send it again as long as its body has produced no more than `limit` bytes.
pub(super) fn keep(request: Request<Body>, limit: usize) -> (Request<ReplayBody>, Kept) {
    let (head, body) = request.into_parts();
    let production = Production {
        body,
        pieces: VecDeque::new(),
        next: 0,
        left: Some(limit),
        ended: false,
        attempt: 0,
        begun: false,
        sending: None,
        given_up: false,
    };
    let production = Arc::new(Mutex::new(production));
    let kept = Kept {
        method: head.method.clone(),
        uri: head.uri.clone(),
        headers: head.headers.clone(),
        body: Arc::clone(&production),
        answered: false,
    };
    (Request::from_parts(head, ReplayBody { production, attempt: 0 }), kept)
}

impl Kept {
    /// Whether the attempt under way was asked for its body.
    pub(super) fn begun(&self) -> bool {
        self.body.lock().begun
    }

    /// The request once more, from its beginning; `None` where the body has produced more than is kept. The attempt before it
    /// gets no more of the body.
    pub(super) fn again(&self) -> Option<Request<ReplayBody>> {
        let mut production = self.body.lock();
        production.left?;
        production.next = 0;
        production.begun = false;
        production.attempt += 1;
        production.sending = None;
        let body = ReplayBody { production: Arc::clone(&self.body), attempt: production.attempt };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }

    /// The response began: nothing is kept any more. Gives the task that goes on to send the body, if there is one.
    pub(super) fn forget(mut self) -> Option<Sending> {
        self.answered = true;
        let mut production = self.body.lock();
        production.forget();
        production.sending.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // hyper ends the task too when it learns that nobody waits for the response, but not if the response comes at that moment.
        let sending = {
            let mut production = self.body.lock();
            production.given_up = true;
            production.sending.take()
        };
        drop(sending);
    }
}

impl SentByTask for Mutex<Production> {
    fn is_sent_by(&self, task: AbortHandle) {
        let sending = Sending(task);
        let mut production = self.lock();
        if !production.given_up {
            production.sending = Some(sending);
        }
    }
}

impl Drop for ReplayBody {
    fn drop(&mut self) {
        scheduling::gone(&self.production);
    }
}

/// A body as far as it was produced, and the rest of it.
#[derive(Debug)]
struct Production {
    body: Body,
    /// The output so far; once nothing is kept, only what an attempt after the first has still to send.
    pieces: VecDeque<Piece>,
    /// The piece that the attempt under way sends next.
    next: usize,
    /// The room left in the limit; `None` where nothing is kept.
    left: Option<usize>,
    ended: bool,
    attempt: u32,
    begun: bool,
    /// The task that sends it, until the response begins.
    sending: Option<Sending>,
    /// Whether nobody waits for a response any more.
    given_up: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl Piece {
    /// `None` for a frame of a kind that is not known here.
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().map(|trailers| Self::Trailers(Box::new(trailers.clone()))))
    }

    /// Its share of the limit.
    fn cost(&self) -> usize {
        let length = match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum(),
        };
        length.max(LEAST_PIECE)
    }

    /// The length of its data, which a body's size counts.
    fn data(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(*trailers),
        }
    }
}

impl Production {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.begun = true;
        if let Some(piece) = self.sent_before() {
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let produced = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = match &produced {
            Some(Ok(frame)) => {
                self.keep(frame);
                self.body.is_end_stream()
            }
            // A body that failed is not asked again.
            Some(Err(_)) | None => true,
        };
        if matches!(produced, Some(Err(_))) {
            self.forget();
        }
        Poll::Ready(produced)
    }

    /// The next of the pieces that an earlier attempt has sent.
    fn sent_before(&mut self) -> Option<Piece> {
        if self.left.is_none() {
            return self.pieces.pop_front();
        }
        let piece = self.pieces.get(self.next).cloned()?;
        self.next += 1;
        Some(piece)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(left) = self.left else { return };
        let kept = Piece::of(frame).and_then(|piece| Some((left.checked_sub(piece.cost())?, piece)));
        let Some((left, piece)) = kept else { return self.forget() };
        self.left = Some(left);
        self.pieces.push_back(piece);
        self.next += 1;
    }

    fn forget(&mut self) {
        if self.left.take().is_some() {
            self.pieces.drain(..mem::take(&mut self.next));
            // The usual case keeps no memory at all.
            self.pieces.shrink_to_fit();
        }
    }

    fn is_end_stream(&self) -> bool {
        // Never before it was asked: that it was asked tells that the request has a stream of its own.
        self.begun && self.next >= self.pieces.len() && (self.ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let again: u64 = self.pieces.iter().skip(self.next).map(|piece| piece.data() as u64).sum();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

impl http_body::Body for ReplayBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut production = self.production.lock();
        if production.attempt != self.attempt {
            return Poll::Ready(Some(Err(Status::cancelled("the call is sent again"))));
        }
        if !production.begun {
            scheduling::begun(Arc::clone(&self.production) as _);
        }
        production.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let production = self.production.lock();
        production.attempt == self.attempt && production.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.production.lock().size_hint()
    }
}

#[cfg(test)]
mod tests;
