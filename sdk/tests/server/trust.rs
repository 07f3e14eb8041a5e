//! A trust change bites connections that exist, and those on their way.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert::server::{DrainPolicy, IncomingSettings};
use evercert::source::Outcome;
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Issued, Leaf};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::clients::{channel, client, tcp};
use super::draining::Stage;
use super::patient::{Patient, check, goes_on, reading, silent_watch, slow_check, watch};
use super::serving::listen;
use super::support::{NAME, Script, bundle, credential, server_leaf, snapshot, soon};

/// So that a stuck call is not waited for.
fn brief(server: evercert::Server) -> evercert::Server {
    server.drain_policy(DrainPolicy::default().untrusted_timeout(Duration::from_secs(3)))
}

#[tokio::test]
async fn a_removed_ca_ends_only_its_connections() {
    let leaving = Authority::new("leaving");
    let stage = Stage::new(brief, &[&leaving]).await;
    let (kept, others) = (stage.client().await, stage.client_with(&leaving.issue_dns("client.example.org")).await);
    let mut going_on = watch(&kept).await;
    let kept_call = slow_check(&kept);
    let stuck = reading(silent_watch(&others).await);
    let running = slow_check(&others);
    stage.connections(2).await;

    stage.script.publish(snapshot(2, &stage.leaf, &[&stage.ca])).await;
    // It is drained, so what can finish does.
    stage.patient.slow.add_permits(2);
    soon(running).await.unwrap().unwrap();
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    stage.connections(1).await;
    assert!(goes_on(&mut going_on).await);
    soon(kept_call).await.unwrap().unwrap();
    check(&kept).await.unwrap();
    assert_eq!(stage.identity.status().connections_on_older, 1, "it is the same connection still");
    assert!(check(&others).await.is_err());
}

/// A bundle of that CA with a CRL that revokes this.
fn with_crl(ca: &Authority, revoked: &Issued) -> Bundles {
    let bundle = Bundle::new(vec![ca.ca_der().to_vec().into()], vec![ca.crl(&[revoked]).der.into()]);
    Bundles { own: Some(Arc::new(bundle)), federated: BTreeMap::new() }
}

#[tokio::test]
async fn a_peer_that_a_crl_revokes_is_ended_and_no_other() {
    let stage = Stage::new(brief, &[]).await;
    let revoked = stage.ca.issue_dns("client.example.org");
    let (theirs, kept) = (stage.client_with(&revoked).await, stage.client().await);
    let (stuck, mut going_on) = (reading(silent_watch(&theirs).await), watch(&kept).await);
    stage.connections(2).await;
    let bundles = with_crl(&stage.ca, &revoked);
    let report = stage.script.publish(Snapshot::new(2, credential(&stage.leaf), bundles, None)).await;
    assert_eq!(report.outcome, Outcome::Current);
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    stage.connections(1).await;
    assert!(goes_on(&mut going_on).await);
    assert!(check(&theirs).await.is_err());
}

/// A handshake up to where the client has all it needs to finish it.
async fn held(config: rustls::ClientConfig, port: u16) -> (ClientConnection, TcpStream) {
    let mut io = tcp(port).await;
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap();
    while tls.is_handshaking() {
        let mut out = Vec::new();
        tls.write_tls(&mut out).unwrap();
        io.write_all(&out).await.unwrap();
        let mut buffer = [0; 4096];
        let count = soon(io.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0);
        let mut read = &buffer[..count];
        while !read.is_empty() {
            tls.read_tls(&mut read).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    // Certificate, CertificateVerify and Finished have not been sent.
    assert!(tls.wants_write());
    (tls, io)
}

/// Finishes the handshake, and gives what the server says after it: its SETTINGS, or nothing.
async fn finish((mut tls, mut io): (ClientConnection, TcpStream)) -> Vec<u8> {
    tls.writer().write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut out = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut out).unwrap();
    }
    io.write_all(&out).await.unwrap();
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let Ok(count @ 1..) = soon(io.read(&mut buffer)).await else { return said };
        let mut read = &buffer[..count];
        while !read.is_empty() {
            tls.read_tls(&mut read).unwrap();
            tls.process_new_packets().unwrap();
        }
        let _ = tls.reader().read_to_end(&mut said);
        if !said.is_empty() {
            return said;
        }
    }
}

#[tokio::test]
async fn a_handshake_begun_before_its_ca_is_dropped_does_not_survive() {
    let leaving = Authority::new("leaving");
    let stage = Stage::new(|server| server, &[&leaving]).await;
    let (own, others) = (stage.ca.issue_dns("client.example.org"), leaving.issue_dns("client.example.org"));
    let trusted = held(client(&stage.ca, Some(&own)), stage.port).await;
    let dropped = held(client(&stage.ca, Some(&others)), stage.port).await;
    stage.script.publish(snapshot(2, &stage.leaf, &[&stage.ca])).await;
    assert_eq!(finish(dropped).await, b"", "it was closed before it was served");
    assert_ne!(finish(trusted).await, b"");
}

