//! An operator's actions on a running daemon, and a subscriber's.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use evercert_fixtures::{Authority, KubeletVolume, Leaf, wait};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::memory::size_kib;
use evercert_tests::program;
use evercert_tests::subscriber::Subscriber;
use rustix::process::Signal;
use tonic::Code;

fn leaf() -> Leaf {
    Leaf::for_dns("greeter.example.org")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_subscriber_costs_bounded_memory_and_delays_nobody() {
    let issued = Authority::new("root.example.org").issue_all((0..2_001).map(|n| leaf().serial(n + 1)));
    let volume = KubeletVolume::new(&issued[0].files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let mut stuck = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    let mut reader = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    reader.until_serial(1).await;

    for next in &issued[1..=1_000] {
        volume.swap(&next.files());
        reader.until_serial(next.serial_number()).await;
    }
    let before = size_kib(daemon.pid(), "VmRSS");
    for next in &issued[1_001..] {
        volume.swap(&next.files());
        reader.until_serial(next.serial_number()).await;
    }
    let grown = size_kib(daemon.pid(), "VmRSS").saturating_sub(before);
    // A thousand more generations of about 2 KiB would be 2 MiB if they were kept for it.
    assert!(grown < 1_024, "grew by {grown} KiB");

    let seen = stuck.until_serial(2_001).await;
    assert!(seen < 1_000, "it was sent {seen} generations, though the latest would do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_and_removes_identities_and_does_not_touch_the_others() {
    let authority = Authority::new("root.example.org");
    let volumes: Vec<_> = (0..3).map(|_| KubeletVolume::new(&authority.issue(leaf()).files())).collect();
    let home = Home::new(|| program!());
    home.configure(&(identity("kept", volumes[0].path()) + &identity("removed", volumes[1].path())));
    let daemon = home.start().await;
    for name in ["kept", "removed"] {
        daemon.until("it is published", name, |status| status.generation == 1).await;
    }
    let mut kept = Subscriber::open(home.agent_socket(), "kept").await.unwrap();
    kept.update().await;

    home.configure(&(identity("kept", volumes[0].path()) + &identity("added", volumes[2].path())));
    daemon.signal(Signal::HUP);
    daemon.until("the new one is published", "added", |status| status.generation == 1).await;
    wait::until("the old one is gone", || async { daemon.identity("removed").await.is_none().then_some(()) }).await;
    assert_eq!(daemon.identity("kept").await.unwrap().generation, 1);
    let next = authority.issue(leaf());
    volumes[0].swap(&next.files());
    assert_eq!(kept.until_serial(next.serial_number()).await, 1, "its stream went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_keeps_the_old_one_and_says_so() {
    let volume = KubeletVolume::new(&Authority::new("root.example.org").issue(leaf()).files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    daemon.until("it is published", "greeter", |status| status.generation == 1).await;

    home.configure("[[identity]]\nname = \"greeter\"\npaht = \"/tmp\"\n");
    daemon.signal(Signal::HUP);
    let error = wait::until("the error is told", || async {
        daemon.status().await.map(|status| status.config_error).filter(|error| !error.is_empty())
    })
    .await;
    assert!(error.contains("paht") && error.contains(home.config().to_str().unwrap()), "{error}");
    assert_eq!(daemon.identity("greeter").await.unwrap().generation, 1);

    home.configure(&identity("greeter", volume.path()));
    daemon.signal(Signal::HUP);
    let mended = || async { daemon.status().await.filter(|status| status.config_error.is_empty()) };
    wait::until("the error is gone", mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_told_to_end_ends_its_streams_with_unavailable_and_soon() {
    let volume = KubeletVolume::new(&Authority::new("root.example.org").issue(leaf()).files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    let stuck = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    subscriber.update().await;

    let (ended, took) = daemon.terminate().await;
    assert!(ended.success() && took < Duration::from_secs(2), "{ended} after {took:?}");
    let status = loop {
        if let Err(status) = subscriber.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_is_published_and_what_is_wrong_and_never_a_key() {
    let authority = Authority::new("root.example.org");
    let (good, other) = (authority.issue(leaf()), authority.issue(leaf()));
    let volume = KubeletVolume::new(&good.files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    daemon.until("it is published", "greeter", |status| status.generation == 1).await;
    volume.swap(&good.files().with("tls.key", &other.key_pem));
    daemon.until_finding("greeter", "key-mismatch").await;
    volume.swap(&other.files());
    daemon.until("the next is published", "greeter", |status| status.generation == 2).await;
    daemon.terminate().await;

    let log = home.log();
    for line in [&format!("serial=\"{:x}\"", good.serial_number()), "key-mismatch", "no longer so", "generation=2"] {
        assert!(log.contains(line), "{line} is not in the log:\n{log}");
    }
    for secret in [&good, &other] {
        let base64 = secret.key_pem.lines().nth(1).unwrap();
        assert!(
            !log.contains("PRIVATE KEY") && !log.contains(&base64[base64.len() - 20..]),
            "a key in the log:\n{log}"
        );
    }
}
