//! gRPC's health protocol (`grpc.health.v1.Health`), answered by what the identity can do.
//!
//! ```no_run
//! # async fn run(
//! #     identity: evercert::Identity,
//! #     routes: tonic::service::Routes,
//! #     listener: tokio::net::TcpListener,
//! #     shutdown: impl std::future::Future<Output = ()>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use evercert::Server;
//! use evercert::health::{Health, ServingStatus};
//! use evercert::server::HealthListener;
//!
//! let health = Health::new(&identity);
//! health.set("payments.v1.Payments", ServingStatus::Serving);
//!
//! Server::new(&identity)
//!     .health(&health)                                                          // for callers with certificates
//!     .health_listener(HealthListener::bind("0.0.0.0:8086", &health).await?)   // for the kubelet, without TLS
//!     .serve(routes, listener, shutdown)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! | | SERVING | NOT_SERVING |
//! |---|---|---|
//! | what [`Health::set`] says is serving, and the server as a whole (the empty name) | while handshakes use a generation whose leaf has not expired | before the first generation, with an expired leaf whatever the [`ExpiryPolicy`](crate::identity::ExpiryPolicy), when the last handle on the identity is gone, and from the shutdown on |
//! | [`Health::LIVENESS`] | while the process answers | never |
//!
//! The kubelet's own probes speak no TLS. In a pod they ask the [`HealthListener`](crate::server::HealthListener), where there is nothing
//! else to be had. A restart brings no newer certificate, so a liveness probe asks for [`Health::LIVENESS`], and the probe of readiness
//! for the server as a whole:
//!
//! ```yaml
//! ports:
//!   - { name: grpc, containerPort: 50051 }
//! livenessProbe:
//!   grpc: { port: 8086, service: liveness }
//! readinessProbe:
//!   grpc: { port: 8086 }
//!   periodSeconds: 5
//! ```
//!
//! Where no port without TLS may be, `evercertd probe` asks the port with TLS from within the container, as `grpc_health_probe` does.

mod state;
mod watching;

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Semaphore, watch};
use tokio_stream::StreamExt as _;
use tokio_util::task::AbortOnDropHandle;
use tonic::codegen::BoxStream;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server;
pub use tonic_health::pb::health_server::HealthServer;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

pub use tonic_health::ServingStatus;

use crate::identity::{Identity, Usable};
use crate::runtime;
use state::State;

/// The most bytes of a request: a service's name, and no more.
pub const REQUEST_LIMIT: usize = 1024;

/// The most calls of `Watch` at a time by [`Health::service`], unless [`Health::with_watch_limit`] says otherwise.
pub const WATCH_LIMIT: usize = 1024;

/// The health of a server, in the names of its services; a cheap clone of a handle.
///
/// [`Server::health`](crate::Server::health) serves it beside the routes. With a serve loop of one's own, [`Health::service`] is added to the
/// routes, and [`Health::drain`] is called when the shutdown begins.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    state: watch::Sender<State>,
    /// A place for each call of `Watch`.
    watches: Arc<Semaphore>,
    _follower: AbortOnDropHandle<()>,
}

impl Health {
    /// The name of what is healthy as long as the process answers, for liveness probes. [`Health::set`] may say otherwise, say when the
    /// process has found itself to be stuck.
    pub const LIVENESS: &'static str = "liveness";

