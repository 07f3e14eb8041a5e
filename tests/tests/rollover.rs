//! A service's trust changes under load: what has to end ends soon, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evercert::client::Endpoint;
use evercert::server::{DrainPolicy, Superseded};
use evercert::source::{AgentSettings, DirectorySettings};
use evercert::{Channel, Identity};
use evercert_core::certificate::CertificateFacts;
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_fixtures::{Authority, Issued, KubeletVolume, wait};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::load::{Load, Outcome, Shape, said};
use evercert_tests::program;
use evercert_tests::service::{serve, serve_with};
use evercert_tests::side::{Side, leaf};
use evercert_tests::stranger;
use evercert_tests::stream::LiveStream;
use serde_json::Value;
use tonic::Code;

/// The names of a test's services at the daemon.
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// The configuration of an identity whose bundle is a file of its own.
fn table(name: &str, side: &Side) -> String {
    format!("{}bundle = {:?}\n", identity(name, side.path()), side.bundle())
}

async fn open(home: &Home, name: &str) -> Identity {
    Identity::from_agent(AgentSettings::new(name).socket(home.agent_socket())).await.unwrap()
}

/// A service of its own, that needs no daemon.
async fn mounted(side: &Side) -> Identity {
    Identity::from_directory(DirectorySettings::new(side.path()).dedicated_bundle("ca.crt")).await.unwrap()
}

async fn connect(identity: &Identity, server: SocketAddr) -> Channel {
    Endpoint::new(format!("https://{server}")).unwrap().connect(identity).await.unwrap()
}

fn nothing_failed(outcome: &Outcome) {
    let first: Vec<_> = outcome.failed.iter().map(said).take(5).collect();
    assert!(first.is_empty(), "{} of {} calls failed, first {first:#?}", outcome.failed.len(), outcome.calls);
    assert!(outcome.calls > 0 && outcome.replies > 0, "{outcome:?}");
}

/// Waits until a handshake with this certificate is accepted, or is not.
async fn until_accepted(accepted: bool, server: SocketAddr, issued: &Issued, trusted: &[&Authority]) {
    let what = format!("a handshake is {}accepted", if accepted { "" } else { "not " });
    wait::until(&what, || async {
        let shaken: io::Result<_> = stranger::handshake(server, issued, trusted).await;
        (shaken.is_ok() == accepted).then_some(())
    })
    .await;
}

