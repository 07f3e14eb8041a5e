//! Connections that have to go finish what runs on them, and then they are gone.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert::Refusal;
use evercert::identity::ExpiryPolicy;
use evercert::server::{DrainPolicy, IncomingSettings, MaxAge, Superseded};
use evercert::source::Outcome;
use evercert::{Identity, Server};
use evercert_fixtures::{Authority, Issued, Leaf};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Channel;

use super::clients::{channel, client, connect};
use super::patient::{Patient, check, goes_on, reading, silent_watch, slow_check, watch};
use super::serving::listen;
use super::support::{DEADLINE, NAME, Script, server_leaf, snapshot, soon};

pub(crate) const NOW: DrainPolicy =
    DrainPolicy::new().superseded(Superseded::Drain { over: Duration::ZERO }).drain_timeout(DEADLINE);

/// A server of one CA, whose clients have leaves of the same.
pub(crate) struct Stage {
    pub(crate) ca: Authority,
    pub(crate) leaf: Issued,
    pub(crate) script: Arc<Script>,
    pub(crate) identity: Identity,
    pub(crate) patient: Patient,
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
}

impl Stage {
    pub(crate) async fn new(turn: impl FnOnce(Server) -> Server, also_trusted: &[&Authority]) -> Self {
        let ca = Authority::new("root");
        let leaf = server_leaf(&ca);
        let trusted: Vec<&Authority> = also_trusted.iter().copied().chain([&ca]).collect();
        let script = Script::of(snapshot(1, &leaf, &trusted));
        let identity = script.identity().await;
        let patient = Patient::new();
        let (listener, port) = listen().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = turn(Server::new(&identity));
        tokio::spawn(server.serve(patient.routes(), listener, async { drop(stopped.await) }));
        Self { ca, leaf, script, identity, patient, port, stop: Some(stop) }
    }

    /// A client with a leaf of the server's CA.
    pub(crate) async fn client(&self) -> Channel {
        self.client_with(&self.ca.issue_dns("client.example.org")).await
    }

    pub(crate) async fn client_with(&self, own: &Issued) -> Channel {
        channel(client(&self.ca, Some(own)), self.port).await
    }

    /// A new leaf of the same CA.
    pub(crate) async fn rotate(&self, generation: u64) {
        let report = self.script.publish(snapshot(generation, &server_leaf(&self.ca), &[&self.ca])).await;
        assert_eq!(report.outcome, Outcome::Current);
    }

    /// Until the server has so many connections.
    pub(crate) async fn connections(&self, count: u64) {
        self.until(|connections, _| connections == count).await;
    }

