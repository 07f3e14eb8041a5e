//! Mounts that do not answer.

use super::*;

#[tokio::test]
async fn dead_mounts_stall_nobody_but_themselves() {
    let authority = Authority::new("root");
    let (first, second) = (leaf(&authority), leaf(&authority));
    let volumes: Vec<_> = (0..20).map(|_| KubeletVolume::new(&first.files())).collect();
    let well = KubeletVolume::new(&first.files());
    let system = Arc::new(Rigged::default());
    volumes.iter().for_each(|volume| system.kill(volume.path()));
    let mut specs: Vec<_> =
        volumes.iter().enumerate().map(|(n, volume)| spec(&format!("dead{n}"), volume.path())).collect();
    specs.push(spec("well", well.path()));
    let (_keeper, recorder) = start(&system, HOUR, specs);
    recorder.until_serves("well", &first).await;
    for n in 0..20 {
        recorder.until_finds(&format!("dead{n}"), Check::MountUnresponsive).await;
    }
    well.swap(&second.files());
    recorder.until_serves("well", &second).await;
    for (n, volume) in volumes.iter().enumerate() {
        system.revive(volume.path());
        recorder.until_serves(&format!("dead{n}"), &first).await;
        assert!(!recorder.finds(&format!("dead{n}"), Check::MountUnresponsive));
    }
}

#[tokio::test]
async fn a_mount_that_dies_later_keeps_what_is_published_and_catches_up() {
    let authority = Authority::new("root");
    let (first, second) = (leaf(&authority), leaf(&authority));
    let volume = KubeletVolume::new(&first.files());
    let system = Arc::new(Rigged::default());
    let (_keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &first).await;
    system.kill(volume.path());
    volume.swap(&second.files());
    recorder.until_finds("a", Check::MountUnresponsive).await;
    assert!(recorder.serves("a", &first));
    system.revive(volume.path());
    recorder.until_serves("a", &second).await;
    assert!(!recorder.finds("a", Check::MountUnresponsive));
}

#[tokio::test]
async fn a_mount_that_comes_back_unchanged_is_no_longer_a_finding() {
    let first = leaf(&Authority::new("root"));
    let volume = KubeletVolume::new(&first.files());
    let system = Arc::new(Rigged::default());
    let (keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &first).await;
    system.kill(volume.path());
    keeper.rescan();
    recorder.until_finds("a", Check::MountUnresponsive).await;
    system.revive(volume.path());
    recorder.until("the end of the finding", || !recorder.finds("a", Check::MountUnresponsive)).await;
    assert_eq!(recorder.latest("a").unwrap().snapshot.as_ref().unwrap().generation(), 1);
}

#[tokio::test]
async fn an_identity_on_a_dead_mount_still_expires() {
    let authority = Authority::new("root");
    let now = SystemTime::now();
    let issued = authority.issue(Leaf::for_dns("a.example.org").valid(now - HOUR, now + HOUR));
    let volume = KubeletVolume::new(&issued.files());
    let system = Arc::new(Rigged::default());
    let (keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
    recorder.until_serves("a", &issued).await;
    system.kill(volume.path());
    keeper.rescan();
    recorder.until_finds("a", Check::MountUnresponsive).await;
    system.ahead.store(2 * 3600, Ordering::SeqCst);
    keeper.keep(vec![spec("a", volume.path())]);
    let is_told = || recorder.finds("a", Check::Expired) && recorder.finds("a", Check::MountUnresponsive);
    recorder.until("both findings", is_told).await;
    assert!(recorder.serves("a", &issued));
    system.revive(volume.path());
}

#[tokio::test]
async fn a_sweep_gets_past_a_dead_mount() {
    let authority = Authority::new("root");
    let issued = leaf(&authority);
    let volumes: Vec<_> = (0..30).map(|_| KubeletVolume::new(&issued.files())).collect();
    let system = Arc::new(Rigged { no_instance: AtomicBool::new(true), ..Rigged::default() });
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path())).collect();
    let (_keeper, recorder) = start(&system, SHORT * 2, specs);
    for n in 0..30 {
        recorder.until_serves(&format!("n{n}"), &issued).await;
    }
    system.kill(volumes[0].path());
    system.kill(volumes[17].path());
    recorder.until_finds("n0", Check::MountUnresponsive).await;
    recorder.until_finds("n17", Check::MountUnresponsive).await;
    let next = leaf(&authority);
    for n in (1..17).chain(18..30) {
        volumes[n].swap(&next.files());
        recorder.until_serves(&format!("n{n}"), &next).await;
    }
    let scans = recorder.scans.load(Ordering::SeqCst);
    recorder.until("another scan", || recorder.scans.load(Ordering::SeqCst) > scans + 1).await;
    // An identity that waits for a dead mount has no thread sent there again: one sweep and one look each, and what was queued before.
    assert!(system.waiting.load(Ordering::SeqCst) <= 6, "{:?}", system.waiting);
    system.revive(volumes[0].path());
    system.revive(volumes[17].path());
    recorder.until("both answer", || !["n0", "n17"].iter().any(|n| recorder.finds(n, Check::MountUnresponsive))).await;
}

#[tokio::test]
async fn an_identity_that_moves_off_a_dead_mount_is_read_at_its_new_place() {
    let authority = Authority::new("root");
    let (first, second, third) = (leaf(&authority), leaf(&authority), leaf(&authority));
    let (dead, alive) = (KubeletVolume::new(&first.files()), KubeletVolume::new(&second.files()));
    let system = Arc::new(Rigged::default());
    let (keeper, recorder) = start(&system, HOUR, vec![spec("told", dead.path()), spec("untold", dead.path())]);
    recorder.until_serves("told", &first).await;
    recorder.until_serves("untold", &first).await;
    system.kill(dead.path());
    keeper.rescan();
    recorder.until_finds("told", Check::MountUnresponsive).await;
    keeper.keep(vec![spec("told", alive.path()), spec("untold", alive.path())]);
    recorder.until_serves("told", &second).await;
    recorder.until_serves("untold", &second).await;
    system.revive(dead.path());
    alive.swap(&third.files());
    recorder.until_serves("told", &third).await;
    recorder.until_serves("untold", &third).await;
    assert!(!recorder.finds("told", Check::MountUnresponsive));
}

#[test]
fn a_dead_mount_does_not_hold_up_the_end_of_the_runtime() {
    let volume = KubeletVolume::new(&leaf(&Authority::new("root")).files());
    let system = Arc::new(Rigged::default());
    system.kill(volume.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
        recorder.until_finds("a", Check::MountUnresponsive).await;
    });
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        ended.send(()).unwrap();
    });
    assert!(end.recv_timeout(DEADLINE).is_ok(), "the runtime waits for the dead mount");
    system.revive(volume.path());
}