/// The output of an evercertd command about this daemon.
fn evercertd(home: &Home, arguments: &[&str]) -> String {
    let output = program!().args(arguments).arg("--socket").arg(home.admin_socket()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    // 1: something needs attention, and the findings of a test do.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {}: {stderr}", output.status);
    stdout
}

/// The first subscriber of `name` as `evercertd status --json` shows it.
fn subscriber(home: &Home, name: &str) -> Value {
    let status: Value = serde_json::from_str(&evercertd(home, &["status", "--json"])).unwrap();
    let identities = status["identities"].as_array().unwrap();
    identities.iter().find(|identity| identity["name"] == name).unwrap()["subscribers"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_rolled_over_under_load_whichever_side_goes_first_and_no_call_fails() {
    let mut authority = Authority::new("first.example.org");
    let (mut ours, mut theirs) = (Side::new(&authority), Side::new(&authority));
    let home = Home::new(|| program!());
    home.configure(&(table(SERVER, &ours) + &table(CLIENT, &theirs)));
    let daemon = home.start().await;
    let (server, client) = (open(&home, SERVER).await, open(&home, CLIENT).await);
    let superseded = Superseded::Drain { over: Duration::from_millis(100) };
    let policy = DrainPolicy::default().superseded(superseded);
    let (address, _serving) = serve_with(&server, |server| server.drain_policy(policy)).await;
    let shape = Shape { streams: 2, replies: 100, slow: 2, slow_for: Duration::from_secs(1), ..Shape::default() };
    let load = Load::start(&connect(&client, address).await, shape);
    load.calls(100).await;

    for server_first in [true, false] {
        let next = Authority::new("next.example.org");
        let both = [&authority, &next];
        for (issuer, trusted) in [(&authority, &both[..]), (&next, &both[..]), (&next, &both[1..])] {
            if trusted.len() == 1 {
                for name in [SERVER, CLIENT] {
                    daemon.until_settled_within(wait::DEADLINE, name, 1).await;
                }
            }
            for server_now in [server_first, !server_first] {
                let (side, identity) = if server_now { (&mut ours, &server) } else { (&mut theirs, &client) };
                side.mount(issuer, trusted);
                side.until_served_by(identity).await;
                load.calls(100).await;
            }
        }
        authority = next;
    }
    let outcome = load.stop().await;
    nothing_failed(&outcome);
    assert!(outcome.streams > 0 && outcome.slow > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_leaves_a_bundle_of_its_own_takes_its_peers_along_at_once_and_nobody_else() {
    let (stays, goes) = (Authority::new("stays.example.org"), Authority::new("goes.example.org"));
    let mut ours = Side::new(&stays);
    ours.trust(&[&stays, &goes]);
    let home = Home::new(|| program!());
    home.configure(&table(SERVER, &ours));
    let _daemon = home.start().await;
    let server = open(&home, SERVER).await;
    let (address, _serving) = serve(&server).await;
    let staying = mounted(&Side::new(&stays)).await;
    let mut going = Side::new(&goes);
    going.trust(&[&stays]);
    let leaving = mounted(&going).await;
    let mut load = Load::start(&connect(&staying, address).await, Shape::default());
    load.add(&connect(&staying, address).await, Shape::default());
    let stream = LiveStream::open(connect(&leaving, address).await).await;
    load.calls(100).await;
    assert!(stream.lives());

    ours.trust(&[&stays]);
    let ended = stream.ended().await.expect("its connection ends");
    assert!(ended.status.is_some(), "{ended:?}");
    until_accepted(false, address, going.issued(), &[&stays]).await;
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_own_ca_is_trusted_on_beside_its_successor_until_an_operator_drops_it() {
    let (old, new) = (Authority::new("old.example.org"), Authority::new("new.example.org"));
    let volume = KubeletVolume::new(&old.issue(leaf()).files());
    let home = Home::new(|| program!());
    home.configure(&identity(SERVER, volume.path()));
    let daemon = home.start().await;
    let server = open(&home, SERVER).await;
    let (address, _serving) = serve(&server).await;
    let (mut late, mut early) = (Side::new(&old), Side::new(&new));
    late.trust(&[&old, &new]);
    early.trust(&[&old, &new]);
    let late_client = mounted(&late).await;
    let stream = LiveStream::open(connect(&late_client, address).await).await;

    volume.swap(&new.issue(leaf()).files());
    until_accepted(true, address, early.issued(), &[&old, &new]).await;
    until_accepted(true, address, late.issued(), &[&old, &new]).await;
    assert!(stream.lives(), "a peer of the old CA was cut");
    let load = Load::start(&connect(&mounted(&early).await, address).await, Shape::default());
    load.calls(100).await;
    daemon.until_finding(SERVER, "trust-overlap").await;

    let fingerprint = CertificateFacts::from_der(old.ca_der()).unwrap().fingerprint.to_string();
    evercertd(&home, &["trust", "drop", &fingerprint]);
    assert!(stream.ended().await.is_some(), "a peer of the dropped CA stays");
    until_accepted(false, address, late.issued(), &[&old, &new]).await;
    until_accepted(true, address, early.issued(), &[&old, &new]).await;
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_settled_once_the_last_older_connection_is_gone_and_status_says_so() {
    let authority = Authority::new("root.example.org");
    let mut ours = Side::new(&authority);
    let home = Home::new(|| program!());
    home.configure(&table(SERVER, &ours));
    let daemon = home.start().await;
    let server = open(&home, SERVER).await;
    let (address, _serving) = serve(&server).await;
    let client = mounted(&Side::new(&authority)).await;
    let older = LiveStream::open(connect(&client, address).await).await;

    ours.mount(&authority, &[&authority]);
    ours.until_served_by(&server).await;
    daemon
        .until("one connection is older", SERVER, |status| {
            status.subscribers.first().is_some_and(|subscriber| {
                subscriber.report.as_ref().is_some_and(|report| report.connections_on_older == 1)
            })
        })
        .await;
    let newer = LiveStream::open(connect(&client, address).await).await;
    let shown = subscriber(&home, SERVER);
    assert_eq!((&shown["state"], &shown["connections_on_older"]), (&"current".into(), &1.into()), "{shown}");

    older.cancel().await;
    daemon.until_settled_within(wait::DEADLINE, SERVER, 1).await;
    let shown = subscriber(&home, SERVER);
    assert_eq!((&shown["state"], &shown["connections_on_older"]), (&"settled".into(), &0.into()), "{shown}");
    assert!(newer.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crl_that_appears_ends_the_connections_of_those_it_revokes() {
    let authority = Authority::new("root.example.org");
    let set = authority.issue(leaf());
    let volume = KubeletVolume::new(&set.files());
    let home = Home::new(|| program!());
    home.configure(&identity(SERVER, volume.path()));
    let _daemon = home.start().await;
    let server = open(&home, SERVER).await;
    let (address, _serving) = serve(&server).await;
    let (good, bad) = (Side::new(&authority), Side::new(&authority));
    let (good_client, bad_client) = (mounted(&good).await, mounted(&bad).await);
    let mut load = Load::start(&connect(&good_client, address).await, Shape::default());
    load.add(&connect(&good_client, address).await, Shape::default());
    let stream = LiveStream::open(connect(&bad_client, address).await).await;
    load.calls(100).await;

    volume.swap(&set.files().with("ca.crl", authority.crl(&[bad.issued()]).pem));
    assert!(stream.ended().await.is_some(), "a revoked peer stays");
    until_accepted(false, address, bad.issued(), &[&authority]).await;
    until_accepted(true, address, good.issued(), &[&authority]).await;
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crl_that_appears_ends_the_connection_to_a_server_it_revokes() {
    let authority = Authority::new("root.example.org");
    let (good, bad) = (Side::new(&authority), Side::new(&authority));
    let (good_server, bad_server) = (mounted(&good).await, mounted(&bad).await);
    let ((good_address, _serving), (bad_address, _serving_too)) = (serve(&good_server).await, serve(&bad_server).await);
    let set = authority.issue(leaf());
    let volume = KubeletVolume::new(&set.files());
    let home = Home::new(|| program!());
    home.configure(&identity(CLIENT, volume.path()));
    let _daemon = home.start().await;
    let client = open(&home, CLIENT).await;
    let load = Load::start(&connect(&client, good_address).await, Shape::default());
    let channel = connect(&client, bad_address).await;
    let stream = LiveStream::open(channel.clone()).await;
    load.calls(100).await;

    volume.swap(&set.files().with("ca.crl", authority.crl(&[bad.issued()]).der));
    assert!(stream.ended().await.is_some(), "the connection to a revoked server stays");
    let request = HelloRequest { name: "revoked".to_owned() };
    let status = GreeterClient::new(channel).say_hello(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}
