//! Clients that keep sessions, and try to resume them after what they were verified by has changed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::server::IncomingSettings;
use evercert::tls::{Resumption, ServerTls};
use evercert::{Identity, TlsVersions};
use evercert_fixtures::{Authority, Issued, Leaf};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex};
use tokio::sync::oneshot;

use super::clients::{accepted, alert, client_with, tcp};
use super::serving::listen;
use super::support::{Script, server_leaf, snapshot, soon};

static EACH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];

/// A tonic server with gRPC health, which lets clients resume.
async fn serve(identity: &Identity) -> u16 {
    let (listener, port) = listen().await;
    let tls = ServerTls::default().versions(TlsVersions::Tls12And13).resumption(Resumption::PerGeneration);
    let incoming = identity.incoming_with(listener, IncomingSettings::default().tls(tls));
    let server = tonic::transport::Server::builder().add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));
    port
}

fn keeping(ca: &Authority, own: &Issued, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut config = client_with(ca, Some(own), versions);
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// How the client and the server, which accepted it, shook hands.
async fn reconnect(config: &Arc<ClientConfig>, port: u16) -> io::Result<HandshakeKind> {
    Ok(accepted(config, tcp(port).await).await?.get_ref().1.handshake_kind().unwrap())
}

#[tokio::test]
async fn a_client_resumes_until_the_next_generation_and_then_shakes_hands_in_full() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let port = serve(&script.identity().await).await;
    let own = ca.issue_dns("client.example.org");
    let clients = EACH.map(|versions| keeping(&ca, &own, versions));
    for generation in 2..4 {
        for config in &clients {
            assert_eq!(reconnect(config, port).await.unwrap(), HandshakeKind::Full);
            assert_eq!(reconnect(config, port).await.unwrap(), HandshakeKind::Resumed);
            assert_eq!(reconnect(config, port).await.unwrap(), HandshakeKind::Resumed);
        }
        script.publish(snapshot(generation, &server_leaf(&ca), &[&ca])).await;
    }
}

#[tokio::test]
async fn a_session_under_a_removed_ca_opens_nothing() {
    let (ca, removed) = (Authority::new("root"), Authority::new("removed"));
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca, &removed]));
    let port = serve(&script.identity().await).await;
    let own = removed.issue_dns("client.example.org");
    let clients = EACH.map(|versions| keeping(&ca, &own, versions));
    for config in &clients {
        reconnect(config, port).await.unwrap();
        assert_eq!(reconnect(config, port).await.unwrap(), HandshakeKind::Resumed);
    }
    script.publish(snapshot(2, &server_leaf(&ca), &[&ca])).await;
    for config in &clients {
        assert_eq!(alert(reconnect(config, port).await), AlertDescription::UnknownCA);
    }
}

#[tokio::test]
async fn a_handshake_that_a_swap_overtakes_leaves_the_new_generation_no_session() {
    let ca = Authority::new("root");
    let script = Script::of(snapshot(1, &server_leaf(&ca), &[&ca]));
    let port = serve(&script.identity().await).await;
    let own = ca.issue_dns("client.example.org");
    for (versions, generation) in EACH.into_iter().zip(2..) {
        let config = keeping(&ca, &own, versions);
        // Between the two ends, so that the server's answer can be held back.
        let (ours, mut relayed) = duplex(1 << 16);
        let mut server = tcp(port).await;
        let (swapped, swap) = oneshot::channel();
        let (answered, answer) = oneshot::channel();
        tokio::spawn(async move {
            let mut hello = vec![0; 1 << 14];
            let length = relayed.read(&mut hello).await.unwrap();
            server.write_all(&hello[..length]).await.unwrap();
            server.readable().await.unwrap();
            answered.send(()).unwrap();
            swap.await.unwrap();
            let _ = copy_bidirectional(&mut relayed, &mut server).await;
        });
        let overtaken = tokio::spawn({
            let config = Arc::clone(&config);
            async move { accepted(&config, ours).await }
        });
        soon(answer).await.unwrap();
        script.publish(snapshot(generation, &server_leaf(&ca), &[&ca])).await;
        swapped.send(()).unwrap();
        soon(overtaken).await.unwrap().unwrap();
        assert_eq!(reconnect(&config, port).await.unwrap(), HandshakeKind::Full);
        assert_eq!(reconnect(&config, port).await.unwrap(), HandshakeKind::Resumed);
    }
}

#[tokio::test]
async fn a_session_does_not_outlast_the_clients_leaf() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let now = SystemTime::now();
    let end = now + Duration::from_secs(4);
    let expiring = ca.issue(Leaf::for_dns("client.example.org").valid(now - Duration::from_secs(60), end));
    let lasting = ca.issue_dns("client.example.org");
    let mut servers = Vec::new();
    for versions in EACH {
        let port = serve(&identity).await;
        let (expiring, lasting) = (keeping(&ca, &expiring, versions), keeping(&ca, &lasting, versions));
        for config in [&expiring, &lasting] {
            reconnect(config, port).await.unwrap();
            assert_eq!(reconnect(config, port).await.unwrap(), HandshakeKind::Resumed);
        }
        servers.push((port, expiring, lasting));
    }
    // The clock has to get there.
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_secs(1)).await;
    for (port, expiring, lasting) in servers {
        assert_eq!(reconnect(&expiring, port).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reconnect(&lasting, port).await.unwrap(), HandshakeKind::Full, "all sessions are forgotten with it");
        assert_eq!(alert(reconnect(&expiring, port).await), AlertDescription::CertificateExpired);
        assert_eq!(reconnect(&lasting, port).await.unwrap(), HandshakeKind::Resumed);
    }
}