    pub(crate) async fn until(&self, holds: impl Fn(u64, u64) -> bool) {
        let reached = async {
            loop {
                let status = self.identity.status();
                if holds(status.connections, status.connections_on_older) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, reached).await.is_err() {
            panic!("it was not reached: {:?}", self.identity.status());
        }
    }

    pub(crate) fn shut_down(&mut self) {
        self.stop = None;
    }
}

#[tokio::test]
async fn superseded_connections_are_kept_unless_the_policy_drains_them() {
    let stage = Stage::new(|server| server, &[]).await;
    let client = stage.client().await;
    let mut stream = watch(&client).await;
    stage.rotate(2).await;
    stage.rotate(3).await;
    assert!(goes_on(&mut stream).await);
    check(&client).await.unwrap();
    let status = stage.identity.status();
    assert_eq!((status.connections, status.connections_on_older, status.settled), (1, 1, false));
}

#[tokio::test]
async fn the_calls_of_a_superseded_connection_finish_and_new_ones_go_elsewhere() {
    let stage = Stage::new(|server| server.drain_policy(NOW), &[]).await;
    let client = stage.client().await;
    let mut stream = watch(&client).await;
    let slow = slow_check(&client);
    stage.rotate(2).await;
    // The client is told to go, and comes back for its next call. tonic's own channel loses a call that meets the GOAWAY.
    soon(async {
        while stage.identity.status().connections < 2 {
            let _ = check(&client).await;
        }
    })
    .await;
    assert!(goes_on(&mut stream).await);
    assert!(!slow.is_finished());
    assert_eq!(stage.identity.status().connections_on_older, 1);
    stage.patient.slow.add_permits(1);
    soon(slow).await.unwrap().unwrap();
    assert!(goes_on(&mut stream).await);
    stage.patient.end.cancel();
    assert_eq!(soon(reading(stream)).await.unwrap(), Code::Ok);
    stage.until(|all, older| (all, older) == (1, 0)).await;
    assert!(stage.identity.status().settled);
}

#[tokio::test]
async fn a_stuck_stream_is_cut_at_the_deadline() {
    let policy = NOW.drain_timeout(Duration::from_millis(300));
    let stage = Stage::new(|server| server.drain_policy(policy), &[]).await;
    let client = stage.client().await;
    let stuck = reading(silent_watch(&client).await);
    stage.rotate(2).await;
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    stage.connections(0).await;
}

#[tokio::test]
async fn superseded_connections_are_drained_one_after_the_other() {
    let over = Duration::from_secs(2);
    let policy = NOW.superseded(Superseded::Drain { over });
    let stage = Stage::new(|server| server.drain_policy(policy), &[]).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(stage.client().await);
    }
    stage.connections(10).await;
    let began = Instant::now();
    stage.rotate(2).await;
    stage.until(|all, _| all <= 5).await;
    let half = began.elapsed();
    stage.connections(0).await;
    assert!(half >= over * 4 / 10 && began.elapsed() >= over * 9 / 10, "{half:?} {:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_goes_at_its_age() {
    let max_age = MaxAge::new(Duration::from_secs(3), Duration::from_secs(1));
    let stage = Stage::new(|server| server.drain_policy(DrainPolicy::default().max_age(max_age)), &[]).await;
    let client = stage.client().await;
    let slow = slow_check(&client);
    let idle = stage.client().await;
    stage.connections(2).await;
    stage.connections(1).await;
    assert!(!slow.is_finished());
    stage.patient.slow.add_permits(1);
    soon(slow).await.unwrap().unwrap();
    stage.connections(0).await;
    drop(idle);
}

#[tokio::test]
async fn a_stream_ends_with_its_peers_leaf_and_no_other_connection_sees_anything() {
    let stage = Stage::new(|server| server, &[]).await;
    let now = SystemTime::now();
    let end = now + Duration::from_secs(5);
    let brief = stage.ca.issue(Leaf::for_dns("client.example.org").valid(now - Duration::from_secs(60), end));
    let (brief, other) = (stage.client_with(&brief).await, stage.client().await);
    let (ending, going_on) = (reading(watch(&brief).await), watch(&other).await);
    let mut going_on = going_on;
    assert_ne!(soon(ending).await.unwrap(), Code::Ok);
    let late = SystemTime::now().duration_since(end).unwrap_or_default();
    assert!(late < Duration::from_secs(5), "{late:?} after the end");
    assert!(SystemTime::now() > end - Duration::from_secs(1), "before the end");
    assert!(goes_on(&mut going_on).await);
    check(&other).await.unwrap();
    stage.connections(1).await;
}

#[tokio::test]
async fn calls_that_are_done_before_the_peers_leaf_ends_see_no_error() {
    let stage = Stage::new(|server| server, &[]).await;
    let now = SystemTime::now();
    let end = now + Duration::from_secs(8);
    let brief = stage.ca.issue(Leaf::for_dns("client.example.org").valid(now - Duration::from_secs(60), end));
    let brief = stage.client_with(&brief).await;
    let slow = slow_check(&brief);
    stage.connections(1).await;
    // The client is told to go a second before the end at the latest, and comes back for its next call.
    soon(async {
        while stage.identity.status().connections < 2 {
            let _ = check(&brief).await;
        }
    })
    .await;
    assert!(SystemTime::now() < end && !slow.is_finished());
    stage.patient.slow.add_permits(1);
    soon(slow).await.unwrap().unwrap();
    stage.connections(0).await;
}

#[tokio::test]
async fn with_an_expired_leaf_and_a_policy_of_failing_closed_connections_drain() {
    let ca = Authority::new("root");
    let now = SystemTime::now();
    let brief = Leaf::for_dns(NAME).valid(now - Duration::from_secs(60), now + Duration::from_secs(4));
    let script = Script::of(snapshot(1, &ca.issue(brief), &[&ca]));
    let identity =
        Identity::from_source("test", script.clone()).timeout(DEADLINE).expiry_policy(ExpiryPolicy::FailClosed);
    let identity = identity.await.unwrap();
    script.report().await;
    let patient = Patient::new();
    let (listener, port) = listen().await;
    let policy = DrainPolicy::default().drain_timeout(Duration::from_millis(500));
    let server = Server::new(&identity).drain_policy(policy);
    tokio::spawn(server.serve(patient.routes(), listener, std::future::pending()));
    let own = ca.issue_dns("client.example.org");
    let idle = channel(client(&ca, Some(&own)), port).await;
    let busy = channel(client(&ca, Some(&own)), port).await;
    let stuck = reading(silent_watch(&busy).await);

    let report = script.report().await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::Expired(_))), "{report:?}");
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    soon(async {
        while identity.status().connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(connect(client(&ca, Some(&own)), port).await.is_err(), "a connection was answered");

    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    check(&idle).await.unwrap();
    assert_eq!(identity.status().connections, 1);
}

#[tokio::test]
async fn a_serve_loop_of_ones_own_keeps_what_is_superseded_and_cuts_what_is_expired() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let patient = Patient::new();
    let (listener, port) = listen().await;
    let incoming = identity.incoming_with(listener, IncomingSettings::default());
    tokio::spawn(tonic::transport::Server::builder().add_routes(patient.routes()).serve_with_incoming(incoming));
    let now = SystemTime::now();
    let brief = Leaf::for_dns("client.example.org").valid(now - Duration::from_secs(60), now + Duration::from_secs(4));
    let brief = channel(client(&ca, Some(&ca.issue(brief))), port).await;
    let ending = reading(watch(&brief).await);
    let other = channel(client(&ca, Some(&ca.issue_dns("client.example.org"))), port).await;
    let mut going_on = watch(&other).await;
    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    assert_eq!(identity.status().connections_on_older, 2);
    assert_ne!(soon(ending).await.unwrap(), Code::Ok);
    assert!(goes_on(&mut going_on).await);
    let status = identity.status();
    assert_eq!((status.connections, status.connections_on_older), (1, 1));
}

