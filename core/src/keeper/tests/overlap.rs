//! Anchors of a replaced `ca.crt` that stay trusted, on files swapped as the kubelet does it.

use super::*;
use crate::keeper::EndOverlapError;

/// A volume with a set of the old CA, the sets of both, and a state directory.
struct Rolled {
    system: Arc<Rigged>,
    volume: KubeletVolume,
    old: Issued,
    new: Issued,
    anchors: [Digest; 2],
    state: tempfile::TempDir,
}

impl Rolled {
    fn new() -> Self {
        let authorities = ["old", "new"].map(Authority::new);
        let [old, new] = [leaf(&authorities[0]), leaf(&authorities[1])];
        let anchors = [&authorities[0], &authorities[1]].map(|authority| Digest::fingerprint(authority.ca_der()));
        let (volume, state) = (KubeletVolume::new(&old.files()), tempfile::tempdir().unwrap());
        Self { system: Arc::default(), volume, old, new, anchors, state }
    }

    fn keeper(&self, specs: Vec<IdentitySpec>) -> (Keeper, Arc<Recorder>) {
        self.keeper_at(HOUR, Pace::default(), specs)
    }

    fn keeper_at(&self, tick: Duration, pace: Pace, specs: Vec<IdentitySpec>) -> (Keeper, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let settings =
            KeeperSettings { tick, state_directory: Some(self.state.path().to_owned()), ..KeeperSettings::default() };
        let observer = Arc::clone(&recorder) as Arc<dyn Observer>;
        let keeper = Keeper::start_with(Arc::clone(&self.system) as _, pace, settings, observer, None);
        keeper.keep(specs);
        (keeper, recorder)
    }

    fn spec(&self) -> IdentitySpec {
        spec("a", self.volume.path())
    }

    /// A keeper that has seen the old set and then the new one.
    async fn replaced(&self, spec: IdentitySpec) -> (Keeper, Arc<Recorder>) {
        let (keeper, recorder) = self.keeper(vec![spec]);
        recorder.until_serves("a", &self.old).await;
        self.volume.swap(&self.new.files());
        recorder.until_serves("a", &self.new).await;
        (keeper, recorder)
    }

    fn state_files(&self) -> usize {
        std::fs::read_dir(self.state.path()).unwrap().count()
    }

    async fn until_no_state_files(&self) {
        wait::until_so("the file is gone", || self.state_files() == 0).await;
    }
}

impl Recorder {
    fn trusts(&self, name: &str) -> Vec<Digest> {
        let anchors = self.latest(name).and_then(|state| state.snapshot.as_ref()?.bundles().own.clone());
        anchors.map_or(Vec::new(), |own| own.anchors().iter().map(|anchor| Digest::fingerprint(anchor)).collect())
    }

    fn retains(&self, name: &str) -> Vec<(Digest, SystemTime)> {
        let state = self.latest(name).unwrap();
        state.overlap.iter().map(|anchor| (anchor.facts.fingerprint, anchor.until)).collect()
    }

    async fn until_trusts_only(&self, name: &str, anchor: Digest) {
        self.until("a single anchor", || self.trusts(name) == [anchor]).await;
    }
}

#[tokio::test]
async fn the_anchors_of_a_replaced_secret_stay_and_end_in_time() {
    let rolled = Rolled::new();
    let (_keeper, recorder) = rolled.replaced(rolled.spec()).await;
    assert_eq!(recorder.trusts("a").len(), 2);
    assert!(recorder.finds("a", Check::TrustOverlap));
    assert_eq!(rolled.state_files(), 1, "remembered before it was shown");
    rolled.system.ahead.store(25 * 3600, Ordering::SeqCst);
    // This has the task look at the clock.
    rolled.volume.swap(&rolled.new.files());
    recorder.until_trusts_only("a", rolled.anchors[1]).await;
    assert!(!recorder.finds("a", Check::TrustOverlap));
    assert_eq!(rolled.state_files(), 0);
}

