//! A limit on requests open at once: each costs memory until it is answered and the answer is read, whatever it asks for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::OptionFuture;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::connection::{Displaced, FAREWELL, Peer};
use super::turned_away::{Doorkeeper, TurnedAway};
use crate::callers::{Full, Quota, Share};

/// The status of a message that is larger than is taken or sent, and of nothing else.
const TOO_LARGE: Code = Code::OutOfRange;

/// A service whose requests count as open until their answers have been taken. Where there can be no more, the newest of the party
/// that has the most is ended for one of a smaller one.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    quota: Arc<Quota>,
    doorkeeper: Arc<Doorkeeper>,
    refusal: fn(Refused) -> Status,
}

/// Why a request is not answered, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// There may be no further one.
    Full(Full),
    /// Another party has taken its place, or that of its connection, as this setting allows no more.
    Displaced { setting: &'static str },
}

impl<S> Counted<S> {
    /// `service`, whose requests count against `quota`; `refusal` is the answer to one too many.
    pub(super) fn new(
        service: S,
        quota: Arc<Quota>,
        doorkeeper: Arc<Doorkeeper>,
        refusal: fn(Refused) -> Status,
    ) -> Self {
        Self { service, quota, doorkeeper, refusal }
    }

    /// One more request of the caller.
    fn enter(&self, request: &Request<Body>) -> Result<RequestPermit, Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let peer = peer.ok_or_else(|| Status::internal("the caller is not known"))?;
        let party = peer.caller.party();
        let (share, loser) = self.quota.claim(party.clone()).map_err(|full| {
            let reason = match full {
                Full::PerCaller => TurnedAway::TooManyStreams,
                Full::InAll => TurnedAway::TooManyStreamsInAll,
            };
            self.doorkeeper.turned_away(Some(&party), reason);
            (self.refusal)(Refused::Full(full))
        })?;
        if let Some(loser) = loser {
            self.doorkeeper.turned_away(Some(&loser), TurnedAway::StreamDisplaced);
        }
        let doorkeeper = Arc::clone(&self.doorkeeper);
        Ok(RequestPermit { peer: Arc::clone(peer), refusal: self.refusal, share, besides: None, doorkeeper })
    }
}

/// A share an answer uses besides its place, until it has been taken: an extension of the response.
#[derive(Clone)]
pub(super) struct ExtraShare {
    share: Arc<Share>,
    refusal: fn() -> Status,
}

impl ExtraShare {
    /// `refusal` is the answer where another party has taken the share.
    pub(super) fn new(share: Share, refusal: fn() -> Status) -> Self {
        Self { share: Arc::new(share), refusal }
    }

    /// Waits until another party has taken the share, and gives the refusal.
    pub(super) fn lost(&self) -> impl Future<Output = Status> + Send + use<> {
        let (displaced, refusal) = (self.share.displaced().clone(), self.refusal);
        async move {
            displaced.cancelled().await;
            refusal()
        }
    }
}

/// The permit of a request to be open, which it may lose.
struct RequestPermit {
    peer: Arc<Peer>,
    refusal: fn(Refused) -> Status,
    share: Share,
    besides: Option<ExtraShare>,
    doorkeeper: Arc<Doorkeeper>,
}

/// Waits until a request has lost its place, and then says so.
type Lost = Pin<Box<dyn Future<Output = Status> + Send>>;

impl RequestPermit {
    /// Looks at the status that is the end of an answer: where a message was too large, that is told.
    fn ended(&self, status: &HeaderMap) {
        if status.get(Status::GRPC_STATUS).is_some_and(|code| Code::from_bytes(code.as_bytes()) == TOO_LARGE) {
            self.doorkeeper.turned_away(Some(self.share.party()), TurnedAway::MessageTooLarge);
        }
    }

