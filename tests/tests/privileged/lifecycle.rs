//! Pods that come, rotate and go, on a node whose daemon has a mount namespace of its own.

use std::fs;
use std::time::{Duration, Instant};

use evercert_fixtures::wait::until_within;
use evercert_fixtures::{Authority, Leaf};
use evercert_tests::daemon::Home;
use evercert_tests::memory::size_kib;

use crate::daemon;
use crate::kubelet::{Kind, Kubelet};
use crate::room::Room;

const PODS: usize = 500;
/// How many pods there are at a time.
const WAVE: usize = 50;
/// How soon an identity has to be gone.
const GONE: Duration = Duration::from_secs(1);
/// How many descriptors the daemon may have more when all pods are gone.
const DESCRIPTORS: usize = 2;
/// How much more memory may be resident then, in KiB: what the allocator keeps.
const GROWTH_KIB: u64 = 4096;

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn five_hundred_pods_come_rotate_and_go_and_no_unmount_fails() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    // As in a container with a hostPath and HostToContainer.
    let home = Home::open_to_all(room.path(), || daemon::program(&["unshare", "--mount", "--propagation", "slave"]));
    home.configure(&daemon::pods(&kubelet));
    let running = home.start().await;
    let issued = Authority::new("root.example.org").issue_all((0..WAVE * 2).map(|_| Leaf::for_dns("a.example.org")));
    let until_all = async |what: &str, limit: Duration, generation: u64, count: usize| {
        until_within(limit, what, || async {
            let status = running.status().await?;
            let ready = status.identities.iter().filter(|identity| identity.generation == generation).count();
            (status.identities.len() == count && ready == count).then_some(())
        })
        .await;
    };

    let mut before = None;
    let mut slowest = Duration::ZERO;
    for wave in 0..PODS / WAVE {
        let pods: Vec<_> = (0..WAVE).map(|n| kubelet.pod(&format!("wave-{wave}-{n}"))).collect();
        let volumes: Vec<_> =
            pods.iter().zip(&issued).map(|(pod, issued)| pod.mount(Kind::Secret, "tls", &issued.files())).collect();
        until_all("all are published", Duration::from_secs(20), 1, WAVE).await;
        volumes.iter().zip(&issued[WAVE..]).for_each(|(volume, issued)| _ = volume.swap(&issued.files()));
        until_all("all have rotated", Duration::from_secs(20), 2, WAVE).await;
        for pod in &pods {
            let unmounted = pod.unmount(Kind::Secret, "tls");
            assert!(unmounted.is_ok(), "{}: {unmounted:?}", pod.uid());
            pod.remove();
        }
        let start = Instant::now();
        until_all("all are gone", Duration::from_secs(20), 2, 0).await;
        slowest = slowest.max(start.elapsed());
        before.get_or_insert_with(|| (descriptors(running.pid()), size_kib(running.pid(), "VmRSS")));
    }
    assert!(slowest < GONE, "the last of a wave was gone after {slowest:?}");
    let ((files, resident), pid) = (before.unwrap(), running.pid());
    assert!(descriptors(pid) <= files + DESCRIPTORS, "{} descriptors, {files} before", descriptors(pid));
    assert!(size_kib(pid, "VmRSS") <= resident + GROWTH_KIB, "{} KiB, {resident} before", size_kib(pid, "VmRSS"));
}
