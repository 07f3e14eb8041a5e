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
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tokio::runtime::Handle;
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
use super::readiness::Patience;
use super::request;
use crate::identity::Identity;

/// A channel whose calls are spread over several endpoints: each goes to the one of two, picked by chance, on which fewer calls run. It is
/// used as a [`Channel`] is, and each of its endpoints has one, with all that a channel does: rotations, replays, backoff.
///
/// An endpoint is left out while it has no connection or no room for a call, and is back as soon as it has. While every endpoint has failed,
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
    balancer: Option<Balancer>,
    /// Whether the balancer has picked an endpoint; else the call has to find or to wait for one by itself.
    is_picked: bool,
    patience: Patience,
}

type Balancer = Balance<Discovery, ()>;

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

    fn poll_picked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.shared;
        let balancer = self.balancer.get_or_insert_with(|| Balance::new(Discovery::new(shared.sets())));
        // It has no error: neither its candidates nor their discovery have one.
        balancer.poll_ready(cx).map(drop)
    }

    /// The channel that the balancer has picked; `None` where its endpoint has left the set just now.
    fn picked(&mut self) -> Option<Channel> {
        self.balancer.as_mut()?.call(()).now_or_never()?.ok()?
    }

    /// Waits for a channel that has room, or that says why there is none.
    async fn pick(&mut self) -> Result<Channel, ChannelError> {
        loop {
            let failed = std::future::poll_fn(|cx| match self.poll_picked(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => self.shared.failed().map_or(Poll::Pending, |failed| Poll::Ready(Some(failed))),
            });
            match failed.await {
                Some(failed) => return failed,
                None => {
                    if let Some(channel) = self.picked() {
                        return Ok(channel);
                    }
                }
            }
        }
    }

    async fn pick_and_call(mut self, request: Request<Body>) -> Result<Response<Body>, ChannelError> {
        let mut channel = self.pick().await?;
        channel.call(request).await
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
        if self.is_picked || self.shared.set().has_failed() || self.patience.poll(None, cx).is_ready() {
            self.patience.end();
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let picked = if std::mem::take(&mut self.is_picked) { self.picked() } else { None };
        if let Some(mut channel) = picked {
            return channel.call(request);
        }
        let limit = [request::asked(request.headers()), self.shared.timeout()].into_iter().flatten().min();
        let shared = Arc::clone(&self.shared);
        let calling = self.clone().pick_and_call(request);
        ResponseFuture::new(async move {
            if Handle::try_current().is_err() {
                return Err(Shared::no_runtime());
            }
            match limit {
                None => calling.await,
                Some(limit) => {
                    let called = tokio::time::timeout(limit, calling).await;
                    called.unwrap_or_else(|_| Err(ChannelError::no_response(limit, shared.why().as_deref())))
                }
            }
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
