//! How many requests are open at once: each costs memory until it is answered and the answer is read, whatever it asks for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::connection::Peer;
use super::quota::{Full, Quota, Share};

/// A service whose requests count as open until their answers have been taken.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    service: S,
    quota: Arc<Quota>,
    refusal: fn(Full) -> Status,
}

impl<S> Counted<S> {
    /// `service`, whose requests count against `quota`; `refusal` is the answer to one too many.
    pub(super) fn new(service: S, quota: Arc<Quota>, refusal: fn(Full) -> Status) -> Self {
        Self { service, quota, refusal }
    }

    /// One more request of the caller.
    fn enter(&self, request: &Request<Body>) -> Result<(Share, Arc<Peer>), Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let peer = peer.ok_or_else(|| Status::internal("the caller is not known"))?;
        let share = self.quota.take(peer.caller.party()).map_err(self.refusal)?;
        Ok((share, Arc::clone(peer)))
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.enter(&request) {
            Ok((share, peer)) => {
                let response = self.service.call(request);
                Box::pin(async move {
                    let mut response = response.await?;
                    let in_place = response.extensions_mut().remove::<InPlace>().and_then(InPlace::take);
                    Ok(response.map(|body| Body::new(Open::new(in_place.unwrap_or(body), peer, share))))
                })
            }
            Err(full) => Box::pin(std::future::ready(Ok(full.into_http()))),
        }
    }
}

/// The body of a response that was encoded already: an extension of the response, whose own body it takes the place of.
#[derive(Clone)]
pub(super) struct InPlace(Arc<Mutex<Option<Body>>>);

impl InPlace {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    fn take(self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An answer, and the place its request takes until it is gone.
///
/// The transport asks for the next message long before the peer has made room for the one before. So nothing is asked of the
/// answer while a message is on its way: one message of a stream is in memory, and the next is made from what is the latest once the
/// peer has taken it. A peer that does not take it for too long loses its connection.
struct Open {
    body: Body,
    peer: Arc<Peer>,
    way: Arc<Way>,
    _share: Share,
}

impl Open {
    fn new(body: Body, peer: Arc<Peer>, share: Share) -> Self {
        Self { body, peer, way: Arc::default(), _share: share }
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    self.way.is_busy.store(true, Ordering::Release);
                    Bytes::from_owner(Ticket::new(bytes, &self.way, &self.peer))
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
    /// Rings when it has been on its way for too long. A task of its own: the transport polls no answer whose peer has made no room at all.
    _alarm: AbortOnDropHandle<()>,
}

impl Ticket {
    fn new(bytes: Bytes, way: &Arc<Way>, peer: &Arc<Peer>) -> Self {
        let ringing = Arc::clone(peer);
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(ringing.taking).await;
            ringing.takes_nothing();
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
