//! Keys come and go whatever the mounts do.

use super::*;
use crate::keeper::KeyRetention;

fn start_on_demand(system: &Arc<Rigged>, specs: Vec<IdentitySpec>) -> (Keeper, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let pace = Pace { counted: SHORT, unresponsive: SHORT * 4, sweep_stuck: SHORT, ..Pace::default() };
    let settings = KeeperSettings { tick: HOUR, keys: KeyRetention::OnDemand, ..KeeperSettings::default() };
    let reactor = Reactor::start("test").unwrap();
    let keeper = Keeper::start_with(Arc::clone(system) as _, pace, settings, Arc::clone(&recorder) as _, Some(reactor));
    keeper.keep(specs);
    (keeper, recorder)
}

impl Recorder {
    fn has_key(&self, name: &str) -> bool {
        let state = self.latest(name);
        let snapshot = state.as_ref().and_then(|state| state.snapshot.as_ref());
        snapshot.is_some_and(|snapshot| snapshot.is_complete())
    }
}

#[tokio::test]
async fn a_key_that_nobody_wants_any_more_goes_although_the_mount_does_not_answer() {
    let issued = leaf(&Authority::new("root"));
    let volume = KubeletVolume::new(&issued.files());
    let system = Arc::new(Rigged::default());
    let (keeper, recorder) = start_on_demand(&system, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &issued).await;
    keeper.want_keys(&id_of("a"), true);
    recorder.until("the key", || recorder.has_key("a")).await;
    system.kill(volume.path());
    keeper.rescan();
    // A job has the identity's lifecycle from then on.
    while system.waiting.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    keeper.want_keys(&id_of("a"), false);
    recorder.until("the end of the key", || !recorder.has_key("a")).await;
    assert!(recorder.serves("a", &issued));
    system.revive(volume.path());
}

#[tokio::test]
async fn a_key_that_is_wanted_while_the_mount_does_not_answer_comes_when_it_does() {
    let issued = leaf(&Authority::new("root"));
    let volume = KubeletVolume::new(&issued.files());
    let system = Arc::new(Rigged::default());
    let (keeper, recorder) = start_on_demand(&system, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &issued).await;
    system.kill(volume.path());
    keeper.want_keys(&id_of("a"), true);
    recorder.until_finds("a", Check::MountUnresponsive).await;
    assert!(!recorder.has_key("a"));
    system.revive(volume.path());
    recorder.until("the key", || recorder.has_key("a")).await;
    assert_eq!(recorder.latest("a").unwrap().snapshot.as_ref().unwrap().generation(), 1);
}
