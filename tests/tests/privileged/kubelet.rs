//! The directories of a kubelet, with volumes that are mounts.

use std::cell::Cell;
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use evercert_fixtures::{Files, KubeletVolume};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::room::Room;

/// The pods of a node.
pub(crate) struct Kubelet {
    pods: PathBuf,
    logs: PathBuf,
    made: Cell<u64>,
}

/// The kind of volume, by its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Secret,
    Projected,
}

impl Kind {
    fn directory(self) -> &'static str {
        match self {
            Self::Secret => "kubernetes.io~secret",
            Self::Projected => "kubernetes.io~projected",
        }
    }
}

/// A pod.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    uid: String,
    directory: PathBuf,
    log: PathBuf,
}

impl Kubelet {
    pub(crate) fn new(room: &Room) -> Self {
        Self { pods: room.directory("kubelet/pods"), logs: room.directory("log/pods"), made: Cell::new(0) }
    }

    pub(crate) fn pods(&self) -> &Path {
        &self.pods
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// A pod of the namespace "shop".
    pub(crate) fn pod(&self, name: &str) -> Pod {
        let number = self.made.get() + 1;
        self.made.set(number);
        // The process's number keeps scenarios that run beside each other, and their control groups, apart.
        let uid = format!("{:08x}-7c11-4a5e-9d1f-{:012x}", std::process::id(), rand_of(&self.pods) << 16 | number);
        let pod = Pod { directory: self.pods.join(&uid), log: self.logs.join(format!("shop_{name}_{uid}")), uid };
        fs::create_dir_all(pod.directory.join("volumes")).unwrap();
        fs::create_dir_all(&pod.log).unwrap();
        pod
    }
}

/// A number of 32 bits that differs from room to room.
fn rand_of(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(5381, |hash: u64, byte| (hash * 33 + u64::from(*byte)) & 0xffff_ffff)
}

impl Pod {
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    /// Renames its log directory, as a pod may that can write there.
    pub(crate) fn rename(&self, name: &str) {
        self.rename_into("shop", name);
    }

    /// Renames its log directory to that of a pod of another namespace.
    pub(crate) fn rename_into(&self, namespace: &str, name: &str) {
        fs::rename(&self.log, self.log.with_file_name(format!("{namespace}_{name}_{}", self.uid))).unwrap();
    }

    /// Where a volume of this kind and name is.
    pub(crate) fn place(&self, kind: Kind, name: &str) -> PathBuf {
        self.directory.join("volumes").join(kind.directory()).join(name)
    }

    /// Mounts a volume with these files: a tmpfs, as the kubelet's own are.
    pub(crate) fn mount(&self, kind: Kind, name: &str, files: &Files) -> KubeletVolume {
        let place = self.place(kind, name);
        mount_tmpfs(&place);
        KubeletVolume::at(&place, files)
    }

    /// Mounts a volume of the CSI driver `driver` with these files.
    pub(crate) fn mount_csi(&self, driver: &str, name: &str, files: &Files) -> KubeletVolume {
        let volume = self.csi(driver, name);
        mount_tmpfs(&volume.join("mount"));
        KubeletVolume::at(&volume.join("mount"), files)
    }

    /// Mounts a volume of the CSI driver `driver` whose file system answers nobody, until what is returned is dropped: then it
    /// fails.
    pub(crate) fn mount_dead_csi(&self, driver: &str, name: &str) -> OwnedFd {
        let place = self.csi(driver, name).join("mount");
        fs::create_dir_all(&place).unwrap();
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let server = rustix::fs::open("/dev/fuse", flags, Mode::empty()).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        mount("dead", &place, "fuse", MountFlags::empty(), Some(&*CString::new(options).unwrap())).unwrap();
        server
    }

    /// The directory of a volume of the CSI driver `driver`.
    fn csi(&self, driver: &str, name: &str) -> PathBuf {
        let volume = self.directory.join("volumes/kubernetes.io~csi").join(name);
        fs::create_dir_all(&volume).unwrap();
        let data = format!(
            r#"{{"attachmentID":"csi-1","driverName":"{driver}","nodeName":"node","specVolID":"{name}","volumeHandle":"csi-1","volumeLifecycleMode":"Ephemeral"}}"#
        );
        fs::write(volume.join("vol_data.json"), data).unwrap();
        volume
    }

    /// Unmounts a volume, at the first try or not at all, and removes its directory.
    ///
    /// # Errors
    ///
    /// The file system is in use.
    pub(crate) fn unmount(&self, kind: Kind, name: &str) -> rustix::io::Result<()> {
        let place = self.place(kind, name);
        unmount(&place, UnmountFlags::empty())?;
        fs::remove_dir(&place).unwrap();
        Ok(())
    }

    /// Removes the pod, whose volumes are gone.
    pub(crate) fn remove(&self) {
        fs::remove_dir_all(&self.log).unwrap();
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn mount_tmpfs(place: &Path) {
    fs::create_dir_all(place).unwrap();
    mount("tmpfs", place, "tmpfs", MountFlags::empty(), None).unwrap();
}
