//! `evercert.v1.Agent`: what a workload may have.

mod follow;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evercert_api::v1;
use evercert_core::identity::{IdentityId, IdentityName, Scope};
use evercert_core::keeper::IdentityState;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use self::follow::Follow;
use super::connection::Peer;
use super::quota::Quota;
use super::{Context, status, stopping};
use crate::attest::{Attestor, Denial};
use crate::store::Store;
use crate::subscribers::{NewSubscriber, Subscribers};
use crate::wanted::Wanted;

/// How long the first message of a `Watch` stream may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a caller waits for an identity whose files have not been read yet: the daemon listens before it has read them all.
const FIRST_READ_DEADLINE: Duration = Duration::from_secs(5);

/// `Watch` streams in all, and of one user.
const STREAMS: (usize, usize) = (16_384, 4096);

/// Calls that look at every identity at once, in all and of one user.
const LISTINGS: (usize, usize) = (8, 2);

/// Identities of one listing that are decided on at once.
const DECISIONS: usize = 8;

/// How long a listing may take; identities whose file systems have not answered by then are left out.
const LISTING_DEADLINE: Duration = Duration::from_secs(3);

/// The most names a refusal lists.
const NAMES: usize = 32;

/// The service.
pub(super) struct AgentService {
    store: Arc<Store>,
    subscribers: Arc<Subscribers>,
    wanted: watch::Receiver<Arc<Wanted>>,
    attestor: Arc<Attestor>,
    streams: Arc<Quota>,
    listings: Arc<Quota>,
    shutdown: CancellationToken,
}

impl AgentService {
    pub(super) fn new(context: Context, attestor: Attestor, shutdown: CancellationToken) -> Self {
        Self {
            store: context.store,
            subscribers: context.subscribers,
            wanted: context.wanted,
            attestor: Arc::new(attestor),
            streams: Quota::new(STREAMS.0, STREAMS.1),
            listings: Quota::new(LISTINGS.0, LISTINGS.1),
            shutdown,
        }
    }

    /// The identities `peer` may have, by name, at most `limit` of them.
    async fn permitted(&self, peer: &Peer, limit: usize) -> Result<Vec<Arc<IdentityState>>, Status> {
        let busy = || Status::resource_exhausted("too many listings at once: try again");
        let _share = self.listings.take(peer.caller.uid()).ok_or_else(busy)?;
        let of_node = self.store.all().into_iter().filter(|state| state.spec.id.scope == Scope::Node);
        let decisions = futures_util::stream::iter(of_node)
            .map(|state| async move { self.attestor.decide(&peer.caller, &state).await.ok().map(|_| state) })
            .buffered(DECISIONS)
            .filter_map(std::future::ready)
            .take(limit)
            .take_until(tokio::time::sleep(LISTING_DEADLINE));
        Ok(decisions.collect().await)
    }

    /// The state of an identity; the first one is waited for where there is to be one.
    async fn state(&self, peer: &Peer, id: &IdentityId) -> Result<watch::Receiver<Arc<IdentityState>>, Status> {
        let mut changes = self.store.changes();
        let deadline = Instant::now() + FIRST_READ_DEADLINE;
        loop {
            if let Some(state) = self.store.get(id) {
                return Ok(state);
            }
            if !self.wanted.borrow().ids.contains(id) {
                return Err(self.unknown(peer, &id.name).await);
            }
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = sleep_until(deadline) => {
                    return Err(Status::unavailable(format!("identity {}: its files have not been read yet", id.name)));
                }
                () = self.shutdown.cancelled() => return Err(stopping()),
            }
        }
    }

    async fn unknown(&self, peer: &Peer, name: &IdentityName) -> Status {
        let names = match self.permitted(peer, NAMES + 1).await {
            Err(busy) => return busy,
            Ok(permitted) => permitted.iter().map(|state| state.spec.id.name.to_string()).collect::<Vec<_>>(),
        };
        let yours = match names.len() {
            0 => "there is none that you may have".to_owned(),
            1..=NAMES => format!("you may have: {}", names.join(", ")),
            _ => format!("you may have: {}, and more", names[..NAMES].join(", ")),
        };
        Status::not_found(format!("no identity {name}; {yours}"))
    }

    async fn open(&self, requests: &mut Streaming<v1::WatchRequest>) -> Result<v1::Open, Status> {
        let first = tokio::select! {
            first = tokio::time::timeout(OPEN_DEADLINE, requests.message()) => first,
            () = self.shutdown.cancelled() => return Err(stopping()),
        };
        match first.map_err(|_| Status::deadline_exceeded("no Open came"))?? {
            Some(v1::WatchRequest { message: Some(v1::watch_request::Message::Open(open)) }) => Ok(open),
            _ => Err(Status::invalid_argument("the first request of Watch has to be Open")),
        }
    }
}

#[tonic::async_trait]
impl v1::agent_server::Agent for AgentService {
    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let peer = peer(&request)?;
        let permitted = self.permitted(&peer, usize::MAX).await?;
        Ok(Response::new(v1::ListResponse {
            identities: permitted.iter().map(|state| status::summary(state)).collect(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let peer = peer(&request)?;
        let share = self
            .streams
            .take(peer.caller.uid())
            .ok_or_else(|| Status::resource_exhausted("too many Watch streams are open"))?;
        let mut requests = request.into_inner();
        let open = self.open(&mut requests).await?;
        let name: IdentityName = open.identity.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        let id = IdentityId::node(name);
        let state = self.state(&peer, &id).await?;
        let current = Arc::clone(&state.borrow());
        match self.attestor.decide(&peer.caller, &current).await {
            // Where the file is not there, the caller could see that for itself: it may know why it has to wait.
            Ok(_) | Err(Denial::Missing { .. }) => {}
            Err(denial) => return Err(refusal(&id, &denial)),
        }
        let subscriber = NewSubscriber {
            pid: peer.caller.pid(),
            uid: peer.caller.uid(),
            command: peer.caller.command(),
            sdk_version: open.sdk_version,
            deliver: v1::Deliver::try_from(open.deliver).unwrap_or_default(),
        };
        let follow = Follow {
            epoch: self.store.epoch(),
            state,
            attestor: Arc::clone(&self.attestor),
            deliver: subscriber.deliver,
            held: open.held_digest.as_slice().try_into().ok(),
            subscription: Some(self.subscribers.connect(id, subscriber)),
            peer,
            requests: Some(requests),
            told: follow::Told::Nothing,
            unanswered: follow::Unanswered::default(),
            shutdown: self.shutdown.clone(),
            _share: share,
        };
        Ok(Response::new(Box::pin(follow.into_stream())))
    }
}

/// Who sent the request.
fn peer<T>(request: &Request<T>) -> Result<Arc<Peer>, Status> {
    request.extensions().get::<Arc<Peer>>().cloned().ok_or_else(|| Status::internal("the caller is not known"))
}

fn refusal(id: &IdentityId, denial: &Denial) -> Status {
    match denial {
        Denial::Unanswered { .. } => Status::unavailable(format!("identity {}: {denial}", id.name)),
        _ => Status::permission_denied(format!("identity {}: {denial}", id.name)),
    }
}
