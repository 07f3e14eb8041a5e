//! The greeter, served over the SDK.

use std::net::SocketAddr;
use std::time::Duration;

use evercert::{ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::{Greeter, GreeterServer};
use evercert_examples::v1::{HelloReply, HelloRequest, KeepGreetingRequest};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The metadata with which a unary call asks to be answered only after so many milliseconds.
pub const DELAY: &str = "delay-ms";

/// The examples' greeter, which answers later where a call asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patient(GreeterService);

#[tonic::async_trait]
impl Greeter for Patient {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        if let Some(delay) = request.metadata().get(DELAY) {
            let delay = delay.to_str().unwrap().parse().unwrap();
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        self.0.say_hello(request).await
    }

    type KeepGreetingStream = <GreeterService as Greeter>::KeepGreetingStream;

    async fn keep_greeting(
        &self,
        request: Request<KeepGreetingRequest>,
    ) -> Result<Response<Self::KeepGreetingStream>, Status> {
        self.0.keep_greeting(request).await
    }
}

/// The greeter's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new(GreeterServer::new(Patient::default()))
}

/// Starts a greeter on loopback that asks clients for certificates; it is served until the task is dropped or aborted.
pub async fn serve(identity: &Identity) -> (SocketAddr, JoinHandle<()>) {
    serve_with(identity, |server| server).await
}

/// As [`serve`], with settings of the server's.
pub async fn serve_with(identity: &Identity, settings: impl FnOnce(Server) -> Server) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = settings(Server::new(identity).client_certificates(ClientCertificates::Required));
    let task = tokio::spawn(async move { server.serve(routes(), listener, std::future::pending()).await.unwrap() });
    (address, task)
}
