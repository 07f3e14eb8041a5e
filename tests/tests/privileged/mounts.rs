//! Mounts on the way to an identity's files, of which no directory tells. The tick is an hour away where nothing else is said.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use evercert_fixtures::wait::until_within;
use evercert_fixtures::{Authority, Issued, KubeletVolume, PlainDirectory};
use evercert_tests::daemon;
use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::daemon::home;
use crate::room::Room;

/// How soon a change has to be seen.
const SEEN: Duration = Duration::from_secs(2);

fn mount_tmpfs(place: &Path) {
    mount("tmpfs", place, "tmpfs", MountFlags::empty(), Some(c"mode=0755")).unwrap();
}

fn issued<const N: usize>() -> [Issued; N] {
    let authority = Authority::new("root.example.org");
    std::array::from_fn(|_| authority.issue_dns("a.example.org"))
}

/// Unmounts as a kubelet does: again, while a read holds what is mounted.
async fn unmounted(place: &Path) {
    let unmount = || async {
        match unmount(place, UnmountFlags::empty()) {
            Ok(()) => Some(()),
            Err(Errno::BUSY) => None,
            Err(errno) => panic!("{errno}"),
        }
    };
    until_within(SEEN, "no read holds it any more", unmount).await;
}

/// Whether a process watches a directory, as the kernel tells it.
fn watches(pid: u32, directory: &Path) -> bool {
    let directory = fs::metadata(directory).unwrap();
    let device = u64::from(major(directory.dev())) << 20 | u64::from(minor(directory.dev()));
    let watch = format!(" ino:{:x} sdev:{device:x} ", directory.ino());
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let told = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    told.into_iter().any(|told| told.contains(&watch))
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_directory_is_mounted_over_and_unmounted_again() {
    let room = Room::enter();
    let [first, second, third] = issued();
    let tls = room.directory("srv/tls");
    _ = PlainDirectory::at(&tls, &first.files());
    let home = home(&room);
    home.configure(&format!("tick = \"1h\"\n\n{}", daemon::identity("a", &tls)));
    let running = home.start().await;
    running.until("it is published", "a", |status| status.generation == 1).await;

    let start = Instant::now();
    mount_tmpfs(&tls);
    running.until("the files are gone", "a", |status| !status.findings.is_empty()).await;
    assert!(start.elapsed() < SEEN, "the mount was seen after {:?}", start.elapsed());
    let start = Instant::now();
    _ = PlainDirectory::at(&tls, &second.files());
    running.until("what is written there is published", "a", |status| status.generation == 2).await;
    assert!(start.elapsed() < SEEN, "the files were seen after {:?}", start.elapsed());

    let start = Instant::now();
    unmounted(&tls).await;
    running.until("what was there before is back", "a", |status| status.generation == 3).await;
    assert!(start.elapsed() < SEEN, "the unmount was seen after {:?}", start.elapsed());
    _ = PlainDirectory::at(&tls, &third.files());
    running.until("and is watched", "a", |status| status.generation == 4).await;
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn an_ancestor_of_a_missing_directory_is_mounted_over() {
    let room = Room::enter();
    let [first] = issued();
    let ancestor = room.directory("srv");
    let home = home(&room);
    home.configure(&format!("tick = \"1h\"\n\n{}", daemon::identity("a", &ancestor.join("web/tls"))));
    let running = home.start().await;
    running.until("it is missing", "a", |status| !status.findings.is_empty()).await;
    mount_tmpfs(&ancestor);
    // In the mount the files are as missing as before: no state tells that it was seen.
    let is_watched = || async { watches(running.pid(), &ancestor).then_some(()) };
    until_within(SEEN, "the mount is watched", is_watched).await;
    let start = Instant::now();
    fs::create_dir_all(ancestor.join("web")).unwrap();
    _ = KubeletVolume::at(&ancestor.join("web/tls"), &first.files());
    running.until("it appears in the mount", "a", |status| status.generation == 1).await;
    assert!(start.elapsed() < SEEN, "the files were seen after {:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn files_that_are_mounted_one_by_one_are_told_to_be_stale_once_they_are_replaced() {
    let room = Room::enter();
    let [first, second] = issued();
    // Mounted like this it is no kubelet's any more for whoever sees the mount alone.
    let volume = KubeletVolume::at(&room.directory("volume"), &first.files()).with_mode(0o600);
    volume.swap(&first.files());
    let tls = room.directory("tls");
    for (name, _) in first.files().iter() {
        File::create(tls.join(name)).unwrap();
        mount_bind(volume.file(name), tls.join(name)).unwrap();
    }
    let home = home(&room);
    home.configure(&format!("tick = \"1s\"\n\n{}", daemon::identity("a", &tls)));
    let running = home.start().await;
    let published = running.until("it is published", "a", |status| status.generation == 1).await;
    assert!(published.findings.is_empty(), "{:?}", published.findings);

    volume.swap(&second.files());
    let stale = running.until("they are stale", "a", |status| !status.findings.is_empty()).await;
    let told: Vec<_> =
        stale.findings.iter().map(|finding| (finding.check.as_str(), finding.sentence.as_str())).collect();
    let sentence = format!(
        "{} is mounted as a single file (as subPath does) and was replaced where it comes from: what replaced it is never seen \
         here; mount the directory that it is in instead",
        tls.join("tls.crt").display()
    );
    assert!(told.contains(&("stale-file-mount", &sentence)), "{told:?}");
    assert!(told.iter().all(|(check, _)| *check == "stale-file-mount") && told.len() == 3, "{told:?}");

    for (name, _) in first.files().iter() {
        unmounted(&tls.join(name)).await;
        mount_bind(volume.file(name), tls.join(name)).unwrap();
    }
    let mended = running.until("they are mounted anew", "a", |status| status.generation == 2).await;
    assert!(mended.findings.is_empty(), "{:?}", mended.findings);
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_directory_that_is_mounted_from_behind_data_is_told_to_be_stale_once_it_is_replaced() {
    let room = Room::enter();
    let [first, second] = issued();
    // Mounted like this it is no kubelet's any more for whoever sees the mount alone.
    let volume = KubeletVolume::at(&room.directory("volume"), &first.files()).with_mode(0o600);
    volume.swap(&first.files());
    let tls = room.directory("tls");
    mount_bind(volume.file("..data"), &tls).unwrap();
    let home = home(&room);
    home.configure(&format!("tick = \"1h\"\n\n{}", daemon::identity("a", &tls)));
    let running = home.start().await;
    running.until("it is published", "a", |status| status.generation == 1).await;
    volume.swap(&second.files());
    let stale = running.until("it is stale", "a", |status| !status.findings.is_empty()).await;
    let told: Vec<_> =
        stale.findings.iter().map(|finding| (finding.check.as_str(), finding.sentence.as_str())).collect();
    let sentence = format!(
        "{}: its directory is mounted, and was deleted where it is mounted from; mount the directory that it is in (not a subPath of \
         it)",
        tls.join("tls.key").display()
    );
    assert!(told.contains(&("stale-file-mount", &sentence)), "{told:?}");
}
