//! Volumes whose author means harm.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use evercert_fixtures::wait::{DEADLINE, until_within};
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf, replace_by_link};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::mount_bind;

use crate::daemon::{self, counted};
use crate::kubelet::{Kind, Kubelet};
use crate::room::Room;

/// The driver whose volumes are looked at.
const DRIVER: &str = "csi.cert-manager.io";
/// Another one.
const OTHER_DRIVER: &str = "spiffe.csi.cert-manager.io";
/// How many dead volumes a pod has.
const DEAD: usize = 40;
/// How soon others are found beside them, with what the daemon's start takes.
const FOUND: Duration = Duration::from_secs(5);
/// How long it may take until the daemon says what is wrong with a volume.
const PROMISE: Duration = Duration::from_millis(100);
/// How much more that takes where the daemon is asked again and again, on a machine that does other things too.
const GRACE: Duration = Duration::from_millis(400);

/// Puts something in place of the key of a volume; what it is called, and what does it.
type Trick = (&'static str, fn(&Room, &Path));

const TRICKS: [Trick; 7] = [
    ("shadow", |_, key| symlink("/etc/shadow", key).unwrap()),
    ("fifo", |_, key| mknodat(CWD, key, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap()),
    ("device", |_, key| {
        mknodat(CWD, key, FileType::CharacterDevice, Mode::from_raw_mode(0o644), makedev(1, 5)).unwrap()
    }),
    ("sparse", |_, key| File::create(key).unwrap().set_len(2 << 30).unwrap()),
    ("dots", |room, key| symlink(format!("../../../../../../../../../../../..{}", secret(room)), key).unwrap()),
    ("link-to-link", |room, key| {
        symlink(secret(room), key.with_file_name("link")).unwrap();
        symlink("link", key).unwrap();
    }),
    ("mount", |room, key| {
        File::create(key).unwrap();
        mount_bind(secret(room), key).unwrap();
    }),
];

/// A file of the host's, which holds a key that would be good.
fn secret(room: &Room) -> String {
    room.path().join("host.key").to_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_csi_volume_that_leads_out_of_itself_is_refused_at_once_and_blocks_nobody() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let issued = Authority::new("root.example.org").issue(Leaf::for_dns("a.example.org"));
    fs::write(secret(&room), &issued.key_pem).unwrap();
    let home = daemon::home(&room);
    home.configure(&daemon::pods(&kubelet));
    let running = home.start().await;
    let good = kubelet.pod("good-0");
    let good_volume = good.mount(Kind::Secret, "good", &issued.files());
    running.until("it is published", "good", |status| status.generation == 1).await;

    let mut slow = Vec::new();
    for (name, trick) in TRICKS {
        let pod = kubelet.pod(name);
        let volume = pod.mount_csi(DRIVER, name, &issued.files());
        running.until("it is published", name, |status| status.generation == 1).await;
        let (files, hostile) = (issued.files().without("tls.key"), prepare(&volume, &issued.files()));
        trick(&room, &hostile.join("tls.key"));
        assert_eq!(files.iter().count(), 2);
        let start = Instant::now();
        publish(&volume, &hostile);
        let status = running.until("it is refused", name, |status| !status.findings.is_empty()).await;
        slow.push((start.elapsed(), name));
        assert_eq!(status.generation, 1, "{name}");
        let findings: Vec<_> = status.findings.iter().map(|finding| finding.check.as_str()).collect();
        assert!(
            findings.iter().any(|check| matches!(*check, "outside-volume" | "not-a-regular-file" | "too-large")),
            "{name}: {:?}",
            status.findings
        );
        let told = format!("{:?}", status.findings);
        assert!(!told.contains("PRIVATE KEY") && !told.contains("root:"), "{name}: {told}");
        let start = Instant::now();
        assert!(running.status().await.is_some(), "the daemon answers");
        assert!(start.elapsed() < PROMISE + GRACE, "{name}: the status took {:?}", start.elapsed());
    }
    println!("refused after {slow:?}");
    for (took, name) in slow {
        assert!(took < PROMISE + GRACE, "{name} was refused after {took:?}");
    }
    let other = Authority::new("root.example.org").issue(Leaf::for_dns("a.example.org"));
    good_volume.swap(&other.files());
    running.until("the others rotate", "good", |status| status.generation == 2).await;
    let shadow = fs::read_to_string("/etc/shadow").unwrap();
    assert!(shadow.lines().all(|line| !home.log().contains(line)), "a line of the foreign file in the log");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn dead_volumes_of_allowed_drivers_keep_no_other_from_being_found() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let files = || Authority::new("root.example.org").issue(Leaf::for_dns("a.example.org")).files();
    let home = daemon::home(&room);
    home.configure(&daemon::pods(&kubelet));
    // They come first, whatever the order in which pods are looked at.
    let hostile: [_; 4] = std::array::from_fn(|number| kubelet.pod(&format!("hostile-{number}")));
    let mut servers = Vec::new();
    for pod in &hostile[..3] {
        servers.extend((0..DEAD).map(|number| pod.mount_dead_csi(DRIVER, &format!("dead-{number:02}"))));
    }
    let good = kubelet.pod("good-0");
    let _volumes = [good.mount_csi(DRIVER, "csi", &files()), good.mount(Kind::Secret, "secret", &files())];
    let beside = hostile[0].mount(Kind::Secret, "beside", &files());
    let running = home.start().await;
    let start = Instant::now();
    for name in ["csi", "secret", "beside"] {
        running.until("it is published", name, |status| status.generation == 1).await;
    }
    assert!(start.elapsed() < FOUND, "they were found {:?} after the start", start.elapsed());

    // New ones beside them are found, too.
    servers.extend((0..DEAD).map(|number| hostile[3].mount_dead_csi(DRIVER, &format!("dead-{number:02}"))));
    let (start, late) = (Instant::now(), kubelet.pod("late-0"));
    let _volumes = [late.mount_csi(DRIVER, "late-csi", &files()), late.mount_csi(OTHER_DRIVER, "late-other", &files())];
    for name in ["late-csi", "late-other"] {
        running.until("it is published", name, |status| status.generation == 1).await;
    }
    assert!(start.elapsed() < FOUND, "they were found after {:?}", start.elapsed());
    beside.swap(&files());
    running.until("the pod of dead volumes rotates", "beside", |status| status.generation == 2).await;

    let silent = |state| counted(home.http().unwrap(), "evercert_pod_volumes_not_answering", &[state]);
    let all_told = || async {
        let told = silent("stuck") + silent("crowded_out");
        (told >= 4.0 * DEAD as f64).then_some(())
    };
    until_within(DEADLINE, "each dead volume is told", all_told).await;
    let stuck = silent("stuck");
    let threads = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap().count();
    println!("{stuck} threads of {threads} are stuck");
    assert!((3.0 * 30.0..=512.0).contains(&stuck), "{stuck}");

    // Threads come back when a file system does, if only to fail.
    drop(servers);
    let none_stuck =
        || async { (fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap().count() < 64).then_some(()) };
    until_within(DEADLINE, "the threads come back", none_stuck).await;
}

/// A directory of a volume with all files but the key.
fn prepare(volume: &KubeletVolume, files: &Files) -> std::path::PathBuf {
    let directory = volume.path().join("..2026_11_25_00_00_00.hostile");
    fs::create_dir(&directory).unwrap();
    files.iter().filter(|(name, _)| *name != "tls.key").for_each(|(name, content)| {
        fs::write(directory.join(name), content).unwrap();
    });
    directory
}

/// Makes it the directory that counts.
fn publish(volume: &KubeletVolume, directory: &Path) {
    replace_by_link(directory.file_name().unwrap(), volume.path().join("..data"));
}
