//! `evercert.v1.Admin`: what an operator may see. Never a key.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::identity::IdentityId;
use futures_util::Stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::info;
use v1::event::Event as Kind;

use super::{Context, status, stopping, trust};
use crate::control::Stopping;

/// How long changes are gathered before the identities are looked through for them: with many identities that change at
/// once the work stays bounded.
const GATHER: Duration = Duration::from_millis(20);

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
    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let Context { store, subscribers, info, .. } = &self.context;
        let identities =
            store.all().iter().map(|state| status::identity(state, &subscribers.of(&state.spec.id))).collect();
        let info = info.borrow().clone();
        Ok(Response::new(v1::StatusResponse {
            epoch: store.epoch(),
            version: info.version.to_owned(),
            started: Some(info.started.into()),
            ready: info.ready,
            identities,
            config_error: info.config_error.unwrap_or_default(),
            mode: v1::Mode::Publisher.into(),
        }))
    }

    async fn reload(&self, _: Request<v1::ReloadRequest>) -> Result<Response<v1::ReloadResponse>, Status> {
        let reloaded = self.context.control.reload().await.map_err(|Stopping| stopping())?;
        Ok(Response::new(v1::ReloadResponse {
            config_error: reloaded.config_error.unwrap_or_default(),
            identities: status::count(reloaded.identities),
        }))
    }

    async fn trust(&self, request: Request<v1::TrustRequest>) -> Result<Response<v1::TrustResponse>, Status> {
        let states = trust::asked_for(&self.context.store, &request.into_inner().identity)?;
        Ok(Response::new(trust::retained(&states)))
    }

    async fn drop_anchor(
        &self,
        request: Request<v1::DropAnchorRequest>,
    ) -> Result<Response<v1::DropAnchorResponse>, Status> {
        let v1::DropAnchorRequest { sha256, identity } = request.into_inner();
        let anchor = Digest::try_from(&sha256[..]).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let identity = if identity.is_empty() {
            None
        } else {
            trust::asked_for(&self.context.store, &identity)?.first().map(|state| state.spec.id.clone())
        };
        let ended = self.context.control.end_overlap(anchor, identity).await.map_err(|Stopping| stopping())?;
        let identities = ended.map_err(|error| trust::refusal(&error))?;
        info!(%anchor, identities = identities.len(), "an operator ended the trust in an anchor that is no longer on disk");
        Ok(Response::new(v1::DropAnchorResponse {
            identities: identities.iter().map(|id| id.name.to_string()).collect(),
        }))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn events(&self, _: Request<v1::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let events = Events {
            published: self.context.store.changes(),
            subscribed: self.context.subscribers.changes(),
            context: self.context.clone(),
            shutdown: self.shutdown.clone(),
            told: HashMap::new(),
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

/// One `Events` stream, and what it has told. It is pulled: a slow reader is told the latest state of what changed meanwhile.
struct Events {
    context: Context,
    published: watch::Receiver<u64>,
    subscribed: watch::Receiver<u64>,
    shutdown: CancellationToken,
    /// The revisions of each identity and of its subscribers that were told.
    told: HashMap<IdentityId, (u64, u64)>,
    /// What is to be looked at again.
    changed: VecDeque<IdentityId>,
    synced: bool,
}

impl Events {
    async fn next(&mut self) -> Result<v1::Event, Status> {
        if !self.synced && self.told.is_empty() {
            self.look();
        }
        loop {
            while let Some(id) = self.changed.pop_front() {
                if let Some(kind) = self.tell(&id) {
                    return Ok(event(kind));
                }
            }
            if !self.synced {
                self.synced = true;
                return Ok(event(Kind::Synced(v1::Synced {})));
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(stopping()),
                Ok(()) = self.published.changed() => {}
                Ok(()) = self.subscribed.changed() => {}
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
        let changed = now
            .iter()
            .filter(|(id, revision)| self.told.get(id) != Some(&(**revision, self.context.subscribers.revision(id))));
        let mut changed: Vec<_> = changed.map(|(id, _)| id.clone()).chain(removed).collect();
        changed.sort_unstable();
        self.changed.extend(changed);
    }

    /// The state of one identity as it is now; nothing where that was told before.
    fn tell(&mut self, id: &IdentityId) -> Option<Kind> {
        // The subscribers are read after their revision, so a change in between is told again, not missed.
        let subscribed = self.context.subscribers.revision(id);
        let Some((published, state)) = self.context.store.revised(id) else {
            return self.told.remove(id).map(|_| Kind::Removed(id.name.to_string()));
        };
        let revisions = (published, subscribed);
        if self.told.insert(id.clone(), revisions) == Some(revisions) {
            return None;
        }
        Some(Kind::Identity(status::identity(&state, &self.context.subscribers.of(id))))
    }
}

fn event(kind: Kind) -> v1::Event {
    v1::Event { at: Some(SystemTime::now().into()), event: Some(kind), pod: None }
}
