//! A service over a mount, and a daemon that is told what it serves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use evercert::Identity;
use evercert::client::Endpoint;
use evercert::source::DirectorySettings;
use evercert::source::directory::Expectations;
use evercert_api::v1::admin_client::AdminClient;
use evercert_api::v1::event::Event;
use evercert_api::v1::report::Outcome;
use evercert_api::v1::watch_response::Message;
use evercert_api::v1::{Deliver, EventsRequest, IdentityStatus, RefusedCode, Subscriber as Shown, SubscriberState};
use evercert_fixtures::{Authority, Files, Issued, KubeletVolume, Leaf, wait};
use evercert_tests::channel::connect;
use evercert_tests::daemon::{Daemon, Home, identity};
use evercert_tests::program;
use evercert_tests::service::serve;
use evercert_tests::stream::LiveStream;
use evercert_tests::subscriber::Subscriber;
use tokio::time::timeout;

fn set(authority: &Authority) -> Issued {
    authority.issue(Leaf::for_dns("localhost").ip([127, 0, 0, 1].into()))
}

/// A volume with a certificate, and a home for daemons that keep it.
fn place(authority: &Authority) -> (KubeletVolume, Home) {
    let volume = KubeletVolume::new(&set(authority).files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    (volume, home)
}

async fn open(settings: DirectorySettings, home: &Home) -> Identity {
    Identity::from_directory(settings.socket(home.agent_socket())).await.unwrap()
}

fn digest(identity: &Identity) -> Vec<u8> {
    identity.status().digest.unwrap().as_bytes().to_vec()
}

/// Waits until the one subscriber is in this state.
async fn until_is(daemon: &Daemon<'_>, state: SubscriberState) -> Shown {
    let is = |status: &IdentityStatus| matches!(&status.subscribers[..], [one] if one.state() == state);
    let status = daemon.until(&format!("the service is {state:?}"), "greeter", is).await;
    status.subscribers.into_iter().next().unwrap()
}

async fn until_serves(identity: &Identity, issued: &Issued) {
    let serial = issued.serial_number().to_string();
    wait::until("the service serves the leaf", || async {
        let current = identity.current()?;
        (current.snapshot().credential()?.leaf().serial == serial).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_a_mount_is_seen_until_no_connection_is_older() {
    let authority = Authority::new("root.example.org");
    let (volume, home) = place(&authority);
    let daemon = home.start().await;
    let service = open(DirectorySettings::new(volume.path()), &home).await;
    let shown = until_is(&daemon, SubscriberState::Settled).await;
    assert_eq!((shown.deliver(), shown.reason.as_str()), (Deliver::Digest, ""));
    assert_eq!(shown.report.unwrap().digest, digest(&service));

    let (address, _server) = serve(&service).await;
    let endpoint = Endpoint::new(format!("https://127.0.0.1:{}", address.port())).unwrap();
    let stream = LiveStream::open(endpoint.connect(&service).await.unwrap()).await;
    let next = set(&authority);
    volume.swap(&next.files());
    let shown = wait::until("the service uses the new one beside an older connection", || async {
        let status = daemon.identity("greeter").await?;
        let one = status.subscribers.into_iter().next()?;
        // A service that is faster than the daemon reports before it can know what the daemon calls the generation.
        let is_named = one.report.as_ref().is_some_and(|report| report.generation == 2);
        (status.generation == 2 && one.state() == SubscriberState::Current && is_named).then_some(one)
    })
    .await;
    let report = shown.report.unwrap();
    assert_eq!(report.digest, digest(&service));
    assert!(report.connections_on_older > 0);

    stream.cancel().await;
    let shown = until_is(&daemon, SubscriberState::Settled).await;
    assert_eq!(shown.report.unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_comes_later_or_again_is_told() {
    let (volume, home) = place(&Authority::new("root.example.org"));
    let service = open(DirectorySettings::new(volume.path()), &home).await;
    let missing = wait::until("nobody is there", || async { service.status().observer.unwrap().trouble }).await;
    assert!(missing.contains("there is no socket"), "{missing}");

    let daemon = home.start().await;
    until_is(&daemon, SubscriberState::Settled).await;
    let observer = service.status().observer.unwrap();
    assert_eq!((observer.identity.as_deref(), observer.connected), (Some("greeter"), true));
    daemon.kill();
    let daemon = home.start().await;
    until_is(&daemon, SubscriberState::Settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_with_its_mount_whatever_becomes_of_the_daemon() {
    let authority = Authority::new("root.example.org");
    let (volume, home) = place(&authority);
    let daemon = home.start().await;
    let service = open(DirectorySettings::new(volume.path()), &home).await;
    until_is(&daemon, SubscriberState::Settled).await;
    let before = service.status();
    daemon.kill();
    // Not the end of its stream alone: what the service knows of the daemon outlasts attempts at which nobody was there.
    let is_missed =
        || async { service.status().observer?.trouble.filter(|trouble| trouble.contains("cannot be reached")) };
    wait::until("the daemon is missed", is_missed).await;
    let mut after = service.status();
    after.observer.clone_from(&before.observer);
    assert_eq!(after, before);
    let next = set(&authority);
    volume.swap(&next.files());
    until_serves(&service, &next).await;

    // And with one that knows another certificate by the name.
    let other = KubeletVolume::new(&set(&authority).files());
    home.configure(&identity("greeter", other.path()));
    let daemon = home.start().await;
    let report = wait::until("the service has reported", || async {
        let one = daemon.identity("greeter").await?.subscribers.into_iter().next()?;
        one.report.clone().filter(|_| one.state() == SubscriberState::Behind)
    })
    .await;
    assert_eq!((report.epoch, report.generation, report.digest), (0, 0, digest(&service)));
    until_serves(&service, &next).await;
    assert_eq!(service.status().trouble, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_service_rejects_is_seen_as_refused_and_why() {
    let authority = Authority::new("root.example.org");
    let (volume, home) = place(&authority);
    let daemon = home.start().await;
    let mut expectations = Expectations::default();
    expectations.dns_names = vec!["localhost".into()];
    let service = open(DirectorySettings::new(volume.path()).expectations(expectations), &home).await;
    until_is(&daemon, SubscriberState::Settled).await;
    volume.swap(&authority.issue_dns("other.example.org").files());
    let shown = until_is(&daemon, SubscriberState::Refused).await;
    let Some(Outcome::Refused(refused)) = shown.report.unwrap().outcome else { panic!("no refusal") };
    assert_eq!(refused.code(), RefusedCode::Credential);
    assert!(refused.detail.contains("localhost") && refused.detail.contains("tls.crt"), "{}", refused.detail);
    assert!(service.current().is_some());

    let good = set(&authority);
    volume.swap(&good.files());
    until_serves(&service, &good).await;
    until_is(&daemon, SubscriberState::Settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_behind_is_told_of_with_what_it_serves() {
    let authority = Authority::new("root.example.org");
    let (volume, home) = place(&authority);
    let daemon = home.start().await;
    // A copy that nobody rotates, as of a service whose mount is a `subPath`.
    let stale = KubeletVolume::new(&Files::new());
    let first = set(&authority);
    stale.swap(&first.files());
    volume.swap(&first.files());
    let service = open(DirectorySettings::new(stale.path()).name("greeter"), &home).await;
    until_is(&daemon, SubscriberState::Settled).await;
    let mut admin = AdminClient::new(connect(home.admin_socket()).await.unwrap());
    let mut events = admin.events(EventsRequest {}).await.unwrap().into_inner();

    volume.swap(&set(&authority).files());
    let behind = async {
        loop {
            let Some(Event::Identity(status)) = events.message().await.unwrap().unwrap().event else { continue };
            match &status.subscribers[..] {
                [one] if one.state() == SubscriberState::Behind => return one.reason.clone(),
                _ => {}
            }
        }
    };
    let reason = timeout(Duration::from_secs(2), behind).await.expect("it is told within two seconds");
    assert_eq!(reason, format!("it still serves {}", &service.status().digest.unwrap().to_string()[..12]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_crosses_the_socket_for_an_observer() {
    let authority = Authority::new("root.example.org");
    let (volume, home) = place(&authority);
    let _daemon = home.start().await;
    for deliver in [Deliver::Full, Deliver::Digest] {
        let mut subscriber = Subscriber::open_for(deliver, home.agent_socket(), "greeter").await.unwrap();
        for swapped in [false, true] {
            if swapped {
                volume.swap(&set(&authority).files());
            }
            let update = loop {
                if let Message::Update(update) = subscriber.message().await.unwrap() {
                    break update;
                }
            };
            assert_eq!((update.key.is_some(), update.chain.len()), (deliver == Deliver::Full, 1));
        }
    }
}
