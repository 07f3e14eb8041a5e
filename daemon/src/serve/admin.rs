//! `evercert.v1.Admin`: the view of an operator. Never a key.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use evercert_core::text;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{info, warn};
use v1::event::Event as Kind;

use super::connection::peer;
use super::control::Stopping;
use super::pages::Pages;
use super::{Context, stopping, trust};
use crate::callers::Origin;
use crate::status::{self, Identity, Pod};

/// The time changes are gathered before the identities are looked through for them: with many identities that change at
/// once the work stays bounded.
const GATHER: Duration = Duration::from_millis(20);

/// The interval of looking why a subscriber is behind, while one is: a stopped process is no event.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The service.
pub(super) struct AdminService {
    context: Context,
    shutdown: CancellationToken,
}

impl AdminService {
    pub(super) fn new(context: Context, shutdown: CancellationToken) -> Self {
        Self { context, shutdown }
    }
}

#[tonic::async_trait]
impl v1::admin_server::Admin for AdminService {
    type StatusStream = Pin<Box<dyn Stream<Item = Result<v1::StatusResponse, Status>> + Send>>;

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let pages = Pages::new(self.context.clone());
        Ok(Response::new(Box::pin(futures_util::stream::iter(pages.map(Ok)))))
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Result<Response<v1::ReloadResponse>, Status> {
        let Operator { uid, pid, command, unit } = Operator::of(&request)?;
        info!(uid, pid, command, unit, "an operator has the configuration read again");
        let reloaded = self.context.control.reload().await.map_err(|Stopping| stopping())?;
        Ok(Response::new(v1::ReloadResponse {
            config_error: reloaded.config_error.unwrap_or_default(),
            identities: status::count(reloaded.identities),
            needs_restart: reloaded.needs_restart.into_iter().map(str::to_owned).collect(),
        }))
    }

    async fn trust(&self, request: Request<v1::TrustRequest>) -> Result<Response<v1::TrustResponse>, Status> {
        let wanted = Arc::clone(&self.context.wanted.borrow());
        let states = trust::asked_for(&self.context.store, &wanted.pods, &request.into_inner().identity)?;
        Ok(Response::new(trust::retained(&states, &wanted.pods)))
    }

    async fn drop_anchor(
        &self,
        request: Request<v1::DropAnchorRequest>,
    ) -> Result<Response<v1::DropAnchorResponse>, Status> {
        let Operator { uid, pid, command, unit } = Operator::of(&request)?;
        let v1::DropAnchorRequest { sha256, identity } = request.into_inner();
        let wanted = Arc::clone(&self.context.wanted.borrow());
        let anchor = Digest::try_from(&sha256[..]).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let identity = if identity.is_empty() {
            None
        } else {
            trust::asked_for(&self.context.store, &wanted.pods, &identity)?.first().map(|state| state.spec.id.clone())
        };
        let ended = self.context.control.end_overlap(anchor, identity).await.map_err(|Stopping| stopping())?;
        let identities = ended.map_err(|error| trust::refusal(&error))?;
        let identities: Vec<_> = identities.iter().map(|id| wanted.pods.title(id)).collect();
        warn!(
            uid, pid, command, unit, %anchor, identities = text::sentence(&identities.join(",")),
            "an operator ended the trust in an anchor that is no longer on disk"
        );
        Ok(Response::new(v1::DropAnchorResponse { identities }))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn events(&self, _: Request<v1::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let events = Events {
            published: self.context.store.changes(),
            subscribed: self.context.subscribers.changes(),
            context: self.context.clone(),
            shutdown: self.shutdown.clone(),
            told: HashMap::new(),
            look_again: Instant::now(),
            changed: VecDeque::new(),
            synced: false,
        };
        Ok(Response::new(Box::pin(futures_util::stream::unfold(Some(events), |events| async {
            let mut events = events?;
            let event = events.next().await;
            let rest = event.is_ok().then_some(events);
            Some((event, rest))
        }))))
    }
}

/// Who gave an order, for the log.
struct Operator {
    uid: u32,
    pid: u32,
    command: String,
    unit: Option<String>,
}

impl Operator {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let peer = peer(request)?;
        let unit = match peer.caller.origin() {
            Origin::Host { unit } => unit.as_ref().map(ToString::to_string),
            _ => None,
        };
        Ok(Self { uid: peer.caller.uid(), pid: peer.caller.pid(), command: peer.caller.command(), unit })
    }
}

