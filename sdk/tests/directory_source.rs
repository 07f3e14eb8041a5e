//! The directory source on volumes as the kubelet makes them: no daemon anywhere.
#![cfg(feature = "directory")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use evercert::Identity;
use evercert::source::directory::Expectations;
use evercert::source::{DirectorySettings, DirectorySource, Source, SourceState};
use evercert_fixtures::wait::{DEADLINE, until_shown};
use evercert_fixtures::{Authority, Files, Issued, KubeletVolume, PlainDirectory};
use tokio::time::timeout;

#[tokio::test]
async fn a_mounted_secret_and_every_rotation_of_it_are_delivered() {
    let authority = Authority::new("Test CA");
    let first = authority.issue_dns("web.example.org");
    let volume = KubeletVolume::new(&first.files());
    let source = DirectorySource::start(&volume.path().into()).unwrap();
    let state = until(&source, |state| serves(state, &first)).await;
    assert!(state.connected);
    assert_eq!(state.trouble, None);
    let bundle = state.snapshot.unwrap().bundles().own.clone().unwrap();
    assert_eq!(bundle.anchors()[0].as_ref(), first.ca_der);
    for _ in 0..5 {
        let next = authority.issue_dns("web.example.org");
        volume.swap(&next.files());
        until(&source, |state| serves(state, &next)).await;
    }
}

#[tokio::test]
async fn a_key_that_is_anothers_leaves_the_last_good_and_a_sentence() {
    let authority = Authority::new("Test CA");
    let good = authority.issue_dns("web.example.org");
    let volume = KubeletVolume::new(&good.files());
    let source = DirectorySource::start(&volume.path().into()).unwrap();
    until(&source, |state| serves(state, &good)).await;

    let (next, other) = (authority.issue_dns("web.example.org"), authority.issue_dns("web.example.org"));
    volume.swap(&next.files().with("tls.key", &other.key_pem));
    let state = until(&source, |state| state.trouble.is_some()).await;
    assert!(serves(&state, &good));
    let trouble = state.trouble.unwrap();
    assert!(trouble.contains("tls.key") && trouble.contains("last good is kept"), "{trouble}");

    volume.swap(&next.files());
    until(&source, |state| serves(state, &next) && state.trouble.is_none()).await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tls");
    let source = DirectorySource::start(&path.as_path().into()).unwrap();
    let state = until(&source, |state| state.connected).await;
    assert!(state.snapshot.is_none());
    let trouble = state.trouble.unwrap();
    let key = path.join("tls.key");
    assert_eq!(trouble.matches(&*key.to_string_lossy()).count(), 1, "{trouble}");
    let issued = Authority::new("Test CA").issue_dns("web.example.org");
    let _volume = KubeletVolume::at(&path, &issued.files());
    until(&source, |state| serves(state, &issued)).await;
}

#[tokio::test]
async fn one_file_may_hold_key_and_chain_and_the_bundle_may_be_elsewhere() {
    let issued = Authority::new("Test CA").issue_dns("web.example.org");
    let volume = KubeletVolume::new(&Files::new().with("tls-combined.pem", issued.combined_pem()));
    let trust = PlainDirectory::new(&Files::new().with("bundle.pem", &issued.ca_pem));
    let settings = DirectorySettings::new(volume.path())
        .combined("tls-combined.pem")
        .dedicated_bundle(trust.path().join("bundle.pem"));
    let source = DirectorySource::start(&settings).unwrap();
    let state = until(&source, |state| serves(state, &issued)).await;
    assert_eq!(state.snapshot.unwrap().bundles().own.as_ref().unwrap().anchors().len(), 1);
}

#[tokio::test]
async fn an_identity_may_only_trust() {
    let trust = KubeletVolume::new(&Files::new().with("ca.crt", Authority::new("Test CA").ca_pem()));
    let source = DirectorySource::start(&DirectorySettings::new(trust.path()).trust_only()).unwrap();
    let snapshot = until(&source, |state| state.snapshot.is_some()).await.snapshot.unwrap();
    assert!(snapshot.credential().is_none());
    assert!(snapshot.bundles().own.is_some());
}

#[tokio::test]
async fn what_is_expected_of_the_certificate_is_checked() {
    let issued = Authority::new("Test CA").issue_dns("web.example.org");
    let volume = KubeletVolume::new(&issued.files());
    let mut expectations = Expectations::default();
    expectations.dns_names = vec!["api.example.org".into()];
    let settings = DirectorySettings::new(volume.path()).name("api").expectations(expectations);
    let error = Identity::from_directory(settings).timeout(Duration::from_millis(500)).await.unwrap_err().to_string();
    assert!(error.contains("api") && error.contains("api.example.org"), "{error}");
    assert!(error.contains(&*volume.path().to_string_lossy()), "{error}");
}

#[tokio::test]
async fn an_identity_opened_from_a_directory_swaps() {
    let authority = Authority::new("Test CA");
    let (first, second) = (authority.issue_dns("web.example.org"), authority.issue_dns("web.example.org"));
    let volume = KubeletVolume::new(&first.files());
    let mut identity = Identity::from_directory(volume.path()).await.unwrap();
    assert_eq!(identity.status().name.as_ref(), "volume");
    let leaf = |generation: &evercert::tls::Generation| {
        generation.snapshot().credential().unwrap().chain()[0].as_ref().to_vec()
    };
    assert_eq!(leaf(&identity.current().unwrap()), first.leaf_der);
    volume.swap(&second.files());
    timeout(DEADLINE, async { while leaf(&*identity.changed().await) != second.leaf_der {} }).await.unwrap();
    assert_eq!(leaf(&identity.current().unwrap()), second.leaf_der);
}

fn serves(state: &SourceState, issued: &Issued) -> bool {
    let credential = state.snapshot.as_ref().and_then(|snapshot| snapshot.credential().cloned());
    credential.is_some_and(|credential| credential.chain()[0].as_ref() == issued.leaf_der)
}

async fn until(source: &Arc<DirectorySource>, wanted: impl Fn(&SourceState) -> bool) -> SourceState {
    until_shown(source.state(), wanted).await
}

#[tokio::test]
async fn a_federated_bundle_of_what_is_no_trust_domain_is_refused_without_waiting() {
    let settings = DirectorySettings::new("/none").federated("spiffe://partner.example.org", "partner.pem");
    let refused = DirectorySource::start(&settings).unwrap_err().to_string();
    assert!(refused.contains("\"spiffe://partner.example.org\" is not the name of a trust domain"), "{refused}");
}
