//! A method whose requests and responses both stream, served by tonic: it says one thing, reads nothing, and goes on until its call ends.

use std::convert::Infallible;
use std::task::{Context, Poll};

use evercert::Channel;
use evercert_fixtures::wait::until_shown;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tower::Service;
use tower::service_fn;

#[derive(Clone, Default)]
pub(crate) struct Duplex {
    running: watch::Sender<usize>,
}

impl Duplex {
    /// Waits until so many of its calls run.
    pub(crate) async fn until_running(&self, wanted: usize) {
        until_shown(self.running.subscribe(), |running| *running == wanted).await;
    }

    fn answer(
        &self,
        requests: Streaming<HealthCheckRequest>,
    ) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + use<> {
        let call = Running::new(self.running.clone());
        stream::iter([Ok(HealthCheckResponse::default())]).chain(stream::pending()).map(move |response| {
            let _until_it_ends = (&call, &requests);
            response
        })
    }
}

impl NamedService for Duplex {
    const NAME: &'static str = "test.v1.Duplex";
}

impl Service<http::Request<Body>> for Duplex {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let duplex = self.clone();
        async move {
            let method = service_fn(move |request: Request<Streaming<HealthCheckRequest>>| {
                let response = Response::new(duplex.answer(request.into_inner()));
                async { Ok::<_, Status>(response) }
            });
            Ok(tonic::server::Grpc::new(ProstCodec::default()).streaming(method, request).await)
        }
        .boxed()
    }
}

/// A call that runs on the server.
struct Running(watch::Sender<usize>);

impl Running {
    fn new(running: watch::Sender<usize>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// Calls the method with these requests.
pub(crate) async fn talk(
    channel: &Channel,
    requests: impl Stream<Item = HealthCheckRequest> + Send + 'static,
) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await?;
    let path = http::uri::PathAndQuery::from_static("/test.v1.Duplex/Talk");
    let response = client.streaming(Request::new(requests), path, ProstCodec::default()).await?;
    Ok(response.into_inner())
}
