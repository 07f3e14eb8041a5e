//! Clients a server accepts or turns away, and what it tells the latter.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::server::{AcceptLimits, IncomingSettings};
use evercert::tls::ServerTls;
use evercert::{ClientCertificates, Identity, TlsVersions};
use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Leaf};
use rustls::client::Resumption;
use rustls::{AlertDescription, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::health_client::HealthClient;

use super::clients::{BOTH, TLS12, accepted, alert, channel, client, client_with, connect, tcp};
use super::serving::listen;
use super::support::{Script, server_leaf, snapshot, soon};

/// A tonic server with gRPC health over the identity's connections.
async fn serve(identity: &Identity, tls: ServerTls) -> u16 {
    let (listener, port) = listen().await;
    let incoming = identity.incoming_with(listener, IncomingSettings::default().tls(tls));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    port
}

fn asking(client_certificates: ClientCertificates) -> ServerTls {
    ServerTls::default().client_certificates(client_certificates)
}

#[tokio::test]
async fn client_certificates_are_required_optional_or_not_asked_for() {
    let (ca, other) = (Authority::new("root"), Authority::new("other"));
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (own, foreign) = (ca.issue_dns("client.example.org"), other.issue_dns("client.example.org"));

    let port = serve(&identity, asking(ClientCertificates::Required)).await;
    connect(client(&ca, Some(&own)), port).await.unwrap();
    assert_eq!(alert(connect(client(&ca, None), port).await), AlertDescription::CertificateRequired);
    assert_eq!(alert(connect(client(&ca, Some(&foreign)), port).await), AlertDescription::UnknownCA);

    let port = serve(&identity, asking(ClientCertificates::Optional)).await;
    connect(client(&ca, Some(&own)), port).await.unwrap();
    connect(client(&ca, None), port).await.unwrap();
    assert_eq!(alert(connect(client(&ca, Some(&foreign)), port).await), AlertDescription::UnknownCA);

    let port = serve(&identity, asking(ClientCertificates::None)).await;
    connect(client(&ca, Some(&foreign)), port).await.unwrap();
    connect(client(&ca, None), port).await.unwrap();
}

#[tokio::test]
async fn a_client_is_told_what_is_wrong_with_its_certificate() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let port = serve(&identity, ServerTls::default()).await;
    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    let leaf = || Leaf::for_dns("client.example.org");
    for (leaf, expected) in [
        (leaf().valid(now - 2 * hour, now - hour), AlertDescription::CertificateExpired),
        (leaf().valid(now + hour, now + 2 * hour), AlertDescription::CertificateExpired),
        (leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::ServerAuth]), AlertDescription::UnsupportedCertificate),
        (leaf().ca(), AlertDescription::CertificateUnknown),
    ] {
        assert_eq!(alert(connect(client(&ca, Some(&ca.issue(leaf))), port).await), expected);
    }
}

#[tokio::test]
async fn tls_1_2_is_refused_unless_it_is_asked_for() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let own = ca.issue_dns("client.example.org");
    let port = serve(&identity, ServerTls::default()).await;
    let old = || client_with(&ca, Some(&own), &TLS12);
    assert_eq!(alert(connect(old(), port).await), AlertDescription::ProtocolVersion);

    let both = ServerTls::default().versions(TlsVersions::Tls12And13);
    let port = serve(&identity, both).await;
    let stream = connect(old(), port).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let stream = connect(client(&ca, Some(&own)), port).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let tls = ServerTls::default().versions(TlsVersions::Tls12And13);
    let port = serve(&identity, tls).await;
    let own = ca.issue_dns("client.example.org");
    for versions in [&BOTH[..], &TLS12] {
        let mut config = client_with(&ca, Some(&own), versions);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for _ in 0..3 {
            // Reading to the end takes up every ticket there is.
            let mut stream = accepted(&config, tcp(port).await).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            stream.shutdown().await.unwrap();
            let _ = soon(stream.read_to_end(&mut Vec::new())).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_http_2_is_turned_away() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let port = serve(&identity, asking(ClientCertificates::None)).await;
    let mut http_1 = client(&ca, None);
    http_1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert_eq!(alert(connect(http_1, port).await), AlertDescription::NoApplicationProtocol);
    let mut without = client(&ca, None);
    without.alpn_protocols.clear();
    assert_eq!(connect(without, port).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn many_handshakes_at_once_all_succeed_whatever_the_pool() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let limits = AcceptLimits::default().computing(1).unfinished(3);
    let incoming = identity.incoming_with(listener, IncomingSettings::default().accept_limits(limits));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    let own = ca.issue_dns("client.example.org");
    let calls = (0..64).map(|_| {
        let config = client(&ca, Some(&own));
        tokio::spawn(async move {
            let mut health = HealthClient::new(channel(config, port).await);
            soon(health.check(tonic_health::pb::HealthCheckRequest::default())).await.unwrap();
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}
