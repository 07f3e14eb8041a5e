//! The greeter, served and called over the SDK, under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use evercert::{Channel, ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::Status;
use tonic::service::Routes;

use crate::wait;

/// Starts a greeter on loopback that asks clients for certificates; it is served until the task is dropped or aborted.
pub async fn serve(identity: &Identity) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(identity).client_certificates(ClientCertificates::Required);
    let routes = Routes::new(GreeterServer::new(GreeterService));
    let task = tokio::spawn(async move { server.serve(routes, listener, std::future::pending()).await.unwrap() });
    (address, task)
}

/// Calls without a pause, and one long stream, until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    workers: JoinSet<Vec<Status>>,
    stream: JoinHandle<Result<u64, Status>>,
}

/// What became of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Unary calls that were answered or failed.
    pub calls: u64,
    /// Replies of the long stream.
    pub replies: u64,
    /// What failed, calls and the stream alike.
    pub failed: Vec<Status>,
}

impl Load {
    /// Starts `workers` loops of unary calls and one stream.
    #[must_use]
    pub fn start(channel: &Channel, workers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for _ in 0..workers {
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            let mut client = GreeterClient::new(channel.clone());
            set.spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = HelloRequest { name: "load".to_owned() };
                    failed.extend(client.say_hello(request).await.err());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
        }
        let (mut client, stopped) = (GreeterClient::new(channel.clone()), Arc::clone(&stop));
        let stream = tokio::spawn(async move {
            let request = KeepGreetingRequest { name: "stream".to_owned(), count: 0, interval_ms: 10 };
            let mut replies = client.keep_greeting(request).await?.into_inner();
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                replies.message().await?.ok_or_else(|| Status::data_loss("the stream ended"))?;
                count += 1;
            }
            Ok(count)
        });
        Self { stop, calls, workers: set, stream }
    }

    /// Waits until as many calls more have ended.
    pub async fn calls(&self, more: u64) {
        let goal = self.calls.load(Ordering::Relaxed) + more;
        let reached = || async { (self.calls.load(Ordering::Relaxed) >= goal).then_some(()) };
        wait::until("the load goes on", reached).await;
    }

    /// Lets what runs finish, and says what became of it.
    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed: Vec<_> = self.workers.join_all().await.into_iter().flatten().collect();
        let replies = match self.stream.await.unwrap() {
            Ok(replies) => replies,
            Err(status) => {
                failed.push(status);
                0
            }
        };
        Outcome { calls: self.calls.load(Ordering::Relaxed), replies, failed }
    }
}
