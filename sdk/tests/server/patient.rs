//! gRPC health whose calls last as long as the test wants.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::support::soon;

/// The service whose check waits until the test lets it go.
const SLOW: &str = "slow";
/// The service whose watch never says anything; that of every other one says something again and again.
const SILENT: &str = "silent";
/// The service whose check panics.
pub(crate) const PANICS: &str = "panics";

const TICK: Duration = Duration::from_millis(20);

/// gRPC health whose calls last as long as the test wants.
#[derive(Clone)]
pub(crate) struct Patient {
    /// One permit lets one slow check go.
    pub(crate) slow: Arc<Semaphore>,
    /// Cancelled: watches end.
    pub(crate) end: CancellationToken,
}

impl Patient {
    pub(crate) fn new() -> Self {
        Self { slow: Arc::new(Semaphore::new(0)), end: CancellationToken::new() }
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::new(HealthServer::new(self.clone()))
    }
}

#[tonic::async_trait]
impl Health for Patient {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match request.get_ref().service.as_str() {
            SLOW => self.slow.acquire().await.unwrap().forget(),
            PANICS => panic!("as the test wants it"),
            _ => {}
        }
        Ok(Response::new(HealthCheckResponse::default()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let silent = request.get_ref().service == SILENT;
        let stream = unfold(self.end.clone(), move |end| async move {
            tokio::select! {
                () = end.cancelled() => None,
                () = sleep(TICK), if !silent => Some((Ok(HealthCheckResponse::default()), end.clone())),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// One call after the other.
pub(crate) async fn check(channel: &Channel) -> Result<(), Status> {
    soon(HealthClient::new(channel.clone()).check(request(""))).await.map(drop)
}

/// A call to that service under way.
pub(crate) fn checking(channel: &Channel, service: &str) -> tokio::task::JoinHandle<Result<(), Status>> {
    let (mut health, request) = (HealthClient::new(channel.clone()), request(service));
    tokio::spawn(async move { health.check(request).await.map(drop) })
}

/// A call that goes on until the test lets it finish.
pub(crate) fn slow_check(channel: &Channel) -> tokio::task::JoinHandle<Result<(), Status>> {
    checking(channel, SLOW)
}

/// A stream that says something again and again.
pub(crate) async fn watch(channel: &Channel) -> Streaming<HealthCheckResponse> {
    let mut stream = soon(HealthClient::new(channel.clone()).watch(request(""))).await.unwrap().into_inner();
    soon(stream.message()).await.unwrap().unwrap();
    stream
}

/// A stream that never says anything.
pub(crate) async fn silent_watch(channel: &Channel) -> Streaming<HealthCheckResponse> {
    soon(HealthClient::new(channel.clone()).watch(request(SILENT))).await.unwrap().into_inner()
}

/// Reads the stream on a task of its own until it ends; gives the status it ended with.
pub(crate) fn reading(mut stream: Streaming<HealthCheckResponse>) -> tokio::task::JoinHandle<Code> {
    tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    })
}

/// Whether the stream still says something.
pub(crate) async fn goes_on(stream: &mut Streaming<HealthCheckResponse>) -> bool {
    for _ in 0..5 {
        if !matches!(soon(stream.message()).await, Ok(Some(_))) {
            return false;
        }
    }
    true
}
