//! One accepted HTTP/2 connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::time::{Duration, Instant, SystemTime};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::cut::Cut;
use super::origin::Origin;
use super::plan::Current;
use super::replay::ReplayBody;
use crate::tls::session::Session;

/// No more calls than this run on one connection, whatever the server allows.
const MOST_CALLS: usize = 1 << 20;

/// A connection that a server accepted. Once this is dropped, the HTTP/2 connection finishes the calls it has, and closes.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<ReplayBody>,
    session: Arc<Session>,
    /// The time it is made anew although it works: before the server's leaf ends.
    renewal: Option<SystemTime>,
    life: Arc<Life>,
}

/// The outcome of a request.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<ReplayBody>>>;

impl Connection {
    pub(super) fn new(
        sender: SendRequest<ReplayBody>,
        session: Arc<Session>,
        renewal: Option<SystemTime>,
        life: Arc<Life>,
    ) -> Self {
        Self { sender, session, renewal, life }
    }

    /// The number of the generation it was made with.
    pub(super) fn generation(&self) -> u64 {
        self.life.origin.generation
    }

    /// The facts that the plan of its channel knows.
    pub(super) fn facts(&self) -> Current {
        let sequence = self.session.generation().sequence();
        Current { sequence, not_after: self.session.not_after(), renewal: self.renewal }
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Whether it takes new calls, as far as is known here: a GOAWAY may be on its way.
    pub(super) fn is_open(&self) -> bool {
        self.life.is_open()
    }

    /// Room for one call; `None` where the server allows no more at the moment, or the connection takes none.
    pub(super) fn try_enter(&self) -> Option<InFlight> {
        self.life.slots.try_acquire().ok()?.forget();
        Some(InFlight::new(&self.life))
    }

    /// Waits for room for one call; `None` once the connection takes none any more.
    pub(super) async fn enter(&self) -> Option<InFlight> {
        self.life.slots.acquire().await.ok()?.forget();
        Some(InFlight::new(&self.life))
    }

    /// Sends a request. An error that carries the request back proves that the server never saw it.
    pub(super) fn send(&self, request: Request<ReplayBody>) -> impl Future<Output = Sent> + use<> {
        self.sender.clone().try_send_request(request)
    }
}

/// State shared by a connection's task, its calls and its handles. It keeps nothing open.
#[derive(Debug)]
pub(super) struct Life {
    origin: Origin,
    since: Instant,
    /// One permit for each call that the server allows at a time; closed once the connection takes no new call.
    slots: Semaphore,
    /// The number of calls the server allows at a time.
    allowed: AtomicUsize,
    /// The number of permits calls hold beyond what the server allows by now; those are not given back.
    beyond: AtomicUsize,
    /// Told when there is room that nobody waited for in `slots`, or never will be.
    freed: Notify,
    /// The number of those who are to be told.
    watching: AtomicUsize,
    /// Cancelled once it takes no new call.
    ended: CancellationToken,
    answered: AtomicBool,
    cut: Arc<Cut>,
}

impl Life {
    pub(super) fn new(origin: Origin, cut: Arc<Cut>) -> Self {
        Self {
            origin,
            since: Instant::now(),
            slots: Semaphore::new(0),
            allowed: AtomicUsize::new(0),
            beyond: AtomicUsize::new(0),
            freed: Notify::new(),
            watching: AtomicUsize::new(0),
            ended: CancellationToken::new(),
            answered: AtomicBool::new(false),
            cut,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The time since it was made.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether a call ever got a response on it.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Whether it takes new calls, as far as is known here: a GOAWAY may be on its way.
    pub(super) fn is_open(&self) -> bool {
        !self.slots.is_closed()
    }

    /// Whether it takes another call now.
    pub(super) fn has_room(&self) -> bool {
        self.is_open() && self.slots.available_permits() > 0
    }

    /// Completes once there is room for a call, or it takes none any more. Nothing is reserved: whoever waits here and is not polled again
    /// keeps no room from the others, as it would in the queue of `slots`.
    pub(super) async fn room(&self) {
        let _watches = Watches::begin(self);
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.has_room() || !self.is_open() {
                return;
            }
            freed.await;
        }
    }

    fn tell_room(&self) {
        // Either this sees that somebody watches, or who begins to watch sees the room.
        fence(SeqCst);
        if self.watching.load(Relaxed) > 0 && (self.has_room() || !self.is_open()) {
            self.freed.notify_waiters();
        }
    }

    /// The number of calls whose responses have not ended.
    pub(super) fn load(&self) -> usize {
        let held_of_allowed = self.allowed.load(Relaxed).saturating_sub(self.slots.available_permits());
        held_of_allowed + self.beyond.load(Relaxed)
    }

    /// It takes no new call: superseded, no longer trusted, drained by the server, or closed.
    pub(super) fn end(&self) {
        self.slots.close();
        self.tell_room();
        self.ended.cancel();
    }

    /// Completes once it takes no new call.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The server allows another number of calls at a time.
    pub(super) fn allow(&self, before: usize, now: usize) {
        let (before, now) = (before.min(MOST_CALLS), now.min(MOST_CALLS));
        self.allowed.store(now, Relaxed);
        if now > before {
            let more = now - before;
            let less = |beyond: usize| Some(beyond.saturating_sub(more));
            let (Ok(beyond) | Err(beyond)) = self.beyond.fetch_update(Relaxed, Relaxed, less);
            self.slots.add_permits(more.saturating_sub(beyond));
            self.tell_room();
        } else {
            let fewer = before - now;
            let held = fewer - self.slots.forget_permits(fewer);
            self.beyond.fetch_add(held, Relaxed);
        }
    }

    /// A call has ended.
    fn leave(&self) {
        if self.beyond.fetch_update(Relaxed, Relaxed, |beyond| beyond.checked_sub(1)).is_err() {
            self.slots.add_permits(1);
            self.tell_room();
        }
    }
}

/// Somebody who waits for room without a place in the queue.
struct Watches<'a>(&'a Life);

impl<'a> Watches<'a> {
    fn begin(life: &'a Life) -> Self {
        life.watching.fetch_add(1, Relaxed);
        fence(SeqCst);
        Self(life)
    }
}

impl Drop for Watches<'_> {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Relaxed);
    }
}