#[tokio::test]
async fn most_peers_at_once_are_ended_one_after_the_other_and_a_bundle_put_right_saves_the_rest() {
    let leaving = Authority::new("leaving");
    let spread = Duration::from_secs(4);
    let policy = DrainPolicy::default().untrusted_timeout(Duration::from_millis(200)).untrusted_spread(spread);
    let stage = Stage::new(|server| server.drain_policy(policy), &[&leaving]).await;
    let others = leaving.issue_dns("client.example.org");
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(reading(watch(&stage.client_with(&others).await).await));
    }
    stage.script.publish(snapshot(2, &stage.leaf, &[&stage.ca])).await;
    // Not just three: a busy machine may see two end between two looks.
    stage.until(|all, _| all <= 3).await;
    stage.script.publish(snapshot(3, &stage.leaf, &[&stage.ca, &leaving])).await;
    // Past what was planned for the last one.
    tokio::time::sleep(spread).await;
    let ended = streams.iter().filter(|stream| stream.is_finished()).count();
    assert!((1..4).contains(&ended), "{ended}");
    assert_eq!(stage.identity.status().connections, 4 - ended as u64);
}

#[tokio::test]
async fn a_ca_that_expires_ends_its_connections() {
    let now = SystemTime::now();
    let brief_root = Leaf::new("brief").valid(now - Duration::from_secs(60), now + Duration::from_secs(4));
    let ending = Authority::root(brief_root);
    let policy = DrainPolicy::default().untrusted_timeout(Duration::from_millis(200));
    let stage = Stage::new(|server| server.drain_policy(policy), &[&ending]).await;
    let mut going_on = watch(&stage.client().await).await;
    let stuck = reading(silent_watch(&stage.client_with(&ending.issue_dns("client.example.org")).await).await);
    assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    assert!(SystemTime::now() > now + Duration::from_secs(3), "before its end");
    assert!(goes_on(&mut going_on).await);
}

#[tokio::test]
async fn most_peers_at_once_all_end_within_the_spread() {
    let leaving = Authority::new("leaving");
    let policy =
        DrainPolicy::default().untrusted_timeout(Duration::from_millis(200)).untrusted_spread(Duration::from_secs(2));
    let stage = Stage::new(|server| server.drain_policy(policy), &[&leaving]).await;
    let others = leaving.issue_dns("client.example.org");
    let mut stuck = Vec::new();
    for _ in 0..4 {
        stuck.push(reading(silent_watch(&stage.client_with(&others).await).await));
    }
    let kept = stage.client().await;
    let began = std::time::Instant::now();
    stage.script.publish(snapshot(2, &stage.leaf, &[&stage.ca])).await;
    for stuck in stuck {
        assert_ne!(soon(stuck).await.unwrap(), Code::Ok);
    }
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    check(&kept).await.unwrap();
    stage.connections(1).await;
}

#[tokio::test]
async fn a_removed_ca_cuts_its_connections_in_a_serve_loop_of_ones_own_too() {
    let (ca, leaving) = (Authority::new("root"), Authority::new("leaving"));
    let leaf = server_leaf(&ca);
    let script = Script::of(snapshot(1, &leaf, &[&ca, &leaving]));
    let identity = script.identity().await;
    let patient = Patient::new();
    let (listener, port) = listen().await;
    let policy = DrainPolicy::default().untrusted_timeout(Duration::from_millis(200));
    let incoming = identity.incoming_with(listener, IncomingSettings::default().drain_policy(policy));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tonic::transport::Server::builder().add_routes(patient.routes());
    let serving = tokio::spawn(serving.serve_with_incoming_shutdown(incoming, async { drop(stopped.await) }));
    let kept = channel(client(&ca, Some(&ca.issue_dns("client.example.org"))), port).await;
    let others = channel(client(&ca, Some(&leaving.issue_dns("client.example.org"))), port).await;
    let (mut going_on, ending) = (watch(&kept).await, reading(watch(&others).await));

    // A connection taken out of the stream is watched over as long as it lives, though the stream is gone.
    drop(stop);
    soon(async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} }).await;
    script.publish(Snapshot::new(2, credential(&leaf), bundle(&[&ca]), None)).await;
    assert_ne!(soon(ending).await.unwrap(), Code::Ok);
    assert!(goes_on(&mut going_on).await);
    drop((going_on, kept, others));
    soon(serving).await.unwrap().unwrap();
    drop(identity);
    script.abandoned().await;
}
