//! What is served at the port.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Notify, Semaphore};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use crate::health::{Health, HealthServer, HealthService};

/// The time from the head of a request to that of its answer. It takes no time: this is what a peer may take to send its message.
const CALL: Duration = Duration::from_secs(5);

/// Health with bounds.
#[derive(Debug, Clone)]
pub(super) struct Probed {
    health: HealthServer<HealthService>,
    asked: Arc<Notify>,
}

impl Probed {
    pub(super) fn new(health: &Health, watches: &Arc<Semaphore>) -> Self {
        Self { health: health.service_within(watches), asked: Arc::default() }
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
