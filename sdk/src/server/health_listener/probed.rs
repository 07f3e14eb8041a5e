//! What is served at the port.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Notify, Semaphore};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::codegen::BoxStream;
use tonic::{Code, Status};
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Service as _;

use crate::health::{Health, HealthService, REQUEST_LIMIT};

/// The time from the head of a request to that of its answer. It takes no time: this is what a peer may take to send its message.
const CALL: Duration = Duration::from_secs(5);

/// Health with bounds.
#[derive(Debug, Clone)]
pub(super) struct Probed {
    health: HealthServer<Bounded>,
    asked: Arc<Notify>,
}

impl Probed {
    pub(super) fn new(health: &Health, watches: &Arc<Semaphore>) -> Self {
        let bounded = Bounded { health: health.answers(), watches: Arc::clone(watches) };
        Self { health: HealthServer::new(bounded).max_decoding_message_size(REQUEST_LIMIT), asked: Arc::default() }
    }

    /// The same, and `asked` is told of each request.
    pub(super) fn telling(self, asked: &Arc<Notify>) -> Self {
        Self { asked: Arc::clone(asked), ..self }
    }
}

impl hyper::service::Service<Request<Incoming>> for Probed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.notify_one();
        let answer = self.health.clone().call(request);
        Box::pin(async {
            let answer = tokio::time::timeout(CALL, answer).await;
            answer.unwrap_or_else(|_| {
                let late = Status::new(Code::DeadlineExceeded, "the request did not come to its end in time");
                Ok(late.into_http())
            })
        })
    }
}

/// The answers, and no more streams than so many.
#[derive(Debug)]
struct Bounded {
    health: HealthService,
    watches: Arc<Semaphore>,
}

#[tonic::async_trait]
impl health_server::Health for Bounded {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        self.health.check(request).await
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let Ok(place) = Arc::clone(&self.watches).try_acquire_owned() else {
            return Err(Status::resource_exhausted("as many watch at this port as may; ask with Check"));
        };
        let watching = self.health.watch(request).await?.into_inner().map(move |answer| {
            let _until_it_ends = &place;
            answer
        });
        Ok(tonic::Response::new(Box::pin(watching)))
    }
}
