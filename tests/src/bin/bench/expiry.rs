//! Leaves that expire and CAs that leave a bundle, under live streams: the connections they carry end soon, and no other is touched.
//!
//! The side that is not looked at is tonic's own, with a rustls config that never changes, so that what ends a connection is ours.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use evercert::client::Endpoint;
use evercert::identity::ExpiryPolicy;
use evercert::{Channel, Identity};
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_fixtures::{Authority, Issued, wait};
use evercert_tests::load::{Load, Outcome, Shape, said};
use evercert_tests::stream::{Ended, LiveStream};
use evercert_tests::{service, side, stranger};
use rustls::CertificateError;
use serde_json::{Value, json};
use tonic::Status;

use crate::door::Door;
use crate::stage::{self, Delivery};

/// How soon a connection has to end after a leaf has expired.
const EXPIRED: Duration = Duration::from_secs(5);
/// How soon after its CA was removed: it is drained, and cut after 5 s.
const REMOVED: Duration = Duration::from_secs(6);
/// How long the other connections are watched after that.
const AFTERWARDS: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the leaves that expire are valid from the start, in seconds
    #[arg(long, default_value_t = 8)]
    lifetime: u64,
    /// How long it may take, in seconds
    #[arg(long, default_value_t = 120)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Value {
    crate::watchdog(Duration::from_secs(args.limit));
    let lifetime = Duration::from_secs(args.lifetime);
    let (client_expires, server_expires, client_ca, server_ca, retain, fail_closed) = tokio::join!(
        a_clients_leaf_expires(lifetime),
        a_servers_leaf_expires(lifetime),
        a_clients_ca_is_removed(),
        a_servers_ca_is_removed(),
        the_own_leaf_expires(lifetime, ExpiryPolicy::Retain),
        the_own_leaf_expires(lifetime, ExpiryPolicy::FailClosed),
    );
    let ends = [client_expires, server_expires, client_ca, server_ca];
    json!({
        "scenario": "expiry",
        "kept": ends.iter().all(End::kept) && retain.kept() && fail_closed.kept(),
        "settings": { "lifetime": args.lifetime },
        "failed": ends.iter().map(|end| end.others.failed.len()).sum::<usize>(),
        "accepted": ends.iter().filter(|end| end.accepted).count(),
        "clients_leaf_expires": ends[0].json(),
        "servers_leaf_expires": ends[1].json(),
        "clients_ca_removed": ends[2].json(),
        "servers_ca_removed": ends[3].json(),
        "own_leaf_retained": retain.json(),
        "own_leaf_fails_closed": fail_closed.json(),
    })
}

/// Our server; a client's leaf expires, another's does not.
async fn a_clients_leaf_expires(lifetime: Duration) -> End {
    let authority = Authority::new("bench");
    let server = stage::unchanging(&authority.issue(side::leaf())).await;
    let (address, _serving) = service::serve(&server).await;
    let (expiring, not_after) = expiring(&authority, lifetime);
    let good = authority.issue(side::leaf());
    let others = Load::start(&stage::tonics_channel(address, &good, &good.ca_pem).await, Shape::default());
    let stream = LiveStream::open(stage::tonics_channel(address, &expiring, &good.ca_pem).await).await;
    let ended = stream.ended().await;
    let accepted = stranger::handshake(address, &expiring, &[&authority]).await.is_ok();
    End { due: not_after, within: EXPIRED, ended, accepted, others: afterwards(others).await }
}

/// Our client; a server's leaf expires, another's does not.
async fn a_servers_leaf_expires(lifetime: Duration) -> End {
    let authority = Authority::new("bench");
    let client = stage::unchanging(&authority.issue(side::leaf())).await;
    let (expiring, not_after) = expiring(&authority, lifetime);
    let good = authority.issue(side::leaf());
    let others = connect(&client, stage::tonics_server(&good, &good.ca_pem).await).await;
    let others = Load::start(&others, Shape::default());
    let channel = connect(&client, stage::tonics_server(&expiring, &good.ca_pem).await).await;
    let ended = LiveStream::open(channel.clone()).await.ended().await;
    let accepted = say_hello(channel).await.is_ok();
    End { due: not_after, within: EXPIRED, ended, accepted, others: afterwards(others).await }
}

/// Our server; of three clients one is of a CA that leaves the bundle.
async fn a_clients_ca_is_removed() -> End {
    let (stays, goes) = (Authority::new("stays"), Authority::new("goes"));
    let own = stays.issue(side::leaf());
    let delivery = Delivery::new(&own, &[stays.ca_der(), goes.ca_der()]);
    let server = delivery.identity().await.unwrap();
    let (address, _serving) = service::serve(&server).await;
    let good = stays.issue(side::leaf());
    let mut others = Load::start(&stage::tonics_channel(address, &good, &own.ca_pem).await, Shape::default());
    others.add(&stage::tonics_channel(address, &good, &own.ca_pem).await, Shape::default());
    let gone = goes.issue(side::leaf());
    let stream = LiveStream::open(stage::tonics_channel(address, &gone, &own.ca_pem).await).await;
    let due = SystemTime::now();
    delivery.deliver(&own, &[stays.ca_der()]);
    let ended = stream.ended().await;
    let accepted = stranger::handshake(address, &gone, &[&stays]).await.is_ok();
    End { due, within: REMOVED, ended, accepted, others: afterwards(others).await }
}

