//! The own leaf expires and nothing newer comes.

use std::time::{Duration, SystemTime};

use evercert::Refusal;
use evercert::health::Health;
use evercert::identity::{ConfigError, ExpiryPolicy};
use evercert::source::Outcome;
use evercert::tls::ServerTls;
use evercert::{Identity, Server};
use evercert_fixtures::{Authority, Issued, Leaf};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::clients::{channel, client, served};
use super::serving::{listen, nobody_asked};
use super::support::{DEADLINE, NAME, Script, server_leaf, snapshot, soon};

/// A leaf that is valid for another second or two.
fn ending(authority: &Authority) -> Issued {
    let now = SystemTime::now();
    authority.issue(Leaf::for_dns(NAME).valid(now - Duration::from_secs(60), now + Duration::from_secs(2)))
}

async fn expired(identity: &Identity) {
    soon(async {
        while !identity.status().expired {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn with(policy: ExpiryPolicy, script: &std::sync::Arc<Script>) -> Identity {
    let builder = Identity::from_source("test", script.clone()).timeout(DEADLINE).expiry_policy(policy);
    let identity = builder.await.unwrap();
    assert_eq!(script.report().await.outcome, Outcome::Current);
    identity
}

#[tokio::test]
async fn a_leaf_that_expired_is_presented_on_unless_told_otherwise() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &ending(&ca), &[&ca]));
    let identity = with(ExpiryPolicy::default(), &script).await;
    let certifier = identity.certifier().unwrap();
    expired(&identity).await;
    identity.server_config(&ServerTls::default()).unwrap();
    assert!(rustls::client::ResolvesClientCert::has_certs(&certifier));
    assert!(script.no_report().await);
}

#[tokio::test]
async fn who_fails_closed_presents_no_expired_leaf_until_a_newer_one_comes() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &ending(&ca), &[&ca]));
    let identity = with(ExpiryPolicy::FailClosed, &script).await;
    let certifier = identity.certifier().unwrap();
    let (listener, port) = listen().await;
    let incoming = identity.incoming_with(listener, nobody_asked());
    let health = Health::new(&identity).service();
    tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    let old = script.report();
    let report = soon(old).await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::Expired(_))), "{report:?}");
    assert!(!rustls::client::ResolvesClientCert::has_certs(&certifier));
    let error = identity.server_config(&ServerTls::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Refused(Refusal::Expired(_))), "{error}");
    assert!(super::clients::connect(client(&ca, None), port).await.is_err(), "a connection was answered");
    assert!(matches!(
        Server::new(&identity).serve(tonic::service::Routes::default(), listen().await.0, std::future::ready(())).await,
        Err(evercert::server::ServeError::Refused(Refusal::Expired(_)))
    ));

    let report = script.publish(snapshot(2, &ending_before(&ca), &[&ca])).await;
    assert!(
        matches!(report.outcome, Outcome::Refused(Refusal::Expired(_))),
        "an expired one is no way out: {report:?}"
    );
    let new = server_leaf(&ca);
    assert_eq!(script.publish(snapshot(3, &new, &[&ca])).await.outcome, Outcome::Current);
    assert_eq!(served(client(&ca, None), port).await, new.serial_number());
    let mut health = HealthClient::new(channel(client(&ca, None), port).await);
    let status = soon(health.check(HealthCheckRequest::default())).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
}

/// A leaf that has expired already.
fn ending_before(authority: &Authority) -> Issued {
    let now = SystemTime::now();
    authority.issue(Leaf::for_dns(NAME).valid(now - Duration::from_secs(60), now - Duration::from_secs(10)))
}
