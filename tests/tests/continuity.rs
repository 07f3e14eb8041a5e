//! Services go on, whatever becomes of the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use evercert::client::Endpoint;
use evercert::source::AgentSettings;
use evercert::{Channel, Identity};
use evercert_api::v1::watch_response::Message;
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf, wait};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::load::{Load, Outcome, Shape};
use evercert_tests::program;
use evercert_tests::service::serve;
use evercert_tests::subscriber::Subscriber;

/// A set that is server's and client's alike, for a server on loopback.
fn set(authority: &Authority) -> Issued {
    authority.issue(Leaf::for_dns("localhost").ip([127, 0, 0, 1].into()))
}

fn home_for(volume: &KubeletVolume) -> Home {
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    home
}

async fn open(home: &Home) -> Identity {
    Identity::from_agent(AgentSettings::new("greeter").socket(home.agent_socket())).await.unwrap()
}

async fn connect(identity: &Identity, port: u16) -> Channel {
    Endpoint::new(format!("https://127.0.0.1:{port}")).unwrap().connect(identity).await.unwrap()
}

/// Waits until `identity` serves the leaf of `issued`.
async fn until_serves(identity: &Identity, issued: &Issued) {
    let serial = issued.serial_number().to_string();
    wait::until("the SDK serves the leaf", || async {
        let current = identity.current()?;
        (current.snapshot().credential()?.leaf().serial == serial).then_some(())
    })
    .await;
}

fn nothing_failed(outcome: &Outcome) {
    assert!(
        outcome.failed.is_empty(),
        "{} of {} calls failed: {:?}",
        outcome.failed.len(),
        outcome.calls,
        outcome.failed
    );
    assert!(outcome.replies > 0, "the stream never replied");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_of_server_and_client_fail_no_call() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&set(&authority).files());
    let home = home_for(&volume);
    let daemon = home.start().await;
    let (server, client) = (open(&home).await, open(&home).await);
    let (address, _serving) = serve(&server).await;
    let load = Load::start(&connect(&client, address.port()).await, Shape::default());

    for _ in 0..20 {
        let next = set(&authority);
        volume.swap(&next.files());
        until_serves(&server, &next).await;
        until_serves(&client, &next).await;
        load.calls(100).await;
    }
    daemon.until_current("greeter", 2).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_and_started_again_fails_no_call_and_a_rotation_in_between_is_caught_up() {
    let authority = Authority::new("root.example.org");
    let first = set(&authority);
    let volume = KubeletVolume::new(&first.files());
    let home = home_for(&volume);
    let daemon = home.start().await;
    let (server, client) = (open(&home).await, open(&home).await);
    let (address, _serving) = serve(&server).await;
    let load = Load::start(&connect(&client, address.port()).await, Shape::default());
    load.calls(100).await;

    daemon.kill();
    load.calls(100).await;
    let daemon = home.start().await;
    daemon.until_current("greeter", 2).await;
    until_serves(&server, &first).await;

    daemon.kill();
    let second = set(&authority);
    volume.swap(&second.files());
    load.calls(100).await;
    until_serves(&server, &first).await;
    let daemon = home.start().await;
    until_serves(&server, &second).await;
    until_serves(&client, &second).await;
    daemon.until_current("greeter", 2).await;
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_started_on_a_bad_set_takes_nothing_from_who_holds_a_good_one() {
    let authority = Authority::new("root.example.org");
    let good = set(&authority);
    let volume = KubeletVolume::new(&good.files());
    let home = home_for(&volume);
    let daemon = home.start().await;
    let (server, client) = (open(&home).await, open(&home).await);
    let (address, _serving) = serve(&server).await;
    let load = Load::start(&connect(&client, address.port()).await, Shape::default());

    daemon.kill();
    volume.swap(&set(&authority).files().with("tls.key", &good.key_pem));
    let daemon = home.start().await;
    daemon.until_finding("greeter", "key-mismatch").await;
    let mut late = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    let Message::Pending(pending) = late.message().await.unwrap() else { panic!("something is published") };
    assert!(pending.findings.iter().any(|finding| finding.check == "key-mismatch"), "{pending:?}");
    load.calls(100).await;
    until_serves(&server, &good).await;

    let next = set(&authority);
    volume.swap(&next.files());
    until_serves(&server, &next).await;
    until_serves(&client, &next).await;
    load.calls(100).await;
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_daemon_a_service_runs_and_rotates_from_its_mount() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&set(&authority).files());
    let server = Identity::from_directory(volume.path()).await.unwrap();
    let client = Identity::from_directory(volume.path()).await.unwrap();
    let (address, _serving) = serve(&server).await;
    let load = Load::start(&connect(&client, address.port()).await, Shape::default());

    for _ in 0..5 {
        let next = set(&authority);
        volume.swap(&next.files());
        until_serves(&server, &next).await;
        until_serves(&client, &next).await;
        load.calls(100).await;
    }
    nothing_failed(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_started_before_its_daemon_serves_as_soon_as_there_is_a_generation() {
    let authority = Authority::new("root.example.org");
    let volume = KubeletVolume::new(&set(&authority).files());
    let home = home_for(&volume);
    let settings = AgentSettings::new("greeter").socket(home.agent_socket());
    let server = Identity::from_agent(settings).start_pending().unwrap();
    let (address, _serving) = serve(&server).await;
    assert!(server.current().is_none());

    let _daemon = home.start().await;
    let client = open(&home).await;
    wait::until("the server has its first generation", || async { server.current() }).await;
    let load = Load::start(&connect(&client, address.port()).await, Shape { workers: 1, ..Shape::default() });
    load.calls(10).await;
    nothing_failed(&load.stop().await);
}
