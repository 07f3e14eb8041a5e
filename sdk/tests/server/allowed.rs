//! Servers that let in whom a list names, and nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use evercert::server::DrainPolicy;
use evercert::tls::{AllowedPeers, PeerList, Resumption};
use evercert::{ClientCertificates, Server, TlsVersions};
use evercert_fixtures::{Authority, Issued, Leaf};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, HandshakeKind};
use tonic::Code;

use super::clients::{accepted, alert, client, client_with, connect, tcp};
use super::draining::Stage;
use super::patient::{goes_on, reading, watch};
use super::serving::serve;
use super::support::{Script, server_leaf, snapshot, soon};

const BILLING: &str = "spiffe://example.org/billing";
const OTHER: &str = "spiffe://example.org/other";

fn svid(ca: &Authority, id: &str) -> Issued {
    ca.issue(Leaf::for_dns("client.example.org").uri(id))
}

fn only(id: &str) -> PeerList {
    PeerList::default().spiffe_id(id.parse().unwrap())
}

/// A server that lets billing in, and the peers of a partner's trust domain.
async fn stage(turn: impl FnOnce(Server) -> Server) -> (Stage, AllowedPeers) {
    let allowed = AllowedPeers::new(only(BILLING).trust_domain("partner.example.org".parse().unwrap()));
    let stage = Stage::new(|server| turn(server.allowed_peers(&allowed)), &[]).await;
    (stage, allowed)
}

#[tokio::test]
async fn peers_on_the_list_are_let_in_and_others_are_refused_with_an_alert_and_counted() {
    let (stage, allowed) = stage(|server| server.tls_versions(TlsVersions::Tls12And13)).await;
    let Stage { ca, port, .. } = &stage;
    for id in [BILLING, "spiffe://partner.example.org/whoever"] {
        connect(client(ca, Some(&svid(ca, id))), *port).await.unwrap();
    }
    assert_eq!(allowed.refused(), 0);
    let nameless = ca.issue_dns("client.example.org");
    let two = ca.issue(Leaf::for_dns("client.example.org").uri(BILLING).uri(OTHER));
    let refused = [svid(ca, OTHER), svid(ca, "spiffe://example.org/billing/a"), nameless, two];
    for (version, so_far) in [(&TLS13, 0), (&TLS12, 4)] {
        for (leaf, count) in refused.iter().zip(so_far + 1..) {
            let outcome = connect(client_with(ca, Some(leaf), &[version]), *port).await;
            assert_eq!(alert(outcome), AlertDescription::AccessDenied);
            assert_eq!(allowed.refused(), count);
        }
    }
}

#[tokio::test]
async fn a_name_on_the_list_does_not_make_up_for_the_path_and_is_not_counted() {
    let (stage, allowed) = stage(|server| server).await;
    let foreign = Authority::new("foreign");
    for id in [BILLING, OTHER] {
        let outcome = connect(client(&stage.ca, Some(&svid(&foreign, id))), stage.port).await;
        assert_eq!(alert(outcome), AlertDescription::UnknownCA);
    }
    assert_eq!(allowed.refused(), 0);
}

#[tokio::test]
async fn a_session_is_not_resumed_by_a_peer_that_has_left_the_list() {
    for version in [&TLS13, &TLS12] {
        let (stage, allowed) =
            stage(|server| server.tls_versions(TlsVersions::Tls12And13).resumption(Resumption::PerGeneration)).await;
        let mut config = client_with(&stage.ca, Some(&svid(&stage.ca, BILLING)), &[version]);
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let reconnect = async || {
            let stream = accepted(&config, tcp(stage.port).await).await?;
            Ok::<_, io::Error>(stream.get_ref().1.handshake_kind().unwrap())
        };
        assert_eq!(reconnect().await.unwrap(), HandshakeKind::Full);
        assert_eq!(reconnect().await.unwrap(), HandshakeKind::Resumed);
        allowed.replace(only(OTHER));
        // It resumes, and there is no alert for that any more: the connection is closed.
        assert_eq!(reconnect().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(alert(reconnect().await), AlertDescription::AccessDenied);
        assert_eq!(allowed.refused(), 2);
    }
}

#[tokio::test]
async fn another_list_ends_the_connections_of_peers_that_it_does_not_let_in_and_no_others() {
    let (stage, allowed) = stage(|server| {
        let policy = DrainPolicy::default().untrusted_timeout(Duration::from_millis(500));
        server.drain_policy(policy)
    })
    .await;
    let leaving = stage.client_with(&svid(&stage.ca, BILLING)).await;
    let stuck = reading(watch(&leaving).await);
    let staying = stage.client_with(&svid(&stage.ca, "spiffe://partner.example.org/a")).await;
    let mut going_on = watch(&staying).await;
    stage.connections(2).await;

    allowed.replace(only(OTHER).trust_domain("partner.example.org".parse().unwrap()));
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    stage.connections(1).await;
    assert!(goes_on(&mut going_on).await);
    // Who is on the list again is let in again.
    let back = connect(client(&stage.ca, Some(&svid(&stage.ca, BILLING))), stage.port).await;
    assert_eq!(alert(back), AlertDescription::AccessDenied);
    allowed.replace(only(BILLING));
    connect(client(&stage.ca, Some(&svid(&stage.ca, BILLING))), stage.port).await.unwrap();
    stage.connections(0).await;
}

#[tokio::test]
async fn a_change_of_trust_does_not_let_a_peer_stay_that_has_left_the_list() {
    let (stage, allowed) = stage(|server| {
        let policy = DrainPolicy::default().untrusted_timeout(Duration::from_secs(2));
        server.drain_policy(policy)
    })
    .await;
    let leaving = stage.client_with(&svid(&stage.ca, BILLING)).await;
    let stuck = reading(watch(&leaving).await);
    let staying = stage.client_with(&svid(&stage.ca, "spiffe://partner.example.org/a")).await;
    let mut going_on = watch(&staying).await;
    allowed.replace(PeerList::default().trust_domain("partner.example.org".parse().unwrap()));
    let also = Authority::new("also");
    stage.script.publish(snapshot(2, &server_leaf(&stage.ca), &[&stage.ca, &also])).await;
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    assert!(goes_on(&mut going_on).await);
}

#[tokio::test]
async fn where_certificates_are_optional_a_client_without_one_is_let_in() {
    let (stage, _allowed) = stage(|server| server.client_certificates(ClientCertificates::Optional)).await;
    connect(client(&stage.ca, None), stage.port).await.unwrap();
    let refused = connect(client(&stage.ca, Some(&svid(&stage.ca, OTHER))), stage.port).await;
    assert_eq!(alert(refused), AlertDescription::AccessDenied);
}

#[tokio::test]
async fn a_list_without_asking_for_certificates_is_refused_at_the_start() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let allowed = AllowedPeers::new(only(BILLING));
    let server = Server::new(&identity).client_certificates(ClientCertificates::None).allowed_peers(&allowed);
    let (_, _stop, serving) = serve(server).await;
    let refused = soon(serving).await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("a list of allowed peers needs their certificates"), "{refused}");
}
