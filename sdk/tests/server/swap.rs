//! From a snapshot to the next handshake, and to the report.

use std::collections::BTreeMap;
use std::sync::Arc;

use evercert::Refusal;
use evercert::server::IncomingSettings;
use evercert::source::Outcome;
use evercert::tls::{ClientTls, ServerTls};
use evercert::{ClientCertificates, Identity};
use evercert_core::bundle::Bundles;
use evercert_core::crypto::provider;
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Leaf};
use rustls::{AlertDescription, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;

use super::clients::{accepted, alert, channel, client, connect, serial, served, tcp};
use super::serving::{listen, nobody_asked};
use super::support::{Script, bundle, credential, server_leaf, snapshot, soon};

async fn serve(identity: &Identity, settings: IncomingSettings) -> u16 {
    let (listener, port) = listen().await;
    let incoming = identity.incoming_with(listener, settings);
    let server = tonic::transport::Server::builder().add_service(health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    port
}

#[tokio::test]
async fn a_swap_serves_the_new_certificate_and_leaves_the_old_connection_alone() {
    let ca = Authority::new("root");
    let (old, new) = (server_leaf(&ca), server_leaf(&ca));
    let script = Script::of(snapshot(1, &old, &[&ca]));
    let mut identity = script.identity().await;
    let port = serve(&identity, nobody_asked()).await;
    let mut health = HealthClient::new(channel(client(&ca, None), port).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
    assert_eq!(served(client(&ca, None), port).await, old.serial_number());

    let report = script.publish(snapshot(2, &new, &[&ca])).await;
    assert_eq!((report.generation, report.outcome), (2, Outcome::Current));
    assert_eq!(report.not_after, identity.status().not_after);
    assert_eq!(soon(identity.changed()).await.snapshot().generation(), 2);
    assert_eq!(served(client(&ca, None), port).await, new.serial_number());
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
}

#[tokio::test]
async fn a_ca_that_left_the_bundle_is_turned_away_at_the_next_handshake() {
    let (ca, leaving) = (Authority::new("root"), Authority::new("leaving"));
    let leaf = server_leaf(&ca);
    let script = Script::of(snapshot(1, &leaf, &[&ca, &leaving]));
    let identity = script.identity().await;
    let port = serve(&identity, IncomingSettings::default()).await;
    let (own, others) = (ca.issue_dns("client.example.org"), leaving.issue_dns("client.example.org"));
    let theirs = Arc::new(client(&ca, Some(&others)));
    accepted(&theirs, tcp(port).await).await.unwrap();

    script.publish(snapshot(2, &leaf, &[&ca])).await;
    assert_eq!(alert(accepted(&theirs, tcp(port).await).await), AlertDescription::UnknownCA);
    connect(client(&ca, Some(&own)), port).await.unwrap();
}

#[tokio::test]
async fn a_generation_that_one_server_cannot_use_is_refused_for_all() {
    let ca = Authority::new("root");
    let (old, new) = (server_leaf(&ca), server_leaf(&ca));
    let script = Script::of(snapshot(1, &old, &[&ca]));
    let mut identity = script.identity().await;
    let tolerant = serve(&identity, nobody_asked()).await;
    let demanding = serve(&identity, IncomingSettings::default()).await;

    let report = script.publish(Snapshot::new(2, credential(&new), Bundles::default(), None)).await;
    let Outcome::Refused(Refusal::Incomplete(what)) = &report.outcome else { panic!("{report:?}") };
    assert!(what.contains("bundle"), "{what}");
    assert_eq!(report.generation, 2);
    let status = identity.status();
    assert_eq!(report.not_after, status.not_after);
    assert_eq!(status.generation, Some(1));
    assert_eq!(status.refused.unwrap().generation, 2);
    assert_eq!(served(client(&ca, None), tolerant).await, old.serial_number());
    let own = ca.issue_dns("client.example.org");
    assert_eq!(served(client(&ca, Some(&own)), demanding).await, old.serial_number());

    let report = script.publish(Snapshot::new(3, None, bundle(&[&ca]), None)).await;
    assert!(matches!(&report.outcome, Outcome::Refused(Refusal::Incomplete(what)) if what.contains("credential")));
    assert_eq!(served(client(&ca, None), tolerant).await, old.serial_number());

    let report = script.publish(snapshot(4, &new, &[&ca])).await;
    assert_eq!(report.outcome, Outcome::Current);
    assert_eq!(soon(identity.changed()).await.snapshot().generation(), 4);
    assert_eq!(identity.status().refused, None);
    assert_eq!(served(client(&ca, None), tolerant).await, new.serial_number());
}

#[tokio::test]
async fn what_could_not_use_the_generation_in_use_does_not_hold_back_the_next_one() {
    let ca = Authority::new("root");
    let (old, new) = (server_leaf(&ca), server_leaf(&ca));
    let script = Script::of(Snapshot::new(1, credential(&old), Bundles::default(), None));
    let identity = script.identity().await;
    let port = serve(&identity, nobody_asked()).await;
    let demanding = serve(&identity, IncomingSettings::default()).await;

    let report = script.publish(Snapshot::new(2, credential(&new), Bundles::default(), None)).await;
    assert_eq!(report.outcome, Outcome::Current);
    assert_eq!(served(client(&ca, None), port).await, new.serial_number());

    // With a generation in use it has a say.
    assert_eq!(script.publish(snapshot(3, &old, &[&ca])).await.outcome, Outcome::Current);
    let own = ca.issue_dns("client.example.org");
    assert_eq!(served(client(&ca, Some(&own)), demanding).await, old.serial_number());
    let report = script.publish(Snapshot::new(4, credential(&new), Bundles::default(), None)).await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::Incomplete(_))), "{report:?}");
}

