use std::sync::Barrier;
use std::time::{Duration, SystemTime};

use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::path::{PathPolicy, Role};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Leaf};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::server::drain::Superseded;
use crate::tls::PeerList;

/// An identity's generations, one after the other.
struct Generations(Arc<Generation>);

impl Generations {
    fn new(trusted: &[&Authority]) -> Self {
        Self(Arc::new(Generation::following(snapshot(1, trusted), None, PathPolicy::default()).unwrap()))
    }

    fn next(&mut self, trusted: &[&Authority]) -> Arc<Generation> {
        let number = self.0.sequence() + 1;
        self.0 =
            Arc::new(Generation::following(snapshot(number, trusted), Some(&self.0), PathPolicy::default()).unwrap());
        Arc::clone(&self.0)
    }
}

fn snapshot(number: u64, trusted: &[&Authority]) -> Arc<Snapshot> {
    let anchors = trusted.iter().map(|authority| CertificateDer::from(authority.ca_der().to_vec())).collect();
    let own = Some(Arc::new(Bundle::new(anchors, Vec::new())));
    Arc::new(Snapshot::new(number, None, Bundles { own, ..Bundles::default() }, None))
}

fn connections(policy: DrainPolicy) -> Arc<Connections> {
    Arc::new(Connections::new("test".into(), policy, true, Arc::new(Tally::default())))
}

fn leaf(authority: &Authority) -> CertificateDer<'static> {
    authority.issue_dns("client.example.org").leaf_der.into()
}

fn session(generation: &Arc<Generation>, leaf: &CertificateDer<'static>) -> Session {
    Session::new(Arc::clone(generation), Some(std::slice::from_ref(leaf)), Role::Client)
}

/// Acts as the warden on a new generation.
fn judged(connections: &Connections) {
    while let Some(generation) = connections.unjudged() {
        let mut checks = connections.unverified(&generation);
        for check in &mut checks {
            check.trusted = connections.verify(&check.session, &generation, SystemTime::now());
        }
        connections.judge(&generation, &checks, now());
    }
}

#[test]
fn a_handshake_that_another_list_of_peers_overtakes_is_refused() {
    let ca = Authority::new("root");
    let peer = ca.issue(Leaf::for_dns("client.example.org").uri("spiffe://example.org/a")).leaf_der.into();
    let allowed = AllowedPeers::new(PeerList::default().spiffe_id("spiffe://example.org/a".parse().unwrap()));
    let connections = Connections::new("test".into(), DrainPolicy::default(), true, Arc::new(Tally::default()));
    let connections = Arc::new(connections.with_allowed(Some(allowed.clone())));
    let generation = Generations::new(&[&ca]).0;
    connections.publish(Arc::clone(&generation));
    assert!(connections.enter(session(&generation, &peer)).is_ok());
    allowed.replace(PeerList::default());
    let refused = connections.enter(session(&generation, &peer)).map(drop).unwrap_err();
    assert!(matches!(refused, Unwelcome::Untrusted(Distrust::NotAllowed(_))), "{refused}");
    assert_eq!(connections.len(), 0);
}

#[test]
fn no_handshake_slips_through_while_its_ca_is_dropped() {
    let (kept, leaving) = (Authority::new("kept"), Authority::new("leaving"));
    let (good, bad) = (leaf(&kept), leaf(&leaving));
    let connections = connections(DrainPolicy { untrusted_spread: Duration::ZERO, ..DrainPolicy::default() });
    let mut generations = Generations::new(&[&kept, &leaving]);
    let (mut refused, mut drained) = (0, 0);
    for _ in 0..300 {
        let before = generations.next(&[&kept, &leaving]);
        connections.publish(Arc::clone(&before));
        judged(&connections);
        let after = generations.next(&[&kept]);
        let start = Barrier::new(2);
        let (trusted, dropped) = std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                connections.publish(Arc::clone(&after));
            });
            start.wait();
            (connections.enter(session(&before, &good)), connections.enter(session(&before, &bad)))
        });
        judged(&connections);
        let (due, _) = connections.due(now().monotonic);
        let trusted = trusted.unwrap();
        match dropped {
            Err(Unwelcome::Untrusted(_)) => refused += 1,
            Err(other) => panic!("{other}"),
            Ok(entry) => {
                drained += 1;
                assert_eq!(due.drained.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [entry.place().1]);
            }
        }
        assert!(due.drained.iter().all(|(number, ..)| *number != trusted.place().1));
        drop(trusted);
        assert_eq!(connections.len(), 0);
    }
    assert_eq!(refused + drained, 300);
}

#[test]
fn who_enters_with_an_older_generation_is_superseded_from_the_start() {
    let ca = Authority::new("root");
    let leaf = leaf(&ca);
    let connections =
        connections(DrainPolicy { superseded: Superseded::Drain { over: Duration::ZERO }, ..DrainPolicy::default() });
    let mut generations = Generations::new(&[&ca]);
    let before = Arc::clone(&generations.0);
    let after = generations.next(&[&ca]);
    connections.publish(Arc::clone(&after));
    judged(&connections);
    let (older, newer) = (connections.enter(session(&before, &leaf)), connections.enter(session(&after, &leaf)));
    let (older, _newer) = (older.unwrap(), newer.unwrap());
    let (due, _) = connections.due(now().monotonic);
    assert_eq!(due.drained.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [older.place().1]);
}

#[test]
fn nobody_enters_while_there_is_no_generation_and_after_the_close() {
    let ca = Authority::new("root");
    let (connections, leaf) = (connections(DrainPolicy::default()), leaf(&ca));
    let generation = Generations::new(&[&ca]).0;
    let enter = || connections.enter(session(&generation, &leaf));
    assert!(matches!(enter(), Err(Unwelcome::Withdrawn)));
    connections.publish(Arc::clone(&generation));
    let entry = enter().unwrap();
    connections.withdraw();
    assert!(matches!(enter(), Err(Unwelcome::Withdrawn)));
    connections.publish(Arc::clone(&generation));
    drop(enter().unwrap());
    connections.close();
    assert!(matches!(enter(), Err(Unwelcome::Closed)));
    assert!(!matches!(connections.due(now().monotonic).1, Watch::Over));
    drop(entry);
    assert!(matches!(connections.due(now().monotonic).1, Watch::Over));
}

#[test]
fn phases_fill_the_window_evenly() {
    let ca = Authority::new("root");
    let (connections, leaf) = (connections(DrainPolicy::default()), leaf(&ca));
    let generation = Generations::new(&[&ca]).0;
    connections.publish(Arc::clone(&generation));
    let entries: Vec<_> = (0..100).map(|_| connections.enter(session(&generation, &leaf)).unwrap()).collect();
    let state = connections.state();
    for tenth in 0..10 {
        let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
        let within = state.live().values().filter(|live| (from..to).contains(&live.facts.phase.0)).count();
        assert!((7..=13).contains(&within), "{within} in {from} to {to}");
    }
    drop(state);
    drop(entries);
    assert_eq!(connections.len(), 0);
}

#[tokio::test]
async fn whoever_waits_for_the_last_connection_is_told() {
    let ca = Authority::new("root");
    let (connections, leaf) = (connections(DrainPolicy::default()), leaf(&ca));
    let generation = Generations::new(&[&ca]).0;
    connections.publish(Arc::clone(&generation));
    let entries = [(); 2].map(|()| connections.enter(session(&generation, &leaf)).unwrap());
    let waiting = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { connections.emptied().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(entries);
    waiting.await.unwrap();
}