#[tokio::test]
async fn a_restart_neither_ends_nor_extends_an_overlap() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.replaced(rolled.spec()).await;
    let retained = recorder.retains("a");
    drop(keeper);
    rolled.system.ahead.store(3600, Ordering::SeqCst);
    let (keeper, recorder) = rolled.keeper(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    assert_eq!(recorder.trusts("a").len(), 2);
    let [(anchor, until)] = recorder.retains("a")[..] else { panic!("{:?}", recorder.retains("a")) };
    assert_eq!(anchor, retained[0].0);
    assert!(
        until <= retained[0].1 && retained[0].1.duration_since(until).unwrap() < Duration::from_secs(1),
        "{until:?} {retained:?}"
    );
    drop(keeper);
    rolled.system.ahead.store(25 * 3600, Ordering::SeqCst);
    let (_keeper, recorder) = rolled.keeper(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    assert_eq!(recorder.trusts("a"), [rolled.anchors[1]]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_over_a_restart_leaves_no_more_than_the_overlap() {
    let rolled = Rolled::new();
    rolled.system.ahead.store(10 * 24 * 3600, Ordering::SeqCst);
    let (keeper, _recorder) = rolled.replaced(rolled.spec()).await;
    drop(keeper);
    rolled.system.ahead.store(0, Ordering::SeqCst);
    let (_keeper, recorder) = rolled.keeper(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    let until = recorder.retains("a")[0].1;
    assert!(until <= rolled.system.now().wall + IdentitySpec::OVERLAP, "{until:?}");
}

#[tokio::test]
async fn without_an_overlap_or_with_a_dedicated_bundle_it_bites_at_once() {
    for dedicated in [false, true] {
        let rolled = Rolled::new();
        let mut spec = rolled.spec();
        if dedicated {
            spec.files.bundle = Some(BundleFile::Dedicated(rolled.volume.file("ca.crt")));
        } else {
            spec.overlap = Duration::ZERO;
        }
        let (_keeper, recorder) = rolled.replaced(spec).await;
        assert_eq!(recorder.trusts("a"), [rolled.anchors[1]]);
        assert_eq!((rolled.state_files(), recorder.retains("a").len()), (0, 0));
    }
}

#[tokio::test]
async fn a_dropped_anchor_is_gone_before_the_answer_and_stays_gone() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.replaced(rolled.spec()).await;
    let generation = || recorder.latest("a").unwrap().snapshot.as_ref().unwrap().generation();
    assert_eq!(generation(), 2);
    assert_eq!(keeper.end_overlap(rolled.anchors[0], None).await.unwrap(), [id_of("a")]);
    assert_eq!((recorder.trusts("a"), generation()), (vec![rolled.anchors[1]], 3));
    assert!(!recorder.finds("a", Check::TrustOverlap));
    assert!(matches!(keeper.end_overlap(rolled.anchors[0], None).await, Err(EndOverlapError::NotRetained(_))));
    drop(keeper);
    let (_keeper, recorder) = rolled.keeper(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    assert_eq!(recorder.trusts("a"), [rolled.anchors[1]]);
}

#[tokio::test]
async fn an_overlap_ends_in_one_identity_or_in_all_that_have_it() {
    let rolled = Rolled::new();
    let other = KubeletVolume::new(&rolled.old.files());
    let (keeper, recorder) =
        rolled.keeper(vec![rolled.spec(), spec("b", rolled.volume.path()), spec("c", other.path())]);
    for name in ["a", "b", "c"] {
        recorder.until_serves(name, &rolled.old).await;
    }
    rolled.volume.swap(&rolled.new.files());
    recorder.until_serves("a", &rolled.new).await;
    recorder.until_serves("b", &rolled.new).await;
    let old = rolled.anchors[0];
    assert_eq!(keeper.end_overlap(old, Some(id_of("b"))).await.unwrap(), [id_of("b")]);
    assert_eq!((recorder.trusts("a").len(), recorder.trusts("b").len()), (2, 1));
    let error = keeper.end_overlap(old, Some(id_of("c"))).await.unwrap_err();
    assert!(error.to_string().contains(other.file("ca.crt").to_str().unwrap()), "{error}");
    let error = keeper.end_overlap(old, Some(id_of("d"))).await.unwrap_err();
    assert!(matches!(error, EndOverlapError::UnknownIdentity(_)), "{error}");
    assert_eq!(keeper.end_overlap(old, None).await.unwrap(), [id_of("a")]);
    assert!(matches!(keeper.end_overlap(old, None).await, Err(EndOverlapError::OnDisk { .. })));
}

#[tokio::test]
async fn an_overlap_whose_end_cannot_be_remembered_does_not_end() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.replaced(rolled.spec()).await;
    // A directory in the file's place: it can neither be removed as a file nor replaced by one.
    let file = std::fs::read_dir(rolled.state.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let error = keeper.end_overlap(rolled.anchors[0], None).await.unwrap_err();
    assert!(matches!(error, EndOverlapError::NotRemembered { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(recorder.trusts("a").len(), 2);
    std::fs::remove_dir_all(&file).unwrap();
    assert_eq!(keeper.end_overlap(rolled.anchors[0], None).await.unwrap(), [id_of("a")]);
    assert_eq!(recorder.trusts("a").len(), 1);
}

#[tokio::test]
async fn an_overlap_that_cannot_be_remembered_is_in_force_and_a_finding_and_is_written_at_a_later_tick() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.keeper_at(SHORT, Pace::default(), vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.old).await;
    // The directory's name leads to a file.
    std::fs::remove_dir(rolled.state.path()).unwrap();
    std::fs::write(rolled.state.path(), "").unwrap();
    rolled.volume.swap(&rolled.new.files());
    recorder.until_serves("a", &rolled.new).await;
    assert_eq!(recorder.trusts("a").len(), 2);
    let state = recorder.latest("a").unwrap();
    let finding = state.findings.iter().find(|finding| finding.check == Check::StateNotWritten).unwrap();
    assert!(finding.sentence.contains(rolled.state.path().to_str().unwrap()), "{}", finding.sentence);
    recorder.until("it is tried again at ticks", || recorder.unwritten.load(Ordering::SeqCst) >= 3).await;
    let generation = |state: &IdentityState| state.snapshot.as_ref().unwrap().generation();
    assert_eq!(generation(&recorder.latest("a").unwrap()), generation(&state));
    std::fs::remove_file(rolled.state.path()).unwrap();
    recorder.until("it is written", || !recorder.finds("a", Check::StateNotWritten)).await;
    assert_eq!((rolled.state_files(), recorder.trusts("a").len()), (1, 2));
    let retained = recorder.retains("a");
    drop(keeper);
    let (_keeper, recorder) = rolled.keeper(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    assert_eq!(recorder.retains("a")[0].0, retained[0].0);
}

#[tokio::test]
async fn an_overlap_that_cannot_be_read_is_a_finding_and_in_force_as_soon_as_it_can() {
    let rolled = Rolled::new();
    let (keeper, _recorder) = rolled.replaced(rolled.spec()).await;
    drop(keeper);
    let file = std::fs::read_dir(rolled.state.path()).unwrap().next().unwrap().unwrap().path();
    let away = rolled.state.path().with_extension("away");
    std::fs::rename(&file, &away).unwrap();
    // A name that is too long cannot even be looked up, nor can what is behind a directory nobody may pass.
    let unreadable = rolled.state.path().join("x".repeat(300));
    let settings = |state: &Path| KeeperSettings {
        tick: SHORT,
        state_directory: Some(state.to_owned()),
        ..KeeperSettings::default()
    };
    let recorder = Arc::new(Recorder::default());
    let link = rolled.state.path().join("link");
    std::os::unix::fs::symlink(&unreadable, &link).unwrap();
    let observer = Arc::clone(&recorder) as Arc<dyn Observer>;
    let pace = Pace::default();
    let keeper = Keeper::start_with(Arc::clone(&rolled.system) as _, pace, settings(&link), observer, None);
    keeper.keep(vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.new).await;
    assert!(recorder.finds("a", Check::StateNotWritten));
    assert_eq!(recorder.trusts("a"), [rolled.anchors[1]]);
    std::fs::rename(&away, &file).unwrap();
    // In one step: a tick between two would find a place without anything retained.
    let another = rolled.state.path().join("another");
    std::os::unix::fs::symlink(rolled.state.path(), &another).unwrap();
    std::fs::rename(&another, &link).unwrap();
    recorder.until("it is retained", || recorder.trusts("a").len() == 2).await;
    assert!(!recorder.finds("a", Check::StateNotWritten));
}

#[tokio::test]
async fn an_overlap_on_a_dead_mount_can_be_ended() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.replaced(rolled.spec()).await;
    rolled.system.kill(rolled.volume.path());
    keeper.rescan();
    assert_eq!(keeper.end_overlap(rolled.anchors[0], None).await.unwrap(), [id_of("a")]);
    assert_eq!(recorder.trusts("a"), [rolled.anchors[1]]);
    rolled.system.revive(rolled.volume.path());
}

#[tokio::test]
async fn an_overlap_ends_in_time_although_a_look_at_a_dead_mount_began_just_then() {
    let rolled = Rolled::new();
    let (keeper, recorder) = rolled.replaced(rolled.spec()).await;
    rolled.system.kill(rolled.volume.path());
    rolled.system.ahead.store(25 * 3600, Ordering::SeqCst);
    // The look and what time brings become due together, and are one job.
    keeper.rescan();
    recorder.until_trusts_only("a", rolled.anchors[1]).await;
    rolled.system.revive(rolled.volume.path());
}

#[tokio::test]
async fn state_of_identities_that_are_gone_goes_with_its_deadline() {
    let rolled = Rolled::new();
    let (keeper, _recorder) = rolled.replaced(rolled.spec()).await;
    drop(keeper);
    let (keeper, _recorder) = rolled.keeper(Vec::new());
    rolled.system.ahead.store(25 * 3600, Ordering::SeqCst);
    drop(keeper);
    let (_keeper, _recorder) = rolled.keeper(Vec::new());
    rolled.until_no_state_files().await;
}

#[tokio::test]
async fn state_of_identities_that_go_while_it_runs_goes_with_its_deadline() {
    let rolled = Rolled::new();
    let pace = Pace { state_sweep: SHORT, ..Pace::default() };
    let (keeper, recorder) = rolled.keeper_at(SHORT, pace, vec![rolled.spec()]);
    recorder.until_serves("a", &rolled.old).await;
    rolled.volume.swap(&rolled.new.files());
    recorder.until_serves("a", &rolled.new).await;
    keeper.keep(Vec::new());
    assert_eq!(rolled.state_files(), 1);
    rolled.system.ahead.store(25 * 3600, Ordering::SeqCst);
    rolled.until_no_state_files().await;
}
