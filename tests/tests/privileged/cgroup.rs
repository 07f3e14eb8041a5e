//! Control groups as a container runtime makes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use evercert_fixtures::wait::DEADLINE;

/// How often it is looked whether a group can go.
const PACE: Duration = Duration::from_millis(5);

/// A control group of the unified hierarchy, with those above it. Its processes end, and it goes, when this is dropped.
pub(crate) struct Cgroup {
    root: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    /// The group at this path from the root of the hierarchy.
    pub(crate) fn make(path: &str) -> Self {
        let root = unified();
        let cgroup = Self { path: root.join(path), root };
        // Another scenario may take away the directories above, as long as they are empty.
        let start = Instant::now();
        while let Err(error) = fs::create_dir_all(&cgroup.path) {
            let contended = error.kind() == io::ErrorKind::NotFound && start.elapsed() < DEADLINE;
            assert!(contended, "{}: {error}", cgroup.path.display());
        }
        cgroup
    }

    /// The group of a container of this pod, as cgroupfs lays it out.
    pub(crate) fn of_pod(uid: &str) -> Self {
        Self::make(&format!("kubepods/burstable/pod{uid}/{CONTAINER}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A container's name for itself.
pub(crate) const CONTAINER: &str = "9b1c4d1f0e5a4f7f8a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7081";

impl Drop for Cgroup {
    fn drop(&mut self) {
        _ = fs::write(self.path.join("cgroup.kill"), "1");
        let start = Instant::now();
        while fs::remove_dir(&self.path).is_err() && start.elapsed() < DEADLINE {
            sleep(PACE);
        }
        // Those above go too, up to one that is in use.
        let above = self.path.ancestors().skip(1).take_while(|path| *path != self.root);
        _ = above.map(fs::remove_dir).find(Result::is_err);
    }
}

/// Where the unified hierarchy is mounted (proc_pid_mountinfo(5)).
fn unified() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter_map(|line| line.split_once(" - "));
    let mut unified = mounts.filter(|(_, kind)| kind.starts_with("cgroup2 "));
    let (place, _) = unified.next().expect("a cgroup2 file system is mounted: mount -t cgroup2 none DIRECTORY");
    place.split(' ').nth(4).unwrap().into()
}