/// A call under way on a connection, until its response has ended or is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    life: Arc<Life>,
    ended: bool,
}

impl InFlight {
    fn new(life: &Arc<Life>) -> Self {
        Self { life: Arc::clone(life), ended: false }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.life.origin
    }

    /// The response began.
    pub(super) fn answered(&self) {
        if !self.life.answered.load(Relaxed) {
            self.life.answered.store(true, Relaxed);
        }
    }

    /// The response ended: there is room for another call.
    pub(super) fn ended(&mut self) {
        if !self.ended {
            self.ended = true;
            self.life.leave();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.ended();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_room_is_told_of_it_and_keeps_it_from_nobody() {
        let origin = Origin { endpoint: "https://server.example.org".into(), generation: 1 };
        let life = Arc::new(Life::new(origin, Arc::default()));
        let mut waiting = [Box::pin(life.room()), Box::pin(life.room())];
        waiting.iter_mut().for_each(|waits| assert!(waits.now_or_never().is_none()));
        life.allow(0, 1);
        let [one, other] = &mut waiting;
        assert!(one.now_or_never().is_some());
        life.slots.try_acquire().unwrap().forget();
        let call = InFlight::new(&life);
        assert!(other.now_or_never().is_none(), "it has gone to a call");
        drop(call);
        assert!(other.now_or_never().is_some());

        life.allow(1, 0);
        let mut waits = Box::pin(life.room());
        assert!((&mut waits).now_or_never().is_none());
        life.end();
        assert!(waits.now_or_never().is_some());
    }

    #[test]
    fn a_server_that_allows_fewer_calls_for_a_while_is_never_sent_more() {
        let origin = Origin { endpoint: "https://server.example.org".into(), generation: 1 };
        let life = Arc::new(Life::new(origin, Arc::default()));
        let enter = || {
            life.slots.try_acquire().unwrap().forget();
            InFlight::new(&life)
        };
        life.allow(0, 10);
        let calls: Vec<_> = (0..8).map(|_| enter()).collect();
        life.allow(10, 4);
        assert_eq!(life.load(), 8);
        drop(calls);
        assert_eq!(life.slots.available_permits(), 4);
        assert_eq!(life.load(), 0);
        let calls: Vec<_> = (0..4).map(|_| enter()).collect();
        life.allow(4, 1);
        life.allow(1, 10);
        assert_eq!(life.slots.available_permits(), 6);
        assert_eq!(life.load(), 4);
        drop(calls);
        assert_eq!(life.slots.available_permits(), 10);
    }
}
