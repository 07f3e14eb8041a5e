//! Where a scenario takes place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};

/// A tmpfs in a mount namespace that the calling thread, and what it starts, has for itself. Every user may go in, and the mounts
/// in it are told to namespaces that are made from it as slaves, as a node's are to its pods.
pub(crate) struct Room(PathBuf);

impl Room {
    /// # Panics
    ///
    /// This is not root.
    pub(crate) fn enter() -> Self {
        assert!(rustix::process::geteuid().is_root(), "the privileged scenarios have to be run as root");
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let path = tempfile::tempdir().unwrap().keep();
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(c"mode=0755")).unwrap();
        mount_change(&path, MountPropagationFlags::SHARED).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A directory of this name, which every user may go into.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// This program, where every user can run it: the directory it was built in may be root's alone.
    pub(crate) fn program(&self, program: &str) -> PathBuf {
        let place = self.directory("bin").join(Path::new(program).file_name().unwrap());
        if !place.exists() {
            File::create(&place).unwrap();
            mount_bind(program, &place).unwrap();
            mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        }
        place
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        _ = unmount(&self.0, UnmountFlags::DETACH);
        _ = fs::remove_dir(&self.0);
    }
}
