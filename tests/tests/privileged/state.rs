//! A state directory whose file system is full, or read-only, while a `ca.crt` is replaced.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use evercert_fixtures::{Authority, Files, KubeletVolume};
use evercert_tests::daemon::{Daemon, Home, identity};
use rustix::mount::{MountFlags, mount, mount_remount};

use crate::daemon;
use crate::room::Room;

/// As small as one can be that holds a few files.
const SIZE: &std::ffi::CStr = c"size=64k,mode=0700";

fn files(authority: &str) -> Files {
    Authority::new(authority).issue_dns("a.example.org").files()
}

/// A daemon whose state directory is a file system of its own, and which has served from this volume.
struct Scene {
    home: Home,
    volume: KubeletVolume,
    state: PathBuf,
}

impl Scene {
    fn new(room: &Room) -> Self {
        let home = daemon::home(room);
        let volume = KubeletVolume::at(&room.path().join("tls"), &files("old.example.org"));
        home.configure(&format!("tick = \"1s\"\n\n{}", identity("a", volume.path())));
        let state = home.config().with_file_name("state");
        fs::create_dir_all(&state).unwrap();
        mount("tmpfs", &state, "tmpfs", MountFlags::empty(), Some(SIZE)).unwrap();
        Self { home, volume, state }
    }

    fn written(&self) -> usize {
        fs::read_dir(&self.state).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some()).count()
    }

    /// The bundle is replaced where nothing can be written, which is told and tells why; then something can.
    async fn replaced(&self, running: &Daemon<'_>, why: &str, mend: impl FnOnce()) {
        running.until("the first is served", "a", |status| status.generation == 1).await;
        self.volume.swap(&files("new.example.org"));
        let status = running.until_finding("a", "state-not-written").await;
        assert_eq!((status.generation, status.anchors, status.retained.len()), (2, 2, 1));
        let sentences: Vec<_> = status.findings.iter().map(|finding| finding.sentence.as_str()).collect();
        assert!(sentences.iter().any(|sentence| sentence.contains(why)), "{sentences:#?}");
        let address = self.home.http().unwrap();
        assert_eq!(daemon::get(address, "/readyz").0, 200);
        assert!(daemon::counted(address, "evercert_state_failures_total", &["write"]) > 0.0);
        let (_, metrics) = daemon::get(address, "/metrics");
        assert!(metrics.contains("\nevercert_state_unwritten_identities 1\n"), "{metrics}");
        assert_eq!(self.written(), 0);
        mend();
        let is_mended = |status: &evercert_api::v1::IdentityStatus| {
            status.findings.iter().all(|finding| finding.check != "state-not-written")
        };
        let status = running.until("it is written", "a", is_mended).await;
        assert_eq!((status.generation, status.retained.len(), self.written()), (2, 1, 1));
        let (_, metrics) = daemon::get(address, "/metrics");
        assert!(metrics.contains("\nevercert_state_unwritten_identities 0\n"), "{metrics}");
    }

    async fn is_retained_over_a_restart(&self, running: Daemon<'_>) {
        let before = running.identity("a").await.unwrap().retained;
        running.kill();
        let running = self.home.start().await;
        let status = running.until("it is served", "a", |status| status.generation > 0).await;
        assert_eq!((status.anchors, status.retained.len()), (2, 1));
        let until = |retained: &evercert_api::v1::RetainedAnchor| retained.until.as_ref().unwrap().seconds;
        assert!((until(&status.retained[0]) - until(&before[0])).abs() <= 1);
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn an_overlap_is_in_force_while_the_state_directory_is_full_and_written_when_there_is_room() {
    let room = Room::enter();
    let scene = Scene::new(&room);
    let running = scene.home.start().await;
    let filler = scene.state.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    scene.replaced(&running, "make room", || fs::remove_file(&filler).unwrap()).await;
    scene.is_retained_over_a_restart(running).await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn an_overlap_is_in_force_while_the_state_directory_is_read_only_also_at_the_start() {
    let room = Room::enter();
    let scene = Scene::new(&room);
    mount_remount(&scene.state, MountFlags::RDONLY, SIZE).unwrap();
    let running = scene.home.start().await;
    let mend = || mount_remount(&scene.state, MountFlags::empty(), SIZE).unwrap();
    scene.replaced(&running, "read-write", mend).await;
    scene.is_retained_over_a_restart(running).await;
}