/// One `Events` stream, and what it has told. It is pulled: a slow reader is told the latest state of what changed meanwhile.
struct Events {
    context: Context,
    published: watch::Receiver<u64>,
    subscribed: watch::Receiver<u64>,
    shutdown: CancellationToken,
    told: HashMap<IdentityId, SentState>,
    /// Identities to look at again.
    changed: VecDeque<IdentityId>,
    /// The next time to look at the subscribers that are behind.
    look_again: Instant,
    synced: bool,
}

/// The state told of one identity.
#[derive(PartialEq)]
struct SentState {
    /// The revisions of the identity and of its subscribers.
    revisions: (u64, u64),
    /// Why each of those subscribers that are behind is.
    reasons: Vec<(u64, String)>,
    pod: Option<Pod>,
}

impl Events {
    async fn next(&mut self) -> Result<v1::Event, Status> {
        if !self.synced && self.told.is_empty() {
            self.look();
        }
        loop {
            while let Some(id) = self.changed.pop_front() {
                if let Some(event) = self.tell(&id) {
                    return Ok(event);
                }
            }
            if !self.synced {
                self.synced = true;
                return Ok(event(Kind::Synced(v1::Synced {}), None));
            }
            let is_one_behind = self.told.values().any(|told| !told.reasons.is_empty());
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(stopping()),
                Ok(()) = self.published.changed() => {}
                Ok(()) = self.subscribed.changed() => {}
                () = tokio::time::sleep_until(self.look_again), if is_one_behind => {
                    self.look_again = Instant::now() + LOOK_AGAIN;
                    let behind = self.told.iter().filter(|(_, told)| !told.reasons.is_empty());
                    self.changed.extend(behind.map(|(id, _)| id.clone()));
                    continue;
                }
            }
            tokio::time::sleep(GATHER).await;
            self.look();
        }
    }

    /// Finds what has changed since it was told.
    fn look(&mut self) {
        self.published.borrow_and_update();
        self.subscribed.borrow_and_update();
        let now: HashMap<IdentityId, u64> = self
            .context
            .store
            .revisions()
            .into_iter()
            .map(|(revision, state)| (state.spec.id.clone(), revision))
            .collect();
        let removed = self.told.keys().filter(|id| !now.contains_key(id)).cloned();
        let changed = now.iter().filter(|(id, revision)| {
            self.told.get(id).map(|told| told.revisions) != Some((**revision, self.context.subscribers.revision(id)))
        });
        let mut changed: Vec<_> = changed.map(|(id, _)| id.clone()).chain(removed).collect();
        changed.sort_unstable();
        self.changed.extend(changed);
    }

    /// The state of one identity as it is now; nothing where that was told before.
    fn tell(&mut self, id: &IdentityId) -> Option<v1::Event> {
        // The subscribers are read after their revision, so a change in between is told again, not missed.
        let subscribed = self.context.subscribers.revision(id);
        let Some((published, state)) = self.context.store.revised(id) else {
            // The pod's name may be forgotten by now.
            let told = self.told.remove(id)?;
            return Some(event(Kind::Removed(id.name.to_string()), told.pod.map(Into::into)));
        };
        let wanted = Arc::clone(&self.context.wanted.borrow());
        let identity = Identity::of(&state, &self.context.subscribers.of(id), &wanted.pods);
        let behind = identity
            .subscribers
            .iter()
            .filter_map(|subscriber| subscriber.reason.clone().map(|reason| (subscriber.id, reason)));
        let told =
            SentState { revisions: (published, subscribed), reasons: behind.collect(), pod: identity.pod.clone() };
        if self.told.get(id) == Some(&told) {
            return None;
        }
        self.told.insert(id.clone(), told);
        Some(event(Kind::Identity(identity.into()), None))
    }
}

fn event(kind: Kind, pod: Option<v1::Pod>) -> v1::Event {
    v1::Event { at: Some(SystemTime::now().into()), event: Some(kind), pod }
}
