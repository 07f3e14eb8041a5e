//! A channel over several endpoints.
//!
//! ```text
//!  resolver ─┐
//!  stream ───┴─▶ keeping: one task ──▶ watch<Set>: a Channel for each endpoint ──▶ discovery ──▶ tower's p2c, one for each clone
//! ```
//!
//! tower's balancer picks a channel, of two by chance the one with fewer calls; the call is made on that channel, as on any other.

mod candidate;
mod discovery;
mod endpoints;
mod keeping;
mod set;

use std::fmt;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::DropGuard;
use tonic::body::Body;
use tower::Service;
use tower::balance::p2c::Balance;

use self::discovery::Discovery;
pub use self::endpoints::Endpoints;
use self::keeping::Shared;
use super::channel::{Channel, ResponseFuture};
use super::error::{ChannelError, ConnectError};
use super::link::ChannelState;
use super::readiness::{Patience, here, lives};
use super::request::{self, FOREVER};
use crate::identity::Identity;
#[cfg(feature = "auth")]
use crate::telemetry::Recorder;

/// A channel whose calls are spread over several endpoints: each goes to the one of two, picked by chance, on which fewer calls run. It is
/// used as a [`Channel`] is, and each of its endpoints has one, with all that a channel does: rotations, replays, backoff.
///
/// An endpoint is left out while it has no connection or no room for a call, and is back as soon as it has. Where all are without room a call
/// waits for its turn on the one with the fewest. While every endpoint has failed,
/// calls fail with `UNAVAILABLE` and the cause at once, as on a channel, and ask the endpoints in turn to try again.
///
/// ```no_run
/// # async fn example(identity: evercert::Identity) -> Result<(), Box<dyn std::error::Error>> {
/// use evercert::client::Endpoint;
/// use tonic_health::pb::HealthCheckRequest;
/// use tonic_health::pb::health_client::HealthClient;
///
/// // Every address of the name, asked for again every 30 s.
/// let channel = identity.channel_balanced(Endpoint::new("https://api.internal:50051")?);
/// let mut client = HealthClient::new(channel);
/// client.check(HealthCheckRequest::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Clones share the connections. Each has a balancer of its own, made when it is first used at a cost that grows with the number of
/// endpoints: keep a clone, or the client around it, for more than one call where there are many.
#[must_use = "a channel does nothing until it is called"]
pub struct BalancedChannel {
    shared: Arc<Shared>,
    /// Ends the task when the last clone is dropped.
    stop: Arc<DropGuard>,
    balancer: Option<OfRuntime>,
    /// Whether the balancer has picked an endpoint; else the call has to find or to wait for one by itself.
    is_picked: bool,
    patience: Patience,
}

type Balancer = Balance<Discovery, ()>;

/// The balancer of one runtime: what its candidates wait for is there.
struct OfRuntime {
    runtime: Option<Id>,
    balancer: Balancer,
}

/// The state of a balanced channel at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BalancedState {
    /// The state of each endpoint's channel.
    pub endpoints: Vec<ChannelState>,
    /// Why the endpoints are not known, or not those of now.
    pub trouble: Option<Arc<ConnectError>>,
}

impl BalancedState {
    /// The number of endpoints that have a connection.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.generation.is_some()).count()
    }
}

impl Identity {
    /// A channel that spreads its calls over the addresses of an endpoint's name, over a list of endpoints, or over those of a stream: see
    /// [`BalancedChannel`]. It connects at its first call, and to every endpoint then.
    pub fn channel_balanced(&self, endpoints: impl Into<Endpoints>) -> BalancedChannel {
        let shared = Arc::new(Shared::new(self.clone(), endpoints.into()));
        let stop = Arc::new(shared.stop_on_drop());
        BalancedChannel::of(shared, stop)
    }
}

impl BalancedChannel {
    fn of(shared: Arc<Shared>, stop: Arc<DropGuard>) -> Self {
        Self { shared, stop, balancer: None, is_picked: false, patience: Patience::default() }
    }

    /// The state of now.
    #[must_use]
    pub fn state(&self) -> BalancedState {
        let set = self.shared.set();
        let endpoints = set.slots.iter().map(|slot| slot.channel.state().borrow().clone()).collect();
        BalancedState { endpoints, trouble: set.trouble.clone() }
    }

    /// The recorder of handshakes, but for endpoints that have one of their own.
    #[cfg(feature = "auth")]
    pub(super) fn told(&self) -> Option<&Arc<dyn Recorder>> {
        self.shared.identity().recorder()
    }

