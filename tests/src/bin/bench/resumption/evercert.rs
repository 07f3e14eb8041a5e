//! The attack on our server and on our channels.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert::client::Endpoint;
use evercert::tls::Resumption;
use evercert::{Channel, Identity, Server, TlsVersions};
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_fixtures::{Authority, Issued, Leaf, wait};
use evercert_tests::service;
use evercert_tests::side::leaf;
use rustls::{ClientConfig, HandshakeKind};
use tokio::task::JoinHandle;

use super::raw::{
    Presented, RawServer, Version, all_exchange, client_verifier, clients, server, server_verifier, together,
};
use crate::stage::{self, Delivery};

/// How long a call may take that nobody should answer, or that waits for the connection after one that was cut.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a cell fared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) sessions: usize,
    pub(super) resumed_before: usize,
    pub(super) accepted: usize,
}

/// Our server, and as many clients with a session under it.
pub(super) struct ServerCell {
    delivery: Delivery,
    identity: Identity,
    served: Issued,
    kept: Authority,
    address: SocketAddr,
    serving: JoinHandle<()>,
    clients: Vec<Arc<ClientConfig>>,
    primed: Figures,
}

impl ServerCell {
    /// Clients whose leaf is of the authority that can be removed, valid until `end`.
    pub(super) async fn prime(
        version: Version,
        resumption: Resumption,
        attempts: usize,
        end: Option<SystemTime>,
    ) -> Self {
        let (kept, removed) = (Authority::new("kept"), Authority::new("removed"));
        let served = kept.issue(leaf());
        let delivery = Delivery::new(&served, &[kept.ca_der(), removed.ca_der()]);
        let identity = delivery.identity().await.unwrap();
        let settings = |server: Server| server.tls_versions(TlsVersions::Tls12And13).resumption(resumption);
        let (address, serving) = service::serve_with(&identity, settings).await;
        let own = removed.issue(until(end));
        let clients = clients(attempts, version, &server_verifier(&[&kept]), &Presented::new(&own));
        let (sessions, _) = all_exchange(&clients, address).await;
        let (_, resumed_before) = all_exchange(&clients, address).await;
        let primed = Figures { sessions, resumed_before, accepted: 0 };
        Self { delivery, identity, served, kept, address, serving, clients, primed }
    }

    /// Removes the clients' CA.
    pub(super) async fn remove_ca(&self) {
        let generation = self.delivery.deliver(&self.served, &[self.kept.ca_der()]);
        until_current(&self.identity, generation).await;
    }

    /// How many clients are accepted now.
    pub(super) async fn attack(self) -> Figures {
        let (accepted, _) = all_exchange(&self.clients, self.address).await;
        self.serving.abort();
        Figures { accepted, ..self.primed }
    }
}

/// As many channels of ours, each with a session with a server that resumes whatever it has seen.
pub(super) struct ClientCell {
    delivery: Delivery,
    identity: Identity,
    own: Issued,
    kept: Authority,
    removed: Authority,
    raw: RawServer,
    channels: Vec<Channel>,
    primed: Figures,
}

impl ClientCell {
    /// The server's leaf is of the authority that can be removed, valid until `end`.
    pub(super) async fn prime(
        version: Version,
        resumption: Resumption,
        attempts: usize,
        end: Option<SystemTime>,
    ) -> Self {
        let (kept, removed) = (Authority::new("kept"), Authority::new("removed"));
        let raw = RawServer::start(server(version, client_verifier(&[&kept]), &removed.issue(until(end)))).await;
        let own = kept.issue(leaf());
        let delivery = Delivery::new(&own, &[kept.ca_der(), removed.ca_der()]);
        let identity = delivery.identity().await.unwrap();
        let endpoint = Endpoint::new(format!("https://{}:{}", stage::NAME, raw.address.port())).unwrap();
        let endpoint = endpoint
            .tls_versions(TlsVersions::Tls12And13)
            .resumption(resumption)
            .rotation_spread(Duration::ZERO)
            .timeout(PATIENCE);
        let channels: Vec<_> = (0..attempts).map(|_| endpoint.clone().connect_lazy(&identity)).collect();
        let sessions = all_call(&channels, true).await;
        raw.seen();
        raw.cut();
        all_call(&channels, true).await;
        let resumed_before = raw.seen().iter().filter(|seen| seen.kind == HandshakeKind::Resumed).count();
        let primed = Figures { sessions, resumed_before, accepted: 0 };
        Self { delivery, identity, own, kept, removed, raw, channels, primed }
    }

    /// Removes the server's CA.
    pub(super) async fn remove_ca(&self) {
        let generation = self.delivery.deliver(&self.own, &[self.kept.ca_der()]);
        until_current(&self.identity, generation).await;
    }

    /// On how many channels the server is accepted, once it has cut those connections that it had.
    pub(super) async fn attack(self) -> Figures {
        self.raw.cut();
        Figures { accepted: all_call(&self.channels, false).await, ..self.primed }
    }

    /// How many connections show the server the old certificate once that has been replaced.
    pub(super) async fn rotate(self) -> Figures {
        self.raw.seen();
        let anchors = [self.kept.ca_der(), self.removed.ca_der()];
        let generation = self.delivery.deliver(&self.kept.issue(leaf()), &anchors);
        for channel in &self.channels {
            let mut state = channel.state();
            let moved = state.wait_for(|state| state.generation == Some(generation));
            tokio::time::timeout(wait::DEADLINE, moved).await.expect("a channel moves").unwrap();
        }
        self.raw.cut();
        let answered = all_call(&self.channels, true).await;
        let seen = self.raw.seen();
        assert!(answered == self.channels.len() && seen.len() >= 2 * answered, "channels do not connect any more");
        Figures { accepted: seen.iter().filter(|seen| seen.leaf == self.own.leaf_der).count(), ..self.primed }
    }
}

fn until(end: Option<SystemTime>) -> Leaf {
    match end {
        Some(end) => leaf().valid(SystemTime::now() - Duration::from_secs(3600), end),
        None => leaf(),
    }
}

async fn until_current(identity: &Identity, generation: u64) {
    wait::until("the generation is put to use", || async {
        (identity.current()?.snapshot().generation() == generation).then_some(())
    })
    .await;
}

/// How many of the channels are answered; `again`: each is tried until it is.
async fn all_call(channels: &[Channel], again: bool) -> usize {
    let calls = channels.iter().map(|channel| {
        let mut client = GreeterClient::new(channel.clone());
        async move {
            let start = Instant::now();
            loop {
                let answered = client.say_hello(HelloRequest { name: "resumption".to_owned() }).await.is_ok();
                if answered || !again || start.elapsed() > PATIENCE {
                    return answered;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    together(calls).await.into_iter().filter(|answered| *answered).count()
}