    /// The health of a server with this identity. The server as a whole, whose name is empty, is serving unless [`Health::set`] says
    /// otherwise; no other service is known.
    ///
    /// # Panics
    ///
    /// The process can have no further thread, and this is called outside of a tokio runtime.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self::with_watch_limit(identity, WATCH_LIMIT)
    }

    /// The same, where at most so many calls of `Watch` may be under way at a time; one more is refused with RESOURCE_EXHAUSTED, while
    /// `Check` goes on. It is to be more than the connections of clients that check the health of servers by themselves (gRFC A17): each of
    /// those watches. A [`HealthListener`](crate::server::HealthListener) has a limit of its own.
    ///
    /// # Panics
    ///
    /// As [`Health::new`].
    #[must_use]
    pub fn with_watch_limit(identity: &Identity, limit: usize) -> Self {
        let mut usable = identity.usable();
        let state = watch::Sender::new(State::new(usable.look(SystemTime::now()).0));
        let follower = runtime::of_identities().spawn(follow(usable, state.clone()));
        let watches = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Self { shared: Arc::new(Shared { state, watches, _follower: AbortOnDropHandle::new(follower) }) }
    }

    /// Sets what a service is by itself; the empty name is the server as a whole. What is serving is only said to be so while the identity
    /// can be used and until the shutdown. [`Health::LIVENESS`] alone is told as it was set.
    pub fn set(&self, service: impl Into<String>, status: ServingStatus) {
        let service = service.into();
        self.shared.state.send_modify(|state| state.set(service, status));
    }

    /// Sets what a service is by itself, by its generated server: `health.set_service::<GreeterServer<MyGreeter>>(…)`.
    pub fn set_service<S: NamedService>(&self, status: ServingStatus) {
        self.set(S::NAME, status);
    }

    /// Forgets a service: it is unknown from now on, and those who watch it are told so.
    pub fn clear(&self, service: &str) {
        self.shared.state.send_modify(|state| state.clear(service));
    }

    /// What callers are told of a service; `None` where it is unknown.
    #[must_use]
    pub fn status(&self, service: &str) -> Option<ServingStatus> {
        self.shared.state.borrow().of(service)
    }

    /// The shutdown begins: no service is serving any more, for good, and those who watch are told and then let go, so that they hold up no
    /// connection.
    ///
    /// [`Server`](crate::Server) calls it at its shutdown signal, when its listener closes too. A service whose balancer learns late of pods
    /// that are not ready calls it first, and gives the signal some seconds later:
    ///
    /// ```no_run
    /// # async fn shutdown(health: evercert::health::Health, terminated: impl Future<Output = ()>) {
    /// terminated.await;
    /// health.drain();
    /// tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    /// # }
    /// ```
    pub fn drain(&self) {
        self.shared.state.send_modify(State::drain);
    }

    /// The tonic service, for routes. It takes requests of at most [`REQUEST_LIMIT`] bytes, and [`WATCH_LIMIT`] calls of `Watch` at a time.
    #[must_use]
    pub fn service(&self) -> HealthServer<HealthService> {
        self.service_within(&self.shared.watches)
    }

    /// The same, with these places for calls of `Watch`.
    pub(crate) fn service_within(&self, watches: &Arc<Semaphore>) -> HealthServer<HealthService> {
        let service = HealthService { health: self.clone(), watches: Arc::clone(watches) };
        HealthServer::new(service).max_decoding_message_size(REQUEST_LIMIT)
    }

    fn watch(&self, service: String) -> BoxStream<HealthCheckResponse> {
        watching::watch(self.shared.state.subscribe(), service)
    }
}

/// Keeps the state as the identity is, until that is gone.
async fn follow(mut usable: Usable, state: watch::Sender<State>) {
    loop {
        let (is_usable, look_again) = usable.look(SystemTime::now());
        state.send_if_modified(|state| state.identity(is_usable));
        let is_gone = tokio::select! {
            changed = usable.changed() => !changed,
            () = tokio::time::sleep(look_again) => false,
        };
        if is_gone {
            state.send_if_modified(|state| state.identity(false));
            // What watches has a sender as long as the health itself has.
            return pending().await;
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("state", &*self.shared.state.borrow()).finish()
    }
}

/// The answers to `grpc.health.v1.Health/Check` and `Watch`, by [`Health::service`].
#[derive(Debug, Clone)]
pub struct HealthService {
    health: Health,
    watches: Arc<Semaphore>,
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.health.status(&request.get_ref().service) {
            Some(status) => Ok(Response::new(state::told(status))),
            None => Err(Status::not_found("no service of this name reports its health")),
        }
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(place) = Arc::clone(&self.watches).try_acquire_owned() else {
            return Err(Status::resource_exhausted("as many watch here as may; ask with Check"));
        };
        let watching = self.health.watch(request.into_inner().service).map(move |answer| {
            let _until_it_ends = &place;
            answer
        });
        Ok(Response::new(Box::pin(watching)))
    }
}
