//! The gRPC services on the workload socket and the admin socket.
//!
//! ```text
//! accept ─→ connection ─→ agent ─→ feed (one per Watch stream) ──→ attest, store, subscribers
//!            │            admin ─→ events ─────────────────────────→ store, subscribers
//!            └ caps per caller, deadlines, limits of HTTP/2
//! ```

mod accept;
mod admin;
mod agent;
mod changes;
mod connection;
mod control;
mod feed;
mod limits;
mod pages;
mod patience;
mod streams;
mod trust;
mod turned_away;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_api::v1::admin_server::AdminServer;
use evercert_api::v1::agent_server::AgentServer;
use evercert_core::finding::Finding;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};
use tonic_health::ServingStatus;

pub(crate) use accept::{Accepting, Intake};
pub(crate) use changes::{Change, Changes};
pub(crate) use control::{Control, Order, Reloaded};
pub(crate) use limits::Limits;
use streams::{Counted, Refused};
pub(crate) use turned_away::{DoorObserver, Resource, ServingLimit, TurnedAway};
use turned_away::{Doorkeeper, SocketKind};

use crate::attest::{Attestor, DecisionObserver};
use crate::callers::{Origin, Processes, Quota};
use crate::config::Mode;
use crate::inventory::Wanted;
use crate::publication::{Neighbours, Store, Subscribers};

/// The most bytes of an answer to an operator: an identity with all its subscribers, or all anchors that are retained.
pub(crate) const ADMIN_RESPONSE_LIMIT: usize = 256 * 1024 * 1024;

/// The largest message that is taken from a caller, in bytes: the longest that is of use is the detail of a refusal, of which a
/// kilobyte is kept.
const REQUEST_LIMIT: usize = 16 * 1024;

/// The largest message that is sent, in bytes: the files of an identity are at most 1 MiB each.
const RESPONSE_LIMIT: usize = 8 * 1024 * 1024;

/// The most identities that a caller which is taken at its word is told it may mean.
const CANDIDATES: usize = 128;

/// The services' shared state.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) subscribers: Arc<Subscribers>,
    /// Is told who was given an identity and who was not.
    pub(crate) decisions: Arc<dyn DecisionObserver>,
    /// Is told of callers that get no connection.
    pub(crate) door: Arc<dyn DoorObserver>,
    pub(crate) neighbours: Arc<Neighbours>,
    /// The identities that are to be kept: known before their files were first read.
    pub(crate) wanted: watch::Receiver<Arc<Wanted>>,
    pub(crate) info: watch::Receiver<DaemonInfo>,
    /// Asks the daemon itself.
    pub(crate) control: Control,
    /// The processes that are connected.
    pub(crate) processes: Arc<Processes>,
    /// Whether keys are handed out.
    pub(crate) mode: Mode,
}

/// The daemon's own state for the admin socket, written by the code that wires the daemon.
#[derive(Debug, Clone)]
pub(crate) struct DaemonInfo {
    /// The daemon's version.
    pub(crate) version: &'static str,
    /// When it started.
    pub(crate) started: SystemTime,
    /// Whether every identity has a published generation.
    pub(crate) ready: bool,
    /// The error of the last reload of the configuration; absent: it succeeded.
    pub(crate) config_error: Option<String>,
    /// The findings about it, besides those about watched directories.
    pub(crate) findings: BTreeMap<HttpPart, Finding>,
}

/// A part of the HTTP side, about which there may be a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HttpPart {
    /// The address of everything.
    Listen,
    /// The address of liveness and readiness alone.
    Probes,
    /// The certificate of the first.
    Certificate,
}

impl DaemonInfo {
    /// Keeps `finding` as what there is to say about `part`.
    pub(crate) fn tell(&mut self, part: HttpPart, finding: Option<Finding>) {
        match finding {
            Some(finding) => _ = self.findings.insert(part, finding),
            None => _ = self.findings.remove(&part),
        }
    }
}

/// Serves workloads on `listener` until `shutdown`, and then until the streams have ended, for a moment at most.
pub(crate) async fn workload(listener: UnixListener, context: Context, limits: Limits, shutdown: CancellationToken) {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    for service in ["", evercert_api::v1::agent_server::SERVICE_NAME] {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let processes = Arc::clone(&context.processes);
    let door = Doorkeeper::new(Arc::clone(&context.door), SocketKind::Workload);
    let attestor = Arc::new(Attestor::new(Arc::clone(&context.decisions)));
    let agent = agent::AgentService::new(context, Arc::clone(&attestor), Arc::clone(&door), shutdown.clone());
    let agent =
        AgentServer::new(agent).max_decoding_message_size(REQUEST_LIMIT).max_encoding_message_size(RESPONSE_LIMIT);
    let streams = Quota::new(limits.streams);
    let too_many = |refused| match refused {
        Refused::Full(full) => {
            let setting = full.setting("streams", "streams_per_caller");
            Status::resource_exhausted(format!("too many streams are open: `{setting}` of [limits] allows no more"))
        }
        Refused::Displaced { setting } => Status::resource_exhausted(format!(
            "evercertd has no room for more of this caller, which has the most: `{setting}` of [limits] allows no more"
        )),
    };
    let agent = Counted::new(agent, Arc::clone(&streams), Arc::clone(&door), too_many);
    let health = Counted::new(health_service, streams, Arc::clone(&door), too_many);
    let routes = Routes::new(agent).add_service(health);
    tokio::select! {
        () = accept::serve(listener, routes, limits, processes, door, shutdown) => {}
        never = attestor.audit().tell() => match never {},
    }
    attestor.audit().tell_now();
}

/// Serves operators on `listener` until `shutdown`, and then until the streams have ended, for a moment at most. The mode
/// of the socket decides who may connect, and callers in pods and containers may not call.
pub(crate) async fn admin(listener: UnixListener, context: Context, shutdown: CancellationToken) {
    let processes = Arc::clone(&context.processes);
    let door = Doorkeeper::new(Arc::clone(&context.door), SocketKind::Admin);
    let admin = AdminServer::new(admin::AdminService::new(context, shutdown.clone()))
        .max_decoding_message_size(REQUEST_LIMIT)
        .max_encoding_message_size(ADMIN_RESPONSE_LIMIT);
    let too_many = |_| {
        Status::resource_exhausted(
            "too many requests are open on the admin socket: end those that watch, and try again",
        )
    };
    let admin = Counted::new(admin, Quota::new(Limits::ADMIN.streams), Arc::clone(&door), too_many);
    let admin = InterceptedService::new(admin, operators_only);
    accept::serve(listener, Routes::new(admin), Limits::ADMIN, processes, door, shutdown).await;
}

/// Refuses callers that are not processes of the host: a socket that was mounted into a pod by mistake is no way to its node.
fn operators_only(request: Request<()>) -> Result<Request<()>, Status> {
    let peer = connection::peer(&request)?;
    match peer.caller.origin() {
        Origin::Host { .. } => Ok(request),
        Origin::Pod(_) | Origin::Container | Origin::Unclear => Err(Status::permission_denied(
            "the admin socket is for operators of the node, not for callers from pods or containers",
        )),
    }
}

/// How long the streams may take to end once the daemon stops.
const STOPPING: Duration = Duration::from_millis(800);

/// The status that ends every stream on shutdown.
fn stopping() -> tonic::Status {
    tonic::Status::unavailable("evercertd is stopping")
}

#[cfg(test)]
mod tests;
