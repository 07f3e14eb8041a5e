//! The keeper keeps keys in memory only while they are wanted: on real files, swapped as the kubelet does it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod recorder;

use std::sync::Arc;
use std::time::Duration;

use evercert_core::digest::Digest;
use evercert_core::finding::Check;
use evercert_core::keeper::{IdentityState, Keeper, KeeperSettings, KeyRetention};
use evercert_fixtures::{Issued, KubeletVolume};
use recorder::{Recorder, Told, id_of, issued, leaf_of, spec};

impl Recorder {
    /// Waits until the latest state is as `is_so` says.
    async fn until_it(&self, what: &str, is_so: impl Fn(&IdentityState) -> bool) -> Arc<IdentityState> {
        self.until(what, |told| told.latest("a").filter(|state| is_so(state)).cloned()).await
    }

    /// Waits until the leaf is served, with its key or without.
    async fn serves_it(&self, issued: &Issued, with_key: bool) -> Arc<IdentityState> {
        let leaf = Digest::fingerprint(&issued.leaf_der);
        let what = if with_key { "the leaf with its key" } else { "the leaf without its key" };
        self.until_it(what, |state| leaf_of(state) == Some(leaf) && has_key(state) == with_key).await
    }

    /// Whether a key was in any state that was shown, but for so many at first.
    fn ever_held_a_key(&self, but_for: usize) -> bool {
        self.read(|told| told.states[but_for..].iter().any(|(_, state)| has_key(state)))
    }
}

fn has_key(state: &IdentityState) -> bool {
    let credential = state.snapshot.as_ref().and_then(|snapshot| snapshot.credential());
    credential.is_some_and(|credential| credential.key().is_some())
}

fn start(keys: KeyRetention, volume: &KubeletVolume) -> (Keeper, Arc<Recorder>) {
    let recorder = Recorder::new();
    let settings = KeeperSettings { tick: Duration::from_secs(3600), keys, ..KeeperSettings::default() };
    let keeper = Keeper::start(settings, Arc::clone(&recorder) as _);
    keeper.keep(vec![spec("a", volume.path())]);
    (keeper, recorder)
}

/// The number and the digest of what is published.
fn published(state: &IdentityState) -> (u64, Digest) {
    let snapshot = state.snapshot.as_ref().unwrap();
    (snapshot.generation(), snapshot.digest())
}

#[tokio::test]
async fn by_default_a_key_stays() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::Always, &volume);
    recorder.serves_it(&first, true).await;
    keeper.want_keys(&id_of("a"), false);
    volume.swap(&second.files());
    recorder.serves_it(&second, true).await;
}

#[tokio::test]
async fn a_key_comes_when_it_is_wanted_and_goes_when_it_is_not() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    let bare = recorder.serves_it(&first, false).await;
    keeper.want_keys(&id_of("a"), true);
    let whole = recorder.serves_it(&first, true).await;
    assert_eq!(published(&whole), published(&bare));
    volume.swap(&second.files());
    let next = recorder.serves_it(&second, true).await;
    assert_eq!(published(&next).0, 2);
    keeper.want_keys(&id_of("a"), false);
    let bare = recorder.serves_it(&second, false).await;
    assert_eq!((published(&bare), bare.published_at), (published(&next), next.published_at));
    keeper.want_keys(&id_of("a"), true);
    keeper.want_keys(&id_of("a"), true);
    recorder.serves_it(&second, true).await;
    let is_complete = |state: &IdentityState| state.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_complete());
    let bits: Vec<_> = recorder.read(|told| told.states.iter().map(|(_, state)| is_complete(state)).collect());
    assert_eq!(bits, [false, true, true, false, true]);
}

#[tokio::test]
async fn a_key_that_was_wanted_for_a_moment_is_gone_again() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves_it(&first, false).await;
    for _ in 0..200 {
        keeper.want_keys(&id_of("a"), true);
        tokio::task::yield_now().await;
        keeper.want_keys(&id_of("a"), false);
        tokio::task::yield_now().await;
    }
    volume.swap(&second.files());
    recorder.serves_it(&second, false).await;
}

#[tokio::test]
async fn a_key_that_is_never_kept_is_never_shown() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::Never, &volume);
    recorder.serves_it(&first, false).await;
    keeper.want_keys(&id_of("a"), true);
    keeper.rescan();
    volume.swap(&second.files());
    recorder.serves_it(&second, false).await;
    assert!(!recorder.ever_held_a_key(0));
}

#[tokio::test]
async fn an_identity_that_comes_back_starts_with_a_key_that_nobody_wants() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves_it(&first, false).await;
    keeper.want_keys(&id_of("a"), true);
    recorder.serves_it(&first, true).await;
    keeper.keep(Vec::new());
    let before = recorder.until("its removal", |told| (!told.removed.is_empty()).then_some(told.states.len())).await;
    keeper.keep(vec![spec("a", volume.path())]);
    let again = |told: &Told| told.states[before..].iter().any(|(_, state)| state.snapshot.is_some()).then_some(());
    recorder.until("the identity again", again).await;
    volume.swap(&second.files());
    recorder.serves_it(&second, false).await;
    assert!(!recorder.ever_held_a_key(before));
    keeper.want_keys(&id_of("a"), true);
    recorder.serves_it(&second, true).await;
}

#[tokio::test]
async fn a_key_may_be_asked_for_as_soon_as_its_identity_is() {
    let [first] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    keeper.want_keys(&id_of("a"), true);
    recorder.serves_it(&first, true).await;
}

#[tokio::test]
async fn a_key_that_is_wanted_and_no_longer_on_disk_is_told() {
    let [first, second] = issued();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves_it(&first, false).await;
    volume.swap(&first.files().with("tls.key", second.key_pem.clone()));
    let finds = |state: &IdentityState, check| state.findings.iter().any(|finding| finding.check == check);
    recorder.until_it("the rejection", |state| finds(state, Check::KeyMismatch)).await;
    keeper.want_keys(&id_of("a"), true);
    let state = recorder.until_it("the finding", |state| finds(state, Check::KeyNotInMemory)).await;
    assert!(!state.snapshot.as_ref().unwrap().is_complete());
    volume.swap(&first.files());
    let state = recorder.serves_it(&first, true).await;
    assert!(state.findings.is_empty() && published(&state).0 == 1, "{:?}", state.findings);
}
