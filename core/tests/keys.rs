//! The keeper keeps keys in memory only while they are wanted: on real files, swapped as the kubelet does it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::digest::Digest;
use evercert_core::finding::Check;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::{
    IdentityState, Keeper, KeeperSettings, KeyRetention, Observer, Reload, StateError, WatchProblem,
};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf};
use parking_lot::Mutex;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(20);

/// Every state that was shown of the one identity there is, in order.
struct Recorder {
    states: Mutex<Vec<Arc<IdentityState>>>,
    shown: watch::Sender<usize>,
}

impl Observer for Recorder {
    fn state(&self, _id: &IdentityId, state: Arc<IdentityState>) {
        self.states.lock().push(state);
        self.shown.send_modify(|shown| *shown += 1);
    }

    fn removed(&self, _id: &IdentityId) {
        self.states.lock().clear();
        self.shown.send_modify(|shown| *shown += 1);
    }

    fn reload(&self, _: &IdentityId, _: Reload, _: Duration) {}

    fn state_unwritten(&self, _: &IdentityId, _: &StateError) {}

    fn watch_problem(&self, _: WatchProblem) {}

    fn scanned(&self, _: SystemTime) {}
}

impl Recorder {
    fn latest(&self) -> Option<Arc<IdentityState>> {
        self.states.lock().last().cloned()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&IdentityState) -> bool) -> Arc<IdentityState> {
        let mut shown = self.shown.subscribe();
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some(state) = self.latest().filter(|state| is_so(state)) {
                    return state;
                }
                shown.changed().await.unwrap();
            }
        });
        found.await.unwrap_or_else(|_| panic!("never saw {what}: {:#?}", self.states.lock()))
    }

    /// Waits until the leaf is served, with its key or without.
    async fn serves(&self, issued: &Issued, with_key: bool) -> Arc<IdentityState> {
        let leaf = Digest::fingerprint(&issued.leaf_der);
        self.until(if with_key { "the leaf with its key" } else { "the leaf without its key" }, |state| {
            let credential = state.snapshot.as_ref().and_then(|snapshot| snapshot.credential());
            credential.is_some_and(|served| served.leaf().fingerprint == leaf && served.key().is_some() == with_key)
        })
        .await
    }

    /// Whether a key was in any state that was shown.
    fn ever_held_a_key(&self) -> bool {
        let states = self.states.lock();
        let mut served = states.iter().filter_map(|state| state.snapshot.as_ref()?.credential());
        served.any(|credential| credential.key().is_some())
    }
}

fn id() -> IdentityId {
    IdentityId::node("a".parse().unwrap())
}

fn spec(directory: &Path) -> IdentitySpec {
    IdentitySpec {
        id: id(),
        files: FileSet::cert_manager(directory),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    }
}

fn start(keys: KeyRetention, volume: &KubeletVolume) -> (Keeper, Arc<Recorder>) {
    let recorder = Arc::new(Recorder { states: Mutex::default(), shown: watch::Sender::new(0) });
    let settings = KeeperSettings { tick: Duration::from_secs(3600), keys, ..KeeperSettings::default() };
    let keeper = Keeper::start(settings, Arc::clone(&recorder) as _);
    keeper.keep(vec![spec(volume.path())]);
    (keeper, recorder)
}

fn two() -> [Issued; 2] {
    let authority = Authority::new("root");
    [Leaf::for_dns("a.example.org"), Leaf::for_dns("a.example.org")].map(|leaf| authority.issue(leaf))
}

/// The number and the digest of what is published.
fn published(state: &IdentityState) -> (u64, Digest) {
    let snapshot = state.snapshot.as_ref().unwrap();
    (snapshot.generation(), snapshot.digest())
}

#[tokio::test]
async fn by_default_a_key_stays() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::Always, &volume);
    recorder.serves(&first, true).await;
    keeper.want_keys(&id(), false);
    volume.swap(&second.files());
    recorder.serves(&second, true).await;
}

#[tokio::test]
async fn a_key_comes_when_it_is_wanted_and_goes_when_it_is_not() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    let bare = recorder.serves(&first, false).await;
    keeper.want_keys(&id(), true);
    let whole = recorder.serves(&first, true).await;
    assert_eq!(published(&whole), published(&bare));
    volume.swap(&second.files());
    let next = recorder.serves(&second, true).await;
    assert_eq!(published(&next).0, 2);
    keeper.want_keys(&id(), false);
    let bare = recorder.serves(&second, false).await;
    assert_eq!((published(&bare), bare.published_at), (published(&next), next.published_at));
    keeper.want_keys(&id(), true);
    keeper.want_keys(&id(), true);
    recorder.serves(&second, true).await;
    let bits: Vec<_> = {
        let states = recorder.states.lock();
        states.iter().map(|state| state.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_complete())).collect()
    };
    assert_eq!(bits, [false, true, true, false, true]);
}

#[tokio::test]
async fn a_key_that_was_wanted_for_a_moment_is_gone_again() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves(&first, false).await;
    for _ in 0..200 {
        keeper.want_keys(&id(), true);
        tokio::task::yield_now().await;
        keeper.want_keys(&id(), false);
        tokio::task::yield_now().await;
    }
    volume.swap(&second.files());
    recorder.serves(&second, false).await;
}

#[tokio::test]
async fn a_key_that_is_never_kept_is_never_shown() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::Never, &volume);
    recorder.serves(&first, false).await;
    keeper.want_keys(&id(), true);
    keeper.rescan();
    volume.swap(&second.files());
    recorder.serves(&second, false).await;
    assert!(!recorder.ever_held_a_key());
}

#[tokio::test]
async fn an_identity_that_comes_back_starts_with_a_key_that_nobody_wants() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves(&first, false).await;
    keeper.want_keys(&id(), true);
    recorder.serves(&first, true).await;
    let mut shown = recorder.shown.subscribe();
    keeper.keep(Vec::new());
    shown.wait_for(|_| recorder.latest().is_none()).await.unwrap();
    keeper.keep(vec![spec(volume.path())]);
    recorder.until("the identity again", |state| state.snapshot.is_some()).await;
    volume.swap(&second.files());
    recorder.serves(&second, false).await;
    assert!(!recorder.ever_held_a_key());
    keeper.want_keys(&id(), true);
    recorder.serves(&second, true).await;
}

#[tokio::test]
async fn a_key_may_be_asked_for_as_soon_as_its_identity_is() {
    let [first, _] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    keeper.want_keys(&id(), true);
    recorder.serves(&first, true).await;
}

#[tokio::test]
async fn a_key_that_is_wanted_and_no_longer_on_disk_is_told() {
    let [first, second] = two();
    let volume = KubeletVolume::new(&first.files());
    let (keeper, recorder) = start(KeyRetention::OnDemand, &volume);
    recorder.serves(&first, false).await;
    volume.swap(&first.files().with("tls.key", second.key_pem.clone()));
    let finds = |state: &IdentityState, check| state.findings.iter().any(|finding| finding.check == check);
    recorder.until("the rejection", |state| finds(state, Check::KeyMismatch)).await;
    keeper.want_keys(&id(), true);
    let state = recorder.until("the finding", |state| finds(state, Check::KeyNotInMemory)).await;
    assert!(!state.snapshot.as_ref().unwrap().is_complete());
    volume.swap(&first.files());
    let state = recorder.serves(&first, true).await;
    assert!(state.findings.is_empty() && published(&state).0 == 1, "{:?}", state.findings);
}