#[tokio::test]
async fn a_shutdown_cuts_what_does_not_drain_and_nothing_is_left_when_it_returns() {
    let mut stage = Stage::new(|server| server.shutdown_timeout(Duration::from_millis(500)), &[]).await;
    let client = stage.client().await;
    let (stuck, done) = (reading(silent_watch(&client).await), slow_check(&client));
    let idle = stage.client().await;
    let _mute =
        connect(super::clients::client(&stage.ca, Some(&stage.ca.issue_dns("mute"))), stage.port).await.unwrap();
    let _silent = super::clients::tcp(stage.port).await;
    stage.connections(3).await;
    stage.shut_down();
    stage.patient.slow.add_permits(1);
    soon(done).await.unwrap().unwrap();
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    stage.connections(0).await;
    drop(idle);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections_and_leaves_no_task() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (listener, port) = listen().await;
    let serving = tokio::spawn(Server::new(&identity).serve(Patient::new().routes(), listener, std::future::pending()));
    let own = ca.issue_dns("client.example.org");
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(reading(watch(&channel(client(&ca, Some(&own)), port).await).await));
    }
    serving.abort();
    for stream in streams {
        assert_ne!(soon(stream).await.unwrap(), Code::Ok);
    }
    soon(async {
        while identity.status().connections > 0 || tasks() != before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
