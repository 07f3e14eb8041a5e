//! The tower service that generated clients call.

use std::fmt;
use std::future::{pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tower::Service;

use super::attempts::{Again, Call};
use super::connection::{InFlight, Sent};
use super::connector::Connector;
use super::error::ChannelError;
use super::link::{ChannelState, Link};
use super::links::Links;
use super::readiness::{NextChange, Patience, poll_link};
use super::replay::{self, ReplayBody};
use super::request::Deadline;
use crate::identity::Identity;
#[cfg(feature = "auth")]
use crate::telemetry::Recorder;

/// A connection to one endpoint that moves to every new generation of its identity. Clones share the connection; the last
/// one to go, and the calls that still run, end it and its task.
///
/// Each tokio runtime that uses the channel has a connection of its own, which ends with that runtime and with nothing else of it. So a
/// channel may be kept in a static, and shared by tests that have a runtime each.
///
/// A call that finds no connection waits for one while it is being made, and fails with `UNAVAILABLE` and the cause once an attempt
/// has failed, until one succeeds ([`Endpoint::wait_for_ready`](super::Endpoint::wait_for_ready) waits on).
///
/// It is ready, as tower means it, while it is connected and the server allows another call, and where a call would fail at once. Otherwise
/// it is not, for a tenth of a second at most, so that layers which shed load or look for another service see it; then calls wait by
/// themselves, since only they have deadlines. There is never an error: generated clients would make `UNKNOWN` of it.
///
/// A call that the server provably did not process, for it was closing the connection, is sent on the next one
/// ([`Endpoint::replay_limit`](super::Endpoint::replay_limit)); one that may have been processed is never sent again.
pub struct Channel {
    shared: Arc<Shared>,
    /// This clone's own.
    next_change: Option<NextChange>,
    patience: Patience,
}

struct Shared {
    links: Links,
    /// Rotations go on while the channel lives.
    _identity: Identity,
}

impl Channel {
    pub(super) fn new(connector: Connector, identity: Identity) -> Self {
        Self::of(Arc::new(Shared { links: Links::new(connector), _identity: identity }))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self { shared, next_change: None, patience: Patience::default() }
    }

    /// Connects, if it does not already; false where there is no runtime for it.
    pub(super) fn begin(&self) -> bool {
        self.shared.links.here().start().is_ok()
    }

    /// The longest wait of its calls for their responses.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.shared.links.connector().settings().request.timeout
    }

    /// The recorder of its handshakes.
    #[cfg(feature = "auth")]
    pub(super) fn told(&self) -> Option<&Arc<dyn Recorder>> {
        self.shared.links.connector().settings().recorder.as_ref()
    }

    /// The time that the call which follows has waited already.
    #[cfg(feature = "auth")]
    pub(super) fn take_waited(&mut self) -> Duration {
        self.patience.waited()
    }

    /// Ready while it is connected and there is room for a call, for as long as that takes; `next_change` is kept from one poll to the next.
    pub(super) fn poll_room(&self, next_change: &mut Option<NextChange>, cx: &mut Context<'_>) -> Poll<()> {
        let link = self.shared.links.here();
        _ = link.start();
        poll_link(&link, Link::has_room, next_change, cx)
    }

    /// The number of calls whose responses have not ended.
    pub(super) fn load(&self) -> usize {
        self.shared.links.here().load()
    }

    /// Whether it has a connection that takes calls.
    pub(super) fn is_connected(&self) -> bool {
        self.shared.links.here().open().is_some()
    }

    /// Whether its calls fail at once.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.links.here().has_failed()
    }

    /// Completes once it has no connection for a reason, on one of the runtimes that use it now, or is gone.
    pub(super) fn trouble(&self) -> impl Future<Output = ()> + use<> {
        let in_trouble = |state: &ChannelState| state.generation.is_none() && state.trouble.is_some();
        let states = self.shared.links.states().into_iter();
        let mut troubles: FuturesUnordered<_> =
            states.map(|mut state| async move { _ = state.wait_for(in_trouble).await }).collect();
        async move {
            if troubles.next().await.is_none() {
                pending().await
            }
        }
    }

    /// The state: which generation new calls use, and why the newest is not used where it is not. It is that of the current runtime's
    /// connection; outside of any runtime, of the first that used the channel. The receiver does not keep the channel alive.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ChannelState> {
        self.shared.links.here().state()
    }

    /// A call that has waited for so long already.
    pub(super) fn call_after(&self, waited: Duration, mut request: Request<Body>) -> ResponseFuture {
        let link = self.shared.links.here();
        let settings = self.shared.links.connector().settings();
        let deadline = settings.request.apply(&mut request).map(|deadline| deadline.after(waited));
        if let Some(deadline) = deadline.filter(|_| !waited.is_zero())
            && !deadline.stamp(request.headers_mut(), Instant::now())
        {
            let why = link.why_not_connected();
            return ResponseFuture::new(ready(Err(ChannelError::no_response(deadline.limit(), why.as_deref()))));
        }
        let (request, kept) = replay::keep(request, settings.replay_limit);
        let call = Call::new(kept, deadline);
        // Without a runtime there is no timer, and nobody who would end the call.
        if deadline.is_some() && Handle::try_current().is_err() {
            return ResponseFuture::new(ready(Err(link.no_runtime())));
        }
        let open = link.open().and_then(|connection| connection.try_enter().map(|in_flight| (connection, in_flight)));
        let way = Way { link, _channel: self.clone() };
        match (open, deadline) {
            (Some((connection, in_flight)), None) => {
                let sent = connection.send(request);
                ResponseFuture(Box::pin(way.response(sent, in_flight, call)))
            }
            (Some((connection, in_flight)), Some(deadline)) => {
                let (sent, link) = (connection.send(request), Arc::clone(&way.link));
                ResponseFuture(Box::pin(in_time(deadline, link, way.response(sent, in_flight, call))))
            }
            (None, None) => ResponseFuture(Box::pin(way.wait_and_send(request, call))),
            (None, Some(deadline)) => {
                let link = Arc::clone(&way.link);
                ResponseFuture(Box::pin(in_time(deadline, link, way.wait_and_send(request, call))))
            }
        }
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    ///
    /// The attempt failed.
    pub(super) async fn connected(&self) -> Result<(), ChannelError> {
        self.shared.links.here().connected(false).await.map(drop)
    }
}

