//! The daemon's answer when the kubelet swaps a volume: a publication, or none.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::{Duration, SystemTime};

use evercert_api::v1::IdentityStatus;
use evercert_api::v1::watch_response::Message;
use evercert_fixtures::{Authority, ExtendedKeyUsagePurpose, Files, Issued, KubeletVolume, Leaf};
use evercert_tests::daemon::{Home, identity};
use evercert_tests::program;
use evercert_tests::subscriber::{Subscriber, serial_of};

fn authority() -> Authority {
    Authority::new("root.example.org")
}

fn leaf() -> Leaf {
    Leaf::for_dns("greeter.example.org")
}

fn serial(issued: &Issued) -> String {
    issued.serial_number().to_string()
}

fn serves(status: &IdentityStatus, issued: &Issued) -> bool {
    status.leaf.as_ref().is_some_and(|leaf| leaf.serial == serial(issued))
}

/// A daemon on a volume with a good set, of which a bad one is to be rejected for the reason `check`.
async fn a_bad_set_is_rejected(settings: &str, check: &str, bad: impl FnOnce(&Authority, &Issued) -> Files) {
    let authority = authority();
    let good = authority.issue(leaf());
    let volume = KubeletVolume::new(&good.files());
    let home = Home::new(|| program!());
    home.configure(&(identity("greeter", volume.path()) + settings));
    let daemon = home.start().await;
    daemon.until("the good set is published", "greeter", |status| serves(status, &good)).await;

    volume.swap(&bad(&authority, &good));
    let status = daemon.until_finding("greeter", check).await;
    assert!(serves(&status, &good) && status.generation == 1, "the last good stays: {status:?}");

    let better = authority.issue(leaf());
    volume.swap(&better.files());
    let status = daemon.until("the next good set is published", "greeter", |status| serves(status, &better)).await;
    assert_eq!((status.generation, status.findings.iter().find(|f| f.check == check)), (2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_swaps_are_a_thousand_generations_and_none_is_torn() {
    let issued = authority().issue_all((0..1_001).map(|n| leaf().serial(n + 1)));
    let volume = KubeletVolume::new(&issued[0].files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    assert_eq!(subscriber.until_serial(1).await, 1);

    for next in &issued[1..] {
        volume.swap(&next.files());
        assert_eq!(subscriber.until_serial(next.serial_number()).await, 1, "each swap is one generation");
    }
    let status = daemon.identity("greeter").await.unwrap();
    assert_eq!((status.generation, serves(&status, &issued[1_000])), (1_001, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_faster_than_they_can_be_read_are_never_torn_and_the_last_one_is_served() {
    let authority = authority();
    // Keys of their own, so that a torn pair would not match.
    let issued: Vec<_> = (0..20).map(|_| authority.issue(leaf())).collect();
    let volume = KubeletVolume::new(&issued[0].files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();

    for n in 1..1_000 {
        volume.swap(&issued[n % issued.len()].files());
    }
    let last = authority.issue(leaf());
    volume.swap(&last.files());
    subscriber.until_serial(last.serial_number()).await;
    let status = daemon.identity("greeter").await.unwrap();
    assert!(status.findings.is_empty(), "{:?}", status.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_what_was_served_before_is_a_rotation() {
    let authority = authority();
    let (a, b) = (authority.issue(leaf()), authority.issue(leaf()));
    let volume = KubeletVolume::new(&a.files());
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", volume.path()));
    let _daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();

    let mut digests = Vec::new();
    for (generation, set) in [&a, &b, &a].into_iter().enumerate() {
        if generation > 0 {
            volume.swap(&set.files());
        }
        let snapshot = subscriber.update().await;
        assert_eq!((snapshot.generation(), serial_of(&snapshot)), (generation as u64 + 1, set.serial_number()));
        digests.push(snapshot.digest());
    }
    assert!(digests[0] == digests[2] && digests[0] != digests[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_leaf_is_rejected() {
    a_bad_set_is_rejected("", "key-mismatch", |authority, good| {
        authority.issue(leaf()).files().with("tls.key", &good.key_pem)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_chain_is_rejected() {
    a_bad_set_is_rejected("", "unparsable", |authority, _| authority.issue(leaf()).files().truncated("tls.crt", 200))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_its_key_is_rejected() {
    a_bad_set_is_rejected("", "file-missing", |authority, _| authority.issue(leaf()).files().without("tls.key")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_leaf_is_rejected() {
    a_bad_set_is_rejected("", "expired", |authority, _| {
        let now = SystemTime::now();
        authority.issue(leaf().valid(now - Duration::from_secs(3_600), now - Duration::from_secs(60))).files()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_without_the_configured_usage_is_rejected() {
    a_bad_set_is_rejected("usages = [\"server auth\"]\n", "extended-key-usage", |authority, _| {
        authority.issue(leaf().extended_key_usages(&[ExtendedKeyUsagePurpose::ClientAuth])).files()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_of_the_near_future_is_held_and_published_when_it_is_valid() {
    let authority = authority();
    let now_valid = authority.issue(leaf());
    let volume = KubeletVolume::new(&now_valid.files());
    let home = Home::new(|| program!());
    home.configure(&(identity("greeter", volume.path()) + "clock_skew = \"0s\"\n"));
    let daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    assert_eq!(subscriber.until_serial(now_valid.serial_number()).await, 1);

    let not_before = SystemTime::now() + Duration::from_secs(4);
    let soon_valid = authority.issue(leaf().valid(not_before, not_before + Duration::from_secs(3_600)));
    volume.swap(&soon_valid.files());
    let status = daemon.until_finding("greeter", "not-yet-valid").await;
    assert!(serves(&status, &now_valid), "the last good is served meanwhile");

    assert_eq!(subscriber.until_serial(soon_valid.serial_number()).await, 1);
    // X.509 times are whole seconds: the leaf is valid from the start of the second.
    assert!(SystemTime::now() + Duration::from_secs(1) > not_before, "not before it is valid");
    daemon
        .until("the finding goes", "greeter", |status| status.findings.iter().all(|f| f.check != "not-yet-valid"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dedicated_bundle_that_drops_the_ca_of_our_own_leaf_is_published() {
    let (old, new) = (authority(), Authority::new("new-root.example.org"));
    let ours = old.issue(leaf());
    let volume = KubeletVolume::new(&ours.files().without("ca.crt"));
    let trust = KubeletVolume::new(&Files::new().with("ca.crt", old.ca_pem().to_owned() + new.ca_pem()));
    let home = Home::new(|| program!());
    home.configure(&format!("{}bundle = {:?}\n", identity("greeter", volume.path()), trust.file("ca.crt")));
    let daemon = home.start().await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    assert_eq!(subscriber.update().await.bundles().own.as_ref().unwrap().anchors().len(), 2);

    trust.swap(&Files::new().with("ca.crt", new.ca_pem()));
    let snapshot = subscriber.update().await;
    assert_eq!(serial_of(&snapshot), ours.serial_number());
    assert_eq!(snapshot.bundles().own.as_ref().unwrap().anchors(), [new.ca_der().to_vec().into()]);
    daemon.until_finding("greeter", "own-leaf-untrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_without_a_good_set_is_pending_with_the_reason_until_there_is_one() {
    let authority = authority();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("not/there/yet");
    let home = Home::new(|| program!());
    home.configure(&identity("greeter", &path));
    let daemon = home.start().await;
    daemon.until_finding("greeter", "file-missing").await;
    let mut subscriber = Subscriber::open(home.agent_socket(), "greeter").await.unwrap();
    let Message::Pending(pending) = subscriber.message().await.unwrap() else { panic!("not pending") };
    assert!(pending.findings.iter().any(|finding| finding.check == "file-missing"), "{pending:?}");

    let issued = authority.issue(leaf());
    let _volume = KubeletVolume::at(&path, &issued.files());
    subscriber.until_serial(issued.serial_number()).await;
}