#[tokio::test]
async fn a_key_that_is_not_the_leafs_is_refused() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let mut mixed = server_leaf(&ca);
    mixed.key_der = server_leaf(&ca).key_der;
    let report = script.publish(snapshot(2, &mixed, &[&ca])).await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::Credential(_))), "{report:?}");
    assert_eq!(identity.status().generation, Some(1));
}

#[tokio::test]
async fn the_same_content_under_another_number_is_no_swap() {
    let ca = Authority::new("root");
    let leaf = server_leaf(&ca);
    let script = Script::of(snapshot(5, &leaf, &[&ca]));
    let mut identity = script.identity().await;
    let before = identity.current().unwrap();
    let report = script.publish(snapshot(1, &leaf, &[&ca])).await;
    assert_eq!((report.generation, report.outcome), (1, Outcome::Current));
    assert_eq!(identity.status().generation, Some(1));
    let now = identity.current().unwrap();
    assert!(Arc::ptr_eq(before.certified_key().unwrap(), now.certified_key().unwrap()));
    let changed = tokio::time::timeout(std::time::Duration::from_millis(50), identity.changed()).await;
    assert!(changed.is_err());
}

#[tokio::test]
async fn a_lost_source_changes_the_status_and_nothing_else() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    assert!(identity.status().source_connected);
    script.lose("the daemon at /run/agent.sock is gone");
    soon(async {
        while identity.status().source_connected {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = identity.status();
    assert_eq!(status.trouble.as_deref(), Some("the daemon at /run/agent.sock is gone"));
    assert_eq!(status.generation, Some(1));
    assert!(script.no_report().await, "a report though nothing was delivered");
}

#[tokio::test]
async fn a_pending_identity_closes_connections_at_once_and_recovers_by_itself() {
    let ca = Authority::new("root");
    let leaf = server_leaf(&ca);
    let script = Script::new();
    let identity = Identity::from_source("test", script.clone()).start_pending().unwrap();
    let port = serve(&identity, nobody_asked()).await;
    let mut refused = tcp(port).await;
    assert_eq!(soon(refused.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert!(matches!(identity.server_config(&ServerTls::default()), Err(evercert::identity::ConfigError::Pending(_))));

    script.publish(snapshot(1, &leaf, &[&ca])).await;
    assert_eq!(served(client(&ca, None), port).await, leaf.serial_number());
    drop(identity);
}

#[tokio::test]
async fn a_start_without_a_generation_says_what_the_source_said() {
    let script = Script::new();
    script.lose("nobody listens on /run/agent.sock");
    let start = Identity::from_source("web", script).timeout(std::time::Duration::from_millis(20));
    let error = start.await.unwrap_err().to_string();
    assert_eq!(error, "identity web has no generation after 0.02 s: nobody listens on /run/agent.sock");
}

#[tokio::test]
async fn a_certifier_swaps_inside_a_config_of_the_users_own() {
    let ca = Authority::new("root");
    let (old, new) = (server_leaf(&ca), server_leaf(&ca));
    let script = Script::of(snapshot(1, &old, &[&ca]));
    let identity = script.identity().await;
    let certifier = Arc::new(identity.certifier().unwrap());
    drop(identity);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certifier.clone());
    config.send_tls13_tickets = 0;
    let (listener, port) = listen().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(io).await {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let served = async || serial(&connect(client(&ca, None), port).await.unwrap());
    let mut no_alpn = client(&ca, None);
    no_alpn.alpn_protocols.clear();
    assert_eq!(serial(&connect(no_alpn, port).await.unwrap()), old.serial_number());
    script.publish(snapshot(2, &new, &[&ca])).await;
    assert_eq!(served().await, new.serial_number());
    let report = script.publish(Snapshot::new(3, None, bundle(&[&ca]), None)).await;
    assert!(matches!(report.outcome, Outcome::Refused(Refusal::Incomplete(_))));
    assert_eq!(served().await, new.serial_number());
}

#[tokio::test]
async fn the_task_ends_with_the_last_handle() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let identity = script.identity().await;
    let clone = identity.clone();
    drop(identity);
    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    let certifier = clone.certifier().unwrap();
    drop(clone);
    script.publish(snapshot(3, &server_leaf(&ca), &[&ca])).await;
    drop(certifier);
    script.abandoned().await;
}

#[tokio::test]
async fn an_identity_that_only_trusts_makes_a_client_and_no_server() {
    let ca = Authority::new("root");
    let trusting = Snapshot::new(1, None, bundle(&[&ca]), None);
    let identity = Script::of(trusting).identity().await;
    let server = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let port = serve(&server, nobody_asked()).await;
    connect(identity.client_config(&ClientTls::default()).unwrap(), port).await.unwrap();
    let none = ServerTls::default().client_certificates(ClientCertificates::None);
    assert!(identity.server_config(&none).is_err());
    assert!(identity.certifier().is_err());
}

#[tokio::test]
async fn a_hundred_swaps_under_load_serve_only_whole_generations() {
    let ca = Authority::new("root");
    let leaves = ca.issue_all((0..100).map(|_| Leaf::for_dns(super::support::NAME)));
    let script = Script::of(snapshot(1, &leaves[0], &[&ca]));
    let identity = script.identity().await;
    let port = serve(&identity, nobody_asked()).await;
    let known: BTreeMap<u64, usize> = leaves.iter().enumerate().map(|(i, leaf)| (leaf.serial_number(), i)).collect();
    let load = tokio::spawn({
        let config = Arc::new(client(&ca, None));
        async move {
            let mut last = 0;
            while last < 99 {
                let stream = accepted(&config, tcp(port).await).await.unwrap();
                let served = known[&serial(&stream)];
                assert!(served >= last, "generation {served} after {last}");
                last = served;
            }
        }
    });
    for (i, leaf) in leaves.iter().enumerate().skip(1) {
        assert_eq!(script.publish(snapshot(i as u64 + 1, leaf, &[&ca])).await.outcome, Outcome::Current);
    }
    soon(load).await.unwrap();
}
