//! Trust that time alone changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::Identity;
use evercert::identity::StaleCrls;
use evercert::server::{AcceptLimits, DrainPolicy, IncomingSettings};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::Authority;
use tokio::io::AsyncReadExt;
use tonic_health::server::health_reporter;

use super::clients::{client, connect};
use super::serving::listen;
use super::support::{DEADLINE, Script, credential, server_leaf, soon};

/// One CA for servers, and one for clients whose CRL is stale in two seconds.
fn soon_stale(ca: &Authority, clients: &Authority) -> Snapshot {
    let now = SystemTime::now();
    let crl = clients.crl_valid(&[], now - Duration::from_secs(60), now + Duration::from_secs(2));
    let anchors = [ca, clients].map(|authority| authority.ca_der().to_vec().into());
    let own = Some(Arc::new(Bundle::new(anchors.into(), vec![crl.der.into()])));
    Snapshot::new(1, credential(&server_leaf(ca)), Bundles { own, ..Bundles::default() }, None)
}

/// Whether a live peer, and a new one, are accepted once the CRL of their CA is stale.
async fn accepted_when_stale(answer: StaleCrls) -> (bool, bool) {
    let (ca, clients) = (Authority::new("root"), Authority::new("clients"));
    let snapshot = soon_stale(&ca, &clients);
    let next_update = SystemTime::now() + Duration::from_secs(3);
    let script = Script::of(snapshot);
    let builder = Identity::from_source("test", script.clone()).timeout(DEADLINE).stale_crls(answer);
    let identity = builder.await.unwrap();
    let (listener, port) = listen().await;
    let policy = DrainPolicy::default().untrusted_timeout(Duration::ZERO).untrusted_spread(Duration::ZERO);
    // This peer never says anything; nothing else is to end it.
    let limits = AcceptLimits::default().preface(2 * DEADLINE);
    let settings = IncomingSettings::default().drain_policy(policy).accept_limits(limits);
    let incoming = identity.incoming_with(listener, settings);
    let server = tonic::transport::Server::builder().add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let theirs = || client(&ca, Some(&clients.issue_dns("client.example.org")));
    let mut live = soon(connect(theirs(), port)).await.unwrap();
    tokio::time::sleep(next_update.duration_since(SystemTime::now()).unwrap_or_default()).await;
    let new = soon(connect(theirs(), port)).await.is_ok();
    let ended = async { while live.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    let ended = tokio::time::timeout(if new { Duration::from_millis(500) } else { DEADLINE }, ended).await.is_ok();
    (!ended, new)
}

#[tokio::test]
async fn peers_under_a_stale_crl_stay_unless_they_are_to_be_rejected() {
    assert_eq!(accepted_when_stale(StaleCrls::Accept).await, (true, true));
    assert_eq!(accepted_when_stale(StaleCrls::Reject).await, (false, false));
}
