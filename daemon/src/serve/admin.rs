//! `evercert.v1.Admin`: the view of an operator. Never a key.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::text;
use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{info, warn};
use v1::event::Event as Kind;

use super::changes::{Change, Changes};
use super::connection::peer;
use super::control::Stopping;
use super::pages::Pages;
use super::{Context, stopping, trust};
use crate::callers::Origin;
use crate::status;

/// The time changes are gathered before the identities are looked through for them: with many identities that change at
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

    async fn authority(
        &self,
        request: Request<v1::AuthorityRequest>,
    ) -> Result<Response<v1::AuthorityResponse>, Status> {
        let v1::AuthorityRequest { sha256 } = request.into_inner();
        let authority = Digest::try_from(&sha256[..]).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(trust::uses(&self.context, authority).await?))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn events(&self, _: Request<v1::EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let events =
            Events { changes: Changes::new(self.context.clone()), shutdown: self.shutdown.clone(), synced: false };
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

/// One `Events` stream.
struct Events {
    changes: Changes,
    shutdown: CancellationToken,
    synced: bool,
}

impl Events {
    async fn next(&mut self) -> Result<v1::Event, Status> {
        loop {
            match self.changes.known() {
                Some(Change::Identity(_, identity)) => return Ok(event(Kind::Identity((*identity).into()), None)),
                Some(Change::Removed(id, pod)) => {
                    return Ok(event(Kind::Removed(id.name.to_string()), pod.map(Into::into)));
                }
                None if !self.synced => {
                    self.synced = true;
                    return Ok(event(Kind::Synced(v1::Synced {}), None));
                }
                None => {}
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(stopping()),
                () = self.changes.stirred() => {}
            }
            tokio::time::sleep(GATHER).await;
            self.changes.look();
        }
    }
}

fn event(kind: Kind, pod: Option<v1::Pod>) -> v1::Event {
    v1::Event { at: Some(SystemTime::now().into()), event: Some(kind), pod }
}