/// One call's way to a connection, which keeps the channel alive.
struct Way {
    link: Arc<Link>,
    _channel: Channel,
}

impl Way {
    /// The response to a request that a connection has in its queue.
    async fn response(
        self,
        sent: impl Future<Output = Sent>,
        in_flight: InFlight,
        mut call: Call,
    ) -> Result<Response<Body>, ChannelError> {
        match sent.await {
            Ok(response) => Ok(call.answered(response, in_flight)),
            Err(failed) => {
                let again = call.again(failed, &in_flight)?;
                drop(in_flight);
                // Boxed: it is rare, and would more than double the size of every call's future.
                Box::pin(self.send_again(again, call)).await
            }
        }
    }

    /// Sends a request on the connections that come, until it has an answer.
    async fn send_again(self, mut again: Again, mut call: Call) -> Result<Response<Body>, ChannelError> {
        loop {
            if !again.wait.is_zero() {
                tokio::time::sleep(again.wait).await;
            }
            let (sent, in_flight) = self.send_on_next(again.request, &call).await?;
            match sent.await {
                Ok(response) => return Ok(call.answered(response, in_flight)),
                Err(failed) => again = call.again(failed, &in_flight)?,
            }
        }
    }

    /// Sends a request on the next connection that has room for it.
    async fn send_on_next(
        &self,
        mut request: Request<ReplayBody>,
        call: &Call,
    ) -> Result<(impl Future<Output = Sent> + use<>, InFlight), ChannelError> {
        let link = &self.link;
        loop {
            let connection = link.connected(link.connector().settings().wait_for_ready).await?;
            if let Some(in_flight) = link.enter(&connection).await {
                call.stamp(&mut request)?;
                // The connection's handle goes here: it would keep a superseded one open.
                return Ok((connection.send(request), in_flight));
            }
        }
    }

    /// As [`Way::send_on_next`], for a call that found no connection with room.
    async fn wait_and_send(self, request: Request<ReplayBody>, call: Call) -> Result<Response<Body>, ChannelError> {
        let (sent, in_flight) = self.send_on_next(request, &call).await?;
        self.response(sent, in_flight, call).await
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let link = self.shared.links.here();
        // A call fails at once where there is no runtime.
        if !link.has_room() && link.start().is_ok() {
            let takes_calls = |link: &Link| link.has_room() || link.has_failed();
            let limit = link.connector().settings().request.timeout;
            let is_ready = poll_link(&link, takes_calls, &mut self.next_change, cx).is_ready();
            if !is_ready && !self.patience.has_begun() {
                link.ask();
            }
            if !is_ready && self.patience.poll(limit, cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.next_change = None;
        self.patience.end();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let waited = self.patience.waited();
        self.call_after(waited, request)
    }
}

async fn in_time(
    deadline: Deadline,
    link: Arc<Link>,
    response: impl Future<Output = Result<Response<Body>, ChannelError>>,
) -> Result<Response<Body>, ChannelError> {
    let (mut response, mut passed) = (pin!(response), pin!(None));
    let in_time = poll_fn(|cx| {
        // Before there is a timer: on a runtime that has ended there is none, and the call says that.
        if let Poll::Ready(response) = response.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        if passed.is_none() {
            passed.set(Some(sleep_until(deadline.at())));
        }
        passed.as_mut().as_pin_mut().map_or(Poll::Pending, |passed| passed.poll(cx).map(|()| None))
    });
    let no_response = || ChannelError::no_response(deadline.limit(), link.why_not_connected().as_deref());
    in_time.await.unwrap_or_else(|| Err(no_response()))
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("endpoint", &self.shared.links.connector().endpoint())
            .field("state", &self.shared.links)
            .finish()
    }
}

/// The response to a call; dropped before it came, it cancels the call.
#[must_use = "dropping the response cancels the call"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, ChannelError>> + Send>>);

impl ResponseFuture {
    pub(super) fn new(response: impl Future<Output = Result<Response<Body>, ChannelError>> + Send + 'static) -> Self {
        Self(Box::pin(response))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, ChannelError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
