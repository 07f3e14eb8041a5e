//! The greeter's server and its clients, each with an identity of its own from the daemon, and what becomes of the calls.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evercert::source::AgentSettings;
use evercert::{ClientCertificates, Identity};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_examples::v1::{HelloRequest, KeepGreetingRequest};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Status;
use tonic::service::Routes;

use crate::Result;
use crate::daemon::IDENTITY;

/// The pause of a client between two calls: several thousand calls a second in all, with room on two cores for the rest.
const PAUSE: Duration = Duration::from_millis(2);

/// The pause of the server between two replies of a long stream.
const STREAM_PAUSE: Duration = Duration::from_millis(20);

/// Counts of all clients.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: AtomicU64,
    replies: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

impl Counts {
    /// Unary calls that were answered.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Replies on the long streams.
    pub(crate) fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Unary calls and streams that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why the first one failed.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().clone()
    }

    fn fail(&self, kind: &str, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_failure.lock();
        first.get_or_insert_with(|| format!("{kind}: {why}"));
    }
}

/// The running server and clients. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) counts: Arc<Counts>,
    pub(crate) server: SocketAddr,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    _server: JoinSet<()>,
}

impl Traffic {
    /// Starts a server and `clients` clients, all from the daemon at `socket`; returns once each has its first generation.
    pub(crate) async fn start(socket: &Path, clients: u32) -> Result<Self> {
        let settings = || AgentSettings::new(IDENTITY).socket(socket);
        let identity = Identity::from_agent(settings()).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let mut serving = JoinSet::new();
        let reports = Arc::clone(&counts);
        serving.spawn(async move {
            let routes = Routes::new(GreeterServer::new(GreeterService));
            let served = evercert::Server::new(&identity).client_certificates(ClientCertificates::Required).serve(
                routes,
                listener,
                std::future::pending(),
            );
            if let Err(error) = served.await {
                reports.fail("server", &error.to_string());
            }
        });
        let mut calling = JoinSet::new();
        for number in 1..=clients {
            let identity = Identity::from_agent(settings()).await?;
            let channel = identity.channel(format!("https://{server}"))?;
            let client = Client {
                client: GreeterClient::new(channel),
                name: format!("client {number}"),
                counts: Arc::clone(&counts),
                stop: stopped.clone(),
            };
            let streaming = client.clone();
            // The handle of the identity moves into the task, so that the subscriber lives as long as its client.
            calling.spawn(async move {
                tokio::join!(client.call(), streaming.listen());
                drop(identity);
            });
        }
        Ok(Self { counts, server, stop, clients: calling, _server: serving })
    }

    /// Lets the clients finish the calls they are in, and gives the counts.
    pub(crate) async fn finish(mut self) -> Arc<Counts> {
        self.stop.send_replace(true);
        while self.clients.join_next().await.is_some() {}
        Arc::clone(&self.counts)
    }
}

#[derive(Clone)]
struct Client {
    client: GreeterClient<evercert::client::Channel>,
    name: String,
    counts: Arc<Counts>,
    stop: watch::Receiver<bool>,
}

impl Client {
    /// Unary calls, one after the other.
    async fn call(mut self) {
        while !*self.stop.borrow() {
            match self.client.say_hello(HelloRequest { name: self.name.clone() }).await {
                Ok(_) => _ = self.counts.calls.fetch_add(1, Ordering::Relaxed),
                Err(status) => self.failed("call", &status),
            }
            sleep(PAUSE).await;
        }
    }

    /// One stream from the start to the end; one that breaks is counted and opened again.
    async fn listen(mut self) {
        let mut stop = self.stop.clone();
        let interval_ms = u32::try_from(STREAM_PAUSE.as_millis()).unwrap_or(u32::MAX);
        while !*self.stop.borrow() {
            let request = KeepGreetingRequest { name: self.name.clone(), count: 0, interval_ms };
            let mut replies = match self.client.keep_greeting(request).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    self.failed("stream", &status);
                    sleep(STREAM_PAUSE).await;
                    continue;
                }
            };
            loop {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    reply = replies.message() => match reply {
                        Ok(Some(_)) => _ = self.counts.replies.fetch_add(1, Ordering::Relaxed),
                        Ok(None) => break self.counts.fail("stream", "ended before its time"),
                        Err(status) => break self.failed("stream", &status),
                    }
                }
            }
        }
    }

    fn failed(&self, kind: &str, status: &Status) {
        self.counts.fail(kind, &format!("{}: {}", status.code(), status.message()));
    }
}