/// Our client; of two servers one is of a CA that leaves the bundle.
async fn a_servers_ca_is_removed() -> End {
    let (stays, goes) = (Authority::new("stays"), Authority::new("goes"));
    let own = stays.issue(side::leaf());
    let delivery = Delivery::new(&own, &[stays.ca_der(), goes.ca_der()]);
    let client = delivery.identity().await.unwrap();
    let [good, gone] = [stays.issue(side::leaf()), goes.issue(side::leaf())];
    let others = connect(&client, stage::tonics_server(&good, &own.ca_pem).await).await;
    let others = Load::start(&others, Shape::default());
    let channel = connect(&client, stage::tonics_server(&gone, &own.ca_pem).await).await;
    let stream = LiveStream::open(channel.clone()).await;
    let due = SystemTime::now();
    delivery.deliver(&own, &[stays.ca_der()]);
    let ended = stream.ended().await;
    let accepted = say_hello(channel).await.is_ok();
    End { due, within: REMOVED, ended, accepted, others: afterwards(others).await }
}

/// Our server's and our client's own leaf expires, and then a new one comes.
async fn the_own_leaf_expires(lifetime: Duration, policy: ExpiryPolicy) -> Own {
    let authority = Authority::new("bench");
    let (expiring, not_after) = expiring(&authority, lifetime);
    let good = authority.issue(side::leaf());
    let delivery = Delivery::new(&expiring, &[authority.ca_der()]);
    let identity = delivery.identity().expiry_policy(policy).await.unwrap();
    let (address, _serving) = service::serve(&identity).await;
    let door = Door::before(stage::tonics_server(&good, &good.ca_pem).await).await;
    let channel = Endpoint::new(format!("https://{}", door.address)).unwrap().connect_lazy(&identity);
    // A leaf is valid to the end of its last second.
    tokio::time::sleep(not_after.duration_since(SystemTime::now()).unwrap() + AFTERWARDS).await;

    let served = stranger::handshake(address, &good, &[&authority]).await;
    let server_presents = served.is_err_and(|error| {
        let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let expired = CertificateError::Expired;
        matches!(error, Some(rustls::Error::InvalidCertificate(error)) if *error == expired
            || matches!(error, CertificateError::ExpiredContext { .. }))
    });
    let status = say_hello(channel.clone()).await.err();
    let client_connects = !door.drain().is_empty();

    delivery.deliver(&good, &[authority.ca_der()]);
    let recovered = async {
        while stranger::handshake(address, &good, &[&authority]).await.is_err()
            || say_hello(channel.clone()).await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let recovers = tokio::time::timeout(wait::DEADLINE, recovered).await.is_ok();
    Own { policy, server_presents, client_connects, status, recovers }
}

/// The fate of a connection that had to end, and of those that had not.
struct End {
    due: SystemTime,
    within: Duration,
    /// Its stream's end; absent if it lived on.
    ended: Option<Ended>,
    /// Whether a new connection of its kind was accepted afterwards.
    accepted: bool,
    others: Outcome,
}

impl End {
    /// How long after it was due it ended, in milliseconds.
    fn after_ms(&self) -> Option<i64> {
        let ended = self.ended.as_ref()?.at;
        Some(match ended.duration_since(self.due) {
            Ok(after) => after.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        })
    }

    fn kept(&self) -> bool {
        let in_time = self.after_ms().is_some_and(|after| (0..=self.within.as_millis() as i64).contains(&after));
        in_time && !self.accepted && self.others.failed.is_empty() && self.others.calls > 0
    }

    fn json(&self) -> Value {
        json!({
            "kept": self.kept(),
            "stream_ended_after_ms": self.after_ms(),
            "status": self.ended.as_ref().and_then(|ended| ended.status.as_ref()).map(said),
            "accepted_again": self.accepted,
            "others": {
                "failed": self.others.failed.len(), "calls": self.others.calls, "replies": self.others.replies,
                "first_failure": self.others.failed.first().map(said),
            },
        })
    }
}

/// The use our server and client made of their own expired leaf.
struct Own {
    policy: ExpiryPolicy,
    server_presents: bool,
    client_connects: bool,
    /// The error of the call over a channel with the expired leaf.
    status: Option<Status>,
    recovers: bool,
}

impl Own {
    fn kept(&self) -> bool {
        let retained = self.policy == ExpiryPolicy::Retain;
        self.server_presents == retained && self.client_connects == retained && self.status.is_some() && self.recovers
    }

    fn json(&self) -> Value {
        json!({
            "kept": self.kept(),
            "server_presents_it": self.server_presents,
            "client_connects_with_it": self.client_connects,
            "status": self.status.as_ref().map(said),
            "recovers_with_the_next": self.recovers,
        })
    }
}

fn expiring(authority: &Authority, lifetime: Duration) -> (Issued, SystemTime) {
    let now = SystemTime::now();
    let whole = (now + lifetime).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(whole);
    (authority.issue(side::leaf().valid(now - Duration::from_secs(1), not_after)), not_after)
}

async fn connect(identity: &Identity, server: SocketAddr) -> Channel {
    Endpoint::new(format!("https://{server}")).unwrap().connect(identity).await.unwrap()
}

async fn say_hello(channel: Channel) -> Result<(), Status> {
    GreeterClient::new(channel).say_hello(HelloRequest { name: "expiry".to_owned() }).await.map(drop)
}

async fn afterwards(others: Load) -> Outcome {
    tokio::time::sleep(AFTERWARDS).await;
    others.stop().await
}