    /// The time that the call which follows has waited already.
    #[cfg(feature = "auth")]
    pub(super) fn take_waited(&mut self) -> Duration {
        self.patience.waited()
    }

    /// The longest wait of its calls for their responses, as of now.
    #[cfg(feature = "auth")]
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.shared.timeout()
    }

    fn poll_picked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (shared, runtime) = (&self.shared, here());
        self.balancer.take_if(|of| of.runtime != runtime);
        let new = || OfRuntime { runtime, balancer: Balance::new(Discovery::new(shared.sets())) };
        // It has no error: neither its candidates nor their discovery have one.
        self.balancer.get_or_insert_with(new).balancer.poll_ready(cx).map(drop)
    }

    /// The channel that the balancer has picked; `None` where its endpoint has left the set just now.
    fn picked(&mut self) -> Option<Channel> {
        self.balancer.as_mut()?.balancer.call(()).now_or_never()?.ok()?
    }

    /// Waits for a channel that is connected, or that says why there is none.
    async fn pick(&mut self) -> Result<Channel, ChannelError> {
        let shared = Arc::clone(&self.shared);
        let mut waiting = None;
        loop {
            let decided = poll_fn(|cx| {
                self.shared.start();
                match self.poll_picked(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => {
                        let decided = self.shared.least_loaded().map(Ok).or_else(|| self.shared.failed());
                        if decided.is_none() {
                            waiting.get_or_insert_with(|| shared.wait());
                        }
                        decided.map_or(Poll::Pending, |decided| Poll::Ready(Some(decided)))
                    }
                }
            });
            match decided.await {
                Some(decided) => return decided,
                None => {
                    if let Some(channel) = self.picked() {
                        return Ok(channel);
                    }
                }
            }
        }
    }

    /// As [`BalancedChannel::pick`], within the limit that was `asked` for and that of the endpoints, which may be others meanwhile.
    async fn pick_in_time(&mut self, began: Instant, asked: Option<Duration>) -> Result<Channel, ChannelError> {
        let mut sets = self.shared.sets();
        loop {
            sets.mark_unchanged();
            let limit = [asked, self.shared.timeout()].into_iter().flatten().min();
            let passed = async {
                match limit {
                    Some(limit) => sleep_until(began + limit.min(FOREVER)).await,
                    None => pending().await,
                }
                limit.unwrap_or_default()
            };
            tokio::select! {
                biased;
                picked = self.pick() => return picked,
                limit = passed => return Err(ChannelError::no_response(limit, self.shared.why().as_deref())),
                _ = sets.changed() => {}
            }
        }
    }

    pub(super) async fn pick_and_call(
        mut self,
        waited: Duration,
        request: Request<Body>,
    ) -> Result<Response<Body>, ChannelError> {
        let (now, asked) = (Instant::now(), request::asked(request.headers()));
        let began = now.checked_sub(waited).unwrap_or(now);
        let channel = self.pick_in_time(began, asked).await?;
        channel.call_after(began.elapsed(), request).await
    }
}

impl Service<Request<Body>> for BalancedChannel {
    type Response = Response<Body>;
    type Error = ChannelError;
    type Future = ResponseFuture;

    /// Ready while an endpoint is connected and has room, and where a call fails at once, since every endpoint has failed. Otherwise not, for
    /// a tenth of a second; after that a call waits by itself, within its deadline. There is never an error.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.shared.start();
        self.is_picked = self.poll_picked(cx).is_ready();
        let mut is_over = || self.patience.poll(self.shared.timeout(), cx).is_ready();
        if self.is_picked || self.shared.has_failed() || is_over() {
            self.patience.end();
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let picked = if std::mem::take(&mut self.is_picked) { self.picked() } else { None };
        let waited = self.patience.waited();
        if let Some(channel) = picked {
            return channel.call_after(waited, request);
        }
        let calling = self.clone();
        ResponseFuture::new(async move {
            if !Handle::try_current().is_ok_and(|runtime| lives(&runtime)) {
                return Err(Shared::no_runtime());
            }
            calling.pick_and_call(waited, request).await
        })
    }
}

impl Clone for BalancedChannel {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared), Arc::clone(&self.stop))
    }
}

impl fmt::Debug for BalancedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancedChannel").field("state", &self.state()).finish_non_exhaustive()
    }
}