    fn lost(&self) -> Lost {
        let (connection, own) = (self.peer.displaced().clone(), self.share.displaced().clone());
        let (refusal, besides) = (self.refusal, self.besides.as_ref().map(ExtraShare::lost));
        Box::pin(async move {
            tokio::select! {
                () = connection.cancelled() => refusal(Refused::Displaced { setting: "connections" }),
                () = own.cancelled() => refusal(Refused::Displaced { setting: "streams" }),
                Some(status) = OptionFuture::from(besides) => status,
            }
        })
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.enter(&request) {
            Ok(mut permit) => {
                request.extensions_mut().insert(Displaced::new(permit.share.displaced().clone()));
                let response = self.service.call(request);
                Box::pin(async move {
                    let mut lost = permit.lost();
                    let mut response = tokio::select! {
                        biased;
                        response = response => response?,
                        status = &mut lost => return Ok(status.into_http()),
                    };
                    permit.ended(response.headers());
                    permit.besides = response.extensions_mut().remove::<ExtraShare>();
                    if permit.besides.is_some() {
                        lost = permit.lost();
                    }
                    let encoded = response.extensions_mut().remove::<EncodedBody>().and_then(EncodedBody::take);
                    Ok(response.map(|body| Body::new(Open::new(encoded.unwrap_or(body), permit, lost))))
                })
            }
            Err(full) => Box::pin(std::future::ready(Ok(full.into_http()))),
        }
    }
}

/// The body of a response that was encoded already: an extension of the response, whose own body it takes the place of.
#[derive(Clone)]
pub(super) struct EncodedBody(Arc<Mutex<Option<Body>>>);

impl EncodedBody {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    fn take(self) -> Option<Body> {
        self.0.lock().take()
    }
}

/// The end of a response: its status, in the trailers.
pub(super) fn last_word(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
}

/// An answer, and the place its request takes until it is gone.
///
/// The transport asks for the next message long before the peer has made room for the one before. So nothing is asked of the
/// answer while a message is on its way: one message of a stream is in memory, and the next is made from what is the latest once the
/// peer has taken it. A peer that does not take it for too long loses its connection, and so does one that does not take what is on its
/// way when the request has lost its place, since what is sent cannot be called back.
struct Open {
    /// Absent once the request has lost its place.
    body: Option<Body>,
    way: Arc<Way>,
    lost: Lost,
    permit: RequestPermit,
}

impl Open {
    fn new(body: Body, permit: RequestPermit, lost: Lost) -> Self {
        Self { body: Some(body), way: Arc::default(), lost, permit }
    }

    /// Waits until no message is on its way.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.way.is_busy.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.way.waker.register(cx.waker());
        if !self.way.is_busy.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        ready!(self.poll_taken(cx));
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(status) = this.lost.as_mut().poll(cx) {
            this.body = None;
            return Poll::Ready(Some(last_word(&status)));
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(trailers) = frame.iter().flatten().find_map(Frame::trailers_ref) {
            this.permit.ended(trailers);
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    this.way.is_busy.store(true, Ordering::Release);
                    Bytes::from_owner(Ticket::new(bytes, &this.way, &this.permit))
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

/// The way to a peer, which one message at a time takes.
#[derive(Default)]
struct Way {
    is_busy: AtomicBool,
    waker: AtomicWaker,
}

/// A message on its way; the transport drops it once the last of it has gone to the peer.
struct Ticket {
    bytes: Bytes,
    way: Arc<Way>,
    /// Rings when it has been on its way for too long, or for a moment after its request has lost its place. A task of its own: the
    /// transport polls no answer whose peer has made no room at all.
    _alarm: AbortOnDropHandle<()>,
}

impl Ticket {
    fn new(bytes: Bytes, way: &Arc<Way>, permit: &RequestPermit) -> Self {
        let (peer, lost) = (Arc::clone(&permit.peer), permit.lost());
        let alarm = tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(peer.taking) => {}
                _ = lost => tokio::time::sleep(FAREWELL).await,
            }
            peer.takes_nothing();
        });
        Self { bytes, way: Arc::clone(way), _alarm: AbortOnDropHandle::new(alarm) }
    }
}

impl AsRef<[u8]> for Ticket {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Its part of what it shares with others goes before another message may come.
        self.bytes = Bytes::new();
        self.way.is_busy.store(false, Ordering::Release);
        self.way.waker.wake();
    }
}
