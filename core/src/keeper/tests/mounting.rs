//! Files that are mounted or unmounted.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use rustix::net::{SendFlags, send};

use super::*;

/// A list of mounts that changes at a test's word: a connection over which urgent data comes, which wakes as the kernel's list
/// does.
fn mounts(system: &Rigged) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    *system.mounts.lock() = Some(listener.accept().unwrap().0.into());
    ours
}

fn change(mounts: &TcpStream) {
    send(mounts, &[0], SendFlags::OOB).unwrap();
}

/// Without inotify, which hears nothing of a mount.
fn deaf() -> Arc<Rigged> {
    Arc::new(Rigged { no_instance: AtomicBool::new(true), ..Rigged::default() })
}

#[tokio::test]
async fn files_that_a_mount_may_have_brought_are_looked_at_at_once_and_then_once_in_a_while() {
    let authority = Authority::new("root");
    let volume = KubeletVolume::new(&leaf(&authority).files());
    let system = deaf();
    let mounts = mounts(&system);
    let (_keeper, recorder) = start(&system, HOUR, vec![spec("a", volume.path())]);
    recorder.until("a state", || recorder.latest("a").is_some()).await;
    let began = Instant::now();
    for _ in 0..3 {
        let next = leaf(&authority);
        volume.swap(&next.files());
        change(&mounts);
        recorder.until_serves("a", &next).await;
    }
    let paced = Pace::default().mounts * 2;
    assert!(began.elapsed() >= paced, "three looks within {:?}", began.elapsed());
    assert_eq!(recorder.scans.load(Ordering::SeqCst), 0, "it is not the tick that looks");
}

#[tokio::test]
async fn files_that_are_missing_are_looked_for_where_something_was_mounted() {
    let first = leaf(&Authority::new("root"));
    let directory = tempfile::tempdir().unwrap();
    let system = deaf();
    let mounts = mounts(&system);
    let (_keeper, recorder) = start(&system, HOUR, vec![spec("a", &directory.path().join("tls"))]);
    recorder.until_finds("a", Check::FileMissing).await;
    let _volume = KubeletVolume::at(&directory.path().join("tls"), &first.files());
    change(&mounts);
    recorder.until_serves("a", &first).await;
}

#[tokio::test]
async fn a_dead_mount_stalls_nobody_else_when_the_list_changes() {
    let authority = Authority::new("root");
    let (first, second) = (leaf(&authority), leaf(&authority));
    let volumes = [(); 3].map(|()| KubeletVolume::new(&first.files()));
    let system = deaf();
    let mounts = mounts(&system);
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path()));
    let (_keeper, recorder) = start(&system, HOUR, specs.collect());
    for n in 0..3 {
        recorder.until_serves(&format!("n{n}"), &first).await;
    }
    system.kill(volumes[1].path());
    volumes.iter().for_each(|volume| _ = volume.swap(&second.files()));
    change(&mounts);
    recorder.until_serves("n0", &second).await;
    recorder.until_serves("n2", &second).await;
    recorder.until_finds("n1", Check::MountUnresponsive).await;
    assert!(recorder.serves("n1", &first));
    system.revive(volumes[1].path());
    recorder.until_serves("n1", &second).await;
}

#[tokio::test]
async fn volumes_of_others_are_left_alone_when_the_list_changes() {
    let authority = Authority::new("root");
    let (first, second) = (leaf(&authority), leaf(&authority));
    let [pods, ours] = [(); 2].map(|()| KubeletVolume::new(&first.files()));
    let system = deaf();
    let mounts = mounts(&system);
    let mut confined = spec("pods", pods.path());
    confined.files.volumes = vec![pods.path().to_owned()];
    let (_keeper, recorder) = start(&system, HOUR, vec![confined, spec("ours", ours.path())]);
    recorder.until_serves("pods", &first).await;
    recorder.until_serves("ours", &first).await;
    // A thread that entered it would be seen waiting there.
    system.kill(pods.path());
    ours.swap(&second.files());
    change(&mounts);
    recorder.until_serves("ours", &second).await;
    assert_eq!(system.waiting.load(Ordering::SeqCst), 0);
}
